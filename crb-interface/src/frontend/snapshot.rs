//! A TPM that moves with its machine, or is saved with it (`docs/vhost-user-tpm.md`, "Migration and snapshots").

use std::time::{Duration, Instant};

use super::{Frontend, FrontendConfig, FrontendError, Shared, State};
use crate::Control;

/// How a saved TPM begins: what it is, and its version.
const MAGIC: &[u8; 8] = b"CRB-TPM\x01";
/// How long the command that is being executed may take until the TPM can be saved.
const LAST_COMMAND: Duration = Duration::from_secs(30);

impl Frontend {
    /// Saves the TPM and its window, for [`Frontend::restore`]. The machine must be paused. The TPM is not here any more
    /// then: commands answer TPM_RC_FAILURE until [`Frontend::resume`] or [`Frontend::reset`].
    ///
    /// The bytes hold the TPM's keys, unless the process was given a migration key.
    ///
    /// # Errors
    /// When a command does not end, or the process cannot save its TPM. Then it is still here.
    pub fn snapshot(&self) -> Result<Vec<u8>, FrontendError> {
        let mut state = self.0.lock();
        if state.moved {
            return Err(FrontendError::Moved);
        }
        let begun = Instant::now();
        while self.0.crb.executing() && begun.elapsed() < LAST_COMMAND {
            std::thread::sleep(Duration::from_millis(1));
        }
        let window = self.0.crb.save().ok_or(FrontendError::Busy)?;
        let link = state.link.as_ref().ok_or(FrontendError::Detached)?;
        let saved = link.save();
        state.moved = true;
        match saved {
            Ok(tpm) => {
                let size = u32::try_from(window.len()).unwrap_or(u32::MAX).to_be_bytes();
                Ok([&MAGIC[..], &size, &window, &tpm].concat())
            }
            Err(error) => {
                if let Err(error) = self.0.resume(&mut state) {
                    tracing::warn!(%error, "the TPM was not saved, and does not go on either");
                }
                Err(error)
            }
        }
    }

    /// The machine goes on here after [`Frontend::snapshot`]: the migration failed, or it was saved and is kept. Must not be
    /// called once the TPM was restored elsewhere and its machine runs there.
    ///
    /// # Errors
    /// When the process does not take its TPM back: it lives elsewhere.
    pub fn resume(&self) -> Result<(), FrontendError> {
        self.0.resume(&mut self.0.lock())
    }

    /// Attaches a TPM process, as [`Frontend::connect`] does, and gives it the TPM that was saved, which goes on. The process
    /// has written it to its store when this returns.
    ///
    /// # Errors
    /// As [`Frontend::connect`]; or these bytes are no TPM that was saved, or the process refuses it. Then it has the TPM that
    /// it had before, if any.
    pub fn restore(config: FrontendConfig, saved: &[u8]) -> Result<Self, FrontendError> {
        let parts = || {
            let (size, rest) = saved.strip_prefix(MAGIC.as_slice())?.split_first_chunk()?;
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)
        };
        let parts = parts().ok_or(FrontendError::Snapshot)?;
        Self::begin(config, Control::Resume, Some(parts))
    }
}

impl Shared {
    fn resume(&self, state: &mut State) -> Result<(), FrontendError> {
        // Without a process there is nothing to take back: the next one recovers.
        if state.moved && state.link.is_some() {
            self.control(state, Control::Resume)?;
        }
        self.rejoin(state)
    }

    /// Starts the queue again after the TPM was saved: the TPM is here.
    pub(super) fn rejoin(&self, state: &mut State) -> Result<(), FrontendError> {
        let memory = self.crb.memory();
        if std::mem::take(&mut state.moved)
            && let Some(link) = &mut state.link
        {
            state.ring.reset(&**memory);
            link.start_queue(memory, &self.config.socket)
                .inspect_err(|_| link.hang_up())?;
        }
        Ok(())
    }
}
