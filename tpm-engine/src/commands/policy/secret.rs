//! TPM2_PolicySecret — Part 3, 23.4.

use super::grant::{Grant, Timeout};
use crate::bytes::Digest;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::nv::NvKind;
use crate::types::ticket::{Ticket, TicketTag};

command! {
    /// TPM2_PolicySecret: the caller knows the authorization value of an entity.
    PolicySecret = 0x151, [];
    handles { auth_handle: Entity @ User, policy_session: PolicySession }
    params { nonce_tpm: Digest, cp_hash: Digest, policy_ref: Digest, expiration: i32 }
    reply { timeout: Timeout, policy_ticket: Ticket }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let grant = Grant {
        nonce_tpm: &params.nonce_tpm,
        cp_hash: &params.cp_hash,
        policy_ref: &params.policy_ref,
        expiration: params.expiration,
    };
    let expiry = grant.check(tpm, tpm.policy_session(handles.policy_session)?)?;
    let name = tpm.name(handles.auth_handle);
    let hierarchy = tpm.hierarchy_of(handles.auth_handle);
    // A ticket would be good for more uses than a PIN pass index counts.
    let attributes = tpm.nv_attributes(handles.auth_handle);
    let counted = attributes.is_some_and(|attributes| attributes.kind() == Some(NvKind::PinPass));
    let (timeout, policy_ticket) = grant.record::<PolicySecret>(
        tpm,
        handles.policy_session,
        (hierarchy, &name),
        (TicketTag::AuthSecret, expiry),
        !counted,
    )?;
    Ok(Reply { timeout, policy_ticket })
}
