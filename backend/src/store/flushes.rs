//! Flushes that nobody waits for.
//!
//! The database flushes its file after each step of being made. A file that is being made has no name yet: it is flushed
//! once, as a whole, before it gets its name.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;

/// Whether a file is flushed when the database says so.
#[derive(Debug, Clone, Default)]
pub(super) struct Flushes(Arc<AtomicBool>);

impl Flushes {
    /// From now on it is.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A file that is being made.
#[derive(Debug)]
pub(super) struct Unfinished<B> {
    pub(super) backend: B,
    pub(super) flushes: Flushes,
}

impl<B: StorageBackend> StorageBackend for Unfinished<B> {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.flushes.0.load(Ordering::Relaxed) {
            true => self.backend.sync_data(),
            false => Ok(()),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }
}
