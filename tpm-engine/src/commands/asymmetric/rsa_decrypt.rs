//! TPM2_RSA_Decrypt — Part 3, 14.3.

use zeroize::Zeroizing;

use super::{check_label, choose_padding};
use crate::crypto::CryptoError;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::PublicParms;
use crate::types::scheme::RsaDecrypt;
use crate::types::{Data, RsaBytes};

command! {
    /// TPM2_RSA_Decrypt: decrypts with a private key.
    RsaDecryptCommand = 0x159, [];
    handles { key: Object @ User }
    params {
        cipher_text: RsaBytes,
        in_scheme: RsaDecrypt,
        label: Data,
    }
    reply { message: Zeroizing<RsaBytes> }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).cloned().ok_or(Rc::KEY.handle(1))?;
    let PublicParms::Rsa(parms) = &key.public.0.parms else {
        return Err(Rc::KEY.handle(1));
    };
    let attributes = key.public.0.attributes;
    if attributes.has(A::RESTRICTED) || !attributes.has(A::DECRYPT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    check_label(&params.label).map_err(|code| code.parameter(3))?;
    let padding = choose_padding(parms.scheme.0, params.in_scheme, &params.label).map_err(|code| code.parameter(2))?;
    let message = key
        .rsa_private()?
        .decrypt(padding, &params.cipher_text, &mut tpm.rng)
        .map_err(|error| match error {
            CryptoError::Size => Rc::SIZE,
            _ => Rc::VALUE,
        })?;
    Ok(Reply { message })
}
