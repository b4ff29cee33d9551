//! TPM2_PolicyGetDigest — Part 3, 23.19.

use crate::bytes::Digest;
use crate::rc::RcResult;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyGetDigest: the policyDigest as it is now.
    PolicyGetDigest = 0x189, [];
    handles { policy_session: PolicySession }
    params {}
    reply<'t> { policy_digest: &'t Digest }
}

fn run<'t>(tpm: &'t mut Tpm, handles: Handles, _: Params) -> RcResult<Reply<'t>> {
    let session = tpm.policy_session(handles.policy_session)?;
    Ok(Reply {
        policy_digest: &session.policy.digest,
    })
}
