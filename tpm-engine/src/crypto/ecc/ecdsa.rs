//! ECDSA (Part 1, C.4.2; FIPS 186-5, 6.4).

use elliptic_curve::ops::{Invert as _, MulByGeneratorVartime as _};
use elliptic_curve::point::AffineCoordinates as _;
use elliptic_curve::{CurveArithmetic, CurveGroup as _, Field as _};
use zeroize::Zeroizing;

use super::{
    Coordinate, Point, decode_point, decode_scalar, encode_scalar, padded, public_point, random_scalar, reduce,
    with_curve,
};
use crate::alg::Curve;
use crate::bytes::Bytes;
use crate::crypto::CryptoError;
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::native;

/// Signs `digest`, of whatever hash: the pair (r, s).
///
/// The number that must be secret and never be used twice is drawn from `rng` with the private scalar and the digest as
/// additional input, so that it is both even if `rng` should repeat itself.
///
/// # Errors
/// [`CryptoError::Value`] if the scalar is 0, or not below the order.
pub fn ecdsa_sign(
    curve: Curve,
    scalar: &[u8],
    digest: &[u8],
    rng: &mut HmacDrbg,
) -> Result<(Coordinate, Coordinate), CryptoError> {
    with_curve!(curve, C => sign::<C>(curve, scalar, digest, rng))
}

/// Checks a signature (r, s) of `digest`.
///
/// # Errors
/// [`CryptoError::Signature`] if it is not one; [`CryptoError::Point`] if the public point is not on the curve.
pub fn ecdsa_verify(curve: Curve, point: &Point, digest: &[u8], r: &[u8], s: &[u8]) -> Result<(), CryptoError> {
    with_curve!(curve, C => verify::<C>(curve, point, digest, r, s))
}

fn sign<C: CurveArithmetic>(
    curve: Curve,
    scalar: &[u8],
    digest: &[u8],
    rng: &mut HmacDrbg,
) -> Result<(Coordinate, Coordinate), CryptoError> {
    let d = decode_scalar::<C>(scalar)?;
    let e = message_scalar::<C>(digest);
    let hedge = hedge::<C>(&d, digest);
    loop {
        let k = random_scalar::<C>(&hedge, rng);
        let r = padded::<C>(&public_point::<C>(curve, &k)?.x).map_or(C::Scalar::ZERO, |x| reduce::<C>(&x));
        let s = **Zeroizing::new(k.invert()) * (e + r * **d);
        if !bool::from(r.is_zero() | s.is_zero()) {
            return Ok((encode_scalar::<C>(&r), encode_scalar::<C>(&s)));
        }
    }
}

/// What goes into the drawing of a signature's secret number besides the random number generator's state.
pub(super) fn hedge<C: CurveArithmetic>(d: &C::Scalar, digest: &[u8]) -> Zeroizing<Bytes<144>> {
    let mut hedge = Zeroizing::new(Bytes::truncated(&Zeroizing::new(encode_scalar::<C>(d))));
    // Only a digest that is larger than any hash would not fit, and none is needed for signatures to be safe.
    let _ = hedge.extend(digest);
    hedge
}

fn verify<C: CurveArithmetic>(
    curve: Curve,
    point: &Point,
    digest: &[u8],
    r: &[u8],
    s: &[u8],
) -> Result<(), CryptoError> {
    let (r, s) = (decode_scalar::<C>(r), decode_scalar::<C>(s));
    if let (Ok(r), Ok(s)) = (&r, &s)
        && let Some(result) = native::verify(curve, point, digest, &encode_scalar::<C>(r), &encode_scalar::<C>(s))
    {
        return result;
    }
    let q = decode_point::<C>(point)?;
    let (Ok(r), Ok(s)) = (r, s) else {
        return Err(CryptoError::Signature);
    };
    let e = message_scalar::<C>(digest);
    let w = *s.invert_vartime();
    let sum = C::ProjectivePoint::mul_by_generator_and_mul_add_vartime(&(e * w), &(**r * w), &q);
    // The point at infinity has x = 0 here, which no r equals.
    if reduce::<C>(&sum.to_affine().x()) == **r {
        Ok(())
    } else {
        Err(CryptoError::Signature)
    }
}

/// The leftmost bits of a digest, as many as the order has, as a scalar. No hash is longer than an order whose bits do
/// not fill its bytes, so whole bytes are all that ever goes.
pub(super) fn message_scalar<C: CurveArithmetic>(digest: &[u8]) -> C::Scalar {
    let size = elliptic_curve::FieldBytes::<C>::default().len();
    let leftmost = digest.get(..size).unwrap_or(digest);
    padded::<C>(leftmost).map_or(C::Scalar::ZERO, |number| reduce::<C>(&number))
}
