//! TPM2_ChangeEPS — Part 3, 24.5.

use super::Seed;
use crate::handle::Hierarchy;
use crate::rc::RcResult;
use crate::tpm::Tpm;

command! {
    /// TPM2_ChangeEPS: a new endorsement primary seed; certificates of the endorsement key no longer fit.
    ChangeEps = 0x124, [Nv, Extensive, PresenceOptional];
    handles { auth_handle: Platform @ User }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, _: Params) -> RcResult<Reply> {
    tpm.renew_hierarchy(Hierarchy::Endorsement, Seed::Renew);
    tpm.empty_hierarchy(Hierarchy::Endorsement);
    tpm.flush_hierarchies(&[Hierarchy::Endorsement])?;
    tpm.clear.change().endorsement_enabled = true;
    Ok(Reply {})
}
