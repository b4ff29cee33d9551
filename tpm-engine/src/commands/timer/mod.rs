//! Authenticated countdown timers (Part 3, 33). The timers themselves are in [`crate::countdown`].

pub(crate) mod set_timeout;
