//! TPM2_ChangePPS — Part 3, 24.4.

use std::sync::Arc;

use super::Seed;
use crate::handle::Hierarchy;
use crate::rc::RcResult;
use crate::state::persistent::{AuthPolicy, PcrAllocation};
use crate::tpm::Tpm;

command! {
    /// TPM2_ChangePPS: a new platform primary seed; all keys of the platform are gone.
    ChangePps = 0x125, [Nv, Extensive, PresenceOptional];
    handles { auth_handle: Platform @ User }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, _: Params) -> RcResult<Reply> {
    tpm.renew_hierarchy(Hierarchy::Platform, Seed::Renew);
    tpm.empty_hierarchy(Hierarchy::Platform);
    let pcr = PcrAllocation {
        policy: AuthPolicy::default(),
        ..PcrAllocation::clone(&tpm.nv.pcr)
    };
    tpm.nv.change().pcr = Arc::new(pcr);
    tpm.flush_hierarchies(&[Hierarchy::Platform])?;
    // The authorization value stays.
    tpm.clear.change().platform_policy = AuthPolicy::default();
    Ok(Reply {})
}
