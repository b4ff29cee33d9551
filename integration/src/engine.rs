//! The engine in this process: what a command takes by itself.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Result;
use tpm_engine::platform::{Change, Clock, Entropy, EntropyError, NvStore, Record, StoreError};
use tpm_engine::{Locality, Manufacture, Platform, ProfileName, ResponseBuffer, Tpm};

/// A TPM without a process of its own; its state is forgotten.
pub struct Engine {
    tpm: Tpm,
    response: ResponseBuffer,
}

impl Engine {
    /// Makes a TPM and powers it on; the next command is TPM2_Startup.
    ///
    /// # Errors
    /// The kernel has no randomness.
    pub fn start() -> Result<Self> {
        let platform = Platform {
            entropy: Box::new(KernelEntropy),
            clock: Box::new(Uptime(Instant::now())),
            store: Box::new(NoStore),
            cancel: std::sync::Arc::default(),
            physical_presence: std::sync::Arc::default(),
        };
        let options = Manufacture {
            profile: ProfileName::Compat,
        };
        let mut tpm = Tpm::manufacture(platform, &options)?;
        tpm.power_on();
        Ok(Self {
            tpm,
            response: ResponseBuffer::default(),
        })
    }

    /// Runs a command.
    pub fn execute(&mut self, command: &[u8], response: &mut Vec<u8>) {
        self.tpm.execute(Locality::ZERO, command, &mut self.response);
        response.clear();
        response.extend_from_slice(self.response.as_slice());
    }

    /// Does all that a TPM prepares while no command runs.
    pub fn idle(&mut self) {
        while let Some(outcome) = self.tpm.next_job().and_then(|job| job.run(&AtomicBool::new(false))) {
            self.tpm.finish(outcome);
        }
    }
}

struct KernelEntropy;

impl Entropy for KernelEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(out).map_err(|error| EntropyError(error.to_string()))
    }
}

struct Uptime(Instant);

impl Clock for Uptime {
    fn now_ms(&mut self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Takes everything and keeps nothing.
struct NoStore;

impl NvStore for NoStore {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _changes: &[Change]) -> Result<(), StoreError> {
        Ok(())
    }
}
