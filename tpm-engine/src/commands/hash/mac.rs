//! TPM2_HMAC and TPM2_HMAC_Start, which are also TPM2_MAC and TPM2_MAC_Start — Part 3, 15.5, 15.6, 17.1 and 17.2.

use crate::alg::HashAlg;
use crate::crypto::hmac::Hmac;
use crate::handle::Handle;
use crate::marshal::{Reader, Unmarshal};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::PublicParms;
use crate::types::scheme::KeyedHashScheme;

/// TPMI_ALG_MAC_SCHEME+ (Part 2, 9.36): TPM_ALG_NULL is `None`; TPM_RC_SYMMETRIC for what is no MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MacScheme(Option<HashAlg>);

impl Unmarshal for MacScheme {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        match Option::<HashAlg>::unmarshal(reader) {
            Err(Rc::HASH) => Err(Rc::SYMMETRIC),
            scheme => scheme.map(Self),
        }
    }
}

/// An HMAC under the key, with the scheme that key and command agree on.
fn begin(tpm: &Tpm, handle: Handle, given: MacScheme) -> RcResult<Hmac> {
    let object = tpm.object(handle).ok_or(Rc::TYPE.handle(1))?;
    let public = &object.public.0;
    let of_key = match public.parms {
        PublicParms::KeyedHash(KeyedHashScheme::Hmac(hash) | KeyedHashScheme::Xor(hash, _)) => Some(hash),
        PublicParms::KeyedHash(KeyedHashScheme::Null) => None,
        _ => return Err(Rc::TYPE.handle(1)),
    };
    let alg = match (of_key, given.0) {
        (Some(of_key), Some(given)) if of_key != given => return Err(Rc::VALUE.parameter(2)),
        (of_key, given) => given.or(of_key).ok_or(Rc::VALUE.parameter(2))?,
    };
    if public.attributes.has(A::RESTRICTED) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    if !public.attributes.has(A::SIGN) {
        return Err(Rc::KEY.handle(1));
    }
    let sensitive = object.sensitive.0.as_ref().ok_or(Rc::AUTH_UNAVAILABLE)?;
    Ok(Hmac::new(alg, &sensitive.secret))
}

pub(crate) mod whole {
    //! TPM2_HMAC — Part 3, 15.5.

    use super::{MacScheme, begin};
    use crate::bytes::Digest;
    use crate::rc::RcResult;
    use crate::tpm::Tpm;
    use crate::types::MaxBuffer;

    command! {
        /// TPM2_HMAC: the HMAC of data.
        HmacOfData = 0x155, [];
        handles { key: Object @ User }
        params { buffer: MaxBuffer, scheme: MacScheme }
        reply { mac: Digest }
    }

    fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
        let mut hmac = begin(tpm, handles.key, params.scheme)?;
        hmac.update(&params.buffer);
        Ok(Reply { mac: hmac.finish() })
    }
}

pub(crate) mod start {
    //! TPM2_HMAC_Start — Part 3, 17.1.

    use zeroize::Zeroizing;

    use super::super::start::insert;
    use super::{MacScheme, begin};
    use crate::bytes::Digest;
    use crate::rc::RcResult;
    use crate::sequence::SequenceKind;
    use crate::tpm::Tpm;

    command! {
        /// TPM2_HMAC_Start: begins an HMAC over data that comes in pieces.
        HmacStart = 0x15B, [];
        handles { key: Object @ User }
        params { auth: Zeroizing<Digest>, scheme: MacScheme }
        reply handle sequence {}
    }

    fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
        let hmac = begin(tpm, handles.key, params.scheme)?;
        let sequence = insert(tpm, params.auth, SequenceKind::Hmac(hmac))?;
        Ok(Reply { sequence })
    }
}
