//! TPM2_Import — Part 3, 13.3.

use super::{LABEL, plain};
use crate::keys::checks::{Blame, check_areas};
use crate::keys::protect::{Protector, read_sensitive, unwrap_inner};
use crate::marshal::{Reader, Sized2B};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::{ObjectType, Public};
use crate::types::symmetric::CipherDef;
use crate::types::{Data, EncryptedSecret, Private};

command! {
    /// TPM2_Import: a duplicate in the form in which its new parent loads it.
    Import = 0x156, [];
    handles { parent: Object @ User }
    params {
        encryption_key: zeroize::Zeroizing<Data>,
        object_public: Sized2B<Public>,
        duplicate: Private,
        in_sym_seed: EncryptedSecret,
        symmetric_alg: Option<CipherDef>,
    }
    reply { out_private: Private }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let Sized2B(public) = &params.object_public;
    if public.attributes.any(A::FIXED_TPM.with(A::FIXED_PARENT)) {
        return Err(Rc::ATTRIBUTES.parameter(2));
    }
    let parent = tpm.storage_parent(handles.parent).ok_or(Rc::TYPE.handle(1))?;
    let encrypted = public.attributes.has(A::ENCRYPTED_DUPLICATION);
    if params.encryption_key.len() != params.symmetric_alg.map_or(0, CipherDef::key_size) {
        return Err(Rc::SIZE.parameter(1));
    }
    if params.symmetric_alg.is_none() && encrypted {
        return Err(Rc::ATTRIBUTES.parameter(1));
    }
    let mut content = plain(&params.duplicate);
    if params.in_sym_seed.is_empty() {
        if encrypted {
            return Err(Rc::ATTRIBUTES.parameter(4));
        }
    } else {
        // A symmetric parent cannot have agreed on a seed with anyone.
        if parent.public.0.object_type() == ObjectType::SymCipher {
            return Err(Rc::TYPE.handle(1));
        }
        let seed = tpm
            .recover_secret(&parent, LABEL, &params.in_sym_seed)
            .map_err(|code| code.parameter(4))?;
        let protector = Protector::new(&parent.public.0, &seed)?;
        content = protector
            .unwrap(&public.name(), false, Reader::new(&content, tpm.profile))
            .map_err(|code| code.parameter(3))?;
    }
    if let Some(cipher) = params.symmetric_alg {
        content = unwrap_inner(
            public,
            cipher,
            &params.encryption_key,
            Reader::new(&content, tpm.profile),
        )
        .map_err(|code| code.parameter(3))?;
    }
    let sensitive = read_sensitive(Reader::new(&content, tpm.profile)).map_err(|code| code.parameter(3))?;
    // TPM2_Load trusts what a parent that is fixedTPM protects, so what comes from elsewhere is checked here.
    if parent.public.0.attributes.has(A::FIXED_TPM) {
        let blame = Blame {
            public: 2,
            sensitive: 3,
        };
        check_areas(None, public, Some(&sensitive), blame)?;
    }
    let protector = Protector::new(&parent.public.0, &parent.sensitive()?.seed)?;
    let iv = tpm.random(protector.iv_size());
    Ok(Reply {
        out_private: protector.wrap_child(public, &iv, &sensitive)?,
    })
}
