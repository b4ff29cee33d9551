//! A safe door to the operations of AWS-LC that the TPM engine uses, and to no others: multiplication and verification on
//! the NIST curves, and the private operation of RSA.
//!
//! The crate `aws-lc-rs` has neither the raw private operation, over which the engine puts the paddings of TPMs, nor both
//! coordinates of a product, with which TPM2_ECDH_ZGen answers. Hence this crate, so that the engine itself needs no unsafe
//! code. Numbers are big-endian. All that is handed to C is owned here, with its lifetime, by the types of [`owned`].

#![cfg(any(feature = "current", feature = "fips"))]

mod ec;
mod owned;
mod rsa;

#[cfg(feature = "fips")]
use aws_lc_fips_sys as ffi;
#[cfg(not(feature = "fips"))]
use aws_lc_sys as ffi;

pub use ec::{Curve, Point};
pub use rsa::{RsaComponents, RsaKey};

/// Why AWS-LC refused an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A number or a key is not valid, or memory ran out.
    Value,
    /// A point is not on its curve.
    Point,
    /// The result is the point at infinity.
    Infinity,
}
