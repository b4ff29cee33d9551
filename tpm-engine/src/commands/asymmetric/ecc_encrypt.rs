//! TPM2_ECC_Encrypt — Part 3, 14.8.

use zeroize::Zeroizing;

use super::choose_kdf2;
use crate::bytes::Digest;
use crate::crypto::ecc;
use crate::keys::secret::padded_point;
use crate::marshal::Sized2B;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::public::{PublicParms, Unique};
use crate::types::scheme::KdfScheme;
use crate::types::{EccPoint, MaxBuffer};

command! {
    /// TPM2_ECC_Encrypt: encrypts with a public key. Its attributes do not matter: whoever has the point can do the same.
    EccEncrypt = 0x199, [];
    handles { key: Object }
    params {
        plain_text: Zeroizing<MaxBuffer>,
        in_scheme: KdfScheme,
    }
    reply {
        c1: Sized2B<EccPoint>,
        c2: MaxBuffer,
        c3: Digest,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).cloned().ok_or(Rc::KEY.handle(1))?;
    let (PublicParms::Ecc(parms), Unique::Ecc(point)) = (&key.public.0.parms, &key.public.0.unique) else {
        return Err(Rc::KEY.handle(1));
    };
    let hash = choose_kdf2(params.in_scheme).map_err(|code| code.parameter(2))?;
    let point = padded_point(parms.curve, point).ok_or(Rc::KEY.handle(1))?;
    let mut text = params.plain_text;
    let (c1, c3) =
        ecc::ecc_encrypt(parms.curve, &point, hash, &mut text, &mut tpm.rng).map_err(|_| Rc::KEY.handle(1))?;
    Ok(Reply {
        c1: Sized2B(c1.into()),
        c2: (*text).clone(),
        c3,
    })
}
