//! The mark of the newest commit that was answered, beside the database.
//!
//! After a process was killed the database cannot tell a last commit that is damaged from one that the power cut short,
//! and opens with the one before. The mark tells: it is written when a commit is on the disk and before its command is
//! answered. It is not flushed, which would cost as much as the commit: it outlives the process, and after a power loss
//! it may be an older one, never one that is ahead of what was on the disk.

use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::directory::ACKNOWLEDGED;
use super::mark::{Mark, MarkFile};

/// The file with the mark.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    path: PathBuf,
    /// `None` as long as it has to be made.
    file: Option<MarkFile>,
    /// The mark could not be set the last time, and the log says so.
    failing: bool,
}

impl Acknowledged {
    /// Opens the file of a state directory; gives the mark that was set last, if it is known. A file that is missing, as in
    /// an older version's state, or damaged says nothing against the state.
    pub(super) fn open(directory: &Path) -> (Self, Option<Mark>) {
        let path = directory.join(ACKNOWLEDGED);
        let (file, last) = match MarkFile::open(&path) {
            Ok(None) => (None, None),
            Ok(Some((file, Some(mark)))) => (Some(file), Some(mark)),
            Ok(Some((_, None))) => {
                warn!(
                    "{} is damaged; it is made anew, and that the state is the newest was not checked",
                    path.display()
                );
                (None, None)
            }
            Err(error) => {
                warn!(
                    "{} cannot be opened, and that the state is the newest was not checked: {error}",
                    path.display()
                );
                (None, None)
            }
        };
        let failing = false;
        (Self { path, file, failing }, last)
    }

    /// Sets a newer mark. The commit is on the disk and is answered even if that fails: without its mark it is as safe as
    /// it was without any.
    pub(super) fn set(&mut self, mark: &Mark) {
        let set = match &mut self.file {
            Some(file) => file.set(mark),
            None => MarkFile::make(&self.path, mark).map(|file| self.file = Some(file)),
        };
        if let Err(error) = &set
            && !self.failing
        {
            warn!(
                "{} cannot be written: should the state be damaged, its last change could be lost unnoticed: {error}",
                self.path.display()
            );
        }
        self.failing = set.is_err();
    }

    /// Sets a mark that may be older than the last one, durably.
    pub(super) fn reset(directory: &Path, mark: &Mark) -> io::Result<()> {
        MarkFile::replace(&directory.join(ACKNOWLEDGED), mark).map(drop)
    }

    /// Removes the mark of a state that another is about to replace.
    pub(super) fn forget(directory: &Path) -> io::Result<()> {
        match std::fs::remove_file(directory.join(ACKNOWLEDGED)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
