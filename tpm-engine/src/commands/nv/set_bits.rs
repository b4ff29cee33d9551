//! TPM2_NV_SetBits — Part 3, 31.10.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::NvAttributes as A;
use crate::types::nv::NvKind;

command! {
    /// TPM2_NV_SetBits: SETs bits of a bit field, which nothing can CLEAR again.
    NvSetBits = 0x135, [Nv, NvWrite];
    handles { auth_handle: NvAuth @ User, nv_index: NvIndex }
    params { bits: u64 }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    tpm.check_nv_write(handles.auth_handle, handles.nv_index)?;
    let attributes = tpm.nv_public(handles.nv_index)?.attributes;
    if attributes.kind() != Some(NvKind::Bits) {
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    let before = if attributes.has(A::WRITTEN) {
        tpm.nv_number(handles.nv_index)?
    } else {
        0
    };
    tpm.nv_write(handles.nv_index, 0, &(before | params.bits).to_be_bytes())?;
    Ok(Reply {})
}
