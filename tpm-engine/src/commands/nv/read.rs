//! TPM2_NV_Read — Part 3, 31.13.

use crate::marshal::Borrowed;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::MaxNvBuffer;

command! {
    /// TPM2_NV_Read: reads an index.
    NvRead = 0x14E, [NvRead, WithoutKeys];
    handles { auth_handle: NvAuth @ User, nv_index: NvIndex }
    params { size: u16, offset: u16 }
    reply<'t> { data: Borrowed<'t, { MaxNvBuffer::CAPACITY }> }
}

fn run<'t>(tpm: &'t mut Tpm, handles: Handles, params: Params) -> RcResult<Reply<'t>> {
    tpm.check_nv_read(handles.auth_handle, handles.nv_index)?;
    if usize::from(params.size) > MaxNvBuffer::CAPACITY {
        return Err(Rc::VALUE.parameter(1));
    }
    if params.offset > tpm.nv_public(handles.nv_index)?.data_size.0 {
        return Err(Rc::VALUE.parameter(2));
    }
    let data = tpm.nv_range(handles.nv_index, params.offset, params.size)?;
    Ok(Reply { data: Borrowed(data) })
}
