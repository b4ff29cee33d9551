//! Attestation (Part 3, 18).

pub(crate) mod certify;
pub(crate) mod certify_creation;
pub(crate) mod certify_x509;
pub(crate) mod command_audit;
pub(crate) mod get_time;
pub(crate) mod quote;
pub(crate) mod session_audit;

#[cfg(test)]
mod tests;
