//! TPM2_PolicyPassword — Part 3, 23.18.

use super::auth_value::PolicyAuthValue;
use crate::rc::RcResult;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyPassword: the authorization value of the entity is given as a password.
    PolicyPassword = 0x18C, [];
    handles { policy_session: PolicySession }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    // The policy is the same as that of TPM2_PolicyAuthValue: how the value is proven is up to the caller.
    session.assert::<PolicyAuthValue>(&[]);
    session.policy.password_needed = true;
    session.policy.auth_value_needed = false;
    Ok(Reply {})
}
