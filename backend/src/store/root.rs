//! The root record: which TPM the state is of, how far it has come, and what proves that its records belong together.
//!
//! ```text
//! version:u8 flags:u8 tpm:16 generation:u64 length:u8 instance rest
//! rest: commit:16, or, encrypted, data key:16 sealed(SHA-256 of all records' names and tags)
//! ```
//!
//! It is written in the transaction of every commit, under a name that no record of the engine has.

use sha2::{Digest, Sha256};

use super::instance::InstanceId;

/// The root record's name; those of the engine begin with a letter.
pub(super) const ROOT: &[u8] = &[0];

const VERSION: u8 = 1;
const ENCRYPTED: u8 = 1;
const ANCHORED: u8 = 2;
const MOVED: u8 = 4;

/// The number of a TPM or of a key: random, and so of one only.
pub(crate) type Number = [u8; 16];

/// What is known of a state without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The TPM, of which there may be copies.
    pub(crate) tpm: Number,
    /// Commits since it was made.
    pub(crate) generation: u64,
    /// The virtual machine that it is the TPM of.
    pub(crate) instance: Option<InstanceId>,
    /// A counter that is kept elsewhere tells whether the state is the newest.
    pub(crate) anchored: bool,
    /// The TPM was handed over to another daemon: this is a copy that is not to be served.
    pub(crate) moved: bool,
}

impl Head {
    /// The head of a TPM that is still to be made.
    pub(crate) fn new(tpm: Number, instance: Option<InstanceId>) -> Self {
        Self {
            tpm,
            generation: 0,
            instance,
            anchored: false,
            moved: false,
        }
    }

    /// The record of a state that is not encrypted, with a random number of the commit.
    pub(super) fn to_plain(&self, commit: &Number) -> Vec<u8> {
        let mut bytes = self.to_bytes(0);
        bytes.extend_from_slice(commit);
        bytes
    }

    /// The record of a state that is encrypted, to which the sealed digest is still to be appended.
    pub(super) fn to_encrypted(&self, data_key: &Number) -> Vec<u8> {
        let mut bytes = self.to_bytes(ENCRYPTED);
        bytes.extend_from_slice(data_key);
        bytes
    }

    fn to_bytes(&self, flags: u8) -> Vec<u8> {
        let Self {
            tpm,
            generation,
            instance,
            anchored,
            moved,
        } = self;
        let instance = instance.as_ref().map_or("", InstanceId::as_str);
        let anchored = if *anchored { ANCHORED } else { 0 };
        let moved = if *moved { MOVED } else { 0 };
        let mut bytes = vec![VERSION, flags | anchored | moved];
        bytes.extend_from_slice(tpm);
        bytes.extend_from_slice(&generation.to_be_bytes());
        bytes.push(u8::try_from(instance.len()).expect("an instance's name has 128 bytes at most"));
        bytes.extend_from_slice(instance.as_bytes());
        bytes
    }
}

/// A root record, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Root<'a> {
    pub(super) head: Head,
    pub(super) sealing: Option<Sealing<'a>>,
}

/// What an encrypted state's root record has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sealing<'a> {
    /// The key of the records.
    pub(super) data_key: Number,
    /// All before the digest, together with which it is sealed.
    pub(super) context: &'a [u8],
    /// The sealed digest.
    pub(super) digest: &'a [u8],
}

impl<'a> Root<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(version) => {
                return Err(format!(
                    "it was written by a newer program: its version is {version}, and this program reads {VERSION}"
                ));
            }
            None => return Err("its root record is empty".to_owned()),
        }
        Self::parse_body(bytes).ok_or_else(|| "its root record is damaged".to_owned())
    }

    fn parse_body(bytes: &'a [u8]) -> Option<Self> {
        let (flags, rest) = bytes.get(1..)?.split_first()?;
        let (tpm, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first()?;
        let (instance, rest) = rest.split_at_checked((*len).into())?;
        let instance = match instance {
            [] => None,
            name => Some(std::str::from_utf8(name).ok()?.parse().ok()?),
        };
        let head = Head {
            tpm: *tpm,
            generation: u64::from_be_bytes(*generation),
            instance,
            anchored: flags & ANCHORED != 0,
            moved: flags & MOVED != 0,
        };
        let sealing = match flags & !(ANCHORED | MOVED) {
            0 if rest.len() == size_of::<Number>() => None,
            ENCRYPTED => {
                let (data_key, digest) = rest.split_first_chunk()?;
                Some(Sealing {
                    data_key: *data_key,
                    context: &bytes[..bytes.len() - digest.len()],
                    digest,
                })
            }
            _ => return None,
        };
        Some(Self { head, sealing })
    }
}

/// What tells a root record from every other of its TPM and generation.
pub(super) fn fingerprint(root: &[u8]) -> [u8; 32] {
    Sha256::digest(root).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for instance in [None, Some("a-1".parse().unwrap())] {
            for (anchored, moved) in [(false, false), (true, false), (false, true), (true, true)] {
                let head = Head {
                    tpm: [7; 16],
                    generation: 1 << 40,
                    instance: instance.clone(),
                    anchored,
                    moved,
                };
                let plain = head.to_plain(&[3; 16]);
                assert_eq!(
                    Root::parse(&plain).unwrap(),
                    Root {
                        head: head.clone(),
                        sealing: None
                    }
                );
                let mut encrypted = head.to_encrypted(&[9; 16]);
                let context = encrypted.clone();
                encrypted.extend_from_slice(b"digest");
                let root = Root::parse(&encrypted).unwrap();
                assert_eq!(root.head, head);
                let sealing = root.sealing.unwrap();
                assert_eq!(sealing.data_key, [9; 16]);
                assert_eq!((sealing.context, sealing.digest), (&context[..], &b"digest"[..]));
                for len in 0..plain.len() {
                    assert!(Root::parse(&plain[..len]).is_err(), "{len}");
                }
            }
        }
    }

    #[test]
    fn a_newer_version_is_said_to_be_newer() {
        let mut plain = Head::new([0; 16], None).to_plain(&[0; 16]);
        plain[0] = 2;
        assert!(Root::parse(&plain).unwrap_err().contains("newer program"));
    }
}
