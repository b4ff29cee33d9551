//! The directory of one TPM: its lock, the names of its files, and files that are replaced as a whole.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::error::OpenError;

/// The database.
pub(super) const STATE: &str = "state.redb";
/// The key of the database's records, sealed with the operator's key.
pub(super) const DATA_KEY: &str = "state.key";
/// Locked by whoever replaces that.
pub(super) const DATA_KEY_LOCK: &str = "state.key.lock";
/// There since the directory has held a TPM: a state that is missing later is damage, not a TPM still to be made.
pub(super) const MARKER: &str = "manufactured";
/// The mark of the newest commit that was answered.
pub(super) const ACKNOWLEDGED: &str = "acknowledged";

/// A state directory that no other process serves.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Held for as long as the directory is in use.
    _lock: File,
}

impl Directory {
    /// Locks the directory, which is made if it is missing.
    pub(crate) fn enter(path: &Path) -> Result<Self, OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|error| OpenError::Create(path.to_owned(), error))?;
        warn_of_others(path);
        Ok(Self {
            path: path.to_owned(),
            _lock: lock(path)?,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The database's file.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// Whether there is a TPM in the directory, or has been.
    pub(crate) fn is_occupied(&self) -> bool {
        is_marked(&self.path) || self.state().exists()
    }

    /// The database's file while it is being made.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.path.join("state.redb.new")
    }
}

/// Whether the directory holds a TPM, or did.
pub(super) fn is_marked(directory: &Path) -> bool {
    !matches!(directory.join(MARKER).try_exists(), Ok(false))
}

/// Whether a TPM may be made in the directory: it has never held one.
pub(crate) fn may_be_made(directory: &Path) -> Result<(), OpenError> {
    match is_marked(directory) {
        false => Ok(()),
        true => Err(OpenError::Gone(directory.to_owned())),
    }
}

/// Notes that the directory holds a TPM. Nobody waits for the note to be on the disk: it counts when the state is gone, and
/// one that the power took is made again by the next start, which finds the state.
pub(crate) fn mark(directory: &Path) -> Result<(), OpenError> {
    match open_file(&directory.join(MARKER), true) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(OpenError::Mark(directory.to_owned(), error)),
        _ => Ok(()),
    }
}

/// The directory's lock. Whoever holds it has left its process number in the file, for the message.
fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let failed = |error| OpenError::Lock(path.clone(), error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(failed(error)),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let number = (&file).take(16).read_to_string(&mut holder).is_ok() && !holder.trim().is_empty();
            return Err(OpenError::Served {
                directory: directory.to_owned(),
                holder: if number {
                    holder.trim().to_owned()
                } else {
                    "unknown".to_owned()
                },
                lock: path,
            });
        }
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(file)
}

/// The keys in the directory are as safe as the directory.
fn warn_of_others(directory: &Path) {
    if let Ok(metadata) = directory.metadata()
        && metadata.mode() & 0o077 != 0
    {
        warn!(
            "the state directory {} can be entered by other users (mode {:o}); make it 0700",
            directory.display(),
            metadata.mode() & 0o7777
        );
    }
}

/// Opens a file that only its owner may read.
pub(super) fn open_file(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(new)
        .mode(0o600)
        .open(path)
}

/// A file of this name that is not there yet; what an interrupted attempt left is removed.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    open_file(path, true)
}

/// Gives a file that is complete and flushed its name. Whoever looks sees the old file or the new one, also after a
/// power loss.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    match to.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => sync(directory),
        _ => sync(Path::new(".")),
    }
}

/// Replaces a file by one with this content.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let mut file = new_file(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    rename(&unfinished, path)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_entered_once() {
        let directory = tempfile::tempdir().unwrap();
        let first = Directory::enter(directory.path()).unwrap();
        let message = Directory::enter(directory.path()).unwrap_err().to_string();
        assert!(message.contains(&std::process::id().to_string()), "{message}");
        drop(first);
        Directory::enter(directory.path()).unwrap();
    }

    #[test]
    fn a_file_is_replaced_also_after_an_attempt_that_was_interrupted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(directory.path().join("file.new"), b"half").unwrap();
        for content in [b"one".as_slice(), b"another"] {
            replace(&path, content).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(!directory.path().join("file.new").exists());
    }
}
