//! Symmetric primitives (Part 3, 15).

pub(crate) mod encrypt_decrypt;
pub(crate) mod encrypt_decrypt2;
