//! TPM2_Quote — Part 3, 18.4.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::Data;
use crate::types::attest::{AttestData, Attested};
use crate::types::pcr::PcrSelections;
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;

command! {
    /// TPM2_Quote: signs PCR values.
    Quote = 0x158, [];
    handles { signer: ObjectOrNull @ User }
    params {
        qualifying_data: Data,
        in_scheme: SigScheme,
        pcr_select: PcrSelections,
    }
    reply {
        quoted: AttestData,
        signature: Signature,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let scheme = tpm.attestation_scheme((handles.signer, 1), (params.in_scheme.0, 2))?;
    let selections = tpm.pcrs.filter(&params.pcr_select);
    // Where nobody signs, nobody chose the hash of the PCR digest.
    let hash = scheme.and_then(|scheme| scheme.hash).ok_or(Rc::SCHEME.parameter(2))?;
    let attested = Attested::Quote {
        pcr_digest: tpm.pcrs.digest(hash, &selections),
        selections,
    };
    let (quoted, signature) = tpm.attest(handles.signer, scheme, &params.qualifying_data, attested)?;
    Ok(Reply { quoted, signature })
}
