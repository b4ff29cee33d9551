//! The driver's half of queue 0: one command at a time, whose two descriptors name the window's own buffer.
//!
//! A split virtqueue (virtio 1.3, 2.7) in the shared memory. Each word that two 16-bit fields share has one writer.

use std::sync::atomic::{Ordering, fence};

use crate::layout::{DATA_BUFFER_SIZE, DEVICE_SLEEPS, QUEUE_AVAILABLE, QUEUE_DESCRIPTORS, QUEUE_USED};
use crate::memory::Memory;

const NEXT: u32 = 1;
const WRITE: u32 = 2;
/// VIRTQ_AVAIL_F_NO_INTERRUPT and VIRTQ_USED_F_NO_NOTIFY.
const QUIET: u32 = 1;

/// The driver's side of the queue.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// Commands that were ever made available.
    available: u16,
    quiet: bool,
    /// How often the device had gone to sleep when it was last notified.
    notified_at: Option<u32>,
}

impl Ring {
    /// An empty queue: both rings at their beginning.
    pub(super) fn reset(&mut self, memory: &impl Memory) {
        *self = Self::default();
        memory.wipe(QUEUE_DESCRIPTORS, 0x800);
    }

    /// Makes the command in the buffer at this guest-physical address available. True when the device must be notified.
    pub(super) fn submit(&mut self, memory: &impl Memory, buffer: u64) -> bool {
        let len = u32::try_from(DATA_BUFFER_SIZE).unwrap_or(u32::MAX);
        for (slot, flags) in [(0usize, NEXT | 1 << 16), (16, WRITE)] {
            let at = QUEUE_DESCRIPTORS.saturating_add(slot);
            for (offset, value) in [(0, buffer as u32), (4, (buffer >> 32) as u32), (8, len), (12, flags)] {
                memory.store(at.saturating_add(offset), value);
            }
        }
        // Both entries of the available ring name the chain that begins at descriptor 0: they stay 0.
        self.available = self.available.wrapping_add(1);
        self.publish(memory);
        // The device either sees the new index, or its wish to be notified is seen here.
        fence(Ordering::SeqCst);
        self.must_notify(memory)
    }

    /// Whether the device sleeps and has not been notified since it went to sleep: it looks into the queue before it
    /// sleeps again, so that once is enough for a command that comes later. The caller notifies it then.
    pub(super) fn must_notify(&mut self, memory: &impl Memory) -> bool {
        if memory.load(QUEUE_USED) & QUIET != 0 {
            return false;
        }
        let sleeps = Some(memory.load(DEVICE_SLEEPS));
        std::mem::replace(&mut self.notified_at, sleeps) != sleeps
    }

    /// Says whether the device should signal that it has used a command.
    pub(super) fn want_signal(&mut self, memory: &impl Memory, wanted: bool) {
        if self.quiet == wanted {
            self.quiet = !wanted;
            self.publish(memory);
            fence(Ordering::SeqCst);
        }
    }

    fn publish(&self, memory: &impl Memory) {
        memory.store(QUEUE_AVAILABLE, u32::from(self.quiet) | u32::from(self.available) << 16);
    }
}
