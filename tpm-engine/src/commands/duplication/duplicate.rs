//! TPM2_Duplicate — Part 3, 13.1.

use super::{LABEL, private};
use crate::handle::Handle;
use crate::keys::protect::{Iv, Protector, padded, wrap_inner};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::symmetric::CipherDef;
use crate::types::{Data, EncryptedSecret, Private};

command! {
    /// TPM2_Duplicate: an object in the form in which another parent can import it.
    Duplicate = 0x14B, [];
    handles { object: Object @ Dup, new_parent: ObjectOrNull }
    params {
        encryption_key_in: zeroize::Zeroizing<Data>,
        symmetric_alg: Option<CipherDef>,
    }
    reply {
        encryption_key_out: zeroize::Zeroizing<Data>,
        duplicate: Private,
        out_sym_seed: EncryptedSecret,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let object = tpm.object(handles.object).cloned().ok_or(Rc::TYPE.handle(1))?;
    let public = &object.public.0;
    if public.attributes.has(A::FIXED_PARENT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    if public.name_alg.is_none() {
        return Err(Rc::TYPE.handle(1));
    }
    let new_parent = tpm.storage_parent(handles.new_parent);
    if new_parent.is_none() && handles.new_parent != Handle::NULL {
        return Err(Rc::TYPE.handle(2));
    }
    if public.attributes.has(A::ENCRYPTED_DUPLICATION) {
        if params.symmetric_alg.is_none() {
            return Err(Rc::SYMMETRIC.parameter(2));
        }
        if new_parent.is_none() {
            return Err(Rc::HIERARCHY.handle(2));
        }
    }
    let key = params.encryption_key_in;
    let size = params.symmetric_alg.map_or(0, CipherDef::key_size);
    if !key.is_empty() && key.len() != size {
        return Err(Rc::SIZE.parameter(1));
    }
    let mut plain = padded(object.sensitive()?, public.name_alg);
    // A key that the caller has needs not be told.
    let mut made = zeroize::Zeroizing::new(Data::EMPTY);
    if let Some(cipher) = params.symmetric_alg {
        if key.is_empty() {
            *made = tpm.random(size);
        }
        plain = wrap_inner(public, cipher, if key.is_empty() { &made } else { &key }, &plain)?;
    }
    let (duplicate, out_sym_seed) = match new_parent {
        Some(parent) => {
            let (seed, secret) = tpm.make_secret(&parent.public.0, LABEL)?;
            let protector = Protector::new(&parent.public.0, &seed)?;
            (private(&protector.wrap(&object.name, &Iv::EMPTY, plain)?)?, secret)
        }
        None => (private(&plain)?, EncryptedSecret::EMPTY),
    };
    Ok(Reply {
        encryption_key_out: made,
        duplicate,
        out_sym_seed,
    })
}
