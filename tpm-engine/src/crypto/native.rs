//! What a library in C does in place of the crates in Rust, where the build has one (features `aws-lc` and `aws-lc-fips`):
//! points of the NIST curves, verification of ECDSA, and the private operation of RSA.
//!
//! Where the answer is `None` there is no such library, or it does not have the curve or take the key: the caller goes on
//! with Rust. Which of them works has no say in any result. Scalars come checked, from 1 to n - 1 and padded.

#[cfg(any(feature = "aws-lc", feature = "aws-lc-fips"))]
mod aws_lc;
#[cfg(not(any(feature = "aws-lc", feature = "aws-lc-fips")))]
mod none;

#[cfg(any(feature = "aws-lc", feature = "aws-lc-fips"))]
pub(super) use aws_lc::{NativeRsa, multiply, public, verify};
#[cfg(not(any(feature = "aws-lc", feature = "aws-lc-fips")))]
pub(super) use none::{NativeRsa, multiply, public, verify};
