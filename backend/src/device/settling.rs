//! When what a start writes is on the disk: not before the sockets accept, but before any answer could tell of it.

use tracing::debug;

use super::{Device, DeviceError, State, StateError, code_of};

/// How far that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Settling {
    /// The daemon starts; nobody else knows of the TPM.
    #[default]
    Early,
    /// Whoever comes first writes it.
    Due,
    Done,
}

/// Commands of which a TPM's state has no part in the answer, if they have no sessions: TPM2_SelfTest, TPM2_GetRandom,
/// TPM2_GetTestResult and TPM2_PCR_Read.
const TELL_NOTHING: [u32; 4] = [0x143, 0x17B, 0x17C, 0x17E];
/// TPM_ST_NO_SESSIONS.
const NO_SESSIONS: [u8; 2] = [0x80, 0x01];

/// Whether the answer to a command is the same whether the start's changes outlive it or not.
pub(super) fn tells_nothing(command: &[u8]) -> bool {
    command.starts_with(&NO_SESSIONS) && TELL_NOTHING.contains(&code_of(command))
}

impl State {
    /// Writes what is still to be written, unless the daemon only starts; says whether all is on the disk that is to be.
    pub(super) fn settle_if_due(&mut self) -> bool {
        match self.settling {
            Settling::Early | Settling::Done => true,
            // Whoever settles it in the background says why it cannot be, and ends the daemon.
            Settling::Due => match self.lease.settle() {
                Ok(()) => {
                    self.settling = Settling::Done;
                    true
                }
                Err(error) => {
                    debug!("the start is not on the disk: {error}");
                    false
                }
            },
        }
    }
}

impl Device {
    /// Has on the disk what the start has written. Commands that tell nothing of it do not wait meanwhile.
    pub(crate) fn settle(&self) -> Result<(), DeviceError> {
        let lease = self.lock_early().lease.clone();
        lease.settle().map_err(StateError::from)?;
        self.lock_early().settling = Settling::Done;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_without_sessions_go_ahead() {
        assert!(tells_nothing(b"\x80\x01\0\0\0\x0c\0\0\x01\x7b\0\x10"));
        assert!(!tells_nothing(b"\x80\x02\0\0\0\x0c\0\0\x01\x7b\0\x10"));
        assert!(!tells_nothing(b"\x80\x01\0\0\0\x0c\0\0\x01\x44\0\0"));
        assert!(!tells_nothing(b"\x80\x01"));
    }
}
