//! TPM2_VerifySignature — Part 3, 20.1.

use crate::bytes::Digest;
use crate::handle::Hierarchy;
use crate::keys::signing::verify;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::signature::Signature;
use crate::types::ticket::{Ticket, TicketTag};

command! {
    /// TPM2_VerifySignature: checks a signature, and says so with a ticket.
    VerifySignature = 0x177, [];
    handles { key: Object }
    params {
        digest: Digest,
        signature: Signature,
    }
    reply { validation: Ticket }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).ok_or(Rc::ATTRIBUTES.handle(1))?;
    if !key.public.0.attributes.has(A::SIGN) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    verify(key, &params.digest, &params.signature).map_err(|code| code.parameter(2))?;
    let validation = if key.hierarchy == Hierarchy::Null || key.name.is_empty() {
        Ticket::null(TicketTag::Verified)
    } else {
        tpm.ticket(TicketTag::Verified, key.hierarchy, &[&params.digest, &key.name])
    };
    Ok(Reply { validation })
}
