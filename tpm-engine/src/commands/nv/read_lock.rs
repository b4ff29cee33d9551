//! TPM2_NV_ReadLock — Part 3, 31.14.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::NvAttributes as A;

command! {
    /// TPM2_NV_ReadLock: no more reads of the index until the next TPM Reset or Restart.
    NvReadLock = 0x14F, [Nv, NvRead];
    handles { auth_handle: NvAuth @ User, nv_index: NvIndex }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    match tpm.check_nv_read(handles.auth_handle, handles.nv_index) {
        // It is what was asked for.
        Err(Rc::NV_LOCKED) => return Ok(Reply {}),
        // An index can be locked before it is written.
        Err(Rc::NV_UNINITIALIZED) => {}
        checked => checked?,
    }
    let attributes = tpm.nv_public(handles.nv_index)?.attributes;
    if !attributes.has(A::READ_STCLEAR) {
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    tpm.nv_set_attributes(handles.nv_index, attributes.with(A::READLOCKED))?;
    Ok(Reply {})
}
