//! Encryption to a public point (Part 1, C.8; GB/T 32918.4): ECDH with an ephemeral key, a mask by KDF2, a digest.

use zeroize::Zeroizing;

use super::{Point, generate, multiply};
use crate::alg::{Curve, HashAlg};
use crate::bytes::Digest;
use crate::crypto::CryptoError;
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::hash::hash;
use crate::crypto::kdf::kdf2_mask;

/// Encrypts `message` in place; returns the ephemeral point C1 and the digest C3 that shows whether decryption succeeded.
///
/// # Errors
/// [`CryptoError::Point`] if the public point is not on the curve.
pub fn ecc_encrypt(
    curve: Curve,
    point: &Point,
    alg: HashAlg,
    message: &mut [u8],
    rng: &mut HmacDrbg,
) -> Result<(Point, Digest), CryptoError> {
    let (scalar, ephemeral) = generate(curve, rng);
    let shared = Shared::new(multiply(curve, &scalar, point)?);
    let digest = shared.digest(alg, message);
    shared.mask(alg, message);
    Ok((ephemeral, digest))
}

/// Decrypts in place what [`ecc_encrypt`] made.
///
/// # Errors
/// [`CryptoError::Point`] if the ephemeral point is not on the curve; [`CryptoError::Value`] for a scalar that is no
/// private key; [`CryptoError::Decrypt`] if the digest is not that of the message, which is then masked again.
pub fn ecc_decrypt(
    curve: Curve,
    scalar: &[u8],
    ephemeral: &Point,
    alg: HashAlg,
    message: &mut [u8],
    digest: &[u8],
) -> Result<(), CryptoError> {
    let shared = Shared::new(multiply(curve, scalar, ephemeral)?);
    shared.mask(alg, message);
    if shared.digest(alg, message).ct_eq(digest) {
        return Ok(());
    }
    shared.mask(alg, message);
    Err(CryptoError::Decrypt)
}

/// The point that both sides come to.
struct Shared {
    x: Zeroizing<super::Coordinate>,
    y: Zeroizing<super::Coordinate>,
}

impl Shared {
    fn new(Point { x, y }: Point) -> Self {
        Self {
            x: Zeroizing::new(x),
            y: Zeroizing::new(y),
        }
    }

    fn mask(&self, alg: HashAlg, data: &mut [u8]) {
        kdf2_mask(alg, &[&self.x, &self.y], data);
    }

    fn digest(&self, alg: HashAlg, message: &[u8]) -> Digest {
        hash(alg, &[&self.x, message, &self.y])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::ecc::Coordinate;
    use crate::crypto::testing::{hex, to_hex};

    /// GB/T 32918.5, annex C: the message of the example on the recommended curve.
    #[test]
    fn published_sm2_encryption() {
        let scalar = hex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8");
        let ephemeral = Point {
            x: Coordinate::new(&hex("04ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73")).unwrap(),
            y: Coordinate::new(&hex("e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0")).unwrap(),
        };
        let cipher = hex("21886ca989ca9c7d58087307ca93092d651efa");
        let digest = hex("59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766");
        let open = |cipher: &[u8], digest: &[u8]| {
            let mut message = cipher.to_vec();
            ecc_decrypt(Curve::Sm2P256, &scalar, &ephemeral, HashAlg::Sm3, &mut message, digest).map(|()| message)
        };
        assert_eq!(open(&cipher, &digest).as_deref(), Ok(&b"encryption standard"[..]));
        assert_eq!(open(&cipher[1..], &digest), Err(CryptoError::Decrypt));
        assert_eq!(open(&cipher, &digest[1..]), Err(CryptoError::Decrypt));
    }

    #[test]
    fn what_does_not_decrypt_is_left_masked() {
        let mut rng = HmacDrbg::new(b"an ECC test", &[], &[]);
        let (scalar, point) = generate(Curve::P384, &mut rng);
        let mut message = *b"message";
        let (ephemeral, digest) = ecc_encrypt(Curve::P384, &point, HashAlg::Sha384, &mut message, &mut rng).unwrap();
        let masked = message;
        assert_ne!(to_hex(&masked), to_hex(b"message"));
        let mut open = |digest: &[u8]| {
            ecc_decrypt(Curve::P384, &scalar, &ephemeral, HashAlg::Sha384, &mut message, digest).map_err(|_| message)
        };
        assert_eq!(open(&[0; 48]), Err(masked));
        assert_eq!(open(&digest), Ok(()));
        assert_eq!(&message, b"message");
    }
}
