//! Time and Clock (Part 3, 29).

pub(crate) mod rate_adjust;
pub(crate) mod read;
pub(crate) mod set;
