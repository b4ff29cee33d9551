//! The rows of the embedded database, and what undoes a commit that failed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, WriteTransaction,
};
use tpm_engine::platform::Change;
use tracing::info;

use super::directory::{new_file, open_file, rename};
use super::error::Cause;
use super::flushes::{Flushes, Hasty};
use crate::process;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// Bytes of the database that are kept in memory; a TPM has some 100 KiB at most.
const CACHE_SIZE: usize = 1 << 20;

/// What a database is on, which can be opened again after a failure.
pub(super) trait Medium: Debug + Send {
    /// Opens the database, with its checksums checked.
    fn open(&self) -> Result<Database, Cause>;

    /// Puts a database of these rows in the place of the one that there is, if any, as a whole: a half-made one is never
    /// taken for damage.
    fn replace(&self, rows: &[Change]) -> Result<Database, Cause>;
}

/// A file, and its name while it is being made.
#[derive(Debug)]
pub(super) struct StateFile {
    pub(super) path: PathBuf,
    pub(super) unfinished: PathBuf,
}

impl Medium for StateFile {
    fn open(&self) -> Result<Database, Cause> {
        let file = open_file(&self.path, false)?;
        // The database would make a new one out of an empty file.
        if file.metadata()?.len() == 0 {
            return Err("it is empty".into());
        }
        check(FileBackend::new(file)?)
    }

    fn replace(&self, rows: &[Change]) -> Result<Database, Cause> {
        let database = fill(FileBackend::new(new_file(&self.unfinished)?)?, rows)?;
        rename(&self.unfinished, &self.path)?;
        Ok(database)
    }
}

/// Makes a database of these rows, flushed.
pub(super) fn fill(backend: impl StorageBackend, rows: &[Change]) -> Result<Database, Cause> {
    let flushes = Flushes::none();
    let database = create(&Arc::new(backend), &flushes)?;
    let transaction = database.begin_write()?;
    change(&transaction, rows, &mut Vec::new())?;
    // The flush of the commit is that of the whole file.
    flushes.all();
    transaction.commit()?;
    Ok(database)
}

/// Opens a database and checks the checksums of all its pages.
pub(super) fn check(backend: impl StorageBackend) -> Result<Database, Cause> {
    let flushes = Flushes::none_of_the_header();
    let backend = Arc::new(backend);
    let mut database = create(&backend, &flushes)?;
    if !database.check_integrity()? {
        return Err("its checksums do not match".into());
    }
    database.begin_read()?.open_table(RECORDS)?;
    flushes.all();
    backend.sync_data()?;
    Ok(database)
}

/// Opens a database, or makes one of an empty file.
fn create(backend: &Arc<impl StorageBackend>, flushes: &Flushes) -> Result<Database, Cause> {
    let backend = Hasty {
        backend: Arc::clone(backend),
        flushes: flushes.clone(),
    };
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
    /// `None` after a failed commit, until the next one makes the database anew, and before the first.
    database: Option<Database>,
    /// There is no database yet; the first commit makes it.
    vacant: bool,
    /// What brings the disk back to where the TPM is. A commit that failed may have reached the disk all the same.
    undo: Vec<Change>,
}

impl Rows {
    /// Opens a database and reads all of it.
    pub(super) fn open(medium: Box<dyn Medium>) -> Result<(Self, Stored), Cause> {
        let (database, stored) = open(&*medium)?;
        let rows = Self {
            medium,
            newest: None,
            database: Some(database),
            vacant: false,
            undo: Vec::new(),
        };
        Ok((rows, stored))
    }

    /// No rows. The first commit makes the database, in the place of the one, if any, that there is.
    pub(super) fn vacant(medium: Box<dyn Medium>) -> Self {
        Self {
            medium,
            newest: None,
            database: None,
            vacant: true,
            undo: Vec::new(),
        }
    }

    /// The database; made anew, and without the commit that failed, if one has. What a failed flush left in the page
    /// cache need not be on the disk, and no later flush says so: only a file that was written as a whole is known to be.
    fn database(&mut self) -> Result<&Database, Cause> {
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let (_, mut rows) = open(&*self.medium)?;
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
        Ok(self.database.insert(database))
    }

    pub(super) fn read(&mut self) -> Result<Stored, Cause> {
        match self.vacant {
            true => Ok(Stored::new()),
            false => read(self.database()?),
        }
    }

    /// Makes all changes durable, or none, and returns what would undo them.
    pub(super) fn write(&mut self, changes: &[Change]) -> Result<Vec<Change>, Cause> {
        if self.vacant {
            self.database = Some(self.medium.replace(changes)?);
            self.vacant = false;
            let keys = changes
                .iter()
                .map(|(Change::Put { key, .. } | Change::Delete { key })| key);
            return Ok(keys.cloned().map(|key| Change::Delete { key }).collect());
        }
        let mut undo = Vec::new();
        match write(self.database()?, changes, &mut undo) {
            Ok(()) => {
                // Without it the next commit takes longer.
                let database = self.database.as_ref();
                self.newest = database.and_then(|database| database.begin_read().ok());
                Ok(undo)
            }
            Err(error) => {
                self.undo = undo;
                self.newest = None;
                self.database = None;
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

/// Opens a database and reads all of it. A file of arbitrary content can trip an assertion of the database; that is
/// damage like any other.
fn open(medium: &dyn Medium) -> Result<(Database, Stored), Cause> {
    let open = || -> Result<_, Cause> {
        let database = medium.open()?;
        let stored = read(&database)?;
        Ok((database, stored))
    };
    process::try_to(open).unwrap_or_else(|| Err("its structure is damaged".into()))
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
