//! Commands that need no message: while the TPM's side looks at the owner word again and again it says so there, and a
//! command that is started then needs neither queue 0 nor a kick.
//!
//! Both sides change the owner word in one step, so one of them always sees the other: either the TPM's side finds the
//! command when it ends polling, or the monitor's finds, after START, that nobody polls, and announces the command.
//!
//! Two caches that hold the same line pass it to and fro at some 100 ns each time. Both sides therefore have the lines that
//! they are about to use brought to them all at once.

use crate::buffer::{buffer, buffer_of};
use crate::crb::{Config, Crb, at, owner};
use crate::layout::{CTRL_START, LOCALITY_MASK, OWNER, STATE};
use crate::memory::Memory;

/// Bytes of a cache line.
const LINE: usize = 64;
/// Bytes of a command or response that are brought before its length is known.
const SHORT: usize = 2 * LINE;
/// Bytes of a response that are brought, whatever its length: what the other side has not written is here still.
const LONG: usize = 8 * LINE;

impl<M: Memory> Crb<M> {
    /// The TPM's side of the connection that the window has now, with the localities that the monitor's has. Commands that are
    /// started when there is another connection are none of its business.
    pub fn of_connection(memory: M, mut config: Config) -> Self {
        let connection = Some(memory.load(OWNER) & owner::CONNECTION);
        if let Ok(localities @ 1..) = u8::try_from(memory.load(LOCALITY_MASK)) {
            config.localities = localities;
        }
        Self {
            memory,
            config,
            connection,
        }
    }

    /// Whether the window has this connection still.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.is_ours(self.memory.load(OWNER))
    }

    /// The TPM's side will look for commands until [`Self::end_polling`], if it has the connection still.
    pub fn begin_polling(&self) {
        self.memory.update(OWNER, |word| match self.is_ours(word) {
            true => word | owner::POLLED,
            false => word,
        });
    }

    /// Whether there is a command that the monitor need not have announced otherwise, as it saw that the TPM's side polls.
    #[must_use]
    pub fn polled_command(&self) -> bool {
        self.is_polled_command(self.memory.load(OWNER))
    }

    /// The TPM's side looks no longer. True when there is one more command.
    #[must_use]
    pub fn end_polling(&self) -> bool {
        let word = self.memory.update(OWNER, |word| match self.is_ours(word) {
            true => word & !owner::POLLED,
            false => word,
        });
        self.is_polled_command(word)
    }

    /// Whether the TPM's side looks for commands. A command that was started before this look needs no other announcement.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.memory.load(OWNER) & owner::POLLED != 0
    }

    /// The monitor's side has lost the process, or is about to attach one: whoever had the window before has no say any more.
    pub fn begin_connection(&self) {
        self.memory.update(OWNER, |word| {
            let next = word.wrapping_add(1 << owner::CONNECTION_SHIFT) & owner::CONNECTION;
            word & !(owner::CONNECTION | owner::POLLED) | next
        });
    }

    /// Brings what is needed for a command that the other side has just started.
    pub fn prepare_command(&self) {
        let word = self.memory.load(OWNER);
        self.memory.prepare(OWNER);
        self.memory.prepare(STATE);
        self.prepare(buffer_of(word), SHORT);
        // CANCEL and INT_ENABLE; the other side looks at START there.
        self.memory.prepare_to_read(at(0, CTRL_START));
    }

    /// Brings what a guest will look at and change next, now that the command of this locality is done. Whatever would have to
    /// be read for it first is waited for by the next lock.
    pub fn prepare_response(&self, locality: u8) {
        self.memory.prepare_to_read(OWNER);
        self.memory.prepare(STATE);
        self.memory.prepare(at(locality, CTRL_START));
        self.prepare(buffer(locality), LONG);
    }

    /// Has some bytes brought here, to be used.
    pub(crate) fn prepare(&self, offset: usize, len: usize) {
        for line in (0..len).step_by(LINE) {
            self.memory.prepare(offset.saturating_add(line));
        }
    }

    /// Whether this side has a say, with this owner word.
    pub(crate) fn is_ours(&self, word: u32) -> bool {
        self.connection
            .is_none_or(|connection| word & owner::CONNECTION == connection)
    }

    fn is_polled_command(&self, word: u32) -> bool {
        const BOTH: u32 = owner::EXECUTING | owner::POLLED;
        word & BOTH == BOTH && self.is_ours(word)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::layout::{CTRL_REQ, CTRL_START, DATA_BUFFER, LOC_CTRL, PAGE, STAGING_SIZE};
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
                    self.crb.begin_polling();
                    Device::Polls(2)
                }
                Device::Polls(_) if self.crb.polled_command() => {
                    self.serve();
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
                    if !self.crb.is_polled() {
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
    fn who_was_forgotten_can_do_nothing() {
        let memory = Arc::new(LocalMemory::default());
        let monitor = Crb::new(Arc::clone(&memory), Config::default());
        monitor.reset();
        let mut command = [0; STAGING_SIZE];
        monitor.begin_connection();
        let old = Crb::of_connection(Arc::clone(&memory), Config::default());
        old.begin_polling();
        monitor.begin_connection();
        let new = Crb::of_connection(memory, Config::default());
        assert!(!monitor.is_polled());
        old.begin_polling();
        assert!(!monitor.is_polled());
        let _ = monitor.write(LOC_CTRL, &[1]);
        let _ = monitor.write(CTRL_REQ, &[1]);
        let _ = monitor.write(DATA_BUFFER, &RESPONSE);
        assert!(monitor.write(CTRL_START, &[1]).contains(Action::Start));
        new.begin_polling();
        assert!(!old.polled_command() && !old.end_polling());
        assert!(!old.is_current() && new.is_current() && monitor.is_current());
        assert!(monitor.is_polled());
        assert_eq!(old.take_command(&mut command), None);
        old.complete(&RESPONSE);
        assert!(monitor.executing());
        assert!(new.polled_command());
        assert_eq!(new.take_command(&mut command), Some((0, RESPONSE.len())));
        new.complete(&RESPONSE);
        assert_eq!(monitor.state(), State::Completion);
        monitor.reset();
        assert!(monitor.is_polled() && !new.end_polling());
    }

    #[test]
    fn the_tpms_side_leaves_pages_alone_that_do_not_exist() {
        let memory = Arc::new(LocalMemory::default());
        let config = Config {
            localities: 0b0101,
            ..Config::default()
        };
        let monitor = Crb::new(Arc::clone(&memory), config);
        monitor.reset();
        let process = Crb::of_connection(memory, Config::default());
        let _ = monitor.write(LOC_CTRL, &[1]);
        let _ = monitor.write(CTRL_REQ, &[1]);
        let _ = monitor.write(DATA_BUFFER, &RESPONSE);
        assert!(monitor.write(CTRL_START, &[1]).contains(Action::Start));
        assert!(monitor.write(2 * PAGE as u64 + LOC_CTRL, &[4]).contains(Action::Cancel));
        process.complete(&RESPONSE);
        assert_eq!(monitor.active(), Some(2));
        for page in [1, 3, 4] {
            let mut bytes = [0; PAGE];
            monitor.read(page * PAGE as u64, &mut bytes);
            assert!(bytes.iter().all(|byte| *byte == 0xFF), "page {page}");
        }
    }
}
