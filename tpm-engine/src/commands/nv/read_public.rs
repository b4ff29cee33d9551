//! TPM2_NV_ReadPublic — Part 3, 31.6.

use crate::handle::Name;
use crate::marshal::Sized2B;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::nv::NvPublic;

command! {
    /// TPM2_NV_ReadPublic: the public area and the Name of an NV index.
    NvReadPublic = 0x169, [WithoutKeys];
    handles { nv_index: NvIndex }
    params {}
    reply { nv_public: Sized2B<NvPublic>, nv_name: Name }
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let public = tpm.nv_public(handles.nv_index)?;
    Ok(Reply {
        nv_name: public.name(),
        nv_public: Sized2B(public),
    })
}
