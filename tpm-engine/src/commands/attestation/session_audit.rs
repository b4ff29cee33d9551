//! TPM2_GetSessionAuditDigest — Part 3, 18.5.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::Data;
use crate::types::attest::{AttestData, Attested};
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;

command! {
    /// TPM2_GetSessionAuditDigest: signs the digest of an audit session.
    GetSessionAuditDigest = 0x14D, [];
    handles { privacy_admin: Endorsement @ User, signer: ObjectOrNull @ User, session: HmacSession }
    params {
        qualifying_data: Data,
        in_scheme: SigScheme,
    }
    reply {
        audit_info: AttestData,
        signature: Signature,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let Handles {
        privacy_admin: _,
        signer,
        session: handle,
    } = handles;
    let scheme = tpm.attestation_scheme((signer, 2), (params.in_scheme.0, 2))?;
    let session = tpm
        .sessions
        .get(handle)
        .filter(|session| session.audit)
        .ok_or(Rc::TYPE.handle(3))?;
    let attested = Attested::SessionAudit {
        exclusive: tpm.exclusive_audit == Some(handle),
        session_digest: session.audit_digest.clone(),
    };
    let (audit_info, signature) = tpm.attest(signer, scheme, &params.qualifying_data, attested)?;
    Ok(Reply { audit_info, signature })
}
