//! TPM2_NV_ReadPublic2 — Part 3, 31.18.

use crate::handle::Name;
use crate::marshal::Sized2B;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::nv::NvPublic2;

command! {
    /// TPM2_NV_ReadPublic2: the public area, with the type of its handle, and the Name of an NV index.
    NvReadPublic2 = 0x19E, [];
    handles { nv_index: NvIndex }
    params {}
    reply { nv_public: Sized2B<NvPublic2>, nv_name: Name }
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let public = tpm.nv_public(handles.nv_index)?;
    Ok(Reply {
        nv_name: public.name(),
        nv_public: Sized2B(NvPublic2(public)),
    })
}
