//! TPM2_Shutdown — Part 3, 9.4.

use std::sync::Arc;

use super::StartupType;
use crate::rc::{Rc, RcResult};
use crate::state::orderly::SavedState;
use crate::tpm::Tpm;

command! {
    /// TPM2_Shutdown: saves what the next start-up is to find.
    Shutdown = 0x145, [Nv, WithoutKeys];
    handles {}
    params { shutdown_type: StartupType }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let state = params.shutdown_type == StartupType::State;
    if state && tpm.pcr_reallocated {
        // The PCR would not fit the banks of the next start.
        return Err(Rc::TYPE.parameter(1));
    }
    let saved = SavedState {
        state,
        origin: tpm.origin,
        healing: tpm.healing_progress(),
        reset: tpm.reset.clone(),
        clear: tpm.clear.clone(),
        pcrs: tpm.pcrs.clone(),
        sessions: tpm.sessions.save(),
        orderly_nv: tpm.orderly_nv.clone(),
        countdowns: tpm.countdowns.save(tpm.timer.time),
    };
    tpm.record_clock(true);
    // What was changed before is in what is saved now.
    tpm.nv.change().saved = None;
    tpm.void_shutdown();
    tpm.nv.change().saved = Some(Arc::new(saved));
    Ok(Reply {})
}
