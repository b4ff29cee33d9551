//! Secrets shared with the holder of a key (Part 1, B.10 and C.6): session salts, duplication and credential seeds.

use zeroize::Zeroizing;

use crate::alg::{Curve, HashAlg};
use crate::bytes::Digest;
use crate::crypto::ecc::{self, Point};
use crate::crypto::kdf;
use crate::crypto::rsa::RsaPadding;
use crate::crypto::{CryptoError, rsa::RsaPublic};
use crate::marshal::{Marshal, Reader};
use crate::object::Object;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::public::{Public, PublicParms, Unique};
use crate::types::{EccPoint, EncryptedSecret};

impl Tpm {
    /// A new secret, of the size of the key's Name digest, and the form in which only the holder of the private key reads
    /// it. `label` comes without its final octet 0. A bare TPM_RC_KEY for a public key that is none.
    pub(crate) fn make_secret(
        &mut self,
        public: &Public,
        label: &[u8],
    ) -> RcResult<(Zeroizing<Digest>, EncryptedSecret)> {
        let hash = public.name_alg.ok_or(Rc::HASH)?;
        match (&public.parms, &public.unique) {
            (PublicParms::Rsa(parms), Unique::Rsa(modulus)) => {
                let secret = Zeroizing::new(self.random(hash.digest_size()));
                let label = terminated(label);
                let padding = RsaPadding::Oaep { hash, label: &label };
                let encrypted = RsaPublic::new(modulus, parms.exponent)
                    .and_then(|key| key.encrypt(padding, &secret, &mut self.rng))
                    .map_err(|_| Rc::KEY)?;
                Ok((secret, encrypted))
            }
            (PublicParms::Ecc(parms), Unique::Ecc(theirs)) => {
                let theirs = padded_point(parms.curve, theirs).ok_or(Rc::KEY)?;
                let (scalar, ephemeral) = ecc::generate(parms.curve, &mut self.rng);
                let product = ecc::multiply(parms.curve, &scalar, &theirs).map_err(|_| Rc::KEY)?;
                let secret = agreed_secret(hash, label, product, &ephemeral, &theirs)?;
                let mut encrypted = EncryptedSecret::EMPTY;
                encrypted
                    .extend(&EccPoint::from(ephemeral).to_vec())
                    .ok_or(Rc::FAILURE)?;
                Ok((secret, encrypted))
            }
            _ => Err(Rc::KEY),
        }
    }

    /// The secret that was made for this key by [`Self::make_secret`], here or elsewhere.
    pub(crate) fn recover_secret(
        &mut self,
        object: &Object,
        label: &[u8],
        encrypted: &[u8],
    ) -> RcResult<Zeroizing<Digest>> {
        let public = &object.public.0;
        let hash = public.name_alg.ok_or(Rc::HASH)?;
        match (&public.parms, &public.unique) {
            (PublicParms::Rsa(_), _) => {
                let label = terminated(label);
                let padding = RsaPadding::Oaep { hash, label: &label };
                let secret = object
                    .rsa_private()?
                    .decrypt(padding, encrypted, &mut self.rng)
                    .map_err(|error| match error {
                        CryptoError::Size => Rc::SIZE,
                        _ => Rc::VALUE,
                    })?;
                if secret.len() > hash.digest_size() {
                    return Err(Rc::VALUE);
                }
                Ok(Zeroizing::new(Digest::truncated(&secret)))
            }
            (PublicParms::Ecc(parms), Unique::Ecc(ours)) => {
                let mut reader = Reader::new(encrypted, self.profile);
                let ephemeral = padded_point(parms.curve, &reader.read()?).ok_or(Rc::ECC_POINT)?;
                let ours = padded_point(parms.curve, ours).ok_or(Rc::KEY)?;
                let scalar = &object.sensitive()?.secret;
                let product = ecc::multiply(parms.curve, scalar, &ephemeral).map_err(|error| match error {
                    CryptoError::Infinity => Rc::NO_RESULT,
                    _ => Rc::ECC_POINT,
                })?;
                agreed_secret(hash, label, product, &ephemeral, &ours)
            }
            _ => Err(Rc::KEY),
        }
    }
}

/// A label with the octet 0 at its end that OAEP hashes with it (Part 1, B.4).
fn terminated(label: &[u8]) -> Vec<u8> {
    let mut label = label.to_vec();
    label.push(0);
    label
}

/// KDFe over the x coordinate of the product (Part 1, C.6.1): U is who made the ephemeral key, V whose key it is for.
fn agreed_secret(
    hash: HashAlg,
    label: &[u8],
    product: Point,
    ephemeral: &Point,
    key: &Point,
) -> RcResult<Zeroizing<Digest>> {
    let z = Zeroizing::new(product.x);
    let mut secret = Zeroizing::new(Digest::zeroed(hash.digest_size()).ok_or(Rc::FAILURE)?);
    let bits = u32::try_from(hash.digest_size().saturating_mul(8)).map_err(|_| Rc::FAILURE)?;
    kdf::kdfe(hash, &z, label, &ephemeral.x, &key.x, bits, &mut secret);
    Ok(secret)
}

/// The point with its coordinates at the curve's size; `None` if they are longer, not counting zeros at their front.
pub(crate) fn padded_point(curve: Curve, point: &EccPoint) -> Option<Point> {
    let pad = |coordinate: &[u8]| {
        let start = coordinate
            .iter()
            .position(|byte| *byte != 0)
            .unwrap_or(coordinate.len());
        let coordinate = coordinate.get(start..)?;
        let mut out = ecc::Coordinate::zeroed(curve.size().checked_sub(coordinate.len())?)?;
        out.extend(coordinate)?;
        Some(out)
    };
    Some(Point {
        x: pad(&point.x)?,
        y: pad(&point.y)?,
    })
}

impl From<Point> for EccPoint {
    fn from(point: Point) -> Self {
        Self { x: point.x, y: point.y }
    }
}
