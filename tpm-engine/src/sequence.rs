//! Sequence objects: hashes, HMACs and events in the making (Part 1, 31.4).

use arrayvec::ArrayVec;
use zeroize::Zeroizing;

use crate::alg::{BlockCipher, HashAlg};
use crate::bytes::{Bytes, Digest};
use crate::crypto::cmac::{Cmac, CmacState};
use crate::crypto::hash::{HASH_STATE_SIZE, Hasher};
use crate::crypto::hmac::{HMAC_STATE_SIZE, Hmac};
use crate::marshal::{Marshal, Reader, Sink, Unmarshal, structure};
use crate::rc::{Rc, RcResult};

structure! {
    /// A sequence object.
    #[derive(Debug, Clone)]
    pub(crate) struct Sequence {
        /// The authorization value given when it was started.
        pub(crate) auth: Zeroizing<Digest>,
        pub(crate) kind: SequenceKind,
    }
}

/// What a sequence computes.
#[expect(clippy::large_enum_variant, reason = "a sequence is boxed as a whole")]
#[derive(Debug, Clone)]
pub(crate) enum SequenceKind {
    /// TPM2_HashSequenceStart of one algorithm.
    Hash {
        hasher: Hasher,
        /// Whether a ticket may be given for the digest, by what the first buffer began with; `None` before that.
        safe: Option<bool>,
    },
    /// TPM2_HMAC_Start.
    Hmac(Hmac),
    /// TPM2_MAC_Start with a symmetric key.
    Cmac(Cmac),
    /// TPM2_HashSequenceStart without an algorithm: one hash for each PCR bank's algorithm.
    Event(ArrayVec<Hasher, 8>),
}

/// The running state of a hash, as a saved context holds it.
impl Marshal for Hasher {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.alg().marshal(sink);
        self.export().marshal(sink);
    }
}

impl Unmarshal<'_> for Hasher {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let alg: HashAlg = reader.read()?;
        let state: Zeroizing<Bytes<HASH_STATE_SIZE>> = reader.read()?;
        Self::import(alg, &state).ok_or(Rc::VALUE)
    }
}

/// The running state of an HMAC, as a saved context holds it.
impl Marshal for Hmac {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.alg().marshal(sink);
        self.export().marshal(sink);
    }
}

impl Unmarshal<'_> for Hmac {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let alg: HashAlg = reader.read()?;
        let state: Zeroizing<Bytes<HMAC_STATE_SIZE>> = reader.read()?;
        Self::import(alg, &state).ok_or(Rc::VALUE)
    }
}

/// The running state of a CMAC and its key, as a saved context holds it.
impl Marshal for Cmac {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.cipher().id().marshal(sink);
        u8::try_from(self.key_size()).unwrap_or(u8::MAX).marshal(sink);
        self.export().marshal(sink);
    }
}

impl Unmarshal<'_> for Cmac {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let cipher = BlockCipher::from_id(reader.read()?).ok_or(Rc::VALUE)?;
        let key_size = usize::from(reader.read::<u8>()?);
        let state: CmacState = reader.read()?;
        Self::import(cipher, key_size, &state).ok_or(Rc::VALUE)
    }
}

impl Marshal for SequenceKind {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Hash { hasher, safe } => {
                0u8.marshal(sink);
                hasher.marshal(sink);
                safe.is_some().marshal(sink);
                safe.unwrap_or_default().marshal(sink);
            }
            Self::Hmac(hmac) => {
                1u8.marshal(sink);
                hmac.marshal(sink);
            }
            Self::Event(hashers) => {
                2u8.marshal(sink);
                hashers.marshal(sink);
            }
            Self::Cmac(cmac) => {
                3u8.marshal(sink);
                cmac.marshal(sink);
            }
        }
    }
}

impl Unmarshal<'_> for SequenceKind {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        Ok(match reader.read::<u8>()? {
            0 => {
                let (hasher, known, safe) = (reader.read()?, reader.read()?, reader.read()?);
                Self::Hash {
                    hasher,
                    safe: Some(safe).filter(|_| known),
                }
            }
            1 => Self::Hmac(reader.read()?),
            2 => Self::Event(reader.read()?),
            3 => Self::Cmac(reader.read()?),
            _ => return Err(Rc::VALUE),
        })
    }
}
