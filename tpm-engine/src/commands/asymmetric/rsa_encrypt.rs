//! TPM2_RSA_Encrypt — Part 3, 14.2.

use zeroize::Zeroizing;

use super::{check_label, choose_padding};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::PublicParms;
use crate::types::scheme::RsaDecrypt;
use crate::types::{Data, RsaBytes};

command! {
    /// TPM2_RSA_Encrypt: encrypts with a public key.
    RsaEncrypt = 0x174, [];
    handles { key: Object }
    params {
        message: Zeroizing<RsaBytes>,
        in_scheme: RsaDecrypt,
        label: Data,
    }
    reply { out_data: RsaBytes }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).cloned().ok_or(Rc::KEY.handle(1))?;
    let PublicParms::Rsa(parms) = &key.public.0.parms else {
        return Err(Rc::KEY.handle(1));
    };
    if !key.public.0.attributes.has(A::DECRYPT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    check_label(&params.label).map_err(|code| code.parameter(3))?;
    let padding = choose_padding(parms.scheme.0, params.in_scheme, &params.label).map_err(|code| code.parameter(2))?;
    let out_data = key
        .rsa_public()
        .and_then(|public| public.encrypt(padding, &params.message, &mut tpm.rng))
        .map_err(|_| Rc::VALUE)?;
    Ok(Reply { out_data })
}
