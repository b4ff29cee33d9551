//! TPM2_Policy_AC_SendSelect — Part 3, 32.4.

use crate::crypto::hash::hash;
use crate::handle::Name;
use crate::rc::{Rc, RcResult};
use crate::session::BoundDigest;
use crate::tpm::Tpm;

command! {
    /// TPM2_Policy_AC_SendSelect: only sending this object to this attached component is authorized.
    PolicyAcSendSelect = 0x196, [];
    handles { policy_session: PolicySession }
    params { object_name: Name, auth_handle_name: Name, ac_name: Name, include_object: bool }
    reply {}
}

/// TPM2_AC_Send.
const AC_SEND: u32 = 0x195;

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session.check_untied()?;
    if session.policy.command_code != 0 {
        return Err(Rc::COMMAND_CODE);
    }
    let names: [&[u8]; 3] = [&params.object_name, &params.auth_handle_name, &params.ac_name];
    session.tie(BoundDigest::NameHash, &hash(session.hash, &names));
    let object: &[u8] = if params.include_object {
        &params.object_name
    } else {
        &[]
    };
    session.assert::<PolicyAcSendSelect>(&[
        object,
        &params.auth_handle_name,
        &params.ac_name,
        &[u8::from(params.include_object)],
    ]);
    session.policy.command_code = AC_SEND;
    Ok(Reply {})
}
