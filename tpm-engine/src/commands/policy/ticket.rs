//! TPM2_PolicyTicket — Part 3, 23.5.

use super::grant::{Expiry, Timeout, check_cp_hash, check_expiry, update};
use super::secret::PolicySecret;
use super::signed::PolicySigned;
use crate::bytes::Digest;
use crate::handle::Name;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::ticket::{AuthTicket, TicketTag};

command! {
    /// TPM2_PolicyTicket: an authorization was given before, and counts again.
    PolicyTicket = 0x172, [];
    handles { policy_session: PolicySession }
    params { timeout: Timeout, cp_hash: Digest, policy_ref: Digest, auth_name: Name, ticket: AuthTicket }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let session = tpm.policy_session(handles.policy_session)?;
    // A ticket proves what a trial need not prove.
    if session.is_trial() {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    let expiry = Expiry::from_timeout(&params.timeout).map_err(|code| code.parameter(1))?;
    check_expiry(tpm, session, expiry).map_err(|code| code.parameter(1))?;
    check_cp_hash(session, &params.cp_hash).map_err(|code| code.parameter(2))?;
    let given = &params.ticket.0;
    let (cp_hash, policy_ref, name) = (&params.cp_hash, &params.policy_ref, &params.auth_name);
    let expected = tpm.auth_ticket(given.tag, given.hierarchy, expiry, cp_hash, policy_ref, name);
    if !expected.digest.ct_eq(&given.digest) {
        return Err(Rc::TICKET.parameter(5));
    }
    let tag = given.tag;
    let session = tpm.policy_session_mut(handles.policy_session)?;
    match tag {
        TicketTag::AuthSigned => update::<PolicySigned>(session, name, policy_ref, cp_hash, expiry),
        _ => update::<PolicySecret>(session, name, policy_ref, cp_hash, expiry),
    }
    Ok(Reply {})
}
