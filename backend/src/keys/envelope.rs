//! What an operator's key or passphrase seals: a message that says how its key is made, but not the key.
//!
//! ```text
//! "VDTPM-ENVELOPE" version:u8 kind:u8 [Argon2id: memory:u32 passes:u32 lanes:u32] salt:32 check:16 sealed
//! ```
//!
//! The key that seals is made by HKDF-SHA-256 from the operator's key, or from what Argon2id makes of the passphrase,
//! with the envelope's own salt and its purpose: no two envelopes share a key, and an envelope for one purpose does not
//! open as another. `check` comes out of the same HKDF and tells a wrong key from a damaged envelope.

use argon2::{Algorithm, Argon2, Params, Version};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::cipher::{Cipher, KEY_SIZE, NoEntropy, random};
use super::{OperatorKey, Secret};

const MAGIC: &[u8; 14] = b"VDTPM-ENVELOPE";
const VERSION: u8 = 1;
const SALT_SIZE: usize = 32;
const CHECK_SIZE: usize = 16;

/// What an envelope is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The key of a state directory's records.
    DataKey,
    /// A whole state, in a file that moves it.
    Export,
    /// A part of a TPM's state that a monitor carries to another daemon.
    StateBlob,
}

/// Whether bytes claim to be an envelope.
pub(crate) fn is_envelope(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl Purpose {
    fn label(self) -> &'static [u8] {
        match self {
            Self::DataKey => b"vhost-device-tpm data key",
            Self::Export => b"vhost-device-tpm export",
            Self::StateBlob => b"vhost-device-tpm state blob",
        }
    }
}

/// Why an envelope could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvelopeError {
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    #[error("it was sealed with {0}, and no such is given")]
    Kind(&'static str),
    #[error("{0} is not the one that it was sealed with")]
    Wrong(&'static str),
    #[error("it is of version {0}; this program reads version {VERSION}")]
    Version(u8),
    #[error("it asks for more work than a passphrase is worth: {0:?}")]
    Excessive(Work),
    #[error("it is damaged")]
    Damaged,
}

/// What Argon2id costs; stored, so that it can be raised for new envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Work {
    /// KiB.
    memory: u32,
    passes: u32,
    lanes: u32,
}

impl Work {
    /// The second recommended choice of RFC 9106, 4.
    const NEW: Self = Self {
        memory: 64 << 10,
        passes: 3,
        lanes: 4,
    };
    /// What a file may ask for: whoever can write it must not be able to take the host's memory or time.
    const MAX: Self = Self {
        memory: 1 << 20,
        passes: 16,
        lanes: 16,
    };

    fn argon2(self) -> Option<Argon2<'static>> {
        let Self { memory, passes, lanes } = self;
        let bounded = memory <= Self::MAX.memory && passes <= Self::MAX.passes && lanes <= Self::MAX.lanes;
        let params = Params::new(memory, passes, lanes, Some(KEY_SIZE)).ok();
        params
            .filter(|_| bounded)
            .map(|params| Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
    }
}

/// How the key comes from what the operator gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Key,
    Passphrase(Work),
}

impl Kind {
    const KEY: u8 = 1;
    const PASSPHRASE: u8 = 2;

    fn append_to(self, header: &mut Vec<u8>) {
        match self {
            Self::Key => header.push(Self::KEY),
            Self::Passphrase(Work { memory, passes, lanes }) => {
                header.push(Self::PASSPHRASE);
                for value in [memory, passes, lanes] {
                    header.extend_from_slice(&value.to_be_bytes());
                }
            }
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        match take(bytes)? {
            [Self::KEY] => Some(Self::Key),
            [Self::PASSPHRASE] => {
                let mut value = || take(bytes).map(u32::from_be_bytes);
                Some(Self::Passphrase(Work {
                    memory: value()?,
                    passes: value()?,
                    lanes: value()?,
                }))
            }
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Key => "a key",
            Self::Passphrase(_) => "a passphrase",
        }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

impl OperatorKey {
    /// Seals a message for a purpose. A passphrase takes Argon2id's time, some 0.1 s.
    pub(crate) fn seal(&self, purpose: Purpose, message: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        let kind = match &self.secret {
            Secret::Key(_) => Kind::Key,
            Secret::Passphrase(_) => Kind::Passphrase(Work::NEW),
        };
        let salt = random::<SALT_SIZE>()?;
        let mut envelope = MAGIC.to_vec();
        envelope.push(VERSION);
        kind.append_to(&mut envelope);
        envelope.extend_from_slice(&*salt);
        let (cipher, check) = self.derive(kind, &salt, purpose)?;
        envelope.extend_from_slice(&check);
        let sealed = cipher.seal(&context(purpose, &envelope), message)?;
        envelope.extend_from_slice(&sealed);
        Ok(envelope)
    }

    /// Opens what [`Self::seal`] made for the same purpose.
    pub(crate) fn open(&self, purpose: Purpose, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
        let rest = envelope.strip_prefix(MAGIC).ok_or(EnvelopeError::Damaged)?;
        let (version, mut rest) = rest.split_first().ok_or(EnvelopeError::Damaged)?;
        if *version != VERSION {
            return Err(EnvelopeError::Version(*version));
        }
        let kind = Kind::read(&mut rest).ok_or(EnvelopeError::Damaged)?;
        let salt = take::<SALT_SIZE>(&mut rest).ok_or(EnvelopeError::Damaged)?;
        let want = take::<CHECK_SIZE>(&mut rest).ok_or(EnvelopeError::Damaged)?;
        let (cipher, check) = self.derive(kind, &salt, purpose)?;
        if !bool::from(check.ct_eq(&want)) {
            return Err(EnvelopeError::Wrong(match kind {
                Kind::Key => "the key",
                Kind::Passphrase(_) => "the passphrase",
            }));
        }
        let header = &envelope[..envelope.len() - rest.len()];
        cipher
            .open(&context(purpose, header), rest)
            .ok_or(EnvelopeError::Damaged)
    }

    /// The cipher of an envelope and its check value.
    fn derive(
        &self,
        kind: Kind,
        salt: &[u8; SALT_SIZE],
        purpose: Purpose,
    ) -> Result<(Cipher, [u8; CHECK_SIZE]), EnvelopeError> {
        let mut input = Zeroizing::new([0; KEY_SIZE]);
        match (&self.secret, kind) {
            (Secret::Key(key), Kind::Key) => input.copy_from_slice(&**key),
            (Secret::Passphrase(passphrase), Kind::Passphrase(work)) => work
                .argon2()
                .and_then(|argon2| argon2.hash_password_into(passphrase, salt, &mut *input).ok())
                .ok_or(EnvelopeError::Excessive(work))?,
            _ => return Err(EnvelopeError::Kind(kind.name())),
        }
        let hkdf = Hkdf::<Sha256>::new(Some(salt), &*input);
        let mut key = Zeroizing::new([0; KEY_SIZE]);
        let mut check = [0; CHECK_SIZE];
        for (part, out) in [(b"key".as_slice(), &mut key[..]), (b"check", &mut check[..])] {
            hkdf.expand_multi_info(&[purpose.label(), b" ", part], out)
                .expect("HKDF-SHA-256 makes up to 8160 bytes");
        }
        Ok((Cipher::new(&key), check))
    }
}

fn context(purpose: Purpose, header: &[u8]) -> Vec<u8> {
    [header, purpose.label()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_what_it_sealed_and_nothing_else() {
        let key = OperatorKey::from_key([1; KEY_SIZE]);
        let sealed = key.seal(Purpose::DataKey, b"secret").unwrap();
        assert_eq!(&**key.open(Purpose::DataKey, &sealed).unwrap(), b"secret");
        let wrong = OperatorKey::from_key([2; KEY_SIZE]).open(Purpose::DataKey, &sealed);
        assert!(matches!(wrong, Err(EnvelopeError::Wrong("the key"))), "{wrong:?}");
        let wrong = OperatorKey::from_passphrase(b"p").open(Purpose::DataKey, &sealed);
        assert!(matches!(wrong, Err(EnvelopeError::Kind("a key"))), "{wrong:?}");
        for place in 0..sealed.len() {
            assert!(key.open(Purpose::DataKey, &sealed[..place]).is_err());
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(key.open(Purpose::DataKey, &changed).is_err(), "byte {place}");
        }
    }

    #[test]
    fn a_passphrase_opens_what_it_sealed_and_nothing_else() {
        let key = OperatorKey::from_passphrase(b"correct horse");
        let sealed = key.seal(Purpose::DataKey, b"secret").unwrap();
        assert_eq!(&**key.open(Purpose::DataKey, &sealed).unwrap(), b"secret");
        let wrong = OperatorKey::from_passphrase(b"battery staple").open(Purpose::DataKey, &sealed);
        assert!(
            matches!(wrong, Err(EnvelopeError::Wrong("the passphrase"))),
            "{wrong:?}"
        );
        let wrong = OperatorKey::from_key([1; KEY_SIZE]).open(Purpose::DataKey, &sealed);
        assert!(matches!(wrong, Err(EnvelopeError::Kind("a passphrase"))), "{wrong:?}");
    }

    #[test]
    fn a_file_cannot_ask_for_all_of_the_memory() {
        let key = OperatorKey::from_passphrase(b"correct horse");
        let mut sealed = key.seal(Purpose::DataKey, b"secret").unwrap();
        sealed[MAGIC.len() + 2] = 0xFF;
        let refused = key.open(Purpose::DataKey, &sealed);
        assert!(matches!(refused, Err(EnvelopeError::Excessive(_))), "{refused:?}");
    }
}
