//! Cryptography: thin, typed doors to the crates that do the work (Part 1, 11.4).
//!
//! Every primitive of the engine goes through here. What is hot can be done by a library in C instead ([`native`], feature
//! `aws-lc`); what comes out is the same.
//!
//! Nothing here knows of TPM state or response codes: callers map [`CryptoError`] to the code that the
//! command's description asks for.

pub mod cmac;
pub mod drbg;
pub mod ecc;
pub mod hash;
pub mod hmac;
pub mod kdf;
mod native;
mod prime;
pub(crate) mod random;
pub mod rsa;
pub(crate) mod self_test;
pub mod symmetric;

/// Why a cryptographic operation was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CryptoError {
    /// A key, or a parameter of a key, is not one that the algorithm accepts.
    #[error("the key is not valid for the algorithm")]
    Key,
    /// An input has a size that the operation cannot take.
    #[error("the input has the wrong size")]
    Size,
    /// An input's value is outside the range that the operation can take.
    #[error("the input's value is out of range")]
    Value,
    /// A point is not on its curve.
    #[error("the point is not on the curve")]
    Point,
    /// A result is the point at infinity, which has no coordinates.
    #[error("the result is the point at infinity")]
    Infinity,
    /// A signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// A cipher text does not decrypt.
    #[error("the cipher text does not decrypt")]
    Decrypt,
    /// The operation was cancelled.
    #[error("the operation was cancelled")]
    Cancelled,
}

#[cfg(test)]
mod testing;
