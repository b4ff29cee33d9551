//! Asymmetric primitives (Part 3, 14).

pub(crate) mod commit;
pub(crate) mod ec_ephemeral;
pub(crate) mod ecc_decrypt;
pub(crate) mod ecc_encrypt;
pub(crate) mod ecc_parameters;
pub(crate) mod ecdh_keygen;
pub(crate) mod ecdh_zgen;
pub(crate) mod rsa_decrypt;
pub(crate) mod rsa_encrypt;
pub(crate) mod zgen_2phase;

use crate::alg::HashAlg;
use crate::bytes::Bytes;
use crate::crypto::rsa::RsaPadding;
use crate::handle::Handle;
use crate::object::Object;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::Data;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::{EccParms, PublicParms};
use crate::types::scheme::{Kdf, KdfScheme, RsaDecrypt, Scheme, SchemeId};

/// The ECC key of handle 1, whose private key may be multiplied with what others send: an unrestricted decryption key.
fn ecc_decryption_key(tpm: &Tpm, handle: Handle) -> RcResult<(&Object, &EccParms)> {
    let key = tpm.object(handle).ok_or(Rc::KEY.handle(1))?;
    let PublicParms::Ecc(parms) = &key.public.0.parms else {
        return Err(Rc::KEY.handle(1));
    };
    let attributes = key.public.0.attributes;
    if attributes.has(A::RESTRICTED) || !attributes.has(A::DECRYPT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    Ok((key, parms))
}

/// The padding of an RSA encryption: the key's own, or the one given where the key leaves it open (Part 3, 14.2, Table
/// 35). A bare TPM_RC_SCHEME where they do not agree.
fn choose_padding(own: Option<Scheme>, given: RsaDecrypt, label: &Data) -> RcResult<RsaPadding<'_>> {
    let scheme = match (own, given.0) {
        (None, given) => given,
        (own, None) => own,
        (Some(own), Some(given)) if own.id == given.id && own.hash == given.hash => Some(own),
        (Some(_), Some(_)) => return Err(Rc::SCHEME),
    };
    match scheme {
        None => Ok(RsaPadding::None),
        Some(Scheme {
            id: SchemeId::Rsaes, ..
        }) => Ok(RsaPadding::Pkcs1),
        Some(Scheme {
            id: SchemeId::Oaep,
            hash: Some(hash),
            ..
        }) => Ok(RsaPadding::Oaep { hash, label }),
        Some(_) => Err(Rc::SCHEME),
    }
}

/// The hash of an encryption with an ECC key: that of the scheme given, which must be KDF2 (Part 1, C.8), as keys have no
/// KDF of their own (Part 2, 12.2.3.6). A bare TPM_RC_SCHEME otherwise.
const fn choose_kdf2(given: KdfScheme) -> RcResult<HashAlg> {
    match given.0 {
        Some((Kdf::Kdf2, hash)) => Ok(hash),
        _ => Err(Rc::SCHEME),
    }
}

/// A label ends with an octet 0, or is empty (Part 1, B.4): a bare TPM_RC_VALUE otherwise.
fn check_label<const N: usize>(label: &Bytes<N>) -> RcResult<()> {
    match label.last() {
        None | Some(0) => Ok(()),
        Some(_) => Err(Rc::VALUE),
    }
}
