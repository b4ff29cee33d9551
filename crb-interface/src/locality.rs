//! Which locality has the TPM (PTP 6.5.3.1–6.5.3.3): request, relinquish, seize.

use std::sync::atomic::Ordering;

use crate::buffer::sender_of;
use crate::crb::owner::is_executing;
use crate::crb::{Action, Actions, Crb, State, at, owner, page};
use crate::layout::{self, DATA_BUFFER, DATA_BUFFER_SIZE};
use crate::memory::Memory;
use crate::registers::{CtrlCancel, IntSts, LocCtrl, LocState, LocSts, Register};

impl<M: Memory> Crb<M> {
    /// The locality that has the TPM.
    #[must_use]
    pub fn active(&self) -> Option<u8> {
        self.common::<LocState>().active()
    }

    /// Whether this locality, which exists, has the TPM. Looks into its own page alone.
    pub(crate) fn is_active(&self, locality: u8) -> bool {
        self.register::<LocState>(locality).active() == Some(locality)
    }

    /// Whether another locality has the TPM already than the one whose command has ended, but the window not yet the monitor's:
    /// the TPM's side is about to give it back. A guest that sees who has the TPM goes on at once.
    #[must_use]
    pub fn is_given_back_soon(&self) -> bool {
        let owner = self.memory.load(layout::OWNER);
        is_executing(owner) && self.active().is_some_and(|active| active != sender_of(owner))
    }

    /// Shows the TPM's established flag in tpmEstablished, which is the other way round. No command may be executing.
    pub fn set_established(&self, established: bool) {
        let mut state: LocState = self.common();
        state.set(LocState::ESTABLISHED, !established);
        self.broadcast(state);
    }

    /// Shows that the established flag was cleared on the guest's request. No command may be executing.
    pub fn clear_established(&self) {
        self.set_established(false);
        self.interrupt(IntSts::ESTABLISHMENT_CLEAR);
    }

    pub(crate) fn write_loc_ctrl(&self, locality: u8, asked: LocCtrl, actions: &mut Actions) {
        if asked.contains(LocCtrl::RESET_ESTABLISHMENT) && locality >= 3 && !self.executing() {
            actions.add(Action::ResetEstablishment);
        }
        if locality == 4 {
            return self.write_hash_control(asked, actions);
        }
        if asked.contains(LocCtrl::REQUEST_ACCESS) {
            self.request(locality, actions);
        }
        if asked.contains(LocCtrl::RELINQUISH) {
            self.relinquish(locality, actions);
        }
        if asked.contains(LocCtrl::SEIZE) {
            self.seize(locality, actions);
        }
    }

    /// Notes what a locality asks for in the middle of a command. False when no command is being executed: the window is the
    /// monitor's then, and stays so until it starts the next.
    fn note(&self, change: impl Fn(u32) -> u32, actions: &mut Actions) -> bool {
        let before = self.memory.load(layout::OWNER);
        // A look first: the TPM's side, which polls the word, would make a write wait.
        if !is_executing(before) {
            return false;
        }
        // The command of a locality that loses the TPM is not worth finishing. This comes before the note, since whoever
        // carries that out takes the cancellation back.
        let loses = before & owner::CHANGED == 0 && change(before) & owner::CHANGED != 0;
        if loses {
            self.broadcast(CtrlCancel::CANCEL);
        }
        let before = self.memory.update(layout::OWNER, |owner| match is_executing(owner) {
            true => change(owner),
            false => owner,
        });
        let noted = is_executing(before);
        match (loses, noted) {
            (true, true) => actions.add(Action::Cancel),
            (true, false) => self.broadcast(CtrlCancel::empty()),
            (false, _) => {}
        }
        noted
    }

    fn request(&self, locality: u8, actions: &mut Actions) {
        let requested = |owner| match holder(owner) {
            None => held_by(owner, Some(locality)),
            Some(holder) if holder == locality => owner,
            Some(_) => owner & !(bit(locality) << owner::SEIZED_SHIFT) | bit(locality),
        };
        if !self.note(requested, actions) {
            match self.active() {
                None => self.assign(Some(locality)),
                Some(active) if active == locality => {}
                Some(_) => {
                    self.memory.update(layout::OWNER, |owner| owner | bit(locality));
                }
            }
        }
        if self.register::<LocSts>(locality).contains(LocSts::BEEN_SEIZED) {
            // In one step: the TPM's side may be giving the TPM to this locality.
            let clear = |status| status & !LocSts::BEEN_SEIZED.bits();
            self.memory.update(at(locality, LocSts::OFFSET), clear);
        }
    }

    fn relinquish(&self, locality: u8, actions: &mut Actions) {
        let relinquished = |owner| match holder(owner) {
            Some(holder) if holder == locality => held_by(owner, highest(owner & owner::REQUESTS)),
            _ => owner & !bit(locality),
        };
        if self.note(relinquished, actions) {
            return;
        }
        let owner = self.memory.load(layout::OWNER);
        if self.is_active(locality) {
            let next = highest(owner & owner::REQUESTS);
            if let Some(next) = next {
                self.memory.update(layout::OWNER, |owner| owner & !bit(next));
            }
            self.assign(next);
        } else if owner & bit(locality) != 0 {
            self.memory.update(layout::OWNER, |owner| owner & !bit(locality));
        }
    }

    fn seize(&self, locality: u8, actions: &mut Actions) {
        let seized = |owner| match holder(owner) {
            None => held_by(owner, Some(locality)),
            Some(holder) if holder < locality => held_by(owner, Some(locality)) | bit(holder) << owner::SEIZED_SHIFT,
            // Only a higher locality can seize.
            Some(_) => owner,
        };
        if self.note(seized, actions) {
            return;
        }
        match self.active() {
            None => self.assign(Some(locality)),
            Some(active) if active < locality => {
                self.assign(Some(locality));
                self.set_register(active, LocSts::BEEN_SEIZED);
                self.memory.update(layout::OWNER, |owner| owner & !bit(locality));
            }
            Some(_) => {}
        }
    }

    /// Gives the TPM to a locality, or to none. What the one before had in the buffers is gone.
    fn assign(&self, locality: Option<u8>) {
        let before = self.active();
        if let Some(before) = before {
            self.wipe_buffer(before);
            // Who has the TPM was not seized.
            self.set_register(before, LocSts::empty());
            self.go_idle();
        }
        self.broadcast(self.common::<LocState>().given_to(locality));
        // Last: see `is_given_back_soon`.
        if let Some(locality) = locality {
            self.set_register(locality, LocSts::GRANTED);
        }
        if before.is_some() && locality.is_some() {
            self.interrupt(IntSts::LOCALITY_CHANGE);
        }
    }

    /// The TPM's side gives the window back: what localities asked for in the meantime is carried out first. The response
    /// stays only if the locality that sent the command still has the TPM. False when the window was not this side's.
    pub(crate) fn release_window(&self) -> bool {
        /// How often the notes may change meanwhile. A guest takes longer to make one than this side to carry it out.
        const PATIENCE: u32 = 32;
        let mut shown = 0;
        for _ in 0..PATIENCE {
            let noted = self.memory.load(layout::OWNER);
            if !self.is_ours(noted) || !is_executing(noted) {
                return false;
            }
            if noted & owner::CHANGED != 0 {
                self.carry_out(noted, shown);
                shown |= noted & owner::SEIZED;
            }
            // Unless there is something new, all that was noted is done with this step, and the window the monitor's.
            let rest = noted & !(owner::EXECUTING | owner::NOTES);
            let Some(word) = self.memory.word(layout::OWNER) else {
                return false;
            };
            let swapped = word.compare_exchange(noted.to_le(), rest.to_le(), Ordering::AcqRel, Ordering::Acquire);
            if swapped.is_ok() {
                return true;
            }
        }
        // Only a side that makes notes for no other purpose comes here.
        let owner = self.memory.update(layout::OWNER, |owner| match self.is_ours(owner) {
            true => owner & !(owner::EXECUTING | owner::NOTES),
            false => owner,
        });
        self.is_ours(owner) && is_executing(owner)
    }

    /// Carries out what was noted in the middle of a command. It may be done again with other notes: what comes of it depends
    /// on the last ones alone. `shown` are the bits of [`owner::SEIZED`] that were carried out before.
    fn carry_out(&self, noted: u32, shown: u32) {
        // The cancellation was meant for the command that has ended.
        self.broadcast(CtrlCancel::empty());
        let holder = holder(noted);
        self.assign(holder);
        for locality in (0..layout::LOCALITIES).filter(|locality| Some(*locality) != holder) {
            let seized = bit(locality) << owner::SEIZED_SHIFT;
            if (noted | shown) & seized != 0 {
                let mut status = LocSts::empty();
                status.set(LocSts::BEEN_SEIZED, noted & seized != 0);
                self.set_register(locality, status);
            }
        }
    }

    /// TPM_LOC_CTRL of locality 4 is the platform's (PTP, Table 39): each bit a step of the H-CRTM or D-RTM sequence.
    /// The data of TPM_HASH_DATA are the bytes written to locality 4's data buffer since the step before.
    fn write_hash_control(&self, asked: LocCtrl, actions: &mut Actions) {
        if self.executing() {
            return;
        }
        let begun = self.memory.load(layout::HASH_LEN) != u32::MAX;
        match asked.intersection(LocCtrl::HASH_STEPS) {
            LocCtrl::HASH_START => {
                self.memory.store(layout::HASH_LEN, 0);
                actions.add(Action::HashStart);
            }
            LocCtrl::HASH_DATA if begun => actions.add(Action::HashData),
            LocCtrl::HASH_END if begun => {
                self.memory.store(layout::HASH_LEN, u32::MAX);
                actions.add(Action::HashEnd);
            }
            // Several at once mean nothing.
            _ => {}
        }
    }

    /// The data of a TPM_HASH_DATA; returns how many bytes were written to `out`.
    pub fn take_hash_data(&self, out: &mut [u8; DATA_BUFFER_SIZE]) -> usize {
        let len = self.memory.load(layout::HASH_LEN);
        if len == u32::MAX {
            return 0;
        }
        self.memory.store(layout::HASH_LEN, 0);
        let len = usize::try_from(len).unwrap_or(0).min(out.len());
        let out = out.get_mut(..len).unwrap_or_default();
        self.memory.copy_out(page(4).saturating_add(DATA_BUFFER as usize), out);
        len
    }

    /// Whether bytes may be written to the locality's data buffer now, and if so, what that makes of the state.
    pub(crate) fn accept_data(&self, locality: u8, end_in_buffer: usize) -> bool {
        if locality == 4 {
            let len = self.memory.load(layout::HASH_LEN);
            if len == u32::MAX || self.executing() {
                return false;
            }
            let end = u32::try_from(end_in_buffer).unwrap_or(0);
            self.memory.store(layout::HASH_LEN, len.max(end));
            return true;
        }
        if !self.is_active(locality) {
            return false;
        }
        self.will_use(end_in_buffer);
        // The next command without cmdReady (CapCRBIdleBypass), as Linux sends those with which it starts a TPM up.
        if self.state() == State::Completion {
            self.discard();
            self.set_state(State::Reception);
        }
        self.is_receiving()
    }
}

/// The locality that has the TPM when the command of an owner word has ended, after what was noted.
fn holder(owner: u32) -> Option<u8> {
    if owner & owner::CHANGED == 0 {
        return Some(sender_of(owner));
    }
    let holder = (owner & owner::HOLDER) >> owner::HOLDER_SHIFT;
    u8::try_from(holder).ok().filter(|_| holder != owner::NOBODY)
}

/// The owner word with a note that this locality has the TPM when the command has ended. It waits no longer, and whatever was
/// seized from it before does not matter any more.
fn held_by(owner: u32, locality: Option<u8>) -> u32 {
    let (holder, own) = match locality {
        Some(locality) => (
            u32::from(locality),
            bit(locality) | bit(locality) << owner::SEIZED_SHIFT,
        ),
        None => (owner::NOBODY, 0),
    };
    owner & !(owner::HOLDER | own) | owner::CHANGED | holder << owner::HOLDER_SHIFT
}

/// The highest locality of some.
fn highest(localities: u32) -> Option<u8> {
    (0..layout::LOCALITIES)
        .rev()
        .find(|locality| localities & bit(*locality) != 0)
}

/// The bit of a locality.
const fn bit(locality: u8) -> u32 {
    1u32.wrapping_shl(locality as u32)
}
