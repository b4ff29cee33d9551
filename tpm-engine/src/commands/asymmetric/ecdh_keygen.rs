//! TPM2_ECDH_KeyGen — Part 3, 14.4.

use crate::crypto::ecc;
use crate::keys::secret::padded_point;
use crate::marshal::Sized2B;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::EccPoint;
use crate::types::public::{PublicParms, Unique};

command! {
    /// TPM2_ECDH_KeyGen: an ephemeral key, and the point that it shares with a loaded public key.
    EcdhKeyGen = 0x163, [];
    handles { key: Object }
    params {}
    reply {
        z_point: Sized2B<EccPoint>,
        pub_point: Sized2B<EccPoint>,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).cloned().ok_or(Rc::KEY.handle(1))?;
    let (PublicParms::Ecc(parms), Unique::Ecc(point)) = (&key.public.0.parms, &key.public.0.unique) else {
        return Err(Rc::KEY.handle(1));
    };
    let theirs = padded_point(parms.curve, point).ok_or(Rc::KEY.handle(1))?;
    let (scalar, ephemeral) = ecc::generate(parms.curve, &mut tpm.rng);
    let product = ecc::multiply(parms.curve, &scalar, &theirs).map_err(|_| Rc::KEY.handle(1))?;
    Ok(Reply {
        z_point: Sized2B(product.into()),
        pub_point: Sized2B(ephemeral.into()),
    })
}
