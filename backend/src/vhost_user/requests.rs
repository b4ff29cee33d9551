//! What the monitor asks for by message comes between two commands, however many there are. The thread that reads its
//! messages also notices that it has left: it must not wait for a queue that is never empty.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Whether a message is being carried out for which the queue has to be left.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Changed under the lock; looked at without it after each command.
    pending: AtomicBool,
    changes: Mutex<()>,
    done: Condvar,
}

/// A message that is being carried out.
pub(super) struct Request<'a>(&'a Requests);

impl Requests {
    /// Whoever serves the queue leaves it after this command, and comes back when the result is dropped. Only the thread
    /// that reads messages may call this, for one at a time.
    pub(super) fn begin(&self) -> Request<'_> {
        self.set(true);
        Request(self)
    }

    /// Whether the queue has to be left.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed)
    }

    /// Waits until there is none. No lock may be held that a request needs.
    pub(super) fn wait(&self) {
        if self.is_pending() {
            let waited = self.done.wait_while(self.lock(), |()| self.is_pending());
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    fn set(&self, pending: bool) {
        let _changes = self.lock();
        self.pending.store(pending, Ordering::Relaxed);
        self.done.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
