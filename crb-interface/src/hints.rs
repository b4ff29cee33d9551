//! How the two sides of shared memory wait for each other: where each of them runs, and whether the TPM's side sleeps.
//! Nothing but time depends on what the other side writes here.

use crate::layout::{DEVICE_PROCESSOR, DEVICE_SLEEPS, MONITOR_PROCESSOR};
use crate::memory::Memory;
use crate::shared::SharedMemory;

impl SharedMemory {
    /// Notes where the monitor's thread runs. True when the TPM's side ran there, too, when it last did: then neither
    /// spinning nor waking it before there is a command helps, as only one of them can run.
    #[must_use]
    pub fn monitor_shares_processor(&self) -> bool {
        self.note_processor(MONITOR_PROCESSOR, DEVICE_PROCESSOR)
    }

    /// Notes where the TPM's side runs. True when the monitor's thread ran there, too, when it last asked for something.
    #[must_use]
    pub fn device_shares_processor(&self) -> bool {
        self.note_processor(DEVICE_PROCESSOR, MONITOR_PROCESSOR)
    }

    fn note_processor(&self, own: usize, other: usize) -> bool {
        // 0 is for a side that does not say.
        let here = u32::try_from(rustix::thread::sched_getcpu()).map_or(0, |number| number.saturating_add(1));
        if self.load(own) != here {
            self.store(own, here);
        }
        here != 0 && self.load(other) == here
    }

    /// The TPM's side will sleep unless it finds a command when it looks once more. Called before it asks to be notified.
    pub fn device_will_sleep(&self) {
        self.store(DEVICE_SLEEPS, self.load(DEVICE_SLEEPS).wrapping_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_that_does_not_say_where_it_runs_runs_elsewhere() {
        let memory = SharedMemory::create().unwrap();
        assert!(!memory.monitor_shares_processor());
        assert_ne!(memory.load(MONITOR_PROCESSOR), 0);
        memory.store(MONITOR_PROCESSOR, u32::MAX);
        assert!(!memory.device_shares_processor());
        assert_ne!(memory.load(DEVICE_PROCESSOR), 0);
    }
}
