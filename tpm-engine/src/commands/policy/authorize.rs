//! TPM2_PolicyAuthorize — Part 3, 23.16.

use super::hash_of_name;
use crate::bytes::Digest;
use crate::crypto::hash::hash;
use crate::handle::Name;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::ticket::VerifiedTicket;

command! {
    /// TPM2_PolicyAuthorize: the holder of a key approved the policy as it is now.
    PolicyAuthorize = 0x16A, [];
    handles { policy_session: PolicySession }
    params { approved_policy: Digest, policy_ref: Digest, key_sign: Name, check_ticket: VerifiedTicket }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let alg = hash_of_name(tpm, &params.key_sign).map_err(|code| code.parameter(3))?;
    let session = tpm.policy_session(handles.policy_session)?;
    if !session.is_trial() {
        if session.policy.digest != params.approved_policy {
            return Err(Rc::VALUE.parameter(1));
        }
        let approved = hash(alg, &[&params.approved_policy, &params.policy_ref]);
        tpm.check_ticket(&params.check_ticket.0, &[&approved, &params.key_sign])
            .map_err(|_| Rc::VALUE.parameter(4))?;
    }
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session.clear_digest();
    session.assert_with_ref::<PolicyAuthorize>(&params.key_sign, &params.policy_ref);
    Ok(Reply {})
}
