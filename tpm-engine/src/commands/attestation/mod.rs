//! Attestation (Part 3, 18).

pub(crate) mod certify;
pub(crate) mod certify_creation;
pub(crate) mod quote;
