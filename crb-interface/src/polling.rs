//! Commands that need no message: while the TPM's side looks at a word, the bell, again and again, it says so in the owner
//! word, and a command that is started then needs neither queue 0 nor a kick.
//!
//! Both sides change the owner word in one step, so one of them always sees the other: either the TPM's side finds the
//! command when it ends polling, or the monitor's finds, after START, that nobody polls, and announces the command.

use std::sync::atomic::Ordering;

use crate::crb::{Crb, at, owner};
use crate::layout::{BELL, CTRL_REQ, DATA_BUFFER, OWNER};
use crate::memory::Memory;

impl<M: Memory> Crb<M> {
    /// The TPM's side will look at the bell until [`Self::end_polling`]. Returns what the bell is at.
    pub fn begin_polling(&self) -> u32 {
        // One that is rung for what was said now comes after this look.
        let bell = self.memory.load(BELL);
        self.memory.update(OWNER, |word| word | owner::POLLED);
        bell
    }

    /// Whether the bell was rung since it was at `heard`, which is brought up to date.
    #[must_use]
    pub fn rang(&self, heard: &mut u32) -> bool {
        let bell = self.memory.load(BELL);
        std::mem::replace(heard, bell) != bell
    }

    /// Whether there is a command that was announced by the bell alone, if at all. Not when the monitor's side has called
    /// [`Self::forget_polling`] since polling began.
    #[must_use]
    pub fn polled_command(&self) -> bool {
        is_polled_command(self.memory.load(OWNER))
    }

    /// The TPM's side looks no longer. True when there is one more command.
    #[must_use]
    pub fn end_polling(&self) -> bool {
        is_polled_command(self.memory.update(OWNER, |word| word & !owner::POLLED))
    }

    /// Whether the TPM's side looks at the bell.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.memory.load(OWNER) & owner::POLLED != 0
    }

    /// Reads what the other side has just written, all at once: one after another, as they are needed, each of these
    /// cache lines would be waited for.
    pub fn fetch(&self) {
        const LINE: usize = 64;
        let locality = self.active().unwrap_or_default();
        let buffer = at(locality, DATA_BUFFER);
        for offset in [OWNER, at(locality, CTRL_REQ), buffer, buffer.saturating_add(LINE)] {
            std::hint::black_box(self.memory.word(offset).map(|word| word.load(Ordering::Relaxed)));
        }
    }

    /// Announces a command that was started, if the TPM's side looks at the bell. If not it has to be announced otherwise.
    #[must_use]
    pub fn ring(&self) -> bool {
        let polled = self.is_polled();
        if polled {
            self.memory.store(BELL, self.memory.load(BELL).wrapping_add(1));
        }
        polled
    }

    /// The monitor's side has lost the process, or is about to attach one: who said that it polls has no say any more.
    pub fn forget_polling(&self) {
        self.memory.update(OWNER, |word| word & !owner::POLLED);
    }
}

const fn is_polled_command(word: u32) -> bool {
    const BOTH: u32 = owner::EXECUTING | owner::POLLED;
    word & BOTH == BOTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{CTRL_START, LOC_CTRL, STAGING_SIZE};
    use crate::{Action, Config, LocalMemory, State};

    const RESPONSE: [u8; 10] = [0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0];

    /// The TPM's side as docs/vhost-user-tpm.md has it, one access to shared memory a step.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Device {
        Sleeps,
        Woken,
        /// For so many looks more.
        Polls(u8),
        LooksIntoQueue,
    }

    /// The monitor's side, likewise.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Monitor {
        Sends,
        Started,
        Waits,
    }

    struct Sides {
        crb: Crb<LocalMemory>,
        device: Device,
        monitor: Monitor,
        queued: bool,
        kicked: bool,
        taken: u32,
        heard: u32,
    }

    impl Sides {
        fn new() -> Self {
            let crb = Crb::new(LocalMemory::default(), Config::default());
            crb.reset();
            let _ = crb.write(LOC_CTRL, &[1]);
            Self {
                crb,
                device: Device::Sleeps,
                monitor: Monitor::Sends,
                queued: false,
                kicked: false,
                taken: 0,
                heard: 0,
            }
        }

        fn serve(&mut self) {
            let mut command = [0; STAGING_SIZE];
            if self.crb.take_command(&mut command).is_some() {
                self.taken += 1;
                self.crb.complete(&RESPONSE);
            }
        }

        fn device_step(&mut self) {
            self.device = match self.device {
                Device::Sleeps if std::mem::take(&mut self.kicked) => Device::Woken,
                Device::Sleeps => Device::Sleeps,
                Device::Woken => {
                    self.heard = self.crb.begin_polling();
                    Device::Polls(2)
                }
                Device::Polls(_) if self.crb.rang(&mut self.heard) => {
                    if self.crb.polled_command() {
                        self.serve();
                    }
                    Device::Polls(2)
                }
                Device::Polls(0) if self.crb.end_polling() => {
                    self.serve();
                    Device::Woken
                }
                Device::Polls(0) => Device::LooksIntoQueue,
                Device::Polls(looks) => Device::Polls(looks - 1),
                Device::LooksIntoQueue => {
                    if std::mem::take(&mut self.queued) {
                        self.serve();
                    }
                    Device::Sleeps
                }
            };
        }

        fn monitor_step(&mut self) {
            self.monitor = match self.monitor {
                Monitor::Sends => {
                    let _ = self.crb.write(CTRL_REQ, &[1]);
                    let _ = self.crb.write(DATA_BUFFER, &[0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0]);
                    assert!(self.crb.write(CTRL_START, &[1]).contains(Action::Start));
                    Monitor::Started
                }
                Monitor::Started => {
                    if !self.crb.ring() {
                        self.queued = true;
                        self.kicked = true;
                    }
                    Monitor::Waits
                }
                Monitor::Waits if self.crb.state() == State::Completion => Monitor::Sends,
                Monitor::Waits => Monitor::Waits,
            };
        }
    }

    #[test]
    fn no_command_is_lost_or_run_twice_however_the_sides_take_turns() {
        const STEPS: u32 = 16;
        for turns in 0..1u32 << STEPS {
            let mut sides = Sides::new();
            let mut started = 0;
            let monitor = |sides: &mut Sides, started: &mut u32| {
                *started += u32::from(sides.monitor == Monitor::Sends);
                sides.monitor_step();
            };
            for step in 0..STEPS {
                if turns >> step & 1 == 0 {
                    sides.device_step();
                } else {
                    monitor(&mut sides, &mut started);
                }
                assert!(sides.taken <= started);
            }
            // The monitor sends nothing more; what it has sent is answered.
            while sides.monitor == Monitor::Started {
                monitor(&mut sides, &mut started);
            }
            for _ in 0..12 {
                sides.device_step();
            }
            assert_eq!(sides.taken, started, "turns {turns:#x}");
            assert!(!sides.crb.executing());
        }
    }

    #[test]
    fn who_was_forgotten_finds_no_command() {
        let mut sides = Sides::new();
        let _ = sides.crb.begin_polling();
        sides.crb.forget_polling();
        sides.monitor_step();
        assert!(!sides.crb.ring() && !sides.crb.polled_command() && !sides.crb.end_polling());
        assert!(sides.crb.executing());
    }
}
