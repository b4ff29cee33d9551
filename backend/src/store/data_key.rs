//! The file that holds the key of a state's records, sealed with the operator's key.
//!
//! The operator's key seals this one small file and nothing else: it is changed by replacing the file, also while a
//! daemon serves the TPM, which has read the file and reads it no more. Whoever replaces it holds a lock of its own, since
//! the directory's is the daemon's.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::directory::{self, DATA_KEY, DATA_KEY_LOCK};
use super::error::OpenError;
use super::root::Number;
use crate::keys::OperatorKey;
use crate::keys::cipher::{KEY_SIZE, NoEntropy, random};
use crate::keys::envelope::{EnvelopeError, Purpose};

/// The key of a state's records.
pub(super) struct DataKey {
    pub(super) number: Number,
    pub(super) key: Zeroizing<[u8; KEY_SIZE]>,
}

/// Holds others off the file between what is read of it and what is written in its place.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until nobody else has it. It is a file of its own: the one that it is about is another after each change.
    pub(super) fn take(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(DATA_KEY_LOCK);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let locked = options.open(&path).and_then(|file| file.lock().map(|()| file));
        let file = locked.map_err(|error| OpenError::Lock(path, error))?;
        Ok(Self { _file: file })
    }
}

const ENTRY_SIZE: usize = size_of::<Number>() + KEY_SIZE;

impl DataKey {
    pub(super) fn generate() -> Result<Self, NoEntropy> {
        Ok(Self {
            number: *random()?,
            key: random()?,
        })
    }

    /// Reads the keys that the directory holds: one, or the old and the new one while a state is being replaced.
    pub(super) fn read(directory: &Path, operator: &OperatorKey) -> Result<Vec<Self>, OpenError> {
        let failed = |error| OpenError::DataKey(directory.to_owned(), error);
        let envelope = std::fs::read(directory.join(DATA_KEY)).map_err(failed)?;
        let wrong = |error| OpenError::WrongKey(directory.to_owned(), error);
        let content = operator.open(Purpose::DataKey, &envelope).map_err(wrong)?;
        match content.as_chunks::<ENTRY_SIZE>() {
            (entries, []) => Ok(entries.iter().map(Self::from_bytes).collect()),
            _ => Err(wrong(EnvelopeError::Damaged)),
        }
    }

    /// Replaces what the directory holds by these keys.
    pub(super) fn write(directory: &Path, operator: &OperatorKey, keys: &[&Self]) -> Result<(), OpenError> {
        let mut content = Zeroizing::new(Vec::with_capacity(keys.len() * ENTRY_SIZE));
        for Self { number, key } in keys {
            content.extend_from_slice(number);
            content.extend_from_slice(&**key);
        }
        let write = |error| OpenError::WriteKey(directory.to_owned(), error);
        let envelope = operator
            .seal(Purpose::DataKey, &content)
            .map_err(|error| write(error.into()))?;
        directory::replace(&directory.join(DATA_KEY), &envelope).map_err(|error| write(error.into()))
    }

    fn from_bytes(bytes: &[u8; ENTRY_SIZE]) -> Self {
        let mut number = Number::default();
        let mut key = Zeroizing::new([0; KEY_SIZE]);
        let (first, rest) = bytes.split_at(number.len());
        number.copy_from_slice(first);
        key.copy_from_slice(rest);
        Self { number, key }
    }
}

/// Seals the keys that the directory holds with another key of the operator.
pub(crate) fn rekey(directory: &Path, old: &OperatorKey, new: &OperatorKey) -> Result<(), OpenError> {
    let _lock = Lock::take(directory)?;
    let keys = DataKey::read(directory, old)?;
    DataKey::write(directory, new, &keys.iter().collect::<Vec<_>>())
}
