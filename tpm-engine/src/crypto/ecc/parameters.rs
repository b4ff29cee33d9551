//! The numbers that make each curve (FIPS 186-4, D.1.2; SP 800-186, 3.2).

use crate::alg::Curve;

/// y² = x³ + ax + b over the integers modulo p; a base point of order n, and the cofactor h. All big-endian.
#[derive(Debug, Clone, Copy)]
pub struct CurveParameters {
    /// The field's prime.
    pub p: &'static [u8],
    /// Coefficient of x.
    pub a: &'static [u8],
    /// The constant term.
    pub b: &'static [u8],
    /// The base point's x coordinate.
    pub gx: &'static [u8],
    /// The base point's y coordinate.
    pub gy: &'static [u8],
    /// The base point's order.
    pub n: &'static [u8],
    /// The cofactor.
    pub h: &'static [u8],
}

/// The parameters of a curve, padded to its size.
#[must_use]
pub const fn of(curve: Curve) -> CurveParameters {
    match curve {
        Curve::P256 => P256,
        Curve::P384 => P384,
    }
}

/// Bytes from hexadecimal digits, when the program is compiled.
const fn hex<const N: usize>(digits: &str) -> [u8; N] {
    assert!(
        digits.len().is_multiple_of(2) && digits.len() / 2 == N,
        "not the number of digits that a curve needs"
    );
    let mut out = [0u8; N];
    let (mut rest, mut bytes): (&[u8], &mut [u8]) = (digits.as_bytes(), &mut out);
    while let ([high, low, tail @ ..], Some((byte, others))) = (rest, bytes.split_first_mut()) {
        *byte = digit(*high) << 4 | digit(*low);
        (rest, bytes) = (tail, others);
    }
    out
}

const fn digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit.wrapping_sub(b'0'),
        b'a'..=b'f' => digit.wrapping_sub(b'a').wrapping_add(10),
        _ => panic!("not a hexadecimal digit"),
    }
}

const P256: CurveParameters = CurveParameters {
    p: &hex::<32>("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
    a: &hex::<32>("ffffffff00000001000000000000000000000000fffffffffffffffffffffffc"),
    b: &hex::<32>("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"),
    gx: &hex::<32>("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
    gy: &hex::<32>("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
    n: &hex::<32>("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
    h: &[1],
};

const P384: CurveParameters = CurveParameters {
    p: &hex::<48>("fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff"),
    a: &hex::<48>("fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000fffffffc"),
    b: &hex::<48>("b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef"),
    gx: &hex::<48>("aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7"),
    gy: &hex::<48>("3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"),
    n: &hex::<48>("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973"),
    h: &[1],
};

#[cfg(test)]
mod tests {
    use crypto_bigint::BoxedUint;

    use super::*;
    use crate::crypto::ecc;

    fn number(bytes: &[u8]) -> BoxedUint {
        BoxedUint::from_be_slice_vartime(bytes)
    }

    #[test]
    fn the_base_point_is_the_crates_and_lies_on_the_curve_that_the_numbers_make() {
        for curve in Curve::ALL {
            let parameters = of(*curve);
            let point = ecc::public(*curve, &[1]).unwrap();
            assert_eq!((&*point.x, &*point.y), (parameters.gx, parameters.gy), "{curve:?}");
            let p = number(parameters.p).to_nz().unwrap();
            let (x, y) = (number(parameters.gx), number(parameters.gy));
            let product = |left: &BoxedUint, right: &BoxedUint| left.mul(right).rem(&p);
            let cube = product(&product(&x, &x), &x);
            let right = cube
                .add_mod(&product(&x, &number(parameters.a)), &p)
                .add_mod(&number(parameters.b), &p);
            assert_eq!(product(&y, &y), right, "{curve:?}");
            // The order is the first scalar that is refused.
            assert!(ecc::public(*curve, parameters.n).is_err());
            let mut below = parameters.n.to_vec();
            *below.last_mut().unwrap() -= 1;
            assert!(ecc::public(*curve, &below).is_ok());
        }
    }
}
