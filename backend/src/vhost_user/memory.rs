//! Memory that a monitor shares, before it is used.

use std::io;

use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

/// Refuses memory whose file ends before it does: the first access to what is not there would end the process (SIGBUS).
pub(super) fn check(memory: &GuestMemoryMmap) -> io::Result<()> {
    for region in memory.iter() {
        let Some(file) = region.file_offset() else { continue };
        let metadata = file.file().metadata()?;
        if !metadata.is_file() {
            // A device, whose size is not told so.
            continue;
        }
        let size = metadata.len();
        let end = file.start().checked_add(region.len());
        if end.is_none_or(|end| end > size) {
            let message = format!(
                "memory of {:#x} bytes at {:#x} is more than its file of {size:#x} bytes has",
                region.len(),
                region.start_addr().0,
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
    }
    Ok(())
}
