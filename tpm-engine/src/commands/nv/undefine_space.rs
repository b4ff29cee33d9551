//! TPM2_NV_UndefineSpace — Part 3, 31.4.

use crate::handle::Handle;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::NvAttributes as A;

command! {
    /// TPM2_NV_UndefineSpace: removes an NV index.
    NvUndefineSpace = 0x122, [Nv, PresenceOptional];
    handles { auth_handle: Provision @ User, nv_index: NvIndex }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let attributes = tpm.nv_public(handles.nv_index)?.attributes;
    if attributes.has(A::POLICY_DELETE) {
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    // The platform may remove what the owner made, but not the other way round.
    if handles.auth_handle == Handle::OWNER && attributes.has(A::PLATFORMCREATE) {
        return Err(Rc::NV_AUTHORIZATION);
    }
    tpm.nv_delete(handles.nv_index)?;
    Ok(Reply {})
}
