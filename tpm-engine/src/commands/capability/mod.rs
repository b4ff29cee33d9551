//! Capabilities (Part 3, 30).

pub(crate) mod algorithms;
pub(crate) mod get_capability;
pub(crate) mod properties;
pub(crate) mod set_capability;
pub(crate) mod test_parms;
