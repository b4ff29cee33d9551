//! TPM 2.0 Library as a pure library: bytes in, bytes out.
//!
//! See the TCG "Trusted Platform Module Library Specification", Family "2.0", Parts 1–4. Names are the
//! specification's; section numbers in comments refer to it.
#![forbid(unsafe_code)]
#![deny(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::unreachable
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic: that is how it fails"
    )
)]

pub mod alg;
pub mod background;
pub mod bytes;
mod commands;
mod countdown;
pub mod crypto;
mod dictionary_attack;
mod entity;
mod handle;
mod keys;
mod marshal;
mod nv;
mod object;
mod pipeline;
pub mod platform;
mod profile;
pub mod rc;
mod sequence;
mod session;
mod state;
#[cfg(test)]
mod testing;
mod tpm;
mod types;

pub use commands::command_name;
pub use platform::Platform;
pub use profile::{ProfileName, UnknownProfile};
pub use state::snapshot::{MAX_SNAPSHOT_SIZE, Snapshot, SnapshotError};
pub use tpm::{Locality, MAX_COMMAND_SIZE, MAX_RESPONSE_SIZE, Manufacture, ResponseBuffer, StartError, Tpm};
