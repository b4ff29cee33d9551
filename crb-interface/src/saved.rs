//! The interface as bytes, to go on elsewhere.

use crate::crb::{Crb, owner};
use crate::layout::{DATA_BUFFER_SIZE, MAGIC, MAGIC_VALUE, MEMORY_SIZE, OWNER, QUEUE_DESCRIPTORS, STATE};
use crate::memory::Memory;
use crate::registers::CtrlStart;

/// Bytes of a saved interface: the version, the guest's pages with the interface's own words, and the staging buffers. The
/// queue is not part of it: it belongs to a connection.
const SAVED_SIZE: usize = 4 + MAGIC + (MEMORY_SIZE - STAGING);
/// Where the staging buffers begin.
const STAGING: usize = crate::layout::COMMAND;

const _: () = assert!(QUEUE_DESCRIPTORS > MAGIC && QUEUE_DESCRIPTORS < STAGING && STATE < MAGIC);

impl<M: Memory> Crb<M> {
    /// The registers and buffers as they are; `None` while a command is being executed.
    #[must_use]
    pub fn save(&self) -> Option<Vec<u8>> {
        if self.executing() {
            return None;
        }
        let mut saved = vec![0; SAVED_SIZE];
        let (version, rest) = saved.split_at_mut_checked(4)?;
        version.copy_from_slice(&MAGIC_VALUE.to_be_bytes());
        let (pages, staging) = rest.split_at_mut_checked(MAGIC)?;
        self.memory.copy_out(0, pages);
        self.memory.copy_out(STAGING, staging);
        Some(saved)
    }

    /// Goes on where [`Crb::save`] was. False, and nothing is changed, when these bytes are no saved interface, or a command
    /// is being executed here.
    pub fn restore(&self, saved: &[u8]) -> bool {
        let Some((version, rest)) = saved.split_first_chunk() else {
            return false;
        };
        let Some((pages, staging)) = rest.split_at_checked(MAGIC) else {
            return false;
        };
        if self.executing() || saved.len() != SAVED_SIZE || u32::from_be_bytes(*version) != MAGIC_VALUE {
            return false;
        }
        self.memory.copy_in(0, pages);
        self.memory.copy_in(STAGING, staging);
        self.memory
            .update(OWNER, |word| word & !(owner::EXECUTING | owner::POLLED));
        // The TPM's side clears it a moment after it has given the window back: the window may have been saved in between.
        self.broadcast(CtrlStart::empty());
        self.show_localities();
        self.will_use(DATA_BUFFER_SIZE);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{CTRL_REQ, DATA_BUFFER, LOC_CTRL};
    use crate::{Action, Config, LocalMemory, State};

    fn fresh() -> Crb<LocalMemory> {
        let crb = Crb::new(LocalMemory::default(), Config::default());
        crb.reset();
        crb
    }

    fn word(crb: &Crb<LocalMemory>, register: u64, value: u32) {
        let _ = crb.write(register, &value.to_le_bytes());
    }

    #[test]
    fn a_half_written_command_is_finished_elsewhere() {
        let crb = fresh();
        word(&crb, LOC_CTRL, 1);
        word(&crb, CTRL_REQ, 1);
        let command = b"\x80\x01\0\0\0\x0c\0\0\x01\x7b\0\x08";
        let _ = crb.write(DATA_BUFFER, &command[..8]);
        let there = fresh();
        assert!(there.restore(&crb.save().unwrap()));
        assert_eq!((there.state(), there.active()), (State::Reception, Some(0)));
        let _ = there.write(DATA_BUFFER + 8, &command[8..]);
        assert!(there.write(crate::layout::CTRL_START, &[1]).contains(Action::Start));
        assert!(there.save().is_none(), "a command is being executed");
        let mut taken = [0; crate::layout::STAGING_SIZE];
        assert_eq!(there.take_command(&mut taken), Some((0, command.len())));
        assert_eq!(taken[..command.len()], command[..]);
        assert!(!there.restore(&crb.save().unwrap()));
    }

    #[test]
    fn other_bytes_change_nothing() {
        let crb = fresh();
        let good = crb.save().unwrap();
        for bad in [
            &good[..0],
            &good[..4],
            &good[1..],
            &good[..good.len() - 1],
            &[&good[..], &[0]].concat(),
            &[0; SAVED_SIZE],
        ] {
            assert!(!crb.restore(bad));
        }
        assert_eq!(crb.save().unwrap(), good);
        // Whoever wrote them: no command is being executed here.
        let mut executing = good.clone();
        executing[4 + OWNER + 3] = 0x80;
        assert!(crb.restore(&executing) && !crb.executing());
    }

    #[test]
    fn a_window_saved_before_its_command_is_shown_done_waits_for_nothing() {
        let crb = fresh();
        word(&crb, LOC_CTRL, 1);
        word(&crb, CTRL_REQ, 1);
        let _ = crb.write(DATA_BUFFER, b"\x80\x01\0\0\0\x0a\0\0\x01\x7b");
        word(&crb, crate::layout::CTRL_START, 1);
        crb.complete(b"\x80\x01\0\0\0\x0a\0\0\0\0");
        // All of it, but for the last step.
        crb.set_register(0, CtrlStart::START);
        let there = fresh();
        assert!(there.restore(&crb.save().unwrap()));
        assert!(!there.started(0));
        assert_eq!(there.state(), State::Completion);
    }
}
