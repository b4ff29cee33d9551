//! TPM2_PolicyCpHash — Part 3, 23.13.

use crate::bytes::Digest;
use crate::rc::RcResult;
use crate::session::BoundDigest;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyCpHash: only the command with this cpHash is authorized.
    PolicyCpHash = 0x16E, [];
    handles { policy_session: PolicySession }
    params { cp_hash: Digest }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session.check_size(&params.cp_hash).map_err(|code| code.parameter(1))?;
    if !session.is_tied_to(BoundDigest::CpHash, &params.cp_hash) {
        session.check_untied()?;
    }
    session.assert::<PolicyCpHash>(&[&params.cp_hash]);
    session.tie(BoundDigest::CpHash, &params.cp_hash);
    Ok(Reply {})
}
