//! How long the queue is polled.

use std::time::{Duration, Instant};

use crb_interface::Spinning;

/// How the queue is waited for when it is empty.
pub(super) struct Waiting {
    /// For how long it is polled at most before the thread sleeps.
    most: Duration,
    last: Last,
    since: Instant,
    /// Whether the queue was polled since then.
    polled: bool,
    after_kick: Spinning,
    after_command: Spinning,
}

/// What came last.
#[derive(Debug, Clone, Copy)]
pub(super) enum Last {
    /// A kick without a command: one will follow.
    Kick,
    Command,
}

impl Waiting {
    pub(super) fn new(most: Duration) -> Self {
        Self {
            most,
            last: Last::Command,
            since: Instant::now(),
            polled: false,
            after_kick: Spinning::default(),
            after_command: Spinning::default(),
        }
    }

    fn spinning(&mut self) -> &mut Spinning {
        match self.last {
            Last::Kick => &mut self.after_kick,
            Last::Command => &mut self.after_command,
        }
    }

    pub(super) fn came(&mut self, what: Last) {
        let now = Instant::now();
        let (soon, polled) = (now.duration_since(self.since) <= self.most, self.polled);
        self.spinning().came(soon, polled);
        self.last = what;
        self.since = now;
        self.polled = false;
    }

    /// Whether to look at the queue again rather than sleep.
    pub(super) fn polls(&mut self) -> bool {
        if !self.spinning().pays() || self.since.elapsed() >= self.most {
            return false;
        }
        self.polled = true;
        true
    }
}
