//! TPM2_PolicyRestart — Part 3, 11.2.

use crate::rc::{Rc, RcResult};
use crate::session::PolicyState;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyRestart: takes a policy session back to the state in which nothing has been asserted.
    PolicyRestart = 0x180, [];
    handles { session_handle: PolicySession }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let session = tpm.sessions.get_mut(handles.session_handle).ok_or(Rc::FAILURE)?;
    // The nonce stays, and with it the time from which expirations count.
    session.policy = PolicyState::new(session.hash, session.policy.start_time);
    Ok(Reply {})
}
