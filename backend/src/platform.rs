//! The engine's platform on Linux: entropy and time.

use rustix::time::{ClockId, clock_gettime};
use tpm_engine::platform::{Clock, Entropy, EntropyError};

/// The kernel's random number generator.
pub(crate) struct KernelEntropy;

impl Entropy for KernelEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(out).map_err(|error| EntropyError(error.to_string()))
    }
}

/// Time since the host booted, including the time that it was suspended: an authorization that is good for a minute
/// (Part 1, 36.6) must not be good for a night because the host slept. A virtual machine sees no `_TPM_Init` when its
/// host is suspended, by which a discrete TPM would end it.
pub(crate) struct BootClock;

impl Clock for BootClock {
    fn now_ms(&mut self) -> u64 {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
        let millis = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default();
        seconds.saturating_mul(1000).saturating_add(millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_in_milliseconds() {
        let before = BootClock.now_ms();
        std::thread::sleep(std::time::Duration::from_millis(5));
        let passed = BootClock.now_ms() - before;
        assert!((4..5000).contains(&passed), "{passed}");
    }

    #[test]
    fn entropy_fills_the_whole_buffer() {
        let mut out = [0; 64];
        KernelEntropy.fill(&mut out).unwrap();
        assert!(out.chunks(8).all(|chunk| chunk != [0; 8]));
    }
}
