//! TPM2_HierarchyControl — Part 3, 24.2.

use crate::handle::{EnablesHandle, Handle, Hierarchy};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_HierarchyControl: enables or disables a hierarchy, or the platform's NV, until TPM Reset or Restart.
    HierarchyControl = 0x121, [Nv, Extensive, PresenceOptional, WithoutKeys];
    handles { auth_handle: BaseHierarchy @ User }
    params { enable: EnablesHandle, state: bool }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let by = handles.auth_handle;
    let EnablesHandle(what) = params.enable;
    let hierarchy = Hierarchy::from_handle(what);
    let enabled = hierarchy.map_or(tpm.clear.platform_nv_enabled, |hierarchy| {
        tpm.hierarchy_enabled(hierarchy)
    });
    // Each hierarchy can disable itself, but it takes the platform to enable it again.
    let own = by == what && matches!(what, Handle::OWNER | Handle::ENDORSEMENT) && (enabled || !params.state);
    if by != Handle::PLATFORM && !own {
        return Err(Rc::AUTH_TYPE);
    }
    if params.state == enabled {
        return Ok(Reply {});
    }
    tpm.settle()?;
    let clear = tpm.clear.change();
    match hierarchy {
        Some(Hierarchy::Owner) => clear.owner_enabled = params.state,
        Some(Hierarchy::Endorsement) => clear.endorsement_enabled = params.state,
        Some(Hierarchy::Platform) => clear.platform_enabled = params.state,
        Some(Hierarchy::Null) | None => clear.platform_nv_enabled = params.state,
    }
    if let (Some(hierarchy), false) = (hierarchy, params.state) {
        tpm.objects.flush_hierarchy(hierarchy);
    }
    Ok(Reply {})
}
