//! TPM2_NV_WriteLock — Part 3, 31.11.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::NvAttributes as A;

command! {
    /// TPM2_NV_WriteLock: no more writes to the index, until the next TPM Reset or Restart or for ever.
    NvWriteLock = 0x138, [Nv, NvWrite];
    handles { auth_handle: NvAuth @ User, nv_index: NvIndex }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    match tpm.check_nv_write(handles.auth_handle, handles.nv_index) {
        // It is what was asked for.
        Err(Rc::NV_LOCKED) => return Ok(Reply {}),
        checked => checked?,
    }
    let attributes = tpm.nv_public(handles.nv_index)?.attributes;
    if !attributes.any(A::WRITEDEFINE.with(A::WRITE_STCLEAR)) {
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    tpm.nv_set_attributes(handles.nv_index, attributes.with(A::WRITELOCKED))?;
    Ok(Reply {})
}
