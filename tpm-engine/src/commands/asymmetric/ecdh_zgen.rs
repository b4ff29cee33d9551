//! TPM2_ECDH_ZGen — Part 3, 14.5.

use crate::crypto::{CryptoError, ecc};
use crate::keys::secret::padded_point;
use crate::marshal::Sized2B;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::EccPoint;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::PublicParms;
use crate::types::scheme::SchemeId;

command! {
    /// TPM2_ECDH_ZGen: the point that a loaded private key shares with a public point.
    EcdhZGen = 0x154, [];
    handles { key: Object @ User }
    params { in_point: Sized2B<EccPoint> }
    reply { out_point: Sized2B<EccPoint> }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).ok_or(Rc::KEY.handle(1))?;
    let PublicParms::Ecc(parms) = &key.public.0.parms else {
        return Err(Rc::KEY.handle(1));
    };
    let attributes = key.public.0.attributes;
    if attributes.has(A::RESTRICTED) || !attributes.has(A::DECRYPT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    if parms.scheme.0.is_some_and(|scheme| scheme.id != SchemeId::Ecdh) {
        return Err(Rc::SCHEME.handle(1));
    }
    let theirs = padded_point(parms.curve, &params.in_point.0).ok_or(Rc::ECC_POINT.parameter(1))?;
    let product = ecc::multiply(parms.curve, &key.sensitive()?.secret, &theirs).map_err(|error| match error {
        CryptoError::Infinity => Rc::NO_RESULT,
        _ => Rc::ECC_POINT.parameter(1),
    })?;
    Ok(Reply {
        out_point: Sized2B(product.into()),
    })
}
