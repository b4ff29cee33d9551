//! The state directory: a lock and an embedded transactional database, one record a row, encrypted or not.
//!
//! `docs/architecture/store.md` says why this database, and what the encryption is good for.

mod acknowledged;
mod anchor;
mod checks;
mod data_key;
mod directory;
mod error;
mod flushes;
mod instance;
mod lease;
mod mark;
mod root;
mod rows;
#[cfg(test)]
mod tests;
mod transfer;
mod vault;

use std::path::{Path, PathBuf};

use tpm_engine::platform::{Change, NvStore, Record, StoreError};
use tracing::{debug, error};
use zeroize::Zeroizing;

use crate::keys::OperatorKey;
use crate::keys::cipher::random;
use acknowledged::Acknowledged;
use anchor::Anchor;
use data_key::DataKey;
pub(crate) use data_key::rekey;
pub(crate) use directory::{Directory, mark, may_be_made, replace as replace_file};
use error::Cause;
pub(crate) use error::OpenError;
pub(crate) use instance::InstanceId;
pub(crate) use lease::Lease;
use mark::Mark;
pub(crate) use root::Head;
use root::{Number, ROOT, Root};
use rows::{Medium, Rows, StateFile, Stored};
pub(crate) use transfer::TransferError;
use vault::{Tags, Vault};

/// What the operator gives to open a state with.
#[derive(Debug, Default)]
pub(crate) struct Access {
    /// The key of an encrypted state; a state that is made with a key is encrypted.
    pub(crate) key: Option<OperatorKey>,
    /// The virtual machine whose TPM it is.
    pub(crate) instance: Option<InstanceId>,
    /// Where a counter is kept by which an old state is told from the newest.
    pub(crate) anchor: Option<PathBuf>,
}

/// Names and values of records, in the clear.
pub(crate) type Records = Vec<(Vec<u8>, Zeroizing<Vec<u8>>)>;

/// All that a state is, in the clear.
pub(crate) struct Contents {
    pub(crate) head: Head,
    pub(crate) records: Records,
}

impl Contents {
    /// The contents of a state that takes the place of another of the same TPM.
    pub(crate) fn succeeding(mut self) -> Self {
        self.head.generation = self.head.generation.saturating_add(1);
        self
    }
}

/// How the records are stored.
#[derive(Debug)]
enum Protection {
    Plain,
    Sealed { vault: Vault, tags: Tags },
}

/// The records of one TPM in its locked state directory.
#[derive(Debug)]
pub(crate) struct Store {
    rows: Rows,
    head: Head,
    /// What tells the root record from others of its generation.
    fingerprint: [u8; 32],
    protection: Protection,
    /// The records as they were when the state was opened, until they are taken or changed.
    opened: Option<Records>,
    anchor: Option<Box<dyn Anchor>>,
    /// `None` for a state that is not served.
    acknowledged: Option<Acknowledged>,
    /// The last commit failed, and the log says so.
    failing: bool,
    directory: Directory,
}

impl Store {
    /// Opens the state in a directory, both of which are made if they are missing, for the instance that it belongs to.
    pub(crate) fn open(path: &Path, access: &Access) -> Result<Self, OpenError> {
        let directory = Directory::enter(path)?;
        let mut store = if directory.state().exists() {
            let (rows, found) = read(&directory)?;
            if found.keys().all(|name| name == ROOT) && !directory::is_marked(path) {
                // A manufacture was interrupted. What that TPM was to be protected with has no say in how this one is.
                drop(rows);
                Self::vacant(directory, access)?
            } else {
                Self::assemble(directory, rows, found, access.key.as_ref())?
            }
        } else {
            may_be_made(path)?;
            Self::vacant(directory, access)?
        };
        store.check_instance(access.instance.as_ref())?;
        store.check_age(access.anchor.as_deref())?;
        store.claim(access.instance.as_ref())?;
        Ok(store)
    }

    /// Opens the state that a directory holds, whatever instance it belongs to.
    pub(crate) fn open_any(directory: Directory, key: Option<&OperatorKey>) -> Result<Self, OpenError> {
        let (rows, found) = read(&directory)?;
        rows.flush()
            .map_err(|cause| OpenError::Write(directory.state(), cause))?;
        Self::assemble(directory, rows, found, key)
    }

    /// A state in which a TPM can be made. Its file is made with the first commit.
    fn vacant(directory: Directory, access: &Access) -> Result<Self, OpenError> {
        Acknowledged::forget(directory.path()).map_err(|error| OpenError::New(directory.state(), error.into()))?;
        let mut head = Head::new(new_number()?, access.instance.clone());
        head.anchored = access.anchor.is_some();
        let protection = match &access.key {
            None => Protection::Plain,
            Some(operator) => {
                let key = DataKey::generate()?;
                let _lock = data_key::Lock::take(directory.path())?;
                DataKey::write(directory.path(), operator, &[&key])?;
                Protection::Sealed {
                    vault: Vault::new(&key),
                    tags: Tags::new(),
                }
            }
        };
        Ok(Self {
            rows: Rows::vacant(Box::new(state_file(&directory))),
            head,
            fingerprint: root::fingerprint(&[]),
            protection,
            opened: None,
            anchor: None,
            acknowledged: None,
            failing: false,
            directory,
        })
    }

    fn assemble(
        directory: Directory,
        rows: Rows,
        mut found: Stored,
        key: Option<&OperatorKey>,
    ) -> Result<Self, OpenError> {
        let damaged = |cause: Cause| OpenError::Read(directory.state(), cause);
        let path = || directory.path().to_owned();
        let Some(root) = found.remove(ROOT) else {
            // As the first version wrote it. The next commit makes a root record.
            if key.is_some() {
                return Err(OpenError::Plain(path()));
            }
            return Ok(Self {
                head: Head::new(new_number()?, None),
                fingerprint: root::fingerprint(&[]),
                protection: Protection::Plain,
                opened: Some(in_the_clear(found)),
                anchor: None,
                acknowledged: None,
                failing: false,
                rows,
                directory,
            });
        };
        let fingerprint = root::fingerprint(&root);
        let Root { head, sealing } = Root::parse(&root).map_err(|error| damaged(error.into()))?;
        let (protection, opened) = match (sealing, key) {
            (None, None) => (Protection::Plain, in_the_clear(found)),
            (None, Some(_)) => return Err(OpenError::Plain(path())),
            (Some(_), None) => return Err(OpenError::NoKey(path())),
            (Some(sealing), Some(key)) => {
                let keys = DataKey::read(directory.path(), key)?;
                let key = keys.iter().find(|key| key.number == sealing.data_key);
                let vault = Vault::new(key.ok_or_else(|| OpenError::OtherKey(path()))?);
                let mixed = || damaged("its records are not all of one state: some were changed or put back".into());
                let tags = found
                    .iter()
                    .map(|(name, row)| vault::tag(row).map(|tag| (name.clone(), tag)))
                    .collect::<Option<Tags>>()
                    .ok_or_else(mixed)?;
                if !vault.is_root_of(&sealing, &tags) {
                    return Err(mixed());
                }
                let open = |(name, row): (Vec<u8>, Vec<u8>)| vault.open(&head, &name, &row).map(|value| (name, value));
                let records = found.into_iter().map(open).collect::<Option<Records>>();
                let records = records.ok_or_else(mixed)?;
                (Protection::Sealed { vault, tags }, records)
            }
        };
        Ok(Self {
            rows,
            head,
            fingerprint,
            protection,
            opened: Some(opened),
            anchor: None,
            acknowledged: None,
            failing: false,
            directory,
        })
    }

    /// Whether the state is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.protection, Protection::Sealed { .. })
    }

    /// Everything, in the clear, and the directory, which stays locked.
    pub(crate) fn into_contents(mut self) -> Result<(Directory, Contents), OpenError> {
        let records = self
            .records()
            .map_err(|cause| OpenError::Read(self.directory.state(), cause))?;
        let contents = Contents {
            head: self.head,
            records,
        };
        Ok((self.directory, contents))
    }

    fn records(&mut self) -> Result<Records, Cause> {
        if let Some(records) = self.opened.take() {
            return Ok(records);
        }
        let mut rows = self.rows.read()?;
        rows.remove(ROOT);
        match &self.protection {
            Protection::Plain => Ok(in_the_clear(rows)),
            Protection::Sealed { vault, .. } => rows
                .into_iter()
                .map(|(name, row)| match vault.open(&self.head, &name, &row) {
                    Some(value) => Ok((name, value)),
                    None => Err(format!("record {name:02x?} was changed").into()),
                })
                .collect(),
        }
    }

    /// Commits changes and a new head, whose generation is the next.
    fn advance(&mut self, mut head: Head, changes: &[Change]) -> Result<(), Cause> {
        head.generation = self
            .head
            .generation
            .checked_add(1)
            .ok_or("it has no generations left")?;
        if !changes.is_empty() {
            self.opened = None;
        }
        let (rows, new) = self.protection.rows(&head, changes)?;
        let undo = self.rows.write(&rows)?;
        let mark = Mark {
            tpm: head.tpm,
            generation: head.generation,
            fingerprint: fingerprint(&rows),
        };
        // After the state: an anchor that is behind by the commit that was not answered is no rollback, one that is
        // ahead of the state is.
        if let Some(anchor) = &mut self.anchor
            && let Err(error) = anchor.set(&mark)
        {
            self.take_back(&head, undo)?;
            return Err(format!("the anchor cannot be written: {error}").into());
        }
        if let Some(acknowledged) = &mut self.acknowledged {
            acknowledged.set(&mark);
        }
        self.head = head;
        self.fingerprint = mark.fingerprint;
        if let (Protection::Sealed { tags, .. }, Some(new)) = (&mut self.protection, new) {
            *tags = new;
        }
        Ok(())
    }

    /// Takes a commit back whose anchor could not be set. It may have been set all the same, so the state goes on to a
    /// generation of its own and not back.
    fn take_back(&mut self, failed: &Head, undo: Vec<Change>) -> Result<(), Cause> {
        let mut head = self.head.clone();
        head.generation = failed.generation.checked_add(1).ok_or("it has no generations left")?;
        let root = match self.protection.rows(&head, &[]) {
            Ok((root, _)) => root,
            Err(error) => {
                self.rows.write_now_or_first(undo)?;
                return Err(error);
            }
        };
        self.fingerprint = fingerprint(&root);
        self.head = head;
        let records = undo
            .into_iter()
            .filter(|(Change::Put { key, .. } | Change::Delete { key })| key != ROOT);
        self.rows.write_now_or_first(records.chain(root).collect())?;
        let mark = self.mark();
        if let Some(acknowledged) = &mut self.acknowledged {
            acknowledged.set(&mark);
        }
        Ok(())
    }

    /// What a start commits; why it cannot.
    fn commit_first(&mut self, changes: &[Change]) -> Result<(), OpenError> {
        let (vacant, path) = (self.rows.are_vacant(), self.directory.state());
        self.commit(changes).map_err(|error| match vacant {
            true => OpenError::New(path, error.into()),
            false => OpenError::Write(path, error.into()),
        })
    }
}

impl NvStore for Store {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let records = self.records().map_err(|error| StoreError(error.to_string()))?;
        let own = |(name, mut value): (_, Zeroizing<Vec<u8>>)| (name, std::mem::take(&mut *value));
        Ok(records.into_iter().map(own).collect())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        // Only a TPM that is here changes.
        let here = Head {
            moved: false,
            ..self.head.clone()
        };
        let done = self.advance(here, changes);
        match &done {
            Err(error) if !self.failing => error!(
                "the TPM's state could not be written, and commands that change it fail until it can be; if the disk is full, \
                 make room: {error}"
            ),
            // A guest can try as often as it likes.
            Err(error) => debug!("the TPM's state could still not be written: {error}"),
            Ok(()) => {}
        }
        self.failing = done.is_err();
        done.map_err(|error| StoreError(error.to_string()))
    }
}

/// The records of a state that is not encrypted.
fn in_the_clear(rows: Stored) -> Records {
    let record = |(name, row)| (name, Zeroizing::new(row));
    rows.into_iter().map(record).collect()
}

fn put(name: &[u8], value: Vec<u8>) -> Change {
    Change::Put {
        key: name.to_vec(),
        value,
    }
}

/// The fingerprint of the root record, which is the last of a commit's rows.
fn fingerprint(rows: &[Change]) -> [u8; 32] {
    match rows.last() {
        Some(Change::Put { value, .. }) => root::fingerprint(value),
        _ => root::fingerprint(&[]),
    }
}

impl Protection {
    /// The rows of changes and, last, of the root record that goes with them; and the tags of all records after them.
    fn rows(&self, head: &Head, changes: &[Change]) -> Result<(Vec<Change>, Option<Tags>), Cause> {
        match self {
            Self::Plain => {
                let mut rows = changes.to_vec();
                rows.push(put(ROOT, head.to_plain(&*random()?)));
                Ok((rows, None))
            }
            Self::Sealed { vault, tags } => {
                let mut tags = tags.clone();
                Ok((seal(vault, head, &mut tags, changes)?, Some(tags)))
            }
        }
    }
}

/// The rows of sealed changes, and of the root record that goes with them.
fn seal(vault: &Vault, head: &Head, tags: &mut Tags, changes: &[Change]) -> Result<Vec<Change>, Cause> {
    let mut rows = Vec::with_capacity(changes.len() + 1);
    for change in changes {
        rows.push(match change {
            Change::Put { key, value } => {
                let row = vault.seal(head, key, value)?;
                tags.insert(key.clone(), vault::tag(&row).ok_or("a sealed row has no tag")?);
                put(key, row)
            }
            Change::Delete { key } => {
                tags.remove(key);
                change.clone()
            }
        });
    }
    rows.push(put(ROOT, vault.seal_root(head, tags)?));
    Ok(rows)
}

/// Opens the database and reads all of it.
fn read(directory: &Directory) -> Result<(Rows, Stored), OpenError> {
    Rows::open(Box::new(state_file(directory))).map_err(|cause| OpenError::Read(directory.state(), cause))
}

fn state_file(directory: &Directory) -> StateFile {
    StateFile {
        path: directory.state(),
        unfinished: directory.unfinished(),
    }
}

/// The number of a TPM that is still to be made.
pub(crate) fn new_number() -> Result<Number, OpenError> {
    Ok(*random()?)
}

/// Puts a state in the place of the one, if any, that a directory holds, encrypted if there is a key. A process that is
/// killed meanwhile leaves the old state or the new one: `old` opens the old one's key, which is kept until then.
pub(crate) fn replace(
    directory: &Directory,
    key: Option<&OperatorKey>,
    old: Option<&OperatorKey>,
    contents: &Contents,
) -> Result<(), OpenError> {
    let path = directory.state();
    let failed = |cause| OpenError::New(path.clone(), cause);
    let Contents { head, records } = contents;
    let changes: Vec<Change> = records.iter().map(|(name, value)| put(name, value.to_vec())).collect();
    let write = |rows: &[Change]| {
        Acknowledged::forget(directory.path()).map_err(|error| failed(error.into()))?;
        state_file(directory).replace(rows).map(drop).map_err(failed)
    };
    let Some(operator) = key else {
        let (rows, _) = Protection::Plain.rows(head, &changes).map_err(failed)?;
        return write(&rows);
    };
    let new = DataKey::generate()?;
    let rows = seal(&Vault::new(&new), head, &mut Tags::new(), &changes).map_err(failed)?;
    // Until the last key is written: what a `rekey` in between puts there would be without the new one.
    let _lock = data_key::Lock::take(directory.path())?;
    let kept = match old {
        Some(old) => DataKey::read(directory.path(), old)?,
        None => Vec::new(),
    };
    DataKey::write(
        directory.path(),
        operator,
        &[&new].into_iter().chain(&kept).collect::<Vec<_>>(),
    )?;
    write(&rows)?;
    if !kept.is_empty() {
        DataKey::write(directory.path(), operator, &[&new])?;
    }
    Ok(())
}
