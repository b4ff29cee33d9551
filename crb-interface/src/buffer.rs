//! Commands into the interface and responses out of it, whole or in chunks (PTP 6.5.3.9; 1.07 for chunks).

use crate::crb::{Crb, State, owner, page};
use crate::layout::{self, DATA_BUFFER, DATA_BUFFER_SIZE, PAGE, STAGING_SIZE};
use crate::memory::Memory;
use crate::registers::{CtrlStart, IntSts};

/// Bytes of a command's header: tag, size, code.
const HEADER_SIZE: usize = 10;
/// The words of it that commandSize is in, in bytes.
const SIZED: usize = 8;
/// Bytes of a data buffer that are wiped whether they were used or not: most commands and responses have no more.
const ALWAYS_WIPED: usize = 512;
const READY: u32 = State::Ready as u32;
const RECEPTION: u32 = State::Reception as u32;

impl<M: Memory> Crb<M> {
    /// Writes to a data buffer; `at` is the offset into the window.
    pub(crate) fn write_buffer(&self, locality: u8, at: usize, piece: &[u8]) {
        let end = at.saturating_add(piece.len()).saturating_sub(buffer(locality));
        if self.accept_data(locality, end) {
            self.memory.copy_in(at, piece);
        }
    }

    /// Writes bytes of a command, as far as that takes no lock; also what a guest writes that changes nothing. False, and nothing
    /// is done, when [`Crb::write`] has to have a say. Should the command be started or given up by another vCPU at the same
    /// time, the bytes are in the buffer that they were written to, where a guest may put what it likes.
    #[must_use]
    pub fn write_on(&self, offset: u64, data: &[u8]) -> bool {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let Ok(locality @ ..4) = u8::try_from(at / PAGE) else {
            return false;
        };
        let Some(in_buffer) = (at % PAGE).checked_sub(DATA_BUFFER as usize) else {
            return self.clears_nothing(at % PAGE, data);
        };
        let end = in_buffer.saturating_add(data.len());
        if end > DATA_BUFFER_SIZE || !self.exists(locality) || !self.is_active(locality) || !self.is_receiving() {
            return false;
        }
        self.will_use(end);
        self.memory.copy_in(at, data);
        true
    }

    /// Whether this clears a TPM_CRB_CTRL_CANCEL that is clear, as a driver does before each command.
    fn clears_nothing(&self, in_page: usize, data: &[u8]) -> bool {
        in_page == layout::CTRL_CANCEL as usize && *data == [0; 4] && !self.cancel_requested()
    }

    /// Whether a command is being received, perhaps since just now.
    pub(crate) fn is_receiving(&self) -> bool {
        if self.executing() {
            return false;
        }
        match self.memory.load(layout::STATE) {
            RECEPTION => true,
            // In one step: it may be given up at the same time.
            READY => {
                let received = |state| if state == READY { RECEPTION } else { state };
                self.memory.update(layout::STATE, received) == READY
            }
            _ => false,
        }
    }

    /// Notes that the data buffer will not be empty up to there.
    pub(crate) fn will_use(&self, end: usize) {
        if end <= ALWAYS_WIPED {
            return;
        }
        let end = u32::try_from(end.next_multiple_of(ALWAYS_WIPED)).unwrap_or(u32::MAX);
        if end > self.memory.load(layout::USED) {
            self.memory.update(layout::USED, |used| used.max(end));
        }
    }

    /// Empties the data buffer of the locality that has the TPM.
    pub(crate) fn wipe_buffer(&self, locality: u8) {
        let used = usize::try_from(self.memory.load(layout::USED)).unwrap_or(DATA_BUFFER_SIZE);
        self.memory
            .wipe(buffer(locality), used.clamp(ALWAYS_WIPED, DATA_BUFFER_SIZE));
        self.memory.store(layout::USED, 0);
    }

    /// Copies the command that is to be executed into `out`, once: whatever the guest does to the window afterwards has
    /// no effect. Returns the locality it came from and its length; `None` when no command is waiting.
    ///
    /// The length is what the command's header says, as far as that many bytes can have been written.
    pub fn take_command(&self, out: &mut [u8; STAGING_SIZE]) -> Option<(u8, usize)> {
        let locality = self.sender()?;
        let staged = self.load_len(layout::COMMAND_LEN);
        let (source, room) = if staged == 0 {
            (buffer(locality), DATA_BUFFER_SIZE)
        } else {
            (layout::COMMAND, staged)
        };
        let (beginning, rest) = out.split_first_chunk_mut::<SIZED>()?;
        self.memory.copy_out(source, beginning);
        let len = claimed_size(beginning).clamp(HEADER_SIZE, room.max(HEADER_SIZE));
        self.prepare(source, len);
        // To the end of a word: whole words take a shorter way.
        let rest = rest.get_mut(..len.next_multiple_of(4).saturating_sub(SIZED))?;
        self.memory.copy_out(source.saturating_add(SIZED), rest);
        Some((locality, len))
    }

    /// Puts the response into the window and gives the window back to the monitor: START is CLEAR from here on.
    /// Does nothing when no command is being executed.
    pub fn complete(&self, response: &[u8]) {
        let Some(locality) = self.sender() else { return };
        let response = response.get(..STAGING_SIZE).unwrap_or(response);
        let first = response.get(..DATA_BUFFER_SIZE).unwrap_or(response);
        self.prepare(buffer(locality), first.len());
        self.will_use(first.len());
        self.memory.copy_in(buffer(locality), first);
        if response.len() > DATA_BUFFER_SIZE {
            self.memory.copy_in(layout::RESPONSE, response);
        }
        self.store_len(layout::RESPONSE_LEN, response.len());
        self.store_len(layout::RESPONSE_SHOWN, first.len());
        self.set_state(State::Completion);
        self.interrupt(IntSts::START);
        if self.release_window() {
            self.set_register(locality, CtrlStart::empty());
        }
    }

    /// The locality whose command is to be executed here.
    fn sender(&self) -> Option<u8> {
        let owner = self.memory.load(layout::OWNER);
        let locality = sender_of(owner);
        let ours = self.is_ours(owner) && self.exists(locality);
        (ours && owner::is_executing(owner)).then_some(locality)
    }

    /// The process is gone, and the window the monitor's: a command that was being executed has this response. A process
    /// that died after it gave the window back may not have come to show it.
    pub fn reclaim(&self, response: &[u8]) {
        self.complete(response);
        self.broadcast(CtrlStart::empty());
    }

    /// Whether the monitor's side waits for a signal of queue 0 rather than by spinning. Asked after
    /// [`Crb::complete`]: whoever goes to sleep looks for the answer once more after saying so.
    #[must_use]
    pub fn wants_signal(&self) -> bool {
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        self.memory.load(layout::QUEUE_AVAILABLE) & 1 == 0
    }

    /// Forgets command and response.
    pub(crate) fn discard(&self) {
        for word in [layout::COMMAND_LEN, layout::RESPONSE_LEN, layout::RESPONSE_SHOWN] {
            self.memory.store(word, 0);
        }
    }

    /// nextChunk in Command Reception: the data buffer is full and goes to the staged command.
    pub(crate) fn stage_chunk(&self, locality: u8) {
        let staged = self.load_len(layout::COMMAND_LEN);
        let mut beginning = [0; SIZED];
        let source = if staged == 0 { buffer(locality) } else { layout::COMMAND };
        self.memory.copy_out(source, &mut beginning);
        // A header that claims more than there is room for is answered by the TPM (TPM_RC_COMMAND_SIZE).
        let expected = claimed_size(&beginning).clamp(HEADER_SIZE, STAGING_SIZE);
        let count = expected.saturating_sub(staged).min(DATA_BUFFER_SIZE);
        let mut chunk = [0; DATA_BUFFER_SIZE];
        if let Some(chunk) = chunk.get_mut(..count) {
            self.memory.copy_out(buffer(locality), chunk);
            self.memory.copy_in(layout::COMMAND.saturating_add(staged), chunk);
            self.store_len(layout::COMMAND_LEN, staged.saturating_add(count));
        }
    }

    /// START: the rest of a command that came in chunks. One that fits the data buffer is taken right out of it.
    pub(crate) fn stage_last_chunk(&self, locality: u8) {
        if self.memory.load(layout::COMMAND_LEN) != 0 {
            self.stage_chunk(locality);
        }
    }

    /// Shows the part of the response that begins at `from`; past its end the buffer stays as it is.
    pub(crate) fn show_chunk(&self, locality: u8, from: u32) {
        let total = self.load_len(layout::RESPONSE_LEN);
        let from = usize::try_from(from).unwrap_or(total);
        // A response that fits the data buffer is not staged, and is still there.
        let count = total.saturating_sub(from).min(DATA_BUFFER_SIZE);
        if total <= DATA_BUFFER_SIZE || count == 0 {
            return;
        }
        let mut chunk = [0; DATA_BUFFER_SIZE];
        if let Some(chunk) = chunk.get_mut(..count) {
            self.memory.copy_out(layout::RESPONSE.saturating_add(from), chunk);
        }
        // What is behind the last chunk reads 0.
        self.will_use(DATA_BUFFER_SIZE);
        self.memory.copy_in(buffer(locality), &chunk);
        self.store_len(layout::RESPONSE_SHOWN, from.saturating_add(count));
    }

    /// A length that stands in memory, where the other side may have written anything.
    pub(crate) fn load_len(&self, word: usize) -> usize {
        usize::try_from(self.memory.load(word))
            .unwrap_or(STAGING_SIZE)
            .min(STAGING_SIZE)
    }

    fn store_len(&self, word: usize, len: usize) {
        self.memory.store(word, u32::try_from(len).unwrap_or(u32::MAX));
    }
}

/// The locality that the command of an owner word comes from.
pub(crate) const fn sender_of(owner: u32) -> u8 {
    ((owner & owner::SENDER) >> owner::SENDER_SHIFT) as u8
}

/// Where the data buffer begins that the command of an owner word is in.
pub(crate) const fn buffer_of(owner: u32) -> usize {
    buffer(sender_of(owner))
}

/// Where a locality's data buffer begins.
pub(crate) const fn buffer(locality: u8) -> usize {
    page(locality).saturating_add(DATA_BUFFER as usize)
}

/// commandSize of a command that begins so.
const fn claimed_size(beginning: &[u8; SIZED]) -> usize {
    let [_, _, a, b, c, d, ..] = *beginning;
    u32::from_be_bytes([a, b, c, d]) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crb::Config;
    use crate::memory::LocalMemory;

    #[test]
    fn nothing_stays_in_a_buffer() {
        let crb = Crb::new(LocalMemory::default(), Config::default());
        crb.reset();
        for len in [10, 511, 512, 513, 1024, 1025, DATA_BUFFER_SIZE, STAGING_SIZE] {
            for responds in [false, true] {
                crb.write(layout::LOC_CTRL, &[1]);
                crb.write(layout::CTRL_REQ, &[1]);
                if responds {
                    crb.write(DATA_BUFFER, &[0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x7B]);
                    crb.write(layout::CTRL_START, &[1]);
                    crb.complete(&vec![7; len]);
                    // The next chunk, if there is one.
                    crb.write(layout::CTRL_START, &[4]);
                } else {
                    for at in (0..len.min(DATA_BUFFER_SIZE) as u64).step_by(8) {
                        let rest = (DATA_BUFFER_SIZE as u64 - at).min(8) as usize;
                        assert!(crb.write_on(DATA_BUFFER + at, &[7; 8][..rest]));
                    }
                }
                crb.write(layout::LOC_CTRL, &[2]);
                let mut left = [1; DATA_BUFFER_SIZE];
                crb.read(DATA_BUFFER, &mut left);
                assert!(left.iter().all(|byte| *byte == 0), "{len} bytes, {responds}");
            }
        }
    }

    #[test]
    fn what_needs_no_lock_is_done_without() {
        let crb = Crb::new(LocalMemory::default(), Config::default());
        crb.reset();
        // Nobody has the TPM.
        assert!(!crb.write_on(DATA_BUFFER, &[1]));
        crb.write(layout::LOC_CTRL, &[1]);
        assert!(!crb.write_on(DATA_BUFFER, &[1]), "Idle");
        crb.write(layout::CTRL_REQ, &[1]);
        assert!(crb.write_on(DATA_BUFFER, &[1]) && crb.state() == State::Reception);
        assert!(crb.write_on(DATA_BUFFER + 3960, &[1; 8]) && !crb.write_on(DATA_BUFFER + 3961, &[1; 8]));
        assert!(
            !crb.write_on(PAGE as u64 + DATA_BUFFER, &[1]),
            "locality 1 has not the TPM"
        );
        assert!(!crb.write_on(4 * PAGE as u64 + DATA_BUFFER, &[1]) && !crb.write_on(u64::MAX, &[1]));
        assert!(crb.write_on(layout::CTRL_CANCEL, &[0; 4]));
        assert!(!crb.write_on(layout::CTRL_CANCEL, &[1, 0, 0, 0]) && !crb.write_on(layout::CTRL_START, &[0; 4]));
        crb.write(layout::CTRL_START, &[1]);
        assert!(!crb.write_on(DATA_BUFFER, &[1]), "Execution");
        crb.write(layout::CTRL_CANCEL, &[1]);
        assert!(!crb.write_on(layout::CTRL_CANCEL, &[0; 4]));
        crb.complete(&[0; 10]);
        assert!(!crb.write_on(DATA_BUFFER, &[1]), "Completion");
    }

    #[test]
    fn a_process_that_dies_leaves_no_command_behind() {
        let crb = Crb::new(LocalMemory::default(), Config::default());
        crb.reset();
        crb.write(layout::LOC_CTRL, &[1]);
        for given_back in [false, true] {
            crb.write(layout::CTRL_REQ, &[1]);
            crb.write(DATA_BUFFER, &[0x80, 1, 0, 0, 0, 10, 0, 0, 1, 0x7B]);
            crb.write(layout::CTRL_START, &[1]);
            if given_back {
                // All of `complete`, but for its last step.
                crb.complete(b"\x80\x01\0\0\0\x0a\0\0\0\0");
                crb.broadcast(CtrlStart::START);
            }
            crb.reclaim(b"\x80\x01\0\0\0\x0a\0\0\x01\x01");
            assert_eq!(
                (crb.state(), crb.common::<CtrlStart>()),
                (State::Completion, CtrlStart::empty())
            );
            let mut response = [0; 10];
            crb.read(DATA_BUFFER, &mut response);
            assert_eq!(response[8..] == [0, 0], given_back);
        }
    }
}
