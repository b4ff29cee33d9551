//! The engine's store: what a start writes is held back until it is settled, and a store can be given up and taken again
//! while its TPM stays in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tpm_engine::platform::{Change, NvStore, Record, StoreError};

use super::{OpenError, Store};

/// The store of a TPM, shared by the engine, which reads and writes, and the device, which may give it up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lease(Arc<Mutex<Leased>>);

#[derive(Debug, Default)]
struct Leased {
    store: Option<Store>,
    /// Commits are held back.
    holding: bool,
    /// What they are to write.
    held: Vec<Change>,
}

impl Lease {
    pub(crate) fn new(store: Store) -> Self {
        let lease = Self::default();
        lease.renew(store);
        lease
    }

    /// A store whose commits are written together, by [`Self::settle`]. Until then no command is answered whose answer
    /// could tell of them.
    pub(crate) fn held(store: Store) -> Self {
        let lease = Self::new(store);
        lease.lock().holding = true;
        lease
    }

    fn lock(&self) -> MutexGuard<'_, Leased> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was held back, and marks the directory as that of a TPM. From now on each commit is written by itself.
    pub(crate) fn settle(&self) -> Result<(), OpenError> {
        let leased = &mut *self.lock();
        let Some(store) = &mut leased.store else {
            return Ok(());
        };
        if !leased.held.is_empty() {
            store.commit_first(&leased.held)?;
            leased.held.clear();
        }
        leased.holding = false;
        super::mark(store.directory.path())
    }

    /// Closes the store, and so gives its directory's lock up. Until [`Self::renew`] nothing can be read or written.
    pub(crate) fn give_up(&self) {
        self.lock().store = None;
    }

    /// Goes on with a store that was opened anew.
    pub(crate) fn renew(&self, store: Store) {
        self.lock().store = Some(store);
    }

    /// Notes, durably, whether the TPM was handed over; in a store that was given up there is nothing to note any more.
    pub(crate) fn set_moved(&self, moved: bool) -> Result<(), OpenError> {
        match &mut self.lock().store {
            Some(store) => store.set_moved(moved),
            None => Ok(()),
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.lock().store.is_some()
    }
}

fn given_up() -> StoreError {
    StoreError("the state directory was given up with the TPM".to_owned())
}

impl NvStore for Lease {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        self.lock().store.as_mut().ok_or_else(given_up)?.load()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let leased = &mut *self.lock();
        let store = leased.store.as_mut().ok_or_else(given_up)?;
        if leased.holding {
            leased.held.extend_from_slice(changes);
            return Ok(());
        }
        store.commit(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::directory::{MARKER, STATE};
    use super::super::{Access, Directory};
    use super::*;

    fn put(key: &[u8]) -> Change {
        Change::Put {
            key: key.to_vec(),
            value: b"value".to_vec(),
        }
    }

    /// The names of what is on the disk, and in how many commits it was written.
    fn found(path: &std::path::Path) -> (Vec<Vec<u8>>, u64) {
        let (_, contents) = Store::open_any(Directory::enter(path).unwrap(), None)
            .unwrap()
            .into_contents()
            .unwrap();
        let names = contents.records.into_iter().map(|(name, _)| name).collect();
        (names, contents.head.generation)
    }

    #[test]
    fn commits_that_are_held_back_are_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut lease = Lease::held(Store::open(path, &Access::default()).unwrap());
        lease.commit(&[put(b"a")]).unwrap();
        lease.commit(&[put(b"b")]).unwrap();
        assert!(!path.join(STATE).exists() && !path.join(MARKER).exists());
        lease.settle().unwrap();
        assert!(path.join(STATE).exists() && path.join(MARKER).exists());
        // There is nothing left to write.
        lease.settle().unwrap();
        lease.commit(&[put(b"c")]).unwrap();
        drop(lease);
        assert_eq!(found(path), (vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec()], 2));
    }

    #[test]
    fn a_new_tpm_that_cannot_be_written_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut lease = Lease::held(Store::open(path, &Access::default()).unwrap());
        lease.commit(&[put(b"a")]).unwrap();
        // A directory is in the way.
        let obstacle = path.join("state.redb.new/full");
        std::fs::create_dir_all(&obstacle).unwrap();
        assert!(matches!(lease.settle(), Err(OpenError::New(..))));
        assert!(!path.join(MARKER).exists());
        lease.commit(&[put(b"b")]).unwrap();
        std::fs::remove_dir_all(obstacle.parent().unwrap()).unwrap();
        lease.settle().unwrap();
        drop(lease);
        assert_eq!(found(path), (vec![b"a".to_vec(), b"b".to_vec()], 1));
    }
}
