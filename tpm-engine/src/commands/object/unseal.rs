//! TPM2_Unseal — Part 3, 12.7.

use zeroize::Zeroizing;

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::SensitiveData;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::ObjectType;

command! {
    /// TPM2_Unseal: the data of a sealed data object.
    Unseal = 0x15E, [];
    handles { item: Object @ User }
    params {}
    reply { out_data: Zeroizing<SensitiveData> }
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let object = tpm.object(handles.item).ok_or(Rc::TYPE.handle(1))?;
    let public = &object.public.0;
    if public.object_type() != ObjectType::KeyedHash {
        return Err(Rc::TYPE.handle(1));
    }
    if public.attributes.any(A::DECRYPT.with(A::SIGN).with(A::RESTRICTED)) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    Ok(Reply {
        out_data: object.sensitive()?.secret.clone(),
    })
}
