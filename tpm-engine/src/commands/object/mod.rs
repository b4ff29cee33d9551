//! Objects (Part 3, 12 and 24): making, loading and reading them.

pub(crate) mod activate_credential;
pub(crate) mod change_auth;
pub(crate) mod create;
pub(crate) mod create_loaded;
pub(crate) mod create_primary;
pub(crate) mod load;
pub(crate) mod load_external;
pub(crate) mod make_credential;
pub(crate) mod read_public;
pub(crate) mod unseal;
