//! The rows of the embedded database, and what undoes a commit that failed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Read;
use std::path::PathBuf;

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction,
};
use tpm_engine::platform::Change;
use tracing::info;

use super::directory::{new_file, open_file, rename};
use super::error::Cause;
use super::flushes::{Flushes, Unfinished};
use crate::process;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// Bytes of the database that are kept in memory; a TPM has some 100 KiB at most.
const CACHE_SIZE: usize = 1 << 20;

/// Bytes that the database of no TPM has.
const MAX_SIZE: u64 = 64 << 20;

/// What a database is on, which can be opened again after a failure.
pub(super) trait Medium: Debug + Send {
    /// All bytes of the database.
    fn image(&self) -> Result<Vec<u8>, Cause>;

    /// Opens the database, with its checksums checked.
    fn open(&self) -> Result<Database, Cause>;

    /// Puts a database of these rows in the place of the one that there is, if any, as a whole: a half-made one is never
    /// taken for damage.
    fn replace(&self, rows: &[Change]) -> Result<Database, Cause>;

    /// Has on the disk whatever was written to it.
    fn flush(&self) -> Result<(), Cause>;
}

/// A file, and its name while it is being made.
#[derive(Debug)]
pub(super) struct StateFile {
    pub(super) path: PathBuf,
    pub(super) unfinished: PathBuf,
}

impl Medium for StateFile {
    fn image(&self) -> Result<Vec<u8>, Cause> {
        let mut image = Vec::new();
        let file = open_file(&self.path, false)?;
        match file.take(MAX_SIZE + 1).read_to_end(&mut image)? as u64 {
            0..=MAX_SIZE => Ok(image),
            _ => Err("it is larger than any TPM's state".into()),
        }
    }

    fn open(&self) -> Result<Database, Cause> {
        check(FileBackend::new(open_file(&self.path, false)?)?)
    }

    fn replace(&self, rows: &[Change]) -> Result<Database, Cause> {
        let database = fill(FileBackend::new(new_file(&self.unfinished)?)?, rows)?;
        rename(&self.unfinished, &self.path)?;
        Ok(database)
    }

    fn flush(&self) -> Result<(), Cause> {
        // The flush is the file's, whoever has written to it.
        Ok(open_file(&self.path, false)?.sync_data()?)
    }
}

/// Makes a database of these rows, flushed.
pub(super) fn fill(backend: impl StorageBackend, rows: &[Change]) -> Result<Database, Cause> {
    let flushes = Flushes::default();
    let unfinished = Unfinished {
        backend,
        flushes: flushes.clone(),
    };
    let database = create(unfinished)?;
    let transaction = database.begin_write()?;
    change(&transaction, rows, &mut Vec::new())?;
    // The flush of the commit is that of the whole file.
    flushes.begin();
    transaction.commit()?;
    Ok(database)
}

/// Opens a database and checks the checksums of all its pages.
pub(super) fn check(backend: impl StorageBackend) -> Result<Database, Cause> {
    // The database would make a new one out of an empty file.
    if backend.len()? == 0 {
        return Err("it is empty".into());
    }
    let mut database = create(backend)?;
    if !database.check_integrity()? {
        return Err("its checksums do not match".into());
    }
    database.begin_read()?.open_table(RECORDS)?;
    Ok(database)
}

fn create(backend: impl StorageBackend) -> Result<Database, Cause> {
    Ok(Database::builder()
        .set_cache_size(CACHE_SIZE)
        .create_with_backend(backend)?)
}

/// Names and values of rows, as they are stored.
pub(super) type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

/// All rows of a database.
#[derive(Debug)]
pub(super) struct Rows {
    medium: Box<dyn Medium>,
    /// Keeps the pages of the newest commit from the one that follows. redb would make use of what that one frees at once,
    /// which is more than what the next one has to do about it, and takes a third of a commit's time.
    newest: Option<ReadTransaction>,
    stage: Stage,
    /// What brings the disk back to where the TPM is. A commit that failed may have reached the disk all the same.
    undo: Vec<Change>,
}

/// What the next commit does first.
#[derive(Debug)]
enum Stage {
    /// It makes the database.
    Vacant,
    /// It opens the database, of which a copy in memory was read: nobody waits for what opening writes.
    Closed,
    /// Nothing.
    Open(Database),
    /// It makes the database anew, as a commit has failed.
    Failed,
}

impl Rows {
    /// Reads all of a database, with its checksums checked, and changes nothing.
    pub(super) fn open(medium: Box<dyn Medium>) -> Result<(Self, Stored), Cause> {
        let stored = read_copy(&*medium)?;
        let rows = Self {
            medium,
            newest: None,
            stage: Stage::Closed,
            undo: Vec::new(),
        };
        Ok((rows, stored))
    }

    /// No rows. The first commit makes the database, in the place of the one, if any, that there is.
    pub(super) fn vacant(medium: Box<dyn Medium>) -> Self {
        Self {
            medium,
            newest: None,
            stage: Stage::Vacant,
            undo: Vec::new(),
        }
    }

    /// The database; made anew, and without the commit that failed, if one has. What a failed flush left in the page
    /// cache need not be on the disk, and no later flush says so: only a file that was written as a whole is known to be.
    fn database(&mut self) -> Result<&Database, Cause> {
        let database = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Open(database) => database,
            Stage::Closed => self.medium.open()?,
            Stage::Vacant | Stage::Failed => {
                let mut rows = read_copy(&*self.medium)?;
                for change in &self.undo {
                    match change {
                        Change::Put { key, value } => rows.insert(key.clone(), value.clone()),
                        Change::Delete { key } => rows.remove(key),
                    };
                }
                let rows: Vec<Change> = rows
                    .into_iter()
                    .map(|(key, value)| Change::Put { key, value })
                    .collect();
                let database = self.medium.replace(&rows)?;
                self.undo.clear();
                info!("the TPM's state can be written again");
                database
            }
        };
        self.stage = Stage::Open(database);
        match &self.stage {
            Stage::Open(database) => Ok(database),
            _ => Err("it is not open".into()),
        }
    }

    /// Has on the disk what is read, also what a process that was killed had written and not flushed.
    pub(super) fn flush(&self) -> Result<(), Cause> {
        match self.stage {
            Stage::Vacant => Ok(()),
            _ => self.medium.flush(),
        }
    }

    /// There is no database yet.
    pub(super) fn are_vacant(&self) -> bool {
        matches!(self.stage, Stage::Vacant)
    }

    pub(super) fn read(&mut self) -> Result<Stored, Cause> {
        match &self.stage {
            Stage::Vacant => Ok(Stored::new()),
            Stage::Closed => read_copy(&*self.medium),
            Stage::Open(_) | Stage::Failed => read(self.database()?),
        }
    }

    /// Makes all changes durable, or none, and returns what would undo them.
    pub(super) fn write(&mut self, changes: &[Change]) -> Result<Vec<Change>, Cause> {
        if self.are_vacant() {
            self.stage = Stage::Open(self.medium.replace(changes)?);
            let keys = changes
                .iter()
                .map(|(Change::Put { key, .. } | Change::Delete { key })| key);
            return Ok(keys.cloned().map(|key| Change::Delete { key }).collect());
        }
        let mut undo = Vec::new();
        match write(self.database()?, changes, &mut undo) {
            Ok(()) => {
                // Without it the next commit takes longer.
                if let Stage::Open(database) = &self.stage {
                    self.newest = database.begin_read().ok();
                }
                Ok(undo)
            }
            Err(error) => {
                self.undo = undo;
                self.newest = None;
                self.stage = Stage::Failed;
                Err(error.into())
            }
        }
    }

    /// Makes all changes durable before any other, now if possible.
    pub(super) fn write_now_or_first(&mut self, changes: Vec<Change>) -> Result<(), Cause> {
        let written = self.write(&changes).map(|_| ());
        if written.is_err() {
            self.undo = changes;
        }
        written
    }
}

/// Reads all of a database in a copy of it, with its checksums checked. A file of arbitrary content can trip an assertion of
/// the database; that is damage like any other.
fn read_copy(medium: &dyn Medium) -> Result<Stored, Cause> {
    let image = medium.image()?;
    let read = || -> Result<_, Cause> {
        let copy = InMemoryBackend::new();
        copy.set_len(image.len() as u64)?;
        copy.write(0, &image)?;
        read(&check(copy)?)
    };
    process::try_to(read).unwrap_or_else(|| Err("its structure is damaged".into()))
}

fn read(database: &Database) -> Result<Stored, Cause> {
    let table = database.begin_read()?.open_table(RECORDS)?;
    let rows = table.iter()?;
    let rows = rows.map(|row| row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())));
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One transaction, flushed to the disk once; `undo` gets what would undo it.
fn write(database: &Database, changes: &[Change], undo: &mut Vec<Change>) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    change(&transaction, changes, undo)?;
    transaction.commit()?;
    Ok(())
}

fn change(transaction: &WriteTransaction, changes: &[Change], undo: &mut Vec<Change>) -> Result<(), redb::Error> {
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
    Ok(())
}
