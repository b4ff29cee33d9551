//! TPM2_EncryptDecrypt — Part 3, 15.2.

use zeroize::Zeroizing;

use crate::alg::CipherMode;
use crate::crypto::symmetric;
use crate::handle::Handle;
use crate::keys::protect::Iv;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::PublicParms;
use crate::types::{MaxBuffer, optional};

command! {
    /// TPM2_EncryptDecrypt: encrypts or decrypts with a symmetric key; the data travel in the clear.
    EncryptDecrypt = 0x164, [];
    handles { key: Object @ User }
    params {
        decrypt: bool,
        in_mode: OptionalMode,
        iv_in: Iv,
        in_data: Zeroizing<MaxBuffer>,
    }
    reply {
        out_data: Zeroizing<MaxBuffer>,
        iv_out: Iv,
    }
}

/// TPMI_ALG_CIPHER_MODE+.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OptionalMode(Option<CipherMode>);

impl crate::marshal::Unmarshal<'_> for OptionalMode {
    fn unmarshal(reader: &mut crate::marshal::Reader<'_>) -> RcResult<Self> {
        match optional(reader)? {
            // A MAC is none of the modes of encryption.
            Some(CipherMode::Cmac) => Err(Rc::MODE),
            mode => Ok(Self(mode)),
        }
    }
}

/// What both forms of the command are asked for.
pub(super) struct Request {
    pub(super) decrypt: bool,
    pub(super) mode: OptionalMode,
    pub(super) iv: Iv,
    pub(super) data: Zeroizing<MaxBuffer>,
}

/// The numbers of the parameters in the form that was used.
pub(super) struct Numbers {
    pub(super) mode: u32,
    pub(super) iv: u32,
    pub(super) data: u32,
}

/// The detailed actions, which both forms share; returns the data and the initialization vector that goes on from there.
pub(super) fn crypt(
    tpm: &Tpm,
    key: Handle,
    request: Request,
    numbers: &Numbers,
) -> RcResult<(Zeroizing<MaxBuffer>, Iv)> {
    let object = tpm.object(key).ok_or(Rc::KEY.handle(1))?;
    let PublicParms::SymCipher(cipher) = object.public.0.parms else {
        return Err(Rc::KEY.handle(1));
    };
    let attributes = object.public.0.attributes;
    // A key may be allowed one direction alone; sign stands for encryption.
    let needed = if request.decrypt { A::DECRYPT } else { A::SIGN };
    if attributes.has(A::RESTRICTED) || !attributes.has(needed) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    let mode = match (cipher.mode, request.mode.0) {
        (Some(own), Some(given)) if own != given => return Err(Rc::MODE.parameter(numbers.mode)),
        (own, given) => own.or(given).ok_or(Rc::MODE.parameter(numbers.mode))?,
    };
    if mode == CipherMode::Cmac {
        return Err(Rc::MODE.parameter(numbers.mode));
    }
    let Request { mut iv, mut data, .. } = request;
    let block = cipher.cipher.block_size();
    let iv_size = if mode == CipherMode::Ecb { 0 } else { block };
    if iv.len() != iv_size {
        return Err(Rc::SIZE.parameter(numbers.iv));
    }
    if matches!(mode, CipherMode::Cbc | CipherMode::Ecb) && !data.len().is_multiple_of(block) {
        return Err(Rc::SIZE.parameter(numbers.data));
    }
    let secret = &object.sensitive()?.secret;
    let run = if request.decrypt {
        symmetric::decrypt
    } else {
        symmetric::encrypt
    };
    run(cipher.cipher, secret, mode, &mut iv, &mut data).map_err(|_| Rc::FAILURE)?;
    Ok((data, iv))
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let request = Request {
        decrypt: params.decrypt,
        mode: params.in_mode,
        iv: params.iv_in,
        data: params.in_data,
    };
    let numbers = Numbers {
        mode: 2,
        iv: 3,
        data: 4,
    };
    let (out_data, iv_out) = crypt(tpm, handles.key, request, &numbers)?;
    Ok(Reply { out_data, iv_out })
}
