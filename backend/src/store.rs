//! The state directory: a lock and an embedded transactional database, one record a row.
//!
//! `docs/architecture/store.md` says why this database.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tpm_engine::platform::{Change, NvStore, Record, StoreError};
use tracing::{error, info, warn};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// The database.
const STATE: &str = "state.redb";
/// The database while it is being made.
const UNFINISHED: &str = "state.redb.new";
/// There since the directory has held a TPM: a state that is missing later is damage, not a TPM still to be made.
const MARKER: &str = "manufactured";

/// Bytes of the database that are kept in memory; a TPM has some 100 KiB at most.
const CACHE_SIZE: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the state directory {path} cannot be created", path = .0.display())]
    Create(PathBuf, #[source] io::Error),
    #[error("the lock file {path} cannot be locked", path = .0.display())]
    Lock(PathBuf, #[source] io::Error),
    #[error(
        "the TPM in {directory} is being served already by process {holder} (it holds the lock {lock}); stop that \
         process, or give each virtual machine a state directory of its own",
        directory = .directory.display(), lock = .lock.display()
    )]
    Served {
        directory: PathBuf,
        lock: PathBuf,
        holder: String,
    },
    #[error("a new state file {path} cannot be made", path = .0.display())]
    New(PathBuf, #[source] Cause),
    #[error(
        "a TPM was made in {directory}, as the file {marker} there says, but its state is gone; put back a copy of \
         {STATE}, or remove {marker} to have a new TPM made",
        directory = .0.display(), marker = MARKER
    )]
    Gone(PathBuf),
    #[error("the file {MARKER} cannot be made in {directory}", directory = .0.display())]
    Mark(PathBuf, #[source] io::Error),
    #[error(
        "the state file {path} cannot be read; if it is damaged, put back a copy of it that is known to be good: it is \
         never replaced by a new TPM",
        path = .0.display()
    )]
    Read(PathBuf, #[source] Cause),
}

/// What the database or the file system said.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The records of one TPM in its locked state directory.
#[derive(Debug)]
pub(crate) struct Store {
    /// `None` after a failed commit, until the next one opens the database again.
    database: Option<Database>,
    path: PathBuf,
    /// What undoes the failed commit. It may have reached the disk all the same, but the TPM went on without it.
    undo: Vec<Change>,
    /// Held for as long as the store is open.
    _lock: File,
}

impl Store {
    /// Locks the directory, which is made if it is missing, and opens the database in it, which is made if missing.
    pub(crate) fn open(directory: &Path) -> Result<Self, OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| OpenError::Create(directory.to_owned(), error))?;
        warn_of_others(directory);
        let lock = lock(directory)?;
        let path = directory.join(STATE);
        if !path.exists() {
            may_be_made(directory)?;
            make(directory, &path).map_err(|cause| OpenError::New(path.clone(), cause))?;
        }
        // A file of arbitrary content can trip an assertion of the database; that is damage like any other.
        let database = catch_unwind(AssertUnwindSafe(|| check(&path)))
            .unwrap_or_else(|_| Err("its structure is damaged".into()))
            .map_err(|cause| OpenError::Read(path.clone(), cause))?;
        Ok(Self {
            database: Some(database),
            path,
            undo: Vec::new(),
            _lock: lock,
        })
    }

    /// The database; opened again, and without the commit that failed, if one has.
    fn database(&mut self) -> Result<&Database, Cause> {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let database = check(&self.path)?;
                write(&database, &self.undo, &mut Vec::new())?;
                self.undo.clear();
                info!("the TPM's state can be written again");
                database
            }
        };
        Ok(self.database.insert(database))
    }
}

/// One transaction, flushed to the disk once; `undo` gets what would undo it.
fn write(database: &Database, changes: &[Change], undo: &mut Vec<Change>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(RECORDS)?;
        for change in changes {
            let (key, before) = match change {
                Change::Put { key, value } => (key, table.insert(key.as_slice(), value.as_slice())?),
                Change::Delete { key } => (key, table.remove(key.as_slice())?),
            };
            let key = key.clone();
            undo.push(match before.map(|before| before.value().to_vec()) {
                Some(value) => Change::Put { key, value },
                None => Change::Delete { key },
            });
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Whether a TPM may be made in the directory: it has never held one.
pub(crate) fn may_be_made(directory: &Path) -> Result<(), OpenError> {
    match directory.join(MARKER).try_exists() {
        Ok(false) => Ok(()),
        _ => Err(OpenError::Gone(directory.to_owned())),
    }
}

/// Notes that the directory holds a TPM.
pub(crate) fn mark(directory: &Path) -> Result<(), OpenError> {
    let mark = || -> io::Result<()> {
        match open_file(&directory.join(MARKER), true) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made?.sync_all().and_then(|()| File::open(directory)?.sync_all()),
        }
    };
    mark().map_err(|error| OpenError::Mark(directory.to_owned(), error))
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

/// Makes an empty database. It gets its name when it is complete, so that a half-made one is never taken for damage.
fn make(directory: &Path, path: &Path) -> Result<(), Cause> {
    let unfinished = directory.join(UNFINISHED);
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let database = Database::builder().create_with_backend(FileBackend::new(open_file(&unfinished, true)?)?)?;
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    transaction.commit()?;
    drop(database);
    std::fs::rename(&unfinished, path)?;
    File::open(directory)?.sync_all()?;
    Ok(())
}

/// Opens a database and checks the checksums of all its pages.
fn check(path: &Path) -> Result<Database, Cause> {
    let file = open_file(path, false)?;
    // The database would make a new one out of an empty file.
    if file.metadata()?.len() == 0 {
        return Err("it is empty".into());
    }
    let mut database = Database::builder()
        .set_cache_size(CACHE_SIZE)
        .create_with_backend(FileBackend::new(file)?)?;
    if !database.check_integrity()? {
        return Err("its checksums do not match".into());
    }
    database.begin_read()?.open_table(RECORDS)?;
    Ok(database)
}

fn open_file(path: &Path, new: bool) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(new)
        .mode(0o600)
        .open(path)
}

impl NvStore for Store {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let mut load = || -> Result<Vec<Record>, Cause> {
            let table = self.database()?.begin_read()?.open_table(RECORDS)?;
            let rows = table.iter()?;
            let records = rows.map(|row| row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())));
            Ok(records.collect::<Result<_, _>>()?)
        };
        load().map_err(|error| StoreError(error.to_string()))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let failed = |error: &dyn std::fmt::Display| {
            error!("the TPM's state could not be written: {error}");
            StoreError(error.to_string())
        };
        let mut undo = Vec::new();
        let database = self.database().map_err(|error| failed(&error))?;
        write(database, changes, &mut undo).map_err(|error| {
            self.undo = undo;
            self.database = None;
            failed(&error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &[u8], value: &[u8]) -> Change {
        Change::Put {
            key: key.to_vec(),
            value: value.to_vec(),
        }
    }

    #[test]
    fn records_outlive_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/tpm");
        let mut store = Store::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), []);
        store.commit(&[put(b"a", b"1"), put(b"b", &[7; 60_000])]).unwrap();
        store
            .commit(&[put(b"a", b"2"), Change::Delete { key: b"b".to_vec() }])
            .unwrap();
        drop(store);
        let mut store = Store::open(&path).unwrap();
        assert_eq!(store.load().unwrap(), [(b"a".to_vec(), b"2".to_vec())]);
    }

    #[test]
    fn only_the_owner_gets_in() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tpm");
        let _store = Store::open(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("lock")), 0o600);
        assert_eq!(mode(&path.join(STATE)), 0o600);
    }

    #[test]
    fn a_directory_is_opened_once() {
        let directory = tempfile::tempdir().unwrap();
        let first = Store::open(directory.path()).unwrap();
        let error = Store::open(directory.path()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(&std::process::id().to_string()), "{message}");
        drop(first);
        Store::open(directory.path()).unwrap();
    }

    #[test]
    fn an_interrupted_creation_starts_afresh() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(UNFINISHED), b"half").unwrap();
        assert_eq!(Store::open(directory.path()).unwrap().load().unwrap(), []);
    }

    #[test]
    fn damage_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Store::open(directory.path()).unwrap();
        for number in 0..40u8 {
            store.commit(&[put(&[number], &[number; 100])]).unwrap();
        }
        drop(store);
        let path = directory.path().join(STATE);
        let good = std::fs::read(&path).unwrap();
        let want = Store::open(directory.path()).unwrap().load().unwrap();
        // Opening writes, too: what follows starts from the same bytes each time.
        let mut refused = 0;
        for place in (0..good.len()).step_by(1499) {
            let mut bad = good.clone();
            bad[place] ^= 0x41;
            std::fs::write(&path, &bad).unwrap();
            match Store::open(directory.path()) {
                Ok(mut store) => assert_eq!(store.load().unwrap(), want, "byte {place}"),
                Err(OpenError::Read(..)) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(refused > 0);
        for len in [0, 1, 100, good.len() / 2] {
            std::fs::write(&path, &good[..len]).unwrap();
            assert!(
                matches!(Store::open(directory.path()), Err(OpenError::Read(..))),
                "{len}"
            );
        }
    }
}
