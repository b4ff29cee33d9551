//! The window in memory that two processes share.

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU32;

use rustix::fs::{MemfdFlags, SealFlags};
use vm_memory::{FileOffset, GuestMemoryRegion, GuestRegionMmap, MmapRegion, VolatileMemory};

use crate::layout::{MAGIC, MAGIC_VALUE, MEMORY_SIZE};
use crate::memory::Memory;

/// The window's memory, mapped: a sealed memfd that the monitor's side makes and hands over.
pub struct SharedMemory {
    region: MmapRegion,
    file: FileOffset,
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
        Self::map(FileOffset::new(file, 0))
    }

    /// The window that a region of guest memory is; `None` when it is something else.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn of_region(region: &GuestRegionMmap) -> io::Result<Option<Self>> {
        let Some(file) = region.file_offset() else {
            return Ok(None);
        };
        if region.len() != MEMORY_SIZE as u64 {
            return Ok(None);
        }
        let memory = Self::map(file.clone())?;
        Ok((memory.load(MAGIC) == MAGIC_VALUE).then_some(memory))
    }

    fn map(file: FileOffset) -> io::Result<Self> {
        let region = MmapRegion::from_file(file.clone(), MEMORY_SIZE).map_err(io::Error::other)?;
        Ok(Self { region, file })
    }

    /// The descriptor behind the memory, for a monitor that maps the window into its guest.
    #[must_use]
    pub fn file(&self) -> &File {
        self.file.file()
    }

    /// Where the memory is in this process.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.region.as_ptr() as u64
    }
}

impl Memory for SharedMemory {
    #[expect(unsafe_code, reason = "the crate that maps the memory checks each access anew")]
    fn words(&self) -> &[AtomicU32] {
        const {
            assert!(MEMORY_SIZE.is_multiple_of(4));
        }
        let begin = self.region.as_ptr().cast::<AtomicU32>();
        // SAFETY: `map` has made the region of this size, at the beginning of a page; it stays for as long as `self`. The
        // words may change at any time, in another process as well, which is what atomics are for.
        unsafe { std::slice::from_raw_parts(begin, MEMORY_SIZE / 4) }
    }

    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "there is no other way to say this to the processor")]
    fn prepare(&self, offset: usize) {
        if let Some(word) = self.word(offset) {
            // SAFETY: PREFETCHW changes nothing but caches, at any address; a processor that does not know it does nothing.
            unsafe {
                std::arch::asm!("prefetchw [{}]", in(reg) word, options(nostack, preserves_flags, readonly));
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "there is no other way to say this to the processor")]
    fn prepare_to_read(&self, offset: usize) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        if let Some(word) = self.word(offset) {
            // SAFETY: a prefetch changes nothing but caches, at any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast()) };
        }
    }

    fn wipe(&self, offset: usize, len: usize) {
        // In one go: a data buffer is wiped with each command.
        static ZEROS: [u8; MEMORY_SIZE] = [0; MEMORY_SIZE];
        if let Ok(part) = self.region.get_slice(offset, len) {
            part.copy_from(ZEROS.get(..len).unwrap_or_default());
        }
    }
}
