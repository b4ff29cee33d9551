//! Sessions (Part 3, 11): starting one, and taking a policy back to its beginning.

pub(crate) mod policy_restart;
pub(crate) mod start_auth_session;
