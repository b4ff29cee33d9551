//! TPM2_ActivateCredential — Part 3, 12.5.

use zeroize::Zeroizing;

use crate::bytes::Digest;
use crate::keys::protect::Protector;
use crate::marshal::Reader;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::{EncryptedSecret, IdObject};

command! {
    /// TPM2_ActivateCredential: the credential that was made for an object of this TPM.
    ActivateCredential = 0x147, [];
    handles { activate: Object @ Admin, key: Object @ User }
    params {
        credential_blob: IdObject,
        secret: EncryptedSecret,
    }
    reply { cert_info: Zeroizing<Digest> }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).cloned().ok_or(Rc::TYPE.handle(2))?;
    let public = &key.public.0;
    if !public.object_type().is_asymmetric() || !public.is_parent() {
        return Err(Rc::TYPE.handle(2));
    }
    let name = tpm.name(handles.activate);
    let seed = tpm
        .recover_secret(&key, b"IDENTITY", &params.secret)
        .map_err(|code| code.parameter(2))?;
    let open = || {
        let protector = Protector::new(public, &seed)?;
        let plain = protector.unwrap(&name, false, Reader::new(&params.credential_blob, tpm.profile))?;
        let mut reader = Reader::new(&plain, tpm.profile);
        let credential = reader.read()?;
        reader.finish().map(|()| credential)
    };
    let cert_info = open().map_err(|code: Rc| code.parameter(1))?;
    Ok(Reply { cert_info })
}
