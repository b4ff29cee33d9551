//! Elliptic curves (Part 1, annex C).
//!
//! The groups are those of the curves' crates; what is here is written once for all of them. Numbers that come from
//! outside may be shorter than their curve has it, as TPM2B structures allow; those that go out are padded.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "scalars, field elements and points neither overflow nor panic"
)]

mod agreement;
mod curves;
mod ecdsa;
mod encryption;
pub mod parameters;
mod schemes;

use crypto_bigint::{ArrayEncoding, BoxedUint, NonZero};
use elliptic_curve::point::AffineCoordinates as _;
use elliptic_curve::{CurveArithmetic, CurveGroup as _, FieldBytes, Group as _, NonZeroScalar, PrimeField as _};
use zeroize::Zeroizing;

use crate::alg::Curve;
use crate::bytes::Bytes;
use crate::crypto::CryptoError;
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::native;

pub use agreement::{Agreement, Parties, agree};
pub use ecdsa::{ecdsa_sign, ecdsa_verify};
pub use encryption::{ecc_decrypt, ecc_encrypt};
pub use schemes::{ecdaa_sign, schnorr_sign, schnorr_verify, sm2_sign, sm2_verify};

/// Largest coordinate or scalar in bytes: a curve of 638 bits.
pub const MAX_COORDINATE: usize = 80;
/// Extra random bytes for a scalar, so that its reduction shows no bias (FIPS 186-5, A.2.1).
const EXTRA: usize = 8;

/// A coordinate or a scalar, big-endian.
pub type Coordinate = Bytes<MAX_COORDINATE>;

/// A point other than that at infinity, by its coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// x.
    pub x: Coordinate,
    /// y.
    pub y: Coordinate,
}

/// Evaluates an expression with the name given standing for the type of a curve.
macro_rules! with_curve {
    ($curve:expr, $C:ident => $body:expr) => {
        match $curve {
            $crate::alg::Curve::P192 => {
                type $C = $crate::crypto::ecc::curves::NistP192;
                $body
            }
            $crate::alg::Curve::P224 => {
                type $C = $crate::crypto::ecc::curves::NistP224;
                $body
            }
            $crate::alg::Curve::P256 => {
                type $C = p256::NistP256;
                $body
            }
            $crate::alg::Curve::P384 => {
                type $C = p384::NistP384;
                $body
            }
            $crate::alg::Curve::P521 => {
                type $C = p521::NistP521;
                $body
            }
            $crate::alg::Curve::BnP256 => {
                type $C = $crate::crypto::ecc::curves::BnP256;
                $body
            }
            $crate::alg::Curve::BnP638 => {
                type $C = $crate::crypto::ecc::curves::BnP638;
                $body
            }
            $crate::alg::Curve::Sm2P256 => {
                type $C = sm2::Sm2;
                $body
            }
        }
    };
}
use with_curve;

/// A key pair out of `stream`, by FIPS 186-5, A.2.1: a private scalar and its public point.
///
/// Primary keys are derived through this, so it may never change (see the source of `crypto::prime`). One request of
/// eight bytes more than the order has, read as a big-endian number `c`, gives the scalar `(c mod (n - 1)) + 1`.
#[must_use]
pub fn generate(curve: Curve, stream: &mut HmacDrbg) -> (Zeroizing<Coordinate>, Point) {
    with_curve!(curve, C => {
        loop {
            let scalar = random_scalar::<C>(&[], stream);
            // A scalar from 1 to n - 1 never leads to the point at infinity.
            if let Ok(point) = public_point::<C>(curve, &scalar) {
                return (Zeroizing::new(encode_scalar::<C>(&scalar)), point);
            }
        }
    })
}

/// Bytes that [`from_wide`] needs: eight more than the order has.
#[must_use]
pub const fn wide_size(curve: Curve) -> usize {
    curve.size().saturating_add(EXTRA)
}

/// The key pair that [`generate`] makes of the bytes `wide`; `None` if they are not [`wide_size`] many.
#[must_use]
pub fn from_wide(curve: Curve, wide: &[u8]) -> Option<(Zeroizing<Coordinate>, Point)> {
    if wide.len() != wide_size(curve) {
        return None;
    }
    with_curve!(curve, C => {
        let scalar = scalar_out_of::<C>(wide).ok()?;
        let point = public_point::<C>(curve, &scalar).ok()?;
        Some((Zeroizing::new(encode_scalar::<C>(&scalar)), point))
    })
}

/// A number of any size as a coordinate of the curve: modulo the field's prime.
#[must_use]
pub fn field_number(curve: Curve, number: &[u8]) -> Coordinate {
    let prime = BoxedUint::from_be_slice_vartime(&parameters::of(curve).p);
    with_curve!(curve, C => {
        remainder(number, &prime).map_or(Coordinate::EMPTY, |rest| (*last_bytes::<C>(&rest)).clone())
    })
}

/// The public point of a private scalar.
///
/// # Errors
/// [`CryptoError::Value`] if the scalar is 0, or not below the order.
pub fn public(curve: Curve, scalar: &[u8]) -> Result<Point, CryptoError> {
    with_curve!(curve, C => {
        let scalar = decode_scalar::<C>(scalar)?;
        public_point::<C>(curve, &scalar)
    })
}

/// Whether x and y are the coordinates of a point of the curve.
#[must_use]
pub fn on_curve(curve: Curve, x: &[u8], y: &[u8]) -> bool {
    with_curve!(curve, C => decode_coordinates::<C>(x, y).is_ok())
}

/// The product of a scalar and a point: ECDH (Part 1, C.6).
///
/// # Errors
/// [`CryptoError::Value`] if the scalar is 0, or not below the order; [`CryptoError::Point`] if the point is not on the
/// curve; [`CryptoError::Infinity`] if the product is the point at infinity.
pub fn multiply(curve: Curve, scalar: &[u8], point: &Point) -> Result<Point, CryptoError> {
    with_curve!(curve, C => {
        let scalar = decode_scalar::<C>(scalar)?;
        if let Some(product) = native::multiply(curve, &Zeroizing::new(encode_scalar::<C>(&scalar)), point) {
            return product;
        }
        let point = decode_point::<C>(point)?;
        encode_point::<C>(&(point * **scalar))
    })
}

/// The base point times `scalar`, in constant time.
fn public_point<C: CurveArithmetic>(curve: Curve, scalar: &NonZeroScalar<C>) -> Result<Point, CryptoError> {
    match native::public(curve, &Zeroizing::new(encode_scalar::<C>(scalar))) {
        Some(point) => point,
        None => encode_point::<C>(&C::generator_times(scalar)),
    }
}

/// What the generic code needs of a curve, with a shorthand.
trait Arithmetic: CurveArithmetic {
    /// The generator times `scalar`, in constant time.
    fn generator_times(scalar: &NonZeroScalar<Self>) -> Self::ProjectivePoint {
        Self::ProjectivePoint::mul_by_generator(scalar)
    }
}

impl<C: CurveArithmetic> Arithmetic for C {}

/// A number of at most the curve's size, padded to it.
fn padded<C: CurveArithmetic>(number: &[u8]) -> Option<Zeroizing<FieldBytes<C>>> {
    let mut bytes = Zeroizing::new(FieldBytes::<C>::default());
    let start = bytes.len().checked_sub(number.len())?;
    bytes.get_mut(start..)?.copy_from_slice(number);
    Some(bytes)
}

fn decode_scalar<C: CurveArithmetic>(scalar: &[u8]) -> Result<Zeroizing<NonZeroScalar<C>>, CryptoError> {
    let start = scalar.iter().position(|byte| *byte != 0).unwrap_or(scalar.len());
    let bytes = padded::<C>(scalar.get(start..).unwrap_or_default()).ok_or(CryptoError::Value)?;
    Option::from(NonZeroScalar::<C>::from_repr(*bytes))
        .map(Zeroizing::new)
        .ok_or(CryptoError::Value)
}

fn encode_scalar<C: CurveArithmetic>(scalar: &C::Scalar) -> Coordinate {
    Coordinate::truncated(&Zeroizing::new(scalar.to_repr()))
}

fn decode_coordinates<C: CurveArithmetic>(x: &[u8], y: &[u8]) -> Result<C::ProjectivePoint, CryptoError> {
    let (Some(x), Some(y)) = (padded::<C>(x), padded::<C>(y)) else {
        return Err(CryptoError::Point);
    };
    Option::<C::AffinePoint>::from(C::AffinePoint::from_coordinates(&x, &y))
        .map(C::ProjectivePoint::from)
        .ok_or(CryptoError::Point)
}

fn decode_point<C: CurveArithmetic>(point: &Point) -> Result<C::ProjectivePoint, CryptoError> {
    decode_coordinates::<C>(&point.x, &point.y)
}

fn encode_point<C: CurveArithmetic>(point: &C::ProjectivePoint) -> Result<Point, CryptoError> {
    if point.is_identity().into() {
        return Err(CryptoError::Infinity);
    }
    let point = point.to_affine();
    Ok(Point {
        x: Coordinate::truncated(&point.x()),
        y: Coordinate::truncated(&point.y()),
    })
}

/// A number that may be as large as the curve's size allows, modulo the order.
fn reduce<C: CurveArithmetic>(number: &FieldBytes<C>) -> C::Scalar {
    <C::Scalar as elliptic_curve::ops::Reduce<FieldBytes<C>>>::reduce(number)
}

/// A scalar from 1 to n - 1 out of one request to `rng`, with `additional` input.
fn random_scalar<C: CurveArithmetic>(additional: &[u8], rng: &mut HmacDrbg) -> Zeroizing<NonZeroScalar<C>> {
    let mut wide = Zeroizing::new([0; MAX_COORDINATE + EXTRA]);
    let size = FieldBytes::<C>::default().len().saturating_add(EXTRA);
    let (wide, _) = wide.split_at_mut(size.min(MAX_COORDINATE + EXTRA));
    loop {
        rng.generate(additional, wide);
        if let Ok(scalar) = scalar_out_of::<C>(wide) {
            return scalar;
        }
    }
}

/// The scalar `(wide mod (n - 1)) + 1` (FIPS 186-5, A.2.1).
fn scalar_out_of<C: CurveArithmetic>(wide: &[u8]) -> Result<Zeroizing<NonZeroScalar<C>>, CryptoError> {
    let less_one = order::<C>().wrapping_sub(BoxedUint::one());
    let reduced = Zeroizing::new(remainder(wide, &less_one)?.wrapping_add(BoxedUint::one()));
    decode_scalar::<C>(&last_bytes::<C>(&reduced))
}

/// A public number of any size modulo the order.
fn reduce_wide<C: CurveArithmetic>(number: &[u8]) -> C::Scalar {
    // The order is not 0, and what is below it is not too long.
    remainder(number, &order::<C>())
        .ok()
        .and_then(|rest| padded::<C>(&last_bytes::<C>(&rest)))
        .map_or(C::Scalar::default(), |bytes| reduce::<C>(&bytes))
}

fn order<C: CurveArithmetic>() -> BoxedUint {
    BoxedUint::from_be_slice_vartime(&C::ORDER.to_be_byte_array())
}

fn remainder(number: &[u8], divisor: &BoxedUint) -> Result<Zeroizing<BoxedUint>, CryptoError> {
    let number = Zeroizing::new(BoxedUint::from_be_slice_vartime(number));
    let divisor = NonZero::new(divisor.clone()).into_option().ok_or(CryptoError::Value)?;
    Ok(Zeroizing::new(number.rem(&divisor)))
}

/// As many bytes as the curve has.
fn last_bytes<C: CurveArithmetic>(number: &BoxedUint) -> Zeroizing<Coordinate> {
    let bytes = Zeroizing::new(number.to_be_bytes());
    let start = bytes.len().saturating_sub(FieldBytes::<C>::default().len());
    Zeroizing::new(Coordinate::truncated(bytes.get(start..).unwrap_or_default()))
}

#[cfg(test)]
mod tests;
