//! What of a TPM its host has a hand in: physical presence, and countdown timers that signal to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::info;

use super::Device;

/// Commands after which a countdown timer may run: TPM2_Startup and TPM2_ACT_SetTimeout.
pub(super) const SETS_TIMERS: [u32; 2] = [0x144, 0x198];

/// Physical presence as the operator asserts it.
pub(super) struct Presence {
    /// What the engine looks at.
    pub(super) flag: Arc<AtomicBool>,
    /// What it is after a reset of the machine.
    always: bool,
}

impl Presence {
    pub(super) fn new(always: bool) -> Self {
        Self {
            flag: Arc::new(AtomicBool::new(always)),
            always,
        }
    }

    /// The machine is reset: whoever was present need not be so any more.
    pub(super) fn reset(&self) {
        if self.flag.swap(self.always, Ordering::Relaxed) != self.always {
            info!("physical presence has ended with the reset");
        }
    }
}

impl Device {
    /// The flag that asserts physical presence until the next reset of the machine.
    pub(crate) fn presence(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.presence.flag)
    }

    /// Waits until the countdown timers that have signaled are others than those of `seen`, a bit each; returns them.
    pub(crate) fn wait_for_timers(&self, seen: u16) -> u16 {
        let mut state = self.lock_early();
        loop {
            let gone = state.moving.gone;
            let mut tpm = state.tpm.as_mut().filter(|_| !gone);
            let signaled = tpm.as_mut().map_or(0, |tpm| tpm.signaled_timers());
            if signaled != seen {
                return signaled;
            }
            let woken = match tpm.and_then(|tpm| tpm.until_next_timer()) {
                None => self.timers.wait(state).ok(),
                Some(time) => {
                    // The TPM counts whole milliseconds.
                    let time = time.max(Duration::from_millis(1));
                    self.timers.wait_timeout(state, time).ok().map(|(state, _)| state)
                }
            };
            state = woken.unwrap_or_else(|| std::process::abort());
        }
    }
}
