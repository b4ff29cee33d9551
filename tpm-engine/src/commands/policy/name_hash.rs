//! TPM2_PolicyNameHash — Part 3, 23.14.

use crate::bytes::Digest;
use crate::rc::RcResult;
use crate::session::BoundDigest;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyNameHash: only a command on entities with these Names is authorized.
    PolicyNameHash = 0x170, [];
    handles { policy_session: PolicySession }
    params { name_hash: Digest }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session
        .check_size(&params.name_hash)
        .map_err(|code| code.parameter(1))?;
    session.check_untied()?;
    session.assert::<PolicyNameHash>(&[&params.name_hash]);
    session.tie(BoundDigest::NameHash, &params.name_hash);
    Ok(Reply {})
}
