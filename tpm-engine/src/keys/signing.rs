//! Signing and verifying with any kind of key (Part 1, 11.4.4; annexes B and C).

use super::secret::padded_point;
use crate::crypto::hmac::hmac;
use crate::crypto::rsa::RsaSign;
use crate::crypto::{CryptoError, ecc};
use crate::object::Object;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::TaggedDigest;
use crate::types::public::{PublicParms, Unique};
use crate::types::scheme::{KeyedHashScheme, Scheme, SchemeId};
use crate::types::signature::Signature;

impl Tpm {
    /// The scheme to sign with: the key's own, or the one given where the key leaves it open (Part 3, 18.1, Table 65). A
    /// bare TPM_RC_SCHEME where they do not agree or there is none.
    pub(crate) fn choose_sign_scheme(&self, object: &Object, given: Option<Scheme>) -> RcResult<Option<Scheme>> {
        let public = &object.public.0;
        let scheme = match (public.parms.scheme(), given) {
            (None, given) => given.ok_or(Rc::SCHEME)?,
            // A commitment can only be named by the caller.
            (Some(own), None) if own.id.is_anonymous() => return Err(Rc::SCHEME),
            (Some(own), None) => own,
            (Some(own), Some(given)) if own.id == given.id && own.hash == given.hash => given,
            (Some(_), Some(_)) => return Err(Rc::SCHEME),
        };
        let suits = match (&public.parms, scheme.id) {
            (PublicParms::KeyedHash(scheme), id) => id == SchemeId::Hmac && !matches!(scheme, KeyedHashScheme::Xor(..)),
            (PublicParms::Rsa(_), id) => matches!(id, SchemeId::Rsassa | SchemeId::Rsapss),
            (PublicParms::Ecc(_), id) => matches!(
                id,
                SchemeId::Ecdsa | SchemeId::Ecdaa | SchemeId::Sm2 | SchemeId::EcSchnorr
            ),
            (PublicParms::SymCipher(_), _) => false,
        };
        if suits { Ok(Some(scheme)) } else { Err(Rc::SCHEME) }
    }

    /// Signs a digest. Codes come without a number: TPM_RC_SCHEME for a scheme that does not suit the key.
    pub(crate) fn sign(&mut self, object: &Object, scheme: Scheme, digest: &[u8]) -> RcResult<Signature> {
        let hash = scheme.hash.ok_or(Rc::SCHEME)?;
        match (&object.public.0.parms, scheme.id) {
            (PublicParms::KeyedHash(_), SchemeId::Hmac) => Ok(Signature::Hmac(TaggedDigest {
                alg: hash,
                digest: hmac(hash, &object.sensitive()?.secret, &[digest]),
            })),
            (PublicParms::Rsa(_), id @ (SchemeId::Rsassa | SchemeId::Rsapss)) => {
                let key = object.rsa_private()?;
                let signature = key
                    .sign(rsa_scheme(id), hash, digest, &mut self.rng)
                    .map_err(|error| match error {
                        CryptoError::Size => Rc::SIZE,
                        _ => Rc::VALUE,
                    })?;
                Ok(Signature::Rsa {
                    scheme: id,
                    hash,
                    signature,
                })
            }
            (PublicParms::Ecc(parms), SchemeId::Ecdsa | SchemeId::Ecdaa | SchemeId::Sm2 | SchemeId::EcSchnorr) => {
                let (curve, scalar) = (parms.curve, &object.sensitive()?.secret);
                let signature = match scheme.id {
                    SchemeId::Ecdaa => {
                        let r = self
                            .committed_ephemeral(curve, &object.name, scheme.count)
                            .ok_or(Rc::VALUE)?;
                        let signature = ecc::ecdaa_sign(curve, scalar, &r, hash, digest, &mut self.rng);
                        self.end_ephemeral(scheme.count);
                        signature
                    }
                    SchemeId::Sm2 => ecc::sm2_sign(curve, scalar, digest, &mut self.rng),
                    SchemeId::EcSchnorr => ecc::schnorr_sign(curve, scalar, hash, digest, &mut self.rng),
                    _ => ecc::ecdsa_sign(curve, scalar, digest, &mut self.rng),
                };
                let (r, s) = signature.map_err(|_| Rc::NO_RESULT)?;
                Ok(Signature::Ecc {
                    scheme: scheme.id,
                    hash,
                    r,
                    s,
                })
            }
            _ => Err(Rc::SCHEME),
        }
    }
}

const fn rsa_scheme(id: SchemeId) -> RsaSign {
    match id {
        SchemeId::Rsapss => RsaSign::Pss,
        _ => RsaSign::Ssa,
    }
}

/// Checks a signature of a digest. Codes come without a number: TPM_RC_SIGNATURE for one that does not verify,
/// TPM_RC_SCHEME for one that is not of the key's kind, TPM_RC_HANDLE for an HMAC key of which only the public part is
/// loaded.
pub(crate) fn verify(object: &Object, digest: &[u8], signature: &Signature) -> RcResult<()> {
    let public = &object.public.0;
    match (&public.parms, &public.unique, signature) {
        (
            PublicParms::Rsa(_),
            Unique::Rsa(_),
            Signature::Rsa {
                scheme,
                hash,
                signature,
            },
        ) => object
            .rsa_public()
            .and_then(|key| key.verify(rsa_scheme(*scheme), *hash, digest, signature))
            .map_err(|_| Rc::SIGNATURE),
        (PublicParms::Ecc(parms), Unique::Ecc(point), Signature::Ecc { scheme, hash, r, s }) => {
            let curve = parms.curve;
            let point = padded_point(curve, point).ok_or(Rc::SIGNATURE)?;
            match scheme {
                SchemeId::Ecdsa => ecc::ecdsa_verify(curve, &point, digest, r, s),
                SchemeId::Sm2 => ecc::sm2_verify(curve, &point, digest, r, s),
                SchemeId::EcSchnorr => ecc::schnorr_verify(curve, &point, *hash, digest, r, s),
                // Only the issuer's host can tell an ECDAA signature.
                _ => return Err(Rc::SCHEME),
            }
            .map_err(|_| Rc::SIGNATURE)
        }
        (PublicParms::KeyedHash(_), _, signature) => {
            let sensitive = object.sensitive.0.as_ref().ok_or(Rc::HANDLE)?;
            let Signature::Hmac(given) = signature else {
                return Err(Rc::SCHEME);
            };
            if hmac(given.alg, &sensitive.secret, &[digest]).ct_eq(&given.digest) {
                Ok(())
            } else {
                Err(Rc::SIGNATURE)
            }
        }
        _ => Err(Rc::SCHEME),
    }
}
