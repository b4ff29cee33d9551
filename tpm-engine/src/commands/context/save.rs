//! TPM2_ContextSave — Part 3, 28.2.

use super::{Blob, Context, SAVED_OBJECT, SAVED_SEQUENCE, SAVED_ST_CLEAR};
use crate::handle::Hierarchy;
use crate::object::Loaded;
use crate::rc::{Rc, RcResult};
use crate::session::Slot;
use crate::tpm::Tpm;

command! {
    /// TPM2_ContextSave: gives a session, object or sequence out for keeping. A session leaves the TPM with it.
    ContextSave = 0x162, [NoSessions];
    handles { save_handle: Context }
    params {}
    reply { context: Context<Blob> }
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let context = if handles.save_handle.is_session() {
        save_session(tpm, handles)?
    } else {
        save_object(tpm, handles)?
    };
    Ok(Reply { context })
}

fn save_session(tpm: &mut Tpm, handles: Handles) -> RcResult<Context<Blob>> {
    let handle = handles.save_handle;
    let number = tpm.sessions.next_context()?;
    let session = tpm.sessions.get(handle).ok_or(Rc::FAILURE)?;
    let context = tpm.seal_context(number, handle, Hierarchy::Null, session)?;
    // An earlier shutdown knows the session in another state: resuming from it would bring that back.
    tpm.settle()?;
    *tpm.sessions.slot_mut(handle).ok_or(Rc::FAILURE)? = Slot::Saved { context_id: number };
    tpm.sessions.context_counter = number.saturating_add(1);
    Ok(context)
}

fn save_object(tpm: &mut Tpm, handles: Handles) -> RcResult<Context<Blob>> {
    let number = tpm.reset.object_context_id;
    let next = number.checked_add(1).ok_or(Rc::TOO_MANY_CONTEXTS)?;
    let context = match tpm.objects.get(handles.save_handle).ok_or(Rc::FAILURE)? {
        Loaded::Object(object) => {
            let handle = if object.st_clear { SAVED_ST_CLEAR } else { SAVED_OBJECT };
            tpm.seal_context(number, handle, object.hierarchy, object.as_ref())?
        }
        Loaded::Sequence(sequence) => tpm.seal_context(number, SAVED_SEQUENCE, Hierarchy::Null, sequence.as_ref())?,
    };
    tpm.reset.change().object_context_id = next;
    Ok(context)
}
