//! Requests to cancel a command. Each is for one command: none is lost because it came before the engine had begun, and
//! none hits the command that comes next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Where the command is that a request would be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nowhere, or still where its sender put it.
    Waiting,
    /// In a buffer of ours.
    Taken,
    /// In the engine.
    Running,
}

#[derive(Debug, Default)]
struct Requests {
    /// A command was taken that the engine does not have yet.
    in_hands: bool,
    /// For the command that still waits.
    waiting: bool,
    /// For the command that was taken.
    taken: bool,
}

/// The requests, and the flag that the engine looks at.
pub(crate) struct Cancel {
    engine: Arc<AtomicBool>,
    /// The engine has a command. That begins under the lock, and ends without: a request that finds it so a moment too late
    /// sets a flag that is cleared for the next command.
    running: AtomicBool,
    requests: Mutex<Requests>,
}

impl Cancel {
    /// For an engine that looks at this flag.
    pub(crate) fn new(engine: Arc<AtomicBool>) -> Self {
        Self {
            engine,
            running: AtomicBool::new(false),
            requests: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        // A panic ends the process (see `abort_on_panic`), so nobody is left to see a poisoned lock.
        self.requests.lock().unwrap_or_else(|_| std::process::abort())
    }

    fn stage(&self, requests: &Requests) -> Stage {
        if self.running.load(Ordering::Acquire) {
            Stage::Running
        } else if requests.in_hands {
            Stage::Taken
        } else {
            Stage::Waiting
        }
    }

    /// Takes a command, if one waits, from where its sender put it; `take` says whether it did, and does not block.
    pub(crate) fn taking<T>(&self, take: impl FnOnce() -> (bool, T)) -> T {
        let mut requests = self.lock();
        let (found, taken) = take();
        requests.taken = false;
        if found {
            requests.in_hands = true;
            requests.taken = std::mem::take(&mut requests.waiting);
        }
        taken
    }

    /// The engine executes the command that was taken, as long as the result lives. Nothing else may be in the engine.
    pub(crate) fn running(&self) -> Running<'_> {
        let mut requests = self.lock();
        requests.in_hands = false;
        self.engine
            .store(std::mem::take(&mut requests.taken), Ordering::Relaxed);
        self.running.store(true, Ordering::Relaxed);
        Running(self)
    }

    /// Cancels the command that runs or is about to. `waits` says whether there is one that was not taken yet.
    pub(crate) fn request(&self, waits: impl FnOnce() -> bool) {
        let mut requests = self.lock();
        match self.stage(&requests) {
            Stage::Waiting => requests.waiting = waits(),
            Stage::Taken => requests.taken = true,
            Stage::Running => self.engine.store(true, Ordering::Relaxed),
        }
    }

    /// Forgets a request for a command that waits, unless there is one.
    pub(crate) fn forget_unless(&self, waits: impl FnOnce() -> bool) {
        let mut requests = self.lock();
        requests.waiting = requests.waiting && waits();
    }

    /// Cancels the command that runs or was taken, if it is still the one that the request is for.
    pub(crate) fn request_if(&self, is_for_it: impl FnOnce() -> bool) {
        let mut requests = self.lock();
        if is_for_it() {
            match self.stage(&requests) {
                // Whoever takes it looks for requests.
                Stage::Waiting => {}
                Stage::Taken => requests.taken = true,
                Stage::Running => self.engine.store(true, Ordering::Relaxed),
            }
        }
    }

    /// Ends the command that runs, if there is one; one that was taken runs nevertheless.
    pub(crate) fn stop_running(&self) {
        self.engine.store(true, Ordering::Relaxed);
    }
}

/// A command in the engine.
pub(crate) struct Running<'a>(&'a Cancel);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cancel() -> (Cancel, Arc<AtomicBool>) {
        let flag = Arc::new(AtomicBool::new(false));
        (Cancel::new(Arc::clone(&flag)), flag)
    }

    /// Whether a command that is taken and run now is cancelled.
    fn is_cancelled(cancel: &Cancel, flag: &AtomicBool) -> bool {
        cancel.taking(|| (true, ()));
        let _running = cancel.running();
        flag.load(Ordering::Relaxed)
    }

    #[test]
    fn a_request_is_for_the_command_that_it_finds() {
        let (cancel, flag) = cancel();
        // One that waits.
        cancel.request(|| true);
        assert!(is_cancelled(&cancel, &flag));
        assert!(!is_cancelled(&cancel, &flag));
        // One that was taken.
        cancel.taking(|| (true, ()));
        cancel.request(|| true);
        let running = cancel.running();
        assert!(flag.load(Ordering::Relaxed));
        drop(running);
        assert!(!is_cancelled(&cancel, &flag));
        // One that runs.
        cancel.taking(|| (true, ()));
        let running = cancel.running();
        cancel.request(|| true);
        assert!(flag.load(Ordering::Relaxed));
        drop(running);
        assert!(!is_cancelled(&cancel, &flag));
    }

    #[test]
    fn a_request_without_a_command_is_for_none() {
        let (cancel, flag) = cancel();
        cancel.request(|| false);
        cancel.stop_running();
        cancel.taking(|| (false, ()));
        assert!(!is_cancelled(&cancel, &flag));
    }

    #[test]
    fn a_request_for_nothing_can_be_forgotten() {
        let (cancel, flag) = cancel();
        cancel.request(|| true);
        cancel.forget_unless(|| true);
        assert!(is_cancelled(&cancel, &flag));
        cancel.forget_unless(|| true);
        assert!(!is_cancelled(&cancel, &flag));
        cancel.request(|| true);
        cancel.forget_unless(|| false);
        assert!(!is_cancelled(&cancel, &flag));
    }

    #[test]
    fn who_finds_nothing_takes_no_request() {
        let (cancel, flag) = cancel();
        cancel.request(|| true);
        cancel.taking(|| (false, ()));
        assert!(is_cancelled(&cancel, &flag));
    }
}
