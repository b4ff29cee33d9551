//! Memory that a monitor shares, before it is used.

use std::fs::File;
use std::io;

use crb_interface::layout::MEMORY_SIZE;
use rustix::fs::{SealFlags, fcntl_get_seals};
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap};

/// Refuses memory whose file ends before it does: the first access to what is not there would end the process (SIGBUS).
/// A file that can still be shortened is as good as its monitor's word; a window's must not be one.
pub(super) fn check(memory: &GuestMemoryMmap) -> io::Result<()> {
    for region in memory.iter() {
        let Some(file) = region.file_offset() else { continue };
        // Before the size: what is sealed keeps it.
        let sealed = is_sealed(file.file());
        let metadata = file.file().metadata()?;
        if !metadata.is_file() {
            // A device, whose size is not told so.
            continue;
        }
        let size = metadata.len();
        let end = file.start().checked_add(region.len());
        if end.is_none_or(|end| end > size) {
            return Err(refused(
                region,
                &format!("is more than its file of {size:#x} bytes has"),
            ));
        }
        if sealed {
            continue;
        }
        if region.len() == MEMORY_SIZE as u64 {
            return Err(refused(
                region,
                "has the size of a window, and its file is not sealed against shrinking (F_SEAL_SHRINK)",
            ));
        }
        tracing::info!(
            "memory of {:#x} bytes at {:#x} is not sealed against shrinking: should the monitor truncate its file, this \
             process ends",
            region.len(),
            region.start_addr().0,
        );
    }
    Ok(())
}

/// Whether nobody can shorten the file any more.
fn is_sealed(file: &File) -> bool {
    // Files that know no seals fail.
    fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
}

fn refused(region: &GuestRegionMmap, why: &str) -> io::Error {
    let (len, start) = (region.len(), region.start_addr().0);
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("memory of {len:#x} bytes at {start:#x} {why}"),
    )
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};
    use vm_memory::{FileOffset, GuestAddress};

    use super::*;

    /// What is said of memory of this size, in a file of that one with these seals.
    fn checked(size: usize, file_size: usize, seals: SealFlags) -> io::Result<()> {
        let file = File::from(memfd_create("test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap());
        file.set_len(size as u64).unwrap();
        let range = (
            GuestAddress(0x1000),
            size,
            Some(FileOffset::new(file.try_clone().unwrap(), 0)),
        );
        let memory = GuestMemoryMmap::from_ranges_with_files([range]).unwrap();
        file.set_len(file_size as u64).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        check(&memory)
    }

    #[test]
    fn memory_that_can_go_away_is_no_window() {
        let larger = MEMORY_SIZE * 2;
        assert!(checked(MEMORY_SIZE, MEMORY_SIZE, SealFlags::SHRINK).is_ok());
        assert!(checked(larger, larger, SealFlags::GROW).is_ok());
        for (size, file_size, seals, why) in [
            (MEMORY_SIZE, MEMORY_SIZE, SealFlags::GROW, "F_SEAL_SHRINK"),
            (MEMORY_SIZE, MEMORY_SIZE - 1, SealFlags::SHRINK, "more than its file"),
            (larger, MEMORY_SIZE, SealFlags::SHRINK, "more than its file"),
        ] {
            let error = checked(size, file_size, seals).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
