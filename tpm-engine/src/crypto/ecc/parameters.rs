//! The numbers that make each curve, out of the arithmetic that works with them.

use crypto_bigint::ArrayEncoding as _;
use elliptic_curve::{Field as _, PrimeField as _};
use primeorder::PrimeCurveParams;

use super::{Coordinate, with_curve};
use crate::alg::Curve;

/// y² = x³ + ax + b over the integers modulo p; a base point of order n, and the cofactor h. All big-endian and padded
/// to the curve's size, but for a cofactor, and an a of 0, which have one byte.
#[derive(Debug, Clone)]
pub struct CurveParameters {
    /// The field's prime.
    pub p: Coordinate,
    /// Coefficient of x.
    pub a: Coordinate,
    /// The constant term.
    pub b: Coordinate,
    /// The base point's x coordinate.
    pub gx: Coordinate,
    /// The base point's y coordinate.
    pub gy: Coordinate,
    /// The base point's order.
    pub n: Coordinate,
    /// The cofactor.
    pub h: Coordinate,
}

/// The parameters of a curve.
#[must_use]
pub fn of(curve: Curve) -> CurveParameters {
    with_curve!(curve, C => parameters::<C>(curve.size()))
}

fn parameters<C: PrimeCurveParams>(size: usize) -> CurveParameters {
    let number = |element: C::FieldElement| Coordinate::truncated(element.to_repr().as_ref());
    // One less than the prime is even.
    let mut p = number(-C::FieldElement::ONE);
    if let Some(last) = p.last_mut() {
        *last |= 1;
    }
    let a = C::EQUATION_A;
    let (gx, gy) = C::GENERATOR;
    let order = C::ORDER.to_be_byte_array();
    let start = order.len().saturating_sub(size);
    CurveParameters {
        p,
        a: if bool::from(a.is_zero()) {
            Coordinate::truncated(&[0])
        } else {
            number(a)
        },
        b: number(C::EQUATION_B),
        gx: number(gx),
        gy: number(gy),
        n: Coordinate::truncated(order.get(start..).unwrap_or_default()),
        h: Coordinate::truncated(&[1]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::ecc;
    use crate::crypto::testing::to_hex;

    /// FIPS 186-4, D.1.2.3; the TCG Algorithm Registry for the BN curve; GB/T 32918.5, A.1.
    #[test]
    fn the_numbers_are_the_published_ones() {
        let p256 = of(Curve::P256);
        for (number, expected) in [
            (
                p256.p,
                "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
            ),
            (
                p256.a,
                "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
            ),
            (
                p256.b,
                "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
            ),
            (
                p256.gx,
                "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
            ),
            (
                p256.gy,
                "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
            ),
            (
                p256.n,
                "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
            ),
            (p256.h, "01"),
        ] {
            assert_eq!(to_hex(&number), expected);
        }
        let bn = of(Curve::BnP256);
        assert_eq!(
            to_hex(&bn.p),
            "fffffffffffcf0cd46e5f25eee71a49f0cdc65fb12980a82d3292ddbaed33013"
        );
        assert_eq!(
            to_hex(&bn.n),
            "fffffffffffcf0cd46e5f25eee71a49e0cdc65fb1299921af62d536cd10b500d"
        );
        assert_eq!((&*bn.a, bn.b[31], bn.gx[31], bn.gy[31]), (&[0][..], 3, 1, 2));
        let sm2 = of(Curve::Sm2P256);
        assert_eq!(
            to_hex(&sm2.p),
            "fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff"
        );
        assert_eq!(
            to_hex(&sm2.n),
            "fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123"
        );
    }

    #[test]
    fn the_order_is_the_first_scalar_that_is_refused() {
        for curve in Curve::ALL.iter().copied() {
            let CurveParameters { p, a, b, gx, gy, n, .. } = of(curve);
            for number in [&p, &b, &gx, &gy, &n] {
                assert_eq!(number.len(), curve.size(), "{curve:?}");
            }
            assert!(a.len() == curve.size() || *a == [0]);
            let point = ecc::public(curve, &[1]).unwrap();
            assert_eq!((&*point.x, &*point.y), (&*gx, &*gy), "{curve:?}");
            assert!(ecc::public(curve, &n).is_err());
            let mut below = n.to_vec();
            *below.last_mut().unwrap() -= 1;
            assert!(ecc::public(curve, &below).is_ok());
        }
    }
}
