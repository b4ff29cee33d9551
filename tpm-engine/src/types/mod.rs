//! Structures of Part 2, grouped as its chapters are.

pub(crate) mod attest;
pub(crate) mod attributes;
pub(crate) mod creation;
pub(crate) mod nv;
pub(crate) mod pcr;
pub(crate) mod public;
pub(crate) mod scheme;
pub(crate) mod sensitive;
pub(crate) mod signature;
pub(crate) mod symmetric;
pub(crate) mod ticket;

use crate::alg::{Curve, HashAlg};
use crate::bytes::Bytes;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

/// TPM_ALG_NULL.
pub(crate) const ALG_NULL: u16 = 0x0010;

/// TPM2B_MAX_BUFFER: input of hash, HMAC and encryption commands (MAX_DIGEST_BUFFER).
pub(crate) type MaxBuffer = Bytes<1024>;
/// TPM2B_EVENT.
pub(crate) type EventData = Bytes<1024>;
/// TPM2B_MAX_NV_BUFFER (MAX_NV_BUFFER_SIZE).
pub(crate) type MaxNvBuffer = Bytes<1024>;
/// TPM2B_DATA: at most a TPMT_HA.
pub(crate) type Data = Bytes<66>;
/// TPM2B_PUBLIC_KEY_RSA.
pub(crate) type RsaBytes = Bytes<512>;
/// TPM2B_ECC_PARAMETER.
pub(crate) type EccParameter = Bytes<80>;
/// TPM2B_ENCRYPTED_SECRET: an RSA ciphertext or an ECC point.
pub(crate) type EncryptedSecret = Bytes<512>;
/// TPM2B_ID_OBJECT.
pub(crate) type IdObject = Bytes<132>;
/// TPM2B_PRIVATE: an encrypted sensitive area with its integrity value.
pub(crate) type Private = Bytes<1536>;
/// TPM2B_SENSITIVE_DATA (MAX_SYM_DATA is 128 bytes).
pub(crate) type SensitiveData = Bytes<256>;

/// TPMI_ALG_HASH: TPM_RC_HASH for what this TPM does not have, TPM_ALG_NULL included.
impl Unmarshal<'_> for HashAlg {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let alg = Self::from_id(reader.read()?).ok_or(Rc::HASH)?;
        if reader.profile.hashes.contains(&alg) {
            Ok(alg)
        } else {
            Err(Rc::HASH)
        }
    }
}

impl Marshal for HashAlg {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.id().marshal(sink);
    }
}

/// TPMI_ALG_HASH+: TPM_ALG_NULL is `None`.
impl Unmarshal<'_> for Option<HashAlg> {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        optional(reader)
    }
}

impl Marshal for Option<HashAlg> {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.map_or(ALG_NULL, HashAlg::id).marshal(sink);
    }
}

/// Reads an algorithm that may be TPM_ALG_NULL.
pub(crate) fn optional<'a, T: Unmarshal<'a>>(reader: &mut Reader<'a>) -> RcResult<Option<T>> {
    if reader.rest().starts_with(&ALG_NULL.to_be_bytes()) {
        reader.read::<u16>()?;
        return Ok(None);
    }
    reader.read().map(Some)
}

/// TPMI_ECC_CURVE: TPM_RC_CURVE for what this TPM does not have.
impl Unmarshal<'_> for Curve {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let curve = Self::from_id(reader.read()?).ok_or(Rc::CURVE)?;
        if reader.profile.curves.contains(&curve) {
            Ok(curve)
        } else {
            Err(Rc::CURVE)
        }
    }
}

impl Marshal for Curve {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.id().marshal(sink);
    }
}

crate::marshal::structure! {
    /// TPMS_ECC_POINT (Part 2, 11.2.5.2).
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub(crate) struct EccPoint {
        pub(crate) x: EccParameter,
        pub(crate) y: EccParameter,
    }

    /// TPMS_CLOCK_INFO (Part 2, 10.11.1).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct ClockInfo {
        /// Milliseconds the TPM has been powered since the clock was last cleared.
        pub(crate) clock: u64,
        pub(crate) reset_count: u32,
        pub(crate) restart_count: u32,
        pub(crate) safe: bool,
    }

    /// TPMS_TIME_INFO (Part 2, 10.11.6).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct TimeInfo {
        /// Milliseconds since the last `_TPM_Init`.
        pub(crate) time: u64,
        pub(crate) clock_info: ClockInfo,
    }
}

/// TPMT_HA (Part 2, 10.3.2): a digest with its algorithm, without a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaggedDigest {
    pub(crate) alg: HashAlg,
    pub(crate) digest: crate::bytes::Digest,
}

impl TaggedDigest {
    pub(crate) fn borrowed(&self) -> BorrowedDigest<'_> {
        BorrowedDigest {
            alg: self.alg,
            digest: &self.digest,
        }
    }
}

impl Unmarshal<'_> for TaggedDigest {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let BorrowedDigest { alg, digest } = reader.read()?;
        let digest = crate::bytes::Digest::truncated(digest);
        Ok(Self { alg, digest })
    }
}

/// A [`TaggedDigest`] whose digest stays where it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BorrowedDigest<'a> {
    pub(crate) alg: HashAlg,
    pub(crate) digest: &'a [u8],
}

impl<'a> Unmarshal<'a> for BorrowedDigest<'a> {
    fn unmarshal(reader: &mut Reader<'a>) -> RcResult<Self> {
        let alg: HashAlg = reader.read()?;
        let digest = reader.bytes(alg.digest_size())?;
        Ok(Self { alg, digest })
    }
}

impl Marshal for TaggedDigest {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.alg.marshal(sink);
        sink.put(&self.digest);
    }
}
