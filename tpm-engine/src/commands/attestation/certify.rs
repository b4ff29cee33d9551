//! TPM2_Certify — Part 3, 18.2.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::Data;
use crate::types::attest::{AttestData, Attested};
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;

command! {
    /// TPM2_Certify: signs that an object with a certain Name is loaded here.
    Certify = 0x148, [];
    handles { object: Object @ Admin, signer: ObjectOrNull @ User }
    params {
        qualifying_data: Data,
        in_scheme: SigScheme,
    }
    reply {
        certify_info: AttestData,
        signature: Signature,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let scheme = tpm.attestation_scheme((handles.signer, 2), (params.in_scheme.0, 2))?;
    let object = tpm.object(handles.object).ok_or(Rc::TYPE.handle(1))?;
    let attested = Attested::Certify {
        name: object.name.clone(),
        qualified_name: object.qualified_name.clone(),
    };
    let (certify_info, signature) = tpm.attest(handles.signer, scheme, &params.qualifying_data, attested)?;
    Ok(Reply {
        certify_info,
        signature,
    })
}
