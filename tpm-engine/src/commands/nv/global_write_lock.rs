//! TPM2_NV_GlobalWriteLock — Part 3, 31.12.

use crate::handle::Handle;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::attributes::NvAttributes as A;

command! {
    /// TPM2_NV_GlobalWriteLock: locks every index with TPMA_NV_GLOBALLOCK.
    NvGlobalWriteLock = 0x132, [Nv, PresenceOptional];
    handles { auth_handle: Provision @ User }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, _: Params) -> RcResult<Reply> {
    let open: Vec<(Handle, A)> = tpm
        .nv
        .nv
        .keys()
        .filter_map(|index| Some((*index, tpm.nv_attributes(*index)?)))
        .filter(|(_, attributes)| attributes.has(A::GLOBALLOCK) && !attributes.has(A::WRITELOCKED))
        .collect();
    // The orderly ones last: their attributes are volatile, and are changed only when all else is durable.
    let (orderly, others): (Vec<_>, Vec<_>) = open.into_iter().partition(|(_, attributes)| attributes.has(A::ORDERLY));
    for (index, attributes) in others.into_iter().chain(orderly) {
        tpm.nv_set_attributes(index, attributes.with(A::WRITELOCKED))?;
    }
    Ok(Reply {})
}
