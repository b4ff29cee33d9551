//! TPM2_Load — Part 3, 12.2.

use std::sync::Arc;

use crate::handle::Name;
use crate::keys::checks::{Blame, check_areas};
use crate::keys::protect::Protector;
use crate::marshal::{Reader, Sized2B};
use crate::object::Loaded;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::Private;
use crate::types::public::Public;

command! {
    /// TPM2_Load: loads an object under the parent that protects it.
    Load = 0x157, [];
    handles { parent: Object @ User }
    params {
        in_private: Private,
        in_public: Sized2B<Public>,
    }
    reply handle object {
        name: Name,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let Sized2B(public) = params.in_public;
    if !tpm.objects.has_room() {
        return Err(Rc::OBJECT_MEMORY);
    }
    if params.in_private.is_empty() {
        return Err(Rc::SIZE.parameter(1));
    }
    let parent = tpm.storage_parent(handles.parent).ok_or(Rc::TYPE.handle(1))?;
    let protector = Protector::new(&parent.public.0, &parent.sensitive()?.seed)?;
    let sensitive = protector
        .unwrap_child(&public, Reader::new(&params.in_private, tpm.profile))
        .map_err(|code| code.parameter(1))?;
    let blame = Blame {
        public: 2,
        sensitive: 1,
    };
    let prepared = check_areas(Some(&parent.public.0), &public, Some(&sensitive), blame)?;
    let object = tpm.placed(handles.parent, public, Some(sensitive), prepared)?;
    let name = object.name.clone();
    Ok(Reply {
        object: tpm.objects.insert(Loaded::Object(Arc::new(object)))?,
        name,
    })
}
