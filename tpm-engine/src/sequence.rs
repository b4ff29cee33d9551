//! Sequence objects: hashes, HMACs and events in the making (Part 1, 31.4).

use arrayvec::ArrayVec;
use zeroize::Zeroizing;

use crate::bytes::Digest;
use crate::crypto::hash::Hasher;
use crate::crypto::hmac::Hmac;

/// A sequence object.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    /// The authorization value given when it was started.
    pub(crate) auth: Zeroizing<Digest>,
    pub(crate) kind: SequenceKind,
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
    /// TPM2_HashSequenceStart without an algorithm: one hash for each PCR bank's algorithm.
    Event(ArrayVec<Hasher, 8>),
}
