//! TPM2_FlushContext — Part 3, 28.4.

use crate::handle::ContextHandle;
use crate::rc::{Rc, RcResult};
use crate::session::Slot;
use crate::tpm::Tpm;

command! {
    /// TPM2_FlushContext: removes a session, loaded or saved, an object or a sequence.
    FlushContext = 0x165, [NoSessions, WithoutKeys];
    handles {}
    // A parameter, as a saved session, too, can be flushed: the handles of the handle area must be loaded.
    params { flush_handle: ContextHandle }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let handle = params.flush_handle.0;
    if !handle.is_session() {
        tpm.objects.remove(handle).ok_or(Rc::HANDLE.parameter(1))?;
        return Ok(Reply {});
    }
    if !tpm.sessions.exists(handle) {
        return Err(Rc::HANDLE.parameter(1));
    }
    if matches!(tpm.sessions.slot(handle), Some(Slot::Saved { .. })) {
        // An earlier shutdown still knows the context: resuming from it would make it loadable again.
        tpm.settle()?;
    }
    tpm.flush_session(handle);
    Ok(Reply {})
}
