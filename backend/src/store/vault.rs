//! How an encrypted state's records are sealed, and held together by the root record.
//!
//! A record is sealed together with its name, its TPM's number and the generation of the commit that wrote it. The root
//! record has the digest of all records' names and tags: a record that was put back from an older copy, left out or
//! added is noticed, also one that is of the same generation because a commit failed and was tried again.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::data_key::DataKey;
use super::root::{Head, Number, Sealing};
use crate::keys::cipher::{Cipher, NoEntropy, OVERHEAD};

const TAG_SIZE: usize = 16;

/// The tags of all records by their names.
pub(super) type Tags = BTreeMap<Vec<u8>, [u8; TAG_SIZE]>;

/// The key of a state's records, ready for use.
#[derive(Debug)]
pub(super) struct Vault {
    cipher: Cipher,
    data_key: Number,
}

impl Vault {
    pub(super) fn new(key: &DataKey) -> Self {
        Self {
            cipher: Cipher::new(&key.key),
            data_key: key.number,
        }
    }

    /// A record's row: the generation, then the sealed value.
    pub(super) fn seal(&self, head: &Head, name: &[u8], value: &[u8]) -> Result<Vec<u8>, NoEntropy> {
        let generation = head.generation.to_be_bytes();
        let sealed = self.cipher.seal(&context(head, generation, name), value)?;
        Ok([&generation, sealed.as_slice()].concat())
    }

    /// A record's value, or `None` if it was not sealed under this name for this TPM.
    pub(super) fn open(&self, head: &Head, name: &[u8], row: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (generation, sealed) = row.split_first_chunk()?;
        self.cipher.open(&context(head, *generation, name), sealed)
    }

    /// The root record of these records.
    pub(super) fn seal_root(&self, head: &Head, tags: &Tags) -> Result<Vec<u8>, NoEntropy> {
        let mut root = head.to_encrypted(&self.data_key);
        let digest = self.cipher.seal(&root_context(&root), &digest(tags))?;
        root.extend_from_slice(&digest);
        Ok(root)
    }

    /// Whether this root record is of these records.
    pub(super) fn is_root_of(&self, sealing: &Sealing<'_>, tags: &Tags) -> bool {
        let sealed = self.cipher.open(&root_context(sealing.context), sealing.digest);
        sealed.is_some_and(|sealed| **sealed == digest(tags))
    }
}

/// The tag of a sealed row.
pub(super) fn tag(row: &[u8]) -> Option<[u8; TAG_SIZE]> {
    let long_enough = row.len() >= size_of::<u64>() + OVERHEAD;
    row.last_chunk().filter(|_| long_enough).copied()
}

fn context(head: &Head, generation: [u8; 8], name: &[u8]) -> Vec<u8> {
    [b"record\0", head.tpm.as_slice(), &generation, name].concat()
}

fn root_context(root: &[u8]) -> Vec<u8> {
    [b"root\0", root].concat()
}

fn digest(tags: &Tags) -> [u8; 32] {
    let mut digest = Sha256::new();
    for (name, tag) in tags {
        digest.update(u32::try_from(name.len()).unwrap_or(u32::MAX).to_be_bytes());
        digest.update(name);
        digest.update(tag);
    }
    digest.finalize().into()
}
