//! Flushes that nobody waits for.
//!
//! The database flushes its file after each step of being made and of being opened, nine times in all. What these flushes
//! order is not needed:
//!
//! - A file that is being made has no name yet. It is flushed once, as a whole, before it gets its name.
//! - A file that is being opened has only its header written, over and over: one sector. Whichever of these headers is on
//!   the disk after a power loss, the database can be opened with it, as the power could have gone after each of their
//!   flushes. It is flushed once, when it was found to be whole: what is read from then on is on the disk, also what a
//!   process that was killed had written and not flushed. Should opening have to change anything behind the header, nothing is
//!   left out from there on.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;

/// A disk writes as many bytes as a whole.
const SECTOR: u64 = 512;

/// What is left out, until [`Flushes::all`].
#[derive(Debug, Clone)]
pub(super) struct Flushes {
    left_out: Arc<AtomicBool>,
    /// Where what may be written without being flushed ends.
    end: u64,
}

impl Flushes {
    /// Those of a file that has no name yet.
    pub(super) fn none() -> Self {
        Self::none_before(u64::MAX)
    }

    /// Those of a file that is being opened.
    pub(super) fn none_of_the_header() -> Self {
        Self::none_before(SECTOR)
    }

    fn none_before(end: u64) -> Self {
        Self {
            left_out: Arc::new(AtomicBool::new(true)),
            end,
        }
    }

    /// From now on nothing is left out.
    pub(super) fn all(&self) {
        self.left_out.store(false, Ordering::Relaxed);
    }

    fn are_left_out(&self) -> bool {
        self.left_out.load(Ordering::Relaxed)
    }
}

/// A file some of whose flushes are left out.
#[derive(Debug)]
pub(super) struct Hasty<B> {
    pub(super) backend: Arc<B>,
    pub(super) flushes: Flushes,
}

impl<B: StorageBackend> Hasty<B> {
    /// The file is about to be changed up to here.
    fn change(&self, end: u64) -> io::Result<()> {
        if self.flushes.are_left_out() && end > self.flushes.end {
            // What was left out so far comes before what was not foreseen.
            self.flushes.all();
            self.backend.sync_data()?;
        }
        Ok(())
    }
}

impl<B: StorageBackend> StorageBackend for Hasty<B> {
    fn len(&self) -> io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.backend.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(u64::MAX)?;
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.flushes.are_left_out() {
            true => Ok(()),
            false => self.backend.sync_data(),
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(offset.saturating_add(data.len() as u64))?;
        self.backend.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.backend.close()
    }
}
