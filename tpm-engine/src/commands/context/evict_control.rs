//! TPM2_EvictControl — Part 3, 28.5.

use std::sync::Arc;

use crate::handle::{Handle, HandleType, Hierarchy, PersistentHandle};
use crate::object::MAX_PERSISTENT_OBJECTS;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_EvictControl: makes a loaded object persistent, or removes a persistent one.
    EvictControl = 0x120, [Nv, PresenceOptional];
    handles { auth: Provision @ User, object_handle: Object }
    params { persistent_handle: PersistentHandle }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let target = params.persistent_handle.0;
    let object = tpm
        .object(handles.object_handle)
        .cloned()
        .ok_or(Rc::ATTRIBUTES.handle(2))?;
    if object.hierarchy == Hierarchy::Null || object.st_clear || object.sensitive.0.is_none() {
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    let removal = handles.object_handle.kind() == Some(HandleType::Persistent);
    if removal && handles.object_handle != target {
        return Err(Rc::HANDLE.handle(2));
    }
    let of_platform = object.hierarchy == Hierarchy::Platform;
    // The platform removes what it likes; otherwise each keeps to its own objects and its own range of handles.
    let by_platform = handles.auth == Handle::PLATFORM;
    if of_platform != by_platform && !(removal && by_platform) {
        return Err(Rc::HIERARCHY.handle(2));
    }
    if removal {
        tpm.nv.change().objects.remove(&target);
        return Ok(Reply {});
    }
    if (target.0 >= Handle::FIRST_PLATFORM_PERSISTENT) != by_platform {
        return Err(Rc::RANGE.parameter(1));
    }
    if tpm.nv.objects.contains_key(&target) {
        return Err(Rc::NV_DEFINED);
    }
    if tpm.nv.objects.len() >= MAX_PERSISTENT_OBJECTS {
        return Err(Rc::NV_SPACE);
    }
    tpm.nv.change().objects.insert(target, Arc::clone(&object));
    Ok(Reply {})
}
