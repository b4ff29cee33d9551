//! TPM2_NV_UndefineSpaceSpecial — Part 3, 31.5.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::NvAttributes as A;

command! {
    /// TPM2_NV_UndefineSpaceSpecial: removes an index of the platform that only its policy lets go.
    NvUndefineSpaceSpecial = 0x11F, [Nv, PresenceOptional];
    handles { nv_index: NvIndex @ Admin, platform: Platform @ User }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    if !tpm.nv_public(handles.nv_index)?.attributes.has(A::POLICY_DELETE) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    tpm.nv_delete(handles.nv_index)?;
    Ok(Reply {})
}
