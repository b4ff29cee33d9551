//! Integrity collection: the PCR (Part 3, 22).

pub(crate) mod allocate;
pub(crate) mod event;
pub(crate) mod extend;
pub(crate) mod read;
pub(crate) mod reset;
pub(crate) mod set_auth;

use crate::handle::Handle;
use crate::rc::{Rc, RcResult};
use crate::state::pcr;
use crate::tpm::Tpm;
use crate::types::BorrowedDigest;

/// TPM_RC_LOCALITY unless the PCR of this handle may be extended from where the command came; TPM_RH_NULL may.
pub(crate) fn check_extend(tpm: &Tpm, handle: Handle) -> RcResult<()> {
    match pcr::attributes(handle.0) {
        Some(attributes) if attributes.extend_localities & tpm.current.locality.bit() == 0 => Err(Rc::LOCALITY),
        _ => Ok(()),
    }
}

/// Extends the PCR of this handle in those banks of the digests where it is allocated; TPM_RH_NULL names no PCR.
/// Cannot fail.
pub(crate) fn extend_all<'d>(tpm: &mut Tpm, handle: Handle, digests: impl IntoIterator<Item = BorrowedDigest<'d>>) {
    for BorrowedDigest { alg, digest } in digests {
        if tpm.pcrs.bank(alg).is_some_and(|bank| bank.get(handle.0).is_some()) {
            tpm.pcrs.change().extend(alg, handle.0, digest);
            count_change(tpm, handle);
        }
    }
}

/// Counts a change of the PCR, if changes of this one count (Part 1, 17.9).
pub(crate) fn count_change(tpm: &mut Tpm, handle: Handle) {
    if pcr::attributes(handle.0).is_some_and(|attributes| !attributes.no_increment) {
        let reset = tpm.reset.change();
        reset.pcr_counter = reset.pcr_counter.wrapping_add(1);
    }
}
