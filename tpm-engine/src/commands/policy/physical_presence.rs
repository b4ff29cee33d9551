//! TPM2_PolicyPhysicalPresence — Part 3, 23.12.

use crate::rc::RcResult;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyPhysicalPresence: physical presence is asserted when the policy is used.
    PolicyPhysicalPresence = 0x187, [];
    handles { policy_session: PolicySession }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session.assert::<PolicyPhysicalPresence>(&[]);
    session.policy.presence_needed = true;
    Ok(Reply {})
}
