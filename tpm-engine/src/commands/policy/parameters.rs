//! TPM2_PolicyParameters — Part 3, 23.24.

use crate::bytes::Digest;
use crate::rc::RcResult;
use crate::session::BoundDigest;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyParameters: only a command with these parameters is authorized.
    PolicyParameters = 0x19C, [];
    handles { policy_session: PolicySession }
    params { p_hash: Digest }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session.check_size(&params.p_hash).map_err(|code| code.parameter(1))?;
    session.check_untied()?;
    session.assert::<PolicyParameters>(&[&params.p_hash]);
    session.tie(BoundDigest::Parameters, &params.p_hash);
    Ok(Reply {})
}
