//! TPM2_GetCommandAuditDigest — Part 3, 18.6.

use crate::bytes::Digest;
use crate::commands::of_profile;
use crate::crypto::hash::Hasher;
use crate::handle::Handle;
use crate::marshal::Marshal;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::Data;
use crate::types::attest::{AttestData, Attested};
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;

command! {
    /// TPM2_GetCommandAuditDigest: signs the digest of audited commands, and which commands these are.
    GetCommandAuditDigest = 0x133, [Nv];
    handles { privacy_admin: Endorsement @ User, signer: ObjectOrNull @ User }
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
    } = handles;
    let scheme = tpm.attestation_scheme((signer, 2), (params.in_scheme.0, 2))?;
    let audit = &tpm.nv.audit;
    let mut hasher = Hasher::new(audit.hash_alg);
    for info in of_profile(tpm.profile).filter(|info| audit.commands.has(info.code)) {
        info.code.marshal(&mut hasher);
    }
    let attested = Attested::CommandAudit {
        audit_counter: audit.counter,
        digest_alg: audit.hash_alg.id(),
        audit_digest: tpm.reset.command_audit_digest.clone(),
        command_digest: hasher.finish(),
    };
    let (audit_info, signature) = tpm.attest(signer, scheme, &params.qualifying_data, attested)?;
    // What was signed is accounted for: the next audited command begins a new digest.
    if signer != Handle::NULL {
        tpm.reset.change().command_audit_digest = Digest::EMPTY;
    }
    Ok(Reply { audit_info, signature })
}
