//! TPM2_ContextLoad — Part 3, 28.3.

use std::sync::Arc;

use super::{Given, SAVED_SEQUENCE};
use crate::handle::Handle;
use crate::marshal::{Reader, Unmarshal};
use crate::object::Loaded;
use crate::rc::{Rc, RcResult};
use crate::session::{Session, Slot};
use crate::tpm::Tpm;

command! {
    /// TPM2_ContextLoad: takes back what TPM2_ContextSave gave out.
    ContextLoad = 0x161, [NoSessions];
    handles {}
    params<'c> { context: Given<'c> }
    reply handle loaded_handle {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params<'_>) -> RcResult<Reply> {
    let context = &params.context;
    let handle = context.saved_handle.0;
    let loaded_handle = if handle.is_session() {
        load_session(tpm, context)?;
        handle
    } else {
        load_object(tpm, context)?
    };
    Ok(Reply { loaded_handle })
}

/// Only the newest context of a session is good: an older one would bring back used nonces (Part 1, 30.5).
fn load_session(tpm: &mut Tpm, context: &Given<'_>) -> RcResult<()> {
    let handle = context.saved_handle.0;
    let session: Session = read(tpm, context)?;
    match tpm.sessions.slot(handle) {
        Some(Slot::Saved { context_id }) if *context_id == context.sequence => {}
        _ => return Err(Rc::HANDLE.parameter(1)),
    }
    tpm.sessions.check_reload(handle)?;
    tpm.settle()?;
    *tpm.sessions.slot_mut(handle).ok_or(Rc::FAILURE)? = Slot::Loaded(session);
    Ok(())
}

fn load_object(tpm: &mut Tpm, context: &Given<'_>) -> RcResult<Handle> {
    let loaded = if context.saved_handle.0 == SAVED_SEQUENCE {
        Loaded::Sequence(Box::new(read(tpm, context)?))
    } else {
        Loaded::Object(Arc::new(read(tpm, context)?))
    };
    if !tpm.hierarchy_enabled(context.hierarchy) {
        return Err(Rc::HIERARCHY.parameter(1));
    }
    tpm.objects.insert(loaded)
}

fn read<T: for<'a> Unmarshal<'a>>(tpm: &Tpm, context: &Given<'_>) -> RcResult<T> {
    let data = tpm.open_context(context).map_err(|code| code.parameter(1))?;
    let mut reader = Reader::new(&data, tpm.profile);
    // What passed the check of its integrity is what was saved.
    let value = reader.read().map_err(|_| Rc::FAILURE)?;
    reader.finish().map_err(|_| Rc::FAILURE)?;
    Ok(value)
}
