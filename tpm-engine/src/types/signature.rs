//! Signatures (Part 2, 11.3).

use super::scheme::SchemeId;
use super::{ALG_NULL, EccParameter, RsaBytes, TaggedDigest};
use crate::alg::HashAlg;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

/// TPMT_SIGNATURE (Part 2, 11.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    /// TPM_ALG_NULL: no signature.
    Null,
    /// RSASSA or RSAPSS.
    Rsa {
        scheme: SchemeId,
        hash: HashAlg,
        signature: RsaBytes,
    },
    /// ECDSA and its like.
    Ecc {
        scheme: SchemeId,
        hash: HashAlg,
        r: EccParameter,
        s: EccParameter,
    },
    /// An HMAC.
    Hmac(TaggedDigest),
}

impl Signature {
    /// The hash that was signed.
    pub(crate) const fn hash(&self) -> Option<HashAlg> {
        match self {
            Self::Null => None,
            Self::Rsa { hash, .. } | Self::Ecc { hash, .. } => Some(*hash),
            Self::Hmac(digest) => Some(digest.alg),
        }
    }
}

/// TPMT_SIGNATURE where TPM_ALG_NULL may not stand (TPM_RC_SCHEME).
impl Unmarshal<'_> for Signature {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let scheme = SchemeId::from_id(reader.read()?)
            .filter(|scheme| scheme.signs() && reader.profile.schemes.contains(scheme))
            .ok_or(Rc::SCHEME)?;
        Ok(match scheme {
            SchemeId::Hmac => Self::Hmac(reader.read()?),
            SchemeId::Rsassa | SchemeId::Rsapss => Self::Rsa {
                scheme,
                hash: reader.read()?,
                signature: reader.read()?,
            },
            _ => Self::Ecc {
                scheme,
                hash: reader.read()?,
                r: reader.read()?,
                s: reader.read()?,
            },
        })
    }
}

impl Marshal for Signature {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Null => ALG_NULL.marshal(sink),
            Self::Rsa {
                scheme,
                hash,
                signature,
            } => {
                scheme.id().marshal(sink);
                hash.marshal(sink);
                signature.marshal(sink);
            }
            Self::Ecc { scheme, hash, r, s } => {
                scheme.id().marshal(sink);
                hash.marshal(sink);
                r.marshal(sink);
                s.marshal(sink);
            }
            Self::Hmac(digest) => {
                SchemeId::Hmac.id().marshal(sink);
                digest.marshal(sink);
            }
        }
    }
}
