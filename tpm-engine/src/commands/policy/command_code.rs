//! TPM2_PolicyCommandCode — Part 3, 23.11.

use crate::commands;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyCommandCode: only this command is authorized.
    PolicyCommandCode = 0x16C, [];
    handles { policy_session: PolicySession }
    params { code: u32 }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let code = params.code;
    let session = tpm.policy_session(handles.policy_session)?;
    if session.policy.command_code != 0 && session.policy.command_code != code {
        return Err(Rc::VALUE.parameter(1));
    }
    if commands::find(tpm.profile, code).is_err() {
        return Err(Rc::POLICY_CC.parameter(1));
    }
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session.assert::<PolicyCommandCode>(&[&code.to_be_bytes()]);
    session.policy.command_code = code;
    Ok(Reply {})
}
