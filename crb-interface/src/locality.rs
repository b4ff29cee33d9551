//! Which locality has the TPM (PTP 6.5.3.1–6.5.3.3): request, relinquish, seize.

use crate::crb::{Action, Actions, Crb, State, at, owner, page};
use crate::layout::{self, DATA_BUFFER, DATA_BUFFER_SIZE, int, loc_ctrl, loc_state, loc_sts};
use crate::memory::Memory;

impl<M: Memory> Crb<M> {
    /// The locality that has the TPM.
    #[must_use]
    pub fn active(&self) -> Option<u8> {
        let state = self.common(layout::LOC_STATE);
        if state & loc_state::ASSIGNED == 0 {
            return None;
        }
        u8::try_from((state & loc_state::ACTIVE_MASK) >> loc_state::ACTIVE_SHIFT).ok()
    }

    /// Shows the TPM's established flag in tpmEstablished, which is the other way round. No command may be executing.
    pub fn set_established(&self, established: bool) {
        let bit = if established { 0 } else { loc_state::ESTABLISHED };
        self.change_loc_state(|state| state & !loc_state::ESTABLISHED | bit);
        if !established {
            self.interrupt(int::ESTABLISHMENT_CLEAR);
        }
    }

    pub(crate) fn write_loc_ctrl(&self, locality: u8, value: u32, actions: &mut Actions) {
        if value & loc_ctrl::RESET_ESTABLISHMENT != 0 && locality >= 3 && !self.executing() {
            actions.add(Action::ResetEstablishment);
        }
        if locality == 4 {
            return self.write_hash_control(value, actions);
        }
        if value & loc_ctrl::REQUEST_ACCESS != 0 {
            self.request(locality);
        }
        if value & loc_ctrl::RELINQUISH != 0 {
            self.relinquish(locality, actions);
        }
        if value & loc_ctrl::SEIZE != 0 {
            self.seize(locality, actions);
        }
    }

    fn request(&self, locality: u8) {
        let status = at(locality, layout::LOC_STS);
        self.memory
            .store(status, self.memory.load(status) & !loc_sts::BEEN_SEIZED);
        match self.active() {
            None => self.assign(Some(locality)),
            Some(active) if active == locality => {}
            Some(_) => {
                self.memory.update(layout::OWNER, |owner| owner | bit(locality));
            }
        }
    }

    fn relinquish(&self, locality: u8, actions: &mut Actions) {
        let active = self.active() == Some(locality);
        let mut before = self.memory.load(layout::OWNER);
        // Seldom is there anything to note, and the TPM's side, which polls the word, would make the write wait.
        if before & (owner::EXECUTING | bit(locality)) != 0 {
            before = self.memory.update(layout::OWNER, |owner| {
                let owner = owner & !bit(locality);
                if active && owner & owner::EXECUTING != 0 {
                    owner | owner::RELINQUISHED
                } else {
                    owner
                }
            });
        }
        match (active, before & owner::EXECUTING != 0) {
            (true, true) => self.cancel(actions),
            (true, false) => self.hand_over(),
            (false, _) => {}
        }
    }

    fn seize(&self, locality: u8, actions: &mut Actions) {
        match self.active() {
            None => self.assign(Some(locality)),
            Some(active) if active < locality => {
                let before = self.memory.update(layout::OWNER, |owner| {
                    if owner & owner::EXECUTING != 0 {
                        owner | bit(locality) << owner::SEIZED_SHIFT
                    } else {
                        owner
                    }
                });
                if before & owner::EXECUTING != 0 {
                    self.cancel(actions);
                } else {
                    self.take_over(active, locality);
                }
            }
            // Only a higher locality can seize.
            Some(_) => {}
        }
    }

    /// The command of a locality that lost the TPM is not worth finishing.
    fn cancel(&self, actions: &mut Actions) {
        self.broadcast(layout::CTRL_CANCEL, 1);
        actions.add(Action::Cancel);
    }

    /// The active locality is done: the highest that waits comes next.
    fn hand_over(&self) {
        let waiting = self.memory.load(layout::OWNER) & owner::REQUESTS;
        let next = (0..layout::LOCALITIES)
            .rev()
            .find(|locality| waiting & bit(*locality) != 0);
        if let Some(next) = next {
            self.memory.update(layout::OWNER, |owner| owner & !bit(next));
        }
        self.assign(next);
    }

    fn take_over(&self, from: u8, to: u8) {
        let status = at(from, layout::LOC_STS);
        self.memory.update(layout::OWNER, |owner| owner & !bit(to));
        self.assign(Some(to));
        self.memory.store(status, loc_sts::BEEN_SEIZED);
    }

    /// Gives the TPM to a locality, or to none. What the one before had in the buffers is gone.
    fn assign(&self, locality: Option<u8>) {
        let before = self.active();
        if let Some(before) = before {
            self.memory
                .wipe(page(before).saturating_add(DATA_BUFFER as usize), DATA_BUFFER_SIZE);
            let status = at(before, layout::LOC_STS);
            self.memory.store(status, self.memory.load(status) & !loc_sts::GRANTED);
            self.go_idle();
        }
        if let Some(locality) = locality {
            self.memory.store(at(locality, layout::LOC_STS), loc_sts::GRANTED);
        }
        let assigned = locality.map_or(0, |locality| {
            loc_state::ASSIGNED | u32::from(locality).wrapping_shl(loc_state::ACTIVE_SHIFT)
        });
        self.change_loc_state(|state| state & !(loc_state::ASSIGNED | loc_state::ACTIVE_MASK) | assigned);
        if before.is_some() && locality.is_some() {
            self.interrupt(int::LOCALITY_CHANGE);
        }
    }

    fn change_loc_state(&self, change: impl Fn(u32) -> u32) {
        self.broadcast(layout::LOC_STATE, change(self.common(layout::LOC_STATE)));
    }

    /// The TPM's side gives the window back: what localities asked for in the meantime is carried out first. The response
    /// stays only if the locality that sent the command still has the TPM. False when the window was not this side's.
    pub(crate) fn release_window(&self) -> bool {
        loop {
            let noted = self.memory.load(layout::OWNER);
            if !self.is_ours(noted) || noted & owner::EXECUTING == 0 {
                return false;
            }
            let seized = (noted & owner::SEIZED) >> owner::SEIZED_SHIFT;
            let highest = (0..layout::LOCALITIES)
                .rev()
                .find(|locality| seized & bit(*locality) != 0);
            let notes = noted & (owner::SEIZED | owner::RELINQUISHED);
            if notes == 0 {
                // Nothing new since the last look: from here on the window is the monitor's.
                let Some(word) = self.memory.word(layout::OWNER) else {
                    return false;
                };
                let free = noted & !owner::EXECUTING;
                let swapped = word.compare_exchange(
                    noted.to_le(),
                    free.to_le(),
                    std::sync::atomic::Ordering::AcqRel,
                    std::sync::atomic::Ordering::Acquire,
                );
                if swapped.is_ok() {
                    return true;
                }
                continue;
            }
            match (self.active(), highest) {
                (Some(active), Some(highest)) if active < highest => self.take_over(active, highest),
                _ if noted & owner::RELINQUISHED != 0 => self.hand_over(),
                _ => {}
            }
            // The cancellation was meant for the command that has ended.
            self.broadcast(layout::CTRL_CANCEL, 0);
            self.memory.update(layout::OWNER, |owner| owner & !notes);
        }
    }

    /// TPM_LOC_CTRL of locality 4 is the platform's (PTP, Table 39): each bit a step of the H-CRTM or D-RTM sequence.
    /// The data of TPM_HASH_DATA are the bytes written to locality 4's data buffer since the step before.
    fn write_hash_control(&self, value: u32, actions: &mut Actions) {
        if self.executing() {
            return;
        }
        if value & loc_ctrl::HASH_START != 0 {
            self.memory.store(layout::HASH_LEN, 0);
            actions.add(Action::HashStart);
        }
        if self.memory.load(layout::HASH_LEN) == u32::MAX {
            return;
        }
        if value & loc_ctrl::HASH_DATA != 0 {
            actions.add(Action::HashData);
        }
        if value & loc_ctrl::HASH_END != 0 {
            self.memory.store(layout::HASH_LEN, u32::MAX);
            actions.add(Action::HashEnd);
        }
    }

    /// The data of a TPM_HASH_DATA; returns how many bytes were written to `out`.
    pub fn take_hash_data(&self, out: &mut [u8; DATA_BUFFER_SIZE]) -> usize {
        let len = match self.memory.load(layout::HASH_LEN) {
            u32::MAX => 0,
            len => usize::try_from(len).unwrap_or(0).min(out.len()),
        };
        if let Some(out) = out.get_mut(..len) {
            self.memory.copy_out(page(4).saturating_add(DATA_BUFFER as usize), out);
            self.memory.store(layout::HASH_LEN, 0);
        }
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
        if self.active() != Some(locality) {
            return false;
        }
        match self.state() {
            State::Ready => {
                self.set_state(State::Reception);
                true
            }
            State::Reception => true,
            // The next command without cmdReady (CapCRBIdleBypass), as Linux sends those with which it starts a TPM up.
            State::Completion => {
                self.discard();
                self.set_state(State::Reception);
                true
            }
            State::Idle | State::Execution => false,
        }
    }
}

/// The bit of a locality.
const fn bit(locality: u8) -> u32 {
    1u32.wrapping_shl(locality as u32)
}
