//! A store that can be given up and taken again while its TPM stays in memory.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tpm_engine::platform::{Change, NvStore, Record, StoreError};

use super::{OpenError, Store};

/// The store of a TPM, shared by the engine, which reads and writes, and the device, which may give it up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lease(Arc<Mutex<Option<Store>>>);

impl Lease {
    pub(crate) fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(Some(store))))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Store>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the store, and so gives its directory's lock up. Until [`Self::renew`] nothing can be read or written.
    pub(crate) fn give_up(&self) {
        *self.lock() = None;
    }

    /// Goes on with a store that was opened anew.
    pub(crate) fn renew(&self, store: Store) {
        *self.lock() = Some(store);
    }

    /// Notes, durably, whether the TPM was handed over; in a store that was given up there is nothing to note any more.
    pub(crate) fn set_moved(&self, moved: bool) -> Result<(), OpenError> {
        match &mut *self.lock() {
            Some(store) => store.set_moved(moved),
            None => Ok(()),
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.lock().is_some()
    }
}

fn given_up() -> StoreError {
    StoreError("the state directory was given up with the TPM".to_owned())
}

impl NvStore for Lease {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        self.lock().as_mut().ok_or_else(given_up)?.load()
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.lock().as_mut().ok_or_else(given_up)?.commit(changes)
    }
}
