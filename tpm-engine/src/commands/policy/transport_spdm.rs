//! TPM2_PolicyTransportSPDM — Part 3, 23.25.

use super::hash_of_name;
use crate::crypto::hash::Hasher;
use crate::handle::Name;
use crate::marshal::Marshal;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyTransportSPDM: the command comes through a secure channel between these keys.
    PolicyTransportSpdm = 0x1A1, [];
    handles { policy_session: PolicySession }
    params { requester_name: Name, tpm_name: Name }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    if tpm.policy_session(handles.policy_session)?.policy.channel_needed {
        return Err(Rc::VALUE);
    }
    for (number, name) in [(1, &params.requester_name), (2, &params.tpm_name)] {
        // An empty Name stands for any key.
        if !name.is_empty() {
            hash_of_name(tpm, name).map_err(|code| code.parameter(number))?;
        }
    }
    let session = tpm.policy_session_mut(handles.policy_session)?;
    let mut hasher = Hasher::new(session.hash);
    params.requester_name.marshal(&mut hasher);
    params.tpm_name.marshal(&mut hasher);
    session.assert::<PolicyTransportSpdm>(&[&hasher.finish()]);
    session.policy.channel_needed = true;
    Ok(Reply {})
}
