//! TPM2_NV_Write — Part 3, 31.7.

use crate::marshal::Borrowed;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::MaxNvBuffer;
use crate::types::attributes::NvAttributes as A;
use crate::types::nv::NvKind;

command! {
    /// TPM2_NV_Write: writes an ordinary index or a PIN index.
    NvWrite = 0x137, [Nv, NvWrite, WithoutKeys];
    handles { auth_handle: NvAuth @ User, nv_index: NvIndex }
    params<'c> { data: Borrowed<'c, { MaxNvBuffer::CAPACITY }>, offset: u16 }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
    tpm.check_nv_write(handles.auth_handle, handles.nv_index)?;
    let public = tpm.nv_public(handles.nv_index)?;
    if matches!(
        public.attributes.kind(),
        Some(NvKind::Counter | NvKind::Bits | NvKind::Extend)
    ) {
        return Err(Rc::ATTRIBUTES);
    }
    let (size, offset) = (usize::from(public.data_size.0), usize::from(params.offset));
    let room = size.checked_sub(offset).ok_or(Rc::VALUE.parameter(2))?;
    if params.data.len() > room || public.attributes.has(A::WRITEALL) && params.data.len() < size {
        return Err(Rc::NV_RANGE);
    }
    tpm.nv_write(handles.nv_index, offset, &params.data)?;
    Ok(Reply {})
}
