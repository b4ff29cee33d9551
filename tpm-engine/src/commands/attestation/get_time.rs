//! TPM2_GetTime — Part 3, 18.7.

use crate::commands::capability::properties::FIRMWARE_VERSION;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::Data;
use crate::types::attest::{AttestData, Attested};
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;

command! {
    /// TPM2_GetTime: signs Time and Clock.
    GetTime = 0x14C, [];
    handles { privacy_admin: Endorsement @ User, signer: ObjectOrNull @ User }
    params {
        qualifying_data: Data,
        in_scheme: SigScheme,
    }
    reply {
        time_info: AttestData,
        signature: Signature,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let Handles {
        privacy_admin: _,
        signer,
    } = handles;
    let scheme = tpm.attestation_scheme((signer, 2), (params.in_scheme.0, 2))?;
    let attested = Attested::Time {
        time: tpm.time_info(),
        firmware_version: FIRMWARE_VERSION,
    };
    let (time_info, signature) = tpm.attest(signer, scheme, &params.qualifying_data, attested)?;
    Ok(Reply { time_info, signature })
}
