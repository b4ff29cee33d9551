//! The window in memory that two processes share.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::fs::{MemfdFlags, SealFlags};
use vm_memory::{FileOffset, GuestMemoryRegion, GuestRegionMmap, MmapRegion, VolatileMemory};

use crate::layout::{MAGIC, MAGIC_VALUE, MEMORY_SIZE};
use crate::memory::Memory;

/// The window's memory as the monitor's side makes it: a sealed memfd, mapped.
pub struct SharedMemory {
    region: MmapRegion,
    file: Arc<File>,
}

impl SharedMemory {
    /// New memory, all zeros. Its size can never change, so that neither side can take it away from the other.
    ///
    /// # Errors
    /// When the system has no memory or descriptor left.
    pub fn create() -> io::Result<Self> {
        let file = File::from(rustix::fs::memfd_create(
            "tpm-crb-window",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?);
        file.set_len(MEMORY_SIZE as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let file = Arc::new(file);
        let region =
            MmapRegion::from_file(FileOffset::from_arc(Arc::clone(&file), 0), MEMORY_SIZE).map_err(io::Error::other)?;
        Ok(Self { region, file })
    }

    /// The descriptor behind the memory, for a monitor that maps the window into its guest.
    #[must_use]
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Where the memory is in this process.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.region.as_ptr() as u64
    }
}

impl Memory for SharedMemory {
    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        self.region.get_atomic_ref(offset).ok()
    }
}

/// The window's memory as the TPM's side is given it: a region of guest memory.
pub struct RegionMemory(Arc<GuestRegionMmap>);

impl RegionMemory {
    /// The window in this region, if that is what the region is.
    #[must_use]
    pub fn new(region: Arc<GuestRegionMmap>) -> Option<Self> {
        let memory = Self(region);
        let large = memory.0.len() >= MEMORY_SIZE as u64;
        (large && memory.load(MAGIC) == MAGIC_VALUE).then_some(memory)
    }
}

impl Memory for RegionMemory {
    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        if offset >= MEMORY_SIZE {
            return None;
        }
        (**self.0).get_atomic_ref(offset).ok()
    }
}
