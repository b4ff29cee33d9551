//! TPM2_LoadExternal — Part 3, 12.3.

use std::sync::Arc;

use crate::handle::{Handle, Hierarchy, HierarchyHandle, Name};
use crate::keys::checks::{Blame, check_areas};
use crate::keys::protect::trimmed;
use crate::marshal::{Reader, Sized2B, Unmarshal};
use crate::object::{Loaded, MaybeSensitive, Object};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::AnyPublic;
use crate::types::sensitive::Sensitive;

command! {
    /// TPM2_LoadExternal: loads an object that no parent of this TPM protects, or only its public area.
    LoadExternal = 0x167, [];
    handles {}
    params {
        in_private: OptionalSensitive,
        in_public: Sized2B<AnyPublic>,
        hierarchy: HierarchyHandle,
    }
    reply handle object {
        name: Name,
    }
}

/// TPM2B_SENSITIVE that may be empty.
pub(crate) struct OptionalSensitive(Option<Sensitive>);

impl Unmarshal for OptionalSensitive {
    const SIZED: bool = true;

    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        if reader.rest().starts_with(&[0, 0]) {
            return reader.read::<u16>().map(|_| Self(None));
        }
        let Sized2B(sensitive) = reader.read()?;
        Ok(Self(Some(sensitive)))
    }
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let Params {
        in_private: OptionalSensitive(mut sensitive),
        in_public: Sized2B(AnyPublic(public)),
        hierarchy: HierarchyHandle(handle),
    } = params;
    if !tpm.objects.has_room() {
        return Err(Rc::OBJECT_MEMORY);
    }
    let hierarchy = Hierarchy::from_handle(handle).ok_or(Rc::FAILURE)?;
    if !tpm.hierarchy_enabled(hierarchy) {
        return Err(Rc::HIERARCHY.parameter(3));
    }
    if let Some(sensitive) = &mut sensitive {
        // A secret that others know may not stand in a hierarchy, nor look like one that is this TPM's alone.
        if handle != Handle::NULL {
            return Err(Rc::HIERARCHY.parameter(3));
        }
        if public
            .attributes
            .any(A::FIXED_TPM.with(A::FIXED_PARENT).with(A::RESTRICTED))
        {
            return Err(Rc::ATTRIBUTES.parameter(2));
        }
        sensitive.auth = trimmed(&sensitive.auth);
    }
    let blame = Blame {
        public: 2,
        sensitive: 1,
    };
    let prepared = check_areas(None, &public, sensitive.as_ref(), blame)?;
    let name = public.name();
    let object = Object {
        hierarchy,
        external: true,
        primary: false,
        st_clear: public.attributes.has(A::ST_CLEAR),
        public: AnyPublic(public),
        sensitive: MaybeSensitive(sensitive),
        name: name.clone(),
        // Nothing stands above an external object.
        qualified_name: name.clone(),
        prepared,
    };
    Ok(Reply {
        object: tpm.objects.insert(Loaded::Object(Arc::new(object)))?,
        name,
    })
}
