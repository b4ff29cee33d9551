//! Dictionary-attack protection (Part 1, 19.8).
//!
//! A failed try is counted durably before its answer leaves, so that cutting the power wins nothing. Because of that
//! the penalty of Part 1, 19.8.6 for a shutdown that was not orderly is not needed: a virtual machine that is killed
//! does not walk its guest into lockout.

use std::sync::Arc;

use crate::rc::{Rc, RcResult};
use crate::state::orderly::HealingProgress;
use crate::state::persistent::DictionaryAttack;
use crate::tpm::Tpm;

impl Tpm {
    /// Refuses with TPM_RC_LOCKOUT while authorizations are locked out; `lockout`: of the lockout authorization.
    pub(crate) fn check_not_locked_out(&self, lockout: bool) -> RcResult<()> {
        let da = &self.nv.da;
        let locked = if lockout {
            !da.lockout_auth_enabled
        } else {
            da.failed_tries >= da.max_tries
        };
        if locked { Err(Rc::LOCKOUT) } else { Ok(()) }
    }

    /// Counts a failed authorization, durably; `lockout`: of the lockout authorization.
    pub(crate) fn count_failed_try(&mut self, lockout: bool) -> RcResult<()> {
        // Nothing else may become durable with the count of a command that fails.
        self.nv.roll_back();
        let mut da = DictionaryAttack::clone(&self.nv.da);
        if lockout {
            da.lockout_auth_enabled = false;
            self.da_lockout_since = self.timer.signed_time();
        } else if da.recovery_time != 0 {
            da.failed_tries = da.failed_tries.saturating_add(1);
            self.da_heal_since = self.timer.signed_time();
        } else {
            return Ok(());
        }
        self.nv.change().da = Arc::new(da);
        self.nv.commit()
    }

    /// Forgives failed tries as time passes (Part 1, 19.8.5).
    pub(crate) fn heal_dictionary_attack(&mut self) {
        let da = &self.nv.da;
        let now = self.timer.signed_time();
        let mut healed = None;
        if !da.lockout_auth_enabled && da.lockout_recovery != 0 {
            let due = self
                .da_lockout_since
                .saturating_add(i64::from(da.lockout_recovery).saturating_mul(1000));
            if now >= due {
                healed
                    .get_or_insert_with(|| DictionaryAttack::clone(da))
                    .lockout_auth_enabled = true;
            }
        }
        if da.failed_tries != 0 && da.recovery_time != 0 {
            let interval = i64::from(da.recovery_time).saturating_mul(1000);
            let passed = now
                .saturating_sub(self.da_heal_since)
                .checked_div(interval)
                .unwrap_or_default();
            if passed > 0 {
                let forgiven = u32::try_from(passed).unwrap_or(u32::MAX);
                let state = healed.get_or_insert_with(|| DictionaryAttack::clone(da));
                state.failed_tries = state.failed_tries.saturating_sub(forgiven);
                self.da_heal_since = self.da_heal_since.saturating_add(interval.saturating_mul(passed));
            }
        }
        if let Some(healed) = healed {
            self.nv.change().da = Arc::new(healed);
        }
    }

    /// What TPM2_Shutdown saves of the time that has passed towards forgiveness.
    pub(crate) fn healing_progress(&self) -> HealingProgress {
        let passed = |since: i64| {
            let passed = self.timer.signed_time().saturating_sub(since);
            u64::try_from(passed).unwrap_or_default()
        };
        HealingProgress {
            tries: passed(self.da_heal_since),
            lockout: passed(self.da_lockout_since),
        }
    }

    /// Time towards forgiveness goes on from an orderly shutdown, and begins again without one.
    pub(crate) fn restart_healing(&mut self, saved: Option<&HealingProgress>) {
        let since = |passed: u64| i64::try_from(passed).unwrap_or(i64::MAX).saturating_neg();
        self.da_heal_since = saved.map_or(0, |saved| since(saved.tries));
        self.da_lockout_since = saved.map_or(0, |saved| since(saved.lockout));
    }
}
