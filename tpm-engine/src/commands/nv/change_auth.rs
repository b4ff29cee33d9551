//! TPM2_NV_ChangeAuth — Part 3, 31.15.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::bytes::Digest;
use crate::rc::{Rc, RcResult};
use crate::state::persistent::NvIndex;
use crate::tpm::Tpm;

command! {
    /// TPM2_NV_ChangeAuth: gives an index a new authorization value.
    NvChangeAuth = 0x13B, [Nv];
    handles { nv_index: NvIndex @ Admin }
    params { new_auth: Zeroizing<Digest> }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let mut index = tpm
        .nv
        .nv
        .get(&handles.nv_index)
        .map(|index| NvIndex::clone(index))
        .ok_or(Rc::HANDLE)?;
    let auth = params.new_auth.without_trailing_zeros();
    if auth.len() > index.public.name_alg.digest_size() {
        return Err(Rc::SIZE.parameter(1));
    }
    index.auth = Zeroizing::new(Digest::truncated(auth));
    tpm.nv.change().nv.insert(handles.nv_index, Arc::new(index));
    Ok(Reply {})
}
