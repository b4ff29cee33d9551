//! TPM2_NV_Increment — Part 3, 31.8.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::NvAttributes as A;
use crate::types::nv::NvKind;

command! {
    /// TPM2_NV_Increment: adds one to a counter.
    NvIncrement = 0x134, [Nv, NvWrite];
    handles { auth_handle: NvAuth @ User, nv_index: NvIndex }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    tpm.check_nv_write(handles.auth_handle, handles.nv_index)?;
    let attributes = tpm.nv_public(handles.nv_index)?.attributes;
    if attributes.kind() != Some(NvKind::Counter) {
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    // A new counter goes on from the highest that was ever removed, so that no value comes back (Part 1, 37.2.3).
    let before = if attributes.has(A::WRITTEN) {
        tpm.nv_number(handles.nv_index)?
    } else {
        tpm.nv.counters.max_nv_counter
    };
    tpm.nv_write(handles.nv_index, 0, &before.wrapping_add(1).to_be_bytes())?;
    Ok(Reply {})
}
