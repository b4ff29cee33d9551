//! TPM2_CertifyCreation — Part 3, 18.3.

use crate::bytes::Digest;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::Data;
use crate::types::attest::{AttestData, Attested};
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;
use crate::types::ticket::CreationTicket;

command! {
    /// TPM2_CertifyCreation: signs that this TPM made an object, under the circumstances that its ticket is for.
    CertifyCreation = 0x14A, [];
    handles { signer: ObjectOrNull @ User, object: Object }
    params {
        qualifying_data: Data,
        creation_hash: Digest,
        in_scheme: SigScheme,
        creation_ticket: CreationTicket,
    }
    reply {
        certify_info: AttestData,
        signature: Signature,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let scheme = tpm.attestation_scheme((handles.signer, 1), (params.in_scheme.0, 3))?;
    let object_name = tpm.name(handles.object);
    tpm.check_ticket(&params.creation_ticket.0, &[&object_name, &params.creation_hash])
        .map_err(|code| code.parameter(4))?;
    let attested = Attested::Creation {
        object_name,
        creation_hash: params.creation_hash,
    };
    let (certify_info, signature) = tpm.attest(handles.signer, scheme, &params.qualifying_data, attested)?;
    Ok(Reply {
        certify_info,
        signature,
    })
}
