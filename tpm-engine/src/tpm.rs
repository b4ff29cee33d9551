//! The TPM as its host sees it.

use crate::platform::Platform;

/// Largest command in bytes (TPM_PT_MAX_COMMAND_SIZE).
pub const MAX_COMMAND_SIZE: usize = 4096;
/// Largest response in bytes (TPM_PT_MAX_RESPONSE_SIZE).
pub const MAX_RESPONSE_SIZE: usize = 4096;

/// Where a command came from: 0–4, or 32–255 for extended localities (Part 1, 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locality(u8);

impl Locality {
    /// Locality zero, where an operating system runs.
    pub const ZERO: Self = Self(0);

    /// A locality by its number; `None` for 5–31, which do not exist.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            5..=31 => None,
            n => Some(Self(n)),
        }
    }

    /// The locality's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// Where a response is written: a buffer of [`MAX_RESPONSE_SIZE`] bytes that is reused from command to command.
pub struct ResponseBuffer {
    bytes: Box<[u8; MAX_RESPONSE_SIZE]>,
    len: usize,
}

impl Default for ResponseBuffer {
    fn default() -> Self {
        Self {
            bytes: Box::new([0; MAX_RESPONSE_SIZE]),
            len: 0,
        }
    }
}

impl ResponseBuffer {
    /// The response written last.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// What is decided once, when a TPM is made.
#[derive(Debug, Clone, Default)]
pub struct Manufacture {}

/// Why a TPM could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state store failed.
    #[error(transparent)]
    Store(#[from] crate::platform::StoreError),
    /// The entropy source failed.
    #[error(transparent)]
    Entropy(#[from] crate::platform::EntropyError),
    /// The store holds state that this program cannot read.
    #[error("the TPM state is damaged or of an unknown version: {0}")]
    State(String),
    /// The store holds no manufactured TPM.
    #[error("the store holds no TPM")]
    NotManufactured,
    /// The store holds a TPM already.
    #[error("the store already holds a TPM")]
    AlreadyManufactured,
}

/// One TPM.
pub struct Tpm {
    platform: Platform,
}

impl Tpm {
    /// Makes a new TPM in an empty store (Part 1, 12.2.1: manufacture): new seeds, proofs and default values.
    ///
    /// # Errors
    /// When the store is not empty, or store or entropy fail.
    pub fn manufacture(platform: Platform, _options: &Manufacture) -> Result<Self, StartError> {
        Ok(Self { platform })
    }

    /// Loads the TPM that the store holds.
    ///
    /// # Errors
    /// [`StartError::NotManufactured`] for an empty store; otherwise what is wrong with the state.
    pub fn load(platform: Platform) -> Result<Self, StartError> {
        Ok(Self { platform })
    }

    /// `_TPM_Init` (Part 3, 9.2): power-on or reset. The next command must be TPM2_Startup.
    pub fn power_on(&mut self) {}

    /// Runs one command and writes its response; never fails, as every error is a response code.
    pub fn execute(&mut self, _locality: Locality, _command: &[u8], response: &mut ResponseBuffer) {
        let _ = &self.platform;
        let failure = [0x80, 0x01, 0, 0, 0, 10, 0, 0, 1, 1];
        if let Some(out) = response.bytes.get_mut(..failure.len()) {
            out.copy_from_slice(&failure);
            response.len = failure.len();
        }
    }

    /// `_TPM_Hash_Start` (Part 3, 22.10): begins an H-CRTM event sequence, or a D-RTM one after Startup.
    pub fn hash_start(&mut self) {}

    /// `_TPM_Hash_Data` (Part 3, 22.11).
    pub fn hash_data(&mut self, _data: &[u8]) {}

    /// `_TPM_Hash_End` (Part 3, 22.12).
    pub fn hash_end(&mut self) {}

    /// The TPM established flag: true once a D-RTM sequence has run (PC Client PTP, tpmEstablished).
    #[must_use]
    pub fn established(&self) -> bool {
        false
    }

    /// Clears the established flag; allowed from localities 3 and 4.
    pub fn reset_established(&mut self, _locality: Locality) -> bool {
        false
    }

    /// Writes what is only written at an orderly stop of the host: nothing the guest was promised depends on it.
    ///
    /// # Errors
    /// When the store cannot commit.
    pub fn flush(&mut self) -> Result<(), crate::platform::StoreError> {
        Ok(())
    }
}
