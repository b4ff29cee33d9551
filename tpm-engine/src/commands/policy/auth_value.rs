//! TPM2_PolicyAuthValue — Part 3, 23.17.

use crate::rc::RcResult;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyAuthValue: the authorization value of the entity keys the session's HMAC.
    PolicyAuthValue = 0x16B, [];
    handles { policy_session: PolicySession }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session.assert::<PolicyAuthValue>(&[]);
    session.policy.auth_value_needed = true;
    session.policy.password_needed = false;
    Ok(Reply {})
}
