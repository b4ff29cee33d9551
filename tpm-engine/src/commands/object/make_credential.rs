//! TPM2_MakeCredential — Part 3, 12.6.

use zeroize::Zeroizing;

use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::handle::Name;
use crate::keys::protect::{Iv, Protector};
use crate::marshal::Marshal;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::{EncryptedSecret, IdObject};

command! {
    /// TPM2_MakeCredential: wraps a credential so that only a TPM with a certain object can read it.
    MakeCredential = 0x168, [];
    handles { handle: Object }
    params {
        credential: Zeroizing<Digest>,
        object_name: Name,
    }
    reply {
        credential_blob: IdObject,
        secret: EncryptedSecret,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.handle).cloned().ok_or(Rc::TYPE.handle(1))?;
    let public = &key.public.0;
    if !public.object_type().is_asymmetric() || !public.is_parent() {
        return Err(Rc::TYPE.handle(1));
    }
    if params.credential.len() > public.name_alg.map_or(0, HashAlg::digest_size) {
        return Err(Rc::SIZE.parameter(1));
    }
    let (seed, secret) = tpm.make_secret(public, b"IDENTITY")?;
    let protector = Protector::new(public, &seed)?;
    let blob = protector.wrap(&params.object_name, &Iv::EMPTY, params.credential.to_vec())?;
    Ok(Reply {
        credential_blob: IdObject::new(&blob).ok_or(Rc::FAILURE)?,
        secret,
    })
}
