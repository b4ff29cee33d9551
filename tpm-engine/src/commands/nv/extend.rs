//! TPM2_NV_Extend — Part 3, 31.9.

use crate::bytes::Digest;
use crate::crypto::hash::hash;
use crate::marshal::Borrowed;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::MaxNvBuffer;
use crate::types::attributes::NvAttributes as A;
use crate::types::nv::NvKind;

command! {
    /// TPM2_NV_Extend: extends an index that works like a PCR.
    NvExtend = 0x136, [Nv, NvWrite];
    handles { auth_handle: NvAuth @ User, nv_index: NvIndex }
    params<'c> { data: Borrowed<'c, { MaxNvBuffer::CAPACITY }> }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
    tpm.check_nv_write(handles.auth_handle, handles.nv_index)?;
    let public = tpm.nv_public(handles.nv_index)?;
    if public.attributes.kind() != Some(NvKind::Extend) {
        return Err(Rc::ATTRIBUTES.handle(2));
    }
    let before = if public.attributes.has(A::WRITTEN) {
        Digest::truncated(tpm.nv_data(handles.nv_index)?)
    } else {
        Digest::zeroed(public.name_alg.digest_size()).unwrap_or_default()
    };
    let digest = hash(public.name_alg, &[&before, &params.data]);
    tpm.nv_write(handles.nv_index, 0, &digest)?;
    Ok(Reply {})
}
