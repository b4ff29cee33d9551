//! TPM2_PolicyNvWritten — Part 3, 23.20.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyNvWritten: the NV index was written, or was not.
    PolicyNvWritten = 0x18F, [];
    handles { policy_session: PolicySession }
    params { written_set: bool }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    if session.policy.check_nv_written && session.policy.nv_written != params.written_set {
        return Err(Rc::VALUE.parameter(1));
    }
    session.assert::<PolicyNvWritten>(&[&[u8::from(params.written_set)]]);
    session.policy.check_nv_written = true;
    session.policy.nv_written = params.written_set;
    Ok(Reply {})
}
