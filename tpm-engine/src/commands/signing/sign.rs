//! TPM2_Sign — Part 3, 20.2.

use crate::bytes::Digest;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;
use crate::types::ticket::HashcheckTicket;

command! {
    /// TPM2_Sign: a signature of a digest.
    Sign = 0x15D, [];
    handles { key: Object @ User }
    params {
        digest: Digest,
        in_scheme: SigScheme,
        validation: HashcheckTicket,
    }
    reply { signature: Signature }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).cloned().ok_or(Rc::KEY.handle(1))?;
    let attributes = key.public.0.attributes;
    if !key.public.0.is_signer() {
        return Err(Rc::KEY.handle(1));
    }
    // Such a key signs certificates by TPM2_CertifyX509 only.
    if attributes.has(A::X509_SIGN) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    let scheme = tpm
        .choose_sign_scheme(&key, params.in_scheme.0)
        .map_err(|code| code.parameter(2))?
        .ok_or(Rc::SCHEME.parameter(2))?;
    let hash = scheme.hash.ok_or(Rc::SCHEME.parameter(2))?;
    let ticket = &params.validation.0;
    if !ticket.digest.is_empty() || attributes.has(A::RESTRICTED) {
        // A restricted key signs only what this TPM has hashed, and found not to look like its own word.
        tpm.check_ticket(ticket, &[&hash.id().to_be_bytes(), &params.digest])
            .map_err(|code| code.parameter(3))?;
    } else if params.digest.len() != hash.digest_size() {
        return Err(Rc::SIZE.parameter(1));
    }
    Ok(Reply {
        signature: tpm.sign(&key, scheme, &params.digest)?,
    })
}
