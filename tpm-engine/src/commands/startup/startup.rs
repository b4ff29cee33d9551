//! TPM2_Startup — Part 3, 9.3.

use std::sync::Arc;

use super::StartupType;
use crate::commands::pcr::count_change;
use crate::handle::{Handle, PCR_COUNT};
use crate::rc::{Rc, RcResult};
use crate::session::Sessions;
use crate::state::Watched;
use crate::state::orderly::{ClearState, ResetState, SavedState, StartOrigin};
use crate::state::pcr;
use crate::state::persistent::Counters;
use crate::state::time::CLOCK_UPDATE_INTERVAL;
use crate::tpm::{Phase, Tpm};

command! {
    /// TPM2_Startup: from `_TPM_Init` to operation.
    Startup = 0x144, [Nv, NoSessions, BeforeStartup, WithoutKeys];
    handles {}
    params { startup_type: StartupType }
    reply {}
}

/// What a start-up is (Part 1, 12.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartKind {
    /// Startup(CLEAR) without a preceding Shutdown(STATE).
    Reset,
    /// Startup(CLEAR) after Shutdown(STATE).
    Restart,
    /// Startup(STATE) after Shutdown(STATE).
    Resume,
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let Phase::Initialized { hcrtm } = tpm.phase else {
        return Err(Rc::INITIALIZE);
    };
    let locality = tpm.current.locality.number();
    if locality != 0 && locality != 3 {
        return Err(Rc::LOCALITY);
    }
    let saved = tpm.nv.saved.clone();
    let kind = match (params.startup_type, saved.as_ref().is_some_and(|saved| saved.state)) {
        (StartupType::State, true) => StartKind::Resume,
        (StartupType::State, false) => return Err(Rc::VALUE.parameter(1)),
        (StartupType::Clear, true) => StartKind::Restart,
        (StartupType::Clear, false) => StartKind::Reset,
    };
    let origin = StartOrigin {
        hcrtm,
        locality3: locality == 3 && !hcrtm,
    };
    if let (StartKind::Resume, Some(saved)) = (kind, &saved) {
        if origin.hcrtm != saved.origin.hcrtm {
            return Err(Rc::VALUE.parameter(1));
        }
        if origin.locality3 != saved.origin.locality3 {
            return Err(Rc::LOCALITY);
        }
    }
    let first = tpm.nv.counters.time_epoch == 0;
    start_clock(tpm);
    tpm.restart_healing(saved.as_deref().map(|saved| &saved.healing));
    start_counters(tpm, kind);
    let orderly = saved.is_some();
    match (kind, saved) {
        (StartKind::Reset, saved) => {
            tpm.reset = Watched::new(ResetState::new(&mut tpm.rng));
            tpm.clear = Watched::new(ClearState::default());
            restore_orderly_nv(tpm, saved.as_deref());
        }
        (_, Some(saved)) => restore(tpm, kind, &saved),
        (_, None) => return Err(Rc::FAILURE),
    }
    if kind != StartKind::Resume && origin.locality3 {
        // Start-up from locality 3 shows in PCR 0 (Part 3, 9.3.1).
        tpm.pcrs.change().fill(0, 0, 3);
    }
    count_pcrs(tpm, kind);
    tpm.orderly = orderly || first;
    tpm.start_nv(kind, orderly)?;
    tpm.nv.change().saved = None;
    // The changes above are those of the start itself.
    tpm.void_shutdown();
    tpm.nv.commit()?;
    tpm.origin = origin;
    tpm.phase = Phase::Started;
    Ok(Reply {})
}

/// Clock goes on from its NV copy; if it may have run ahead of that when power was lost, from beyond what it can have
/// reached (Part 1, 36.3.3).
fn start_clock(tpm: &mut Tpm) {
    if !tpm.nv.clock.exact {
        tpm.timer.clock = tpm.timer.clock.saturating_add(CLOCK_UPDATE_INTERVAL);
        tpm.timer.safe = false;
    }
    tpm.record_clock(false);
}

/// A register that starts afresh counts as changed (Part 1, 17.9).
fn count_pcrs(tpm: &mut Tpm, kind: StartKind) {
    for number in 0..PCR_COUNT {
        let kept = kind == StartKind::Resume && pcr::attributes(number).is_some_and(|a| a.state_save);
        if !kept {
            count_change(tpm, Handle(number));
        }
    }
}

fn start_counters(tpm: &mut Tpm, kind: StartKind) {
    let mut counters = Counters::clone(&tpm.nv.counters);
    counters.time_epoch = counters.time_epoch.wrapping_add(1);
    if kind == StartKind::Reset {
        counters.reset_count = counters.reset_count.wrapping_add(1);
        counters.total_reset_count = counters.total_reset_count.wrapping_add(1);
    }
    if tpm.nv.da.lockout_recovery == 0 && !tpm.nv.da.lockout_auth_enabled {
        // A recovery time of zero means: blocked until the next start-up (Part 1, 19.8.5).
        let mut da = (*tpm.nv.da).clone();
        da.lockout_auth_enabled = true;
        tpm.nv.change().da = Arc::new(da);
    }
    tpm.nv.change().counters = Arc::new(counters);
}

/// Takes back what TPM2_Shutdown(STATE) saved, as far as the kind of start keeps it.
fn restore(tpm: &mut Tpm, kind: StartKind, saved: &SavedState) {
    let mut reset = saved.reset.clone();
    reset.restart_count = reset.restart_count.wrapping_add(1);
    if kind == StartKind::Restart {
        reset.clear_count = reset.clear_count.wrapping_add(1);
        tpm.clear = Watched::new(ClearState::default());
    } else {
        tpm.clear = Watched::new(saved.clear.clone());
        let now = tpm.timer.time;
        tpm.countdowns.change().resume(&saved.countdowns, now);
        tpm.pcrs.change().restore(&saved.pcrs, |number| {
            pcr::attributes(number).is_some_and(|a| a.state_save)
        });
    }
    tpm.reset = Watched::new(reset);
    tpm.sessions = Sessions::restore(&saved.sessions);
    restore_orderly_nv(tpm, Some(saved));
}

fn restore_orderly_nv(tpm: &mut Tpm, saved: Option<&SavedState>) {
    tpm.orderly_nv = Watched::new(saved.map(|saved| saved.orderly_nv.clone()).unwrap_or_default());
}
