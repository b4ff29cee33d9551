//! TPM2_Clear — Part 3, 24.6.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Seed;
use crate::bytes::Digest;
use crate::handle::Hierarchy;
use crate::rc::{Rc, RcResult};
use crate::state::persistent::{AuthPolicy, CommandAudit, Counters, DictionaryAttack, Hierarchies};
use crate::tpm::Tpm;

command! {
    /// TPM2_Clear: removes all that belongs to the TPM's owner.
    Clear = 0x126, [Nv, Extensive, PresenceOptional];
    handles { auth_handle: Clear @ User }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, _: Params) -> RcResult<Reply> {
    if tpm.nv.hierarchies.disable_clear {
        return Err(Rc::DISABLED);
    }
    tpm.renew_hierarchy(Hierarchy::Owner, Seed::Renew);
    // The endorsement seed stays, and with it the endorsement key.
    tpm.renew_hierarchy(Hierarchy::Endorsement, Seed::Keep);
    tpm.empty_hierarchy(Hierarchy::Owner);
    tpm.empty_hierarchy(Hierarchy::Endorsement);
    let hierarchies = Hierarchies {
        lockout_auth: Zeroizing::new(Digest::EMPTY),
        lockout_policy: AuthPolicy::default(),
        ..Hierarchies::clone(&tpm.nv.hierarchies)
    };
    let counters = Counters {
        reset_count: 0,
        ..Counters::clone(&tpm.nv.counters)
    };
    let audit = CommandAudit {
        counter: 0,
        ..CommandAudit::clone(&tpm.nv.audit)
    };
    let nv = tpm.nv.change();
    nv.hierarchies = Arc::new(hierarchies);
    nv.counters = Arc::new(counters);
    nv.audit = Arc::new(audit);
    nv.da = Arc::new(DictionaryAttack::factory());
    let timer = tpm.timer.clone();
    tpm.timer.clock = 0;
    tpm.timer.safe = true;
    tpm.record_clock(false);
    if let Err(code) = tpm.flush_hierarchies(&[Hierarchy::Owner, Hierarchy::Endorsement]) {
        tpm.timer = timer;
        return Err(code);
    }
    let clear = tpm.clear.change();
    clear.owner_enabled = true;
    clear.endorsement_enabled = true;
    clear.pcr_auth = Zeroizing::new(Digest::EMPTY);
    let reset = tpm.reset.change();
    reset.restart_count = 0;
    reset.clear_count = 0;
    // A policy that looked at PCR before no longer holds.
    reset.pcr_counter = reset.pcr_counter.wrapping_add(1);
    Ok(Reply {})
}
