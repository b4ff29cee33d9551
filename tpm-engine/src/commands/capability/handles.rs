//! The handles of a TPM (Part 3, 30.2: TPM_CAP_HANDLES).

use crate::handle::{Handle, PCR_COUNT};
use crate::rc::{Rc, RcResult};
use crate::session::{Slot, session_handle};
use crate::tpm::Tpm;

/// The handles of the type of `first`, from there on, in ascending order.
pub(crate) fn from(tpm: &Tpm, first: u32) -> RcResult<Vec<Handle>> {
    const PERMANENT: [Handle; 7] = [
        Handle::OWNER,
        Handle::NULL,
        Handle::PASSWORD,
        Handle::LOCKOUT,
        Handle::ENDORSEMENT,
        Handle::PLATFORM,
        Handle::PLATFORM_NV,
    ];
    /// TPM_HT_LOADED_SESSION and TPM_HT_SAVED_SESSION (Part 2, 7.2): here types of query, not of session.
    const LOADED_SESSION: u32 = 0x02;
    const SAVED_SESSION: u32 = 0x03;
    // A session's handle says what it is, but is sought by its number.
    let slots = tpm.sessions.iter().filter(|(number, _)| *number >= first & 0x00FF_FFFF);
    let from = |handle: &Handle| handle.0 >= first;
    Ok(match first >> 24 {
        0x00 => (0..PCR_COUNT).map(Handle).filter(from).collect(),
        0x01 => tpm.nv.nv.keys().copied().filter(from).collect(),
        LOADED_SESSION => {
            let loaded = slots.filter_map(|(number, slot)| match slot {
                Slot::Loaded(session) => Some(session_handle(session.is_policy(), number)),
                _ => None,
            });
            loaded.collect()
        }
        SAVED_SESSION => {
            let saved = slots.filter_map(|(number, slot)| match slot {
                Slot::Saved { .. } => Some(session_handle(false, number)),
                _ => None,
            });
            saved.collect()
        }
        0x40 => PERMANENT.into_iter().chain(Handle::timers()).filter(from).collect(),
        0x80 => tpm.objects.iter().map(|(handle, _)| handle).filter(from).collect(),
        0x81 => tpm.nv.objects.keys().copied().filter(from).collect(),
        _ => return Err(Rc::HANDLE.parameter(2)),
    })
}
