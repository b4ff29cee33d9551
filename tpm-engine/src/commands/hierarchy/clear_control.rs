//! TPM2_ClearControl — Part 3, 24.7.

use std::sync::Arc;

use crate::handle::Handle;
use crate::rc::{Rc, RcResult};
use crate::state::persistent::Hierarchies;
use crate::tpm::Tpm;

command! {
    /// TPM2_ClearControl: forbids or allows TPM2_Clear.
    ClearControl = 0x127, [Nv, PresenceOptional];
    handles { auth: Clear @ User }
    params { disable: bool }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    // Only the platform may allow it again.
    if handles.auth == Handle::LOCKOUT && !params.disable {
        return Err(Rc::AUTH_FAIL);
    }
    let hierarchies = Hierarchies {
        disable_clear: params.disable,
        ..Hierarchies::clone(&tpm.nv.hierarchies)
    };
    tpm.nv.change().hierarchies = Arc::new(hierarchies);
    Ok(Reply {})
}
