//! What keys and sealed data are made of and do: creation, protection, signatures, tickets and attestation.

pub(crate) mod attest;
pub(crate) mod certificate;
pub(crate) mod checks;
pub(crate) mod commitment;
pub(crate) mod creation;
pub(crate) mod derive;
pub(crate) mod kept;
pub(crate) mod pool;
pub(crate) mod protect;
pub(crate) mod secret;
pub(crate) mod signing;
pub(crate) mod tickets;
