//! AWS-LC.

use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use rsa::{BoxedUint, PrivateKey};
use tpm_engine_aws_lc::{Curve as Native, Point as NativePoint, Refused, RsaComponents, RsaKey};
use zeroize::Zeroizing;

use crate::alg::Curve;
use crate::crypto::CryptoError;
use crate::crypto::ecc::{Coordinate, Point};

const fn native(curve: Curve) -> Option<Native> {
    match curve {
        Curve::P256 => Some(Native::P256),
        Curve::P384 => Some(Native::P384),
        Curve::P521 => Some(Native::P521),
        Curve::P192 | Curve::P224 | Curve::BnP256 | Curve::BnP638 | Curve::Sm2P256 => None,
    }
}

impl From<Refused> for CryptoError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Value => Self::Value,
            Refused::Point => Self::Point,
            Refused::Infinity => Self::Infinity,
        }
    }
}

impl From<NativePoint> for Point {
    fn from(point: NativePoint) -> Self {
        Self {
            x: Coordinate::truncated(point.x()),
            y: Coordinate::truncated(point.y()),
        }
    }
}

/// The base point times `scalar`, in constant time.
pub(in crate::crypto) fn public(curve: Curve, scalar: &[u8]) -> Option<Result<Point, CryptoError>> {
    let product = native(curve)?.public(scalar);
    Some(product.map(Point::from).map_err(CryptoError::from))
}

/// `point` times `scalar`, in constant time.
pub(in crate::crypto) fn multiply(curve: Curve, scalar: &[u8], point: &Point) -> Option<Result<Point, CryptoError>> {
    let native = native(curve)?;
    Some(if fits(curve, point) {
        let product = native.multiply(scalar, &point.x, &point.y);
        product.map(Point::from).map_err(CryptoError::from)
    } else {
        Err(CryptoError::Point)
    })
}

/// Whether (r, s) is the ECDSA signature of `digest`.
pub(in crate::crypto) fn verify(
    curve: Curve,
    point: &Point,
    digest: &[u8],
    r: &[u8],
    s: &[u8],
) -> Option<Result<(), CryptoError>> {
    let native = native(curve)?;
    if !fits(curve, point) {
        return Some(Err(CryptoError::Point));
    }
    Some(match native.verify(&point.x, &point.y, digest, r, s) {
        Ok(true) => Ok(()),
        Ok(false) => Err(CryptoError::Signature),
        Err(refused) => Err(refused.into()),
    })
}

/// A coordinate that is longer than the curve's is none, even if there are but zeros at its front.
fn fits(curve: Curve, point: &Point) -> bool {
    point.x.len() <= curve.size() && point.y.len() <= curve.size()
}

/// A private key in the hands of AWS-LC.
pub(in crate::crypto) struct NativeRsa(RsaKey);

impl NativeRsa {
    /// The key, if it is one that AWS-LC takes.
    pub(in crate::crypto) fn new(key: &PrivateKey) -> Option<Self> {
        let number = |number: &BoxedUint| Zeroizing::new(number.to_be_bytes());
        let [p, q] = key.primes() else {
            return None;
        };
        let qinv = Zeroizing::new(key.crt_coefficient()?);
        let components = RsaComponents {
            n: &number(key.n()),
            e: &number(key.e()),
            d: &number(key.d()),
            p: &number(p),
            q: &number(q),
            dp: &number(key.dp()?),
            dq: &number(key.dq()?),
            qinv: &number(&qinv),
        };
        RsaKey::new(&components).ok().map(Self)
    }

    /// `input`, below the modulus and of its size, to the private exponent: blinded, and checked for faults. Says whether
    /// AWS-LC did it: it refuses 0 and one less than the modulus.
    pub(in crate::crypto) fn raw(&self, input: &[u8], output: &mut [u8]) -> bool {
        self.0.private(input, output).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::crypto::drbg::HmacDrbg;
    use crate::crypto::ecc::{self, parameters};
    use crate::crypto::rsa::RsaPrivate;

    const CURVES: [Curve; 3] = [Curve::P256, Curve::P384, Curve::P521];

    #[test]
    fn products_are_those_of_the_curves() {
        for curve in CURVES {
            let known = parameters::of(curve);
            let base = Point {
                x: known.gx,
                y: known.gy,
            };
            let mut less_one = known.n.clone();
            *less_one.last_mut().unwrap() -= 1;
            let mut two = Coordinate::zeroed(curve.size()).unwrap();
            *two.last_mut().unwrap() = 2;
            let times = |scalar: &[u8]| public(curve, scalar).unwrap().unwrap();
            // (n - 1)G is -G, which has the same x; 2G by either way; 2(n - 1)G is -2G.
            assert_eq!(times(&less_one).x, base.x, "{curve:?}");
            assert_ne!(times(&less_one).y, base.y, "{curve:?}");
            let double = times(&two);
            assert_eq!(multiply(curve, &two, &base).unwrap().unwrap(), double, "{curve:?}");
            let other = multiply(curve, &two, &times(&less_one)).unwrap().unwrap();
            assert_eq!((&other.x, other.y == double.y), (&double.x, false), "{curve:?}");
        }
    }

    #[test]
    fn what_is_no_point_is_refused() {
        for curve in CURVES {
            let base = public(curve, &[1]).unwrap().unwrap();
            let with = |x: &[u8], y: &[u8]| Point {
                x: Coordinate::truncated(x),
                y: Coordinate::truncated(y),
            };
            let prime = parameters::of(curve).p;
            let long = [&[0], &*base.x].concat();
            for point in [
                with(&base.y, &base.x),
                with(&prime, &base.y),
                with(&long, &base.y),
                with(&[], &[]),
            ] {
                assert_eq!(
                    multiply(curve, &[2], &point),
                    Some(Err(CryptoError::Point)),
                    "{curve:?}"
                );
                let verdict = verify(curve, &point, &[1; 32], &[1], &[1]);
                assert_eq!(verdict, Some(Err(CryptoError::Point)), "{curve:?}");
            }
            assert_eq!(public(curve, &[0]), Some(Err(CryptoError::Infinity)), "{curve:?}");
            assert_eq!(
                multiply(curve, &[0], &base),
                Some(Err(CryptoError::Infinity)),
                "{curve:?}"
            );
        }
        for curve in Curve::ALL.iter().filter(|curve| !CURVES.contains(curve)) {
            assert!(public(*curve, &[1]).is_none(), "{curve:?}");
            assert!(ecc::public(*curve, &[1]).is_ok(), "{curve:?}");
        }
    }

    #[test]
    fn rsa_keys_of_all_sizes_are_taken_and_undo_the_public_operation() {
        for bits in [1024u16, 2048, 3072] {
            let mut stream = HmacDrbg::new(b"AWS-LC", &[], &bits.to_be_bytes());
            let key = RsaPrivate::generate(bits, 0, &mut stream, &AtomicBool::new(false)).unwrap();
            assert!(key.is_native(), "{bits}");
            let mut message = key.modulus();
            message[0] = 0;
            let cipher = key.public().raw(&message).unwrap();
            assert_eq!(*key.raw(&cipher, &mut stream).unwrap(), message, "{bits}");
            assert!(key.raw(&key.modulus(), &mut stream).is_err(), "{bits}");
        }
    }
}
