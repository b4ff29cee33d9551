//! TPM2_PolicySigned — Part 3, 23.3.

use super::grant::{Grant, Timeout};
use crate::bytes::Digest;
use crate::crypto::hash::hash;
use crate::keys::signing::verify;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::signature::Signature;
use crate::types::ticket::{Ticket, TicketTag};

command! {
    /// TPM2_PolicySigned: the holder of a key signed an authorization.
    PolicySigned = 0x160, [];
    handles { auth_object: Object, policy_session: PolicySession }
    params { nonce_tpm: Digest, cp_hash: Digest, policy_ref: Digest, expiration: i32, auth: Signature }
    reply { timeout: Timeout, policy_ticket: Ticket }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let grant = Grant {
        nonce_tpm: &params.nonce_tpm,
        cp_hash: &params.cp_hash,
        policy_ref: &params.policy_ref,
        expiration: params.expiration,
    };
    let session = tpm.policy_session(handles.policy_session)?;
    let expiry = grant.check(tpm, session)?;
    let key = tpm.object(handles.auth_object).ok_or(Rc::KEY.handle(1))?;
    if !session.is_trial() {
        let alg = params.auth.hash().ok_or(Rc::SCHEME.parameter(5))?;
        let seconds = params.expiration.to_be_bytes();
        let signed = hash(alg, &[&params.nonce_tpm, &seconds, &params.cp_hash, &params.policy_ref]);
        verify(key, &signed, &params.auth).map_err(|code| code.parameter(5))?;
    }
    let (hierarchy, name) = (key.hierarchy, key.name.clone());
    let (timeout, policy_ticket) = grant.record::<PolicySigned>(
        tpm,
        handles.policy_session,
        (hierarchy, &name),
        (TicketTag::AuthSigned, expiry),
        true,
    )?;
    Ok(Reply { timeout, policy_ticket })
}
