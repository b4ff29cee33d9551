//! What the engine asks of whoever hosts it: entropy, time, durable storage and two host-side signals.
//!
//! The engine has no files, clocks or threads of its own. Everything it needs comes through [`Platform`],
//! so that a test can be deterministic and a daemon can choose its own store.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A source of entropy could not deliver.
#[derive(Debug, thiserror::Error)]
#[error("the entropy source failed: {0}")]
pub struct EntropyError(pub String);

/// Full-entropy random bytes; seeds the TPM's own random number generator (Part 1, 11.4.10).
pub trait Entropy: Send {
    /// Fills `out` with full-entropy bytes.
    ///
    /// # Errors
    /// When the source cannot deliver; the TPM then enters failure mode.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError>;
}

/// Monotonic time since some fixed point, in milliseconds; the engine turns it into Time and Clock (Part 1, 36).
pub trait Clock: Send {
    /// Milliseconds that have passed; never goes backwards.
    fn now_ms(&mut self) -> u64;
}

/// Why a store could not read or commit.
#[derive(Debug, thiserror::Error)]
#[error("the state store failed: {0}")]
pub struct StoreError(pub String);

/// A record of the durable state: its name and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// One change to the durable state. A record is named by a short byte key that the engine chooses (at most 16 bytes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Write or replace the record.
    Put {
        /// The record's name.
        key: Vec<u8>,
        /// The record's new value, at most 64 KiB.
        value: Vec<u8>,
    },
    /// Remove the record, if it is there.
    Delete {
        /// The record's name.
        key: Vec<u8>,
    },
}

impl Change {
    /// The name of the record that is changed.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Durable records: the TPM's NV memory.
pub trait NvStore: Send {
    /// All records, in any order. Empty for a TPM that has never been manufactured.
    ///
    /// # Errors
    /// When the state cannot be read; nothing may be made up in its place.
    fn load(&mut self) -> Result<Vec<Record>, StoreError>;

    /// Makes all `changes` durable, or none of them.
    ///
    /// # Errors
    /// When the changes could not be made durable; then none of them may be seen later.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;
}

/// The host of one TPM.
pub struct Platform {
    /// Where randomness comes from.
    pub entropy: Box<dyn Entropy>,
    /// Where time comes from.
    pub clock: Box<dyn Clock>,
    /// Where durable state goes.
    pub store: Box<dyn NvStore>,
    /// Set by another thread to stop a long command with TPM_RC_CANCELED; the host clears it.
    pub cancel: Arc<AtomicBool>,
    /// Physical presence (Part 1, 12.4), asserted by the host.
    pub physical_presence: Arc<AtomicBool>,
}
