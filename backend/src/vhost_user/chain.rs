//! Commands of a virtio-tpm driver, which stand in its machine's memory.

use crb_interface::layout::STAGING_SIZE;
use virtio_queue::DescriptorChain;
use vm_memory::{Bytes, GuestMemoryMmap};

/// Copies the command out of a virtio-tpm driver's chain; returns its length.
pub(super) fn read_command<M: std::ops::Deref<Target = GuestMemoryMmap> + Clone>(
    memory: &GuestMemoryMmap,
    chain: &DescriptorChain<M>,
    command: &mut [u8; STAGING_SIZE],
) -> usize {
    let mut len = 0usize;
    for part in chain.clone().readable() {
        let room = command.get_mut(len..).unwrap_or_default();
        let count = usize::try_from(part.len()).unwrap_or(usize::MAX).min(room.len());
        let Some(room) = room.get_mut(..count) else { break };
        if memory.read_slice(room, part.addr()).is_err() {
            break;
        }
        len = len.saturating_add(count);
    }
    len
}

/// Writes a response into a virtio-tpm driver's chain; returns the length that was written.
pub(super) fn write_response<M: std::ops::Deref<Target = GuestMemoryMmap> + Clone>(
    memory: &GuestMemoryMmap,
    chain: DescriptorChain<M>,
    response: &[u8],
) -> u32 {
    let mut rest = response;
    for part in chain.writable() {
        let count = usize::try_from(part.len()).unwrap_or(usize::MAX).min(rest.len());
        let (now, later) = rest.split_at(count);
        if memory.write_slice(now, part.addr()).is_err() {
            return 0;
        }
        rest = later;
    }
    // Half a response would be worse than none.
    if rest.is_empty() {
        u32::try_from(response.len()).unwrap_or(0)
    } else {
        0
    }
}
