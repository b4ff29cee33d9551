//! Curves for which there is no well-kept crate: their constants, for the field and group arithmetic of `primefield` and
//! `primeorder`, on which the crates of the other curves are built, too.
//!
//! A field's generator is its smallest number without a square root, which is all that is needed of one here.

use elliptic_curve::Scalar;
use primeorder::{MulBackend, PrimeCurveParams, ProjectivePoint};

/// Multiplication without the non-adjacent form of scalars, for which the crates have no array of the largest curve's
/// size. Only verification is slower for it.
#[derive(Clone, Copy, Debug)]
pub struct NoWnaf;

impl<C: PrimeCurveParams> MulBackend<C> for NoWnaf {
    fn mul_by_generator_vartime(k: &Scalar<C>) -> ProjectivePoint<C> {
        ProjectivePoint::GENERATOR * k
    }

    fn mul_by_generator_and_mul_add_vartime(
        a: &Scalar<C>,
        b_scalar: &Scalar<C>,
        b_point: &ProjectivePoint<C>,
    ) -> ProjectivePoint<C> {
        ProjectivePoint::GENERATOR * a + *b_point * b_scalar
    }
}

/// Defines a curve in a module of its own.
macro_rules! prime_curve {
    (
        $(#[$doc:meta])*
        $curve:ident in $module:ident: $uint:ident, $bytes:ident bytes;
        field $field:literal, generator $field_generator:literal;
        order $order:literal, generator $order_generator:literal;
        equation $equation:ident, a = $a:expr, b = $b:expr;
        base point $x:expr, $y:expr;
    ) => {
        pub(super) use $module::$curve;

        mod $module {
            use elliptic_curve::bigint::{Odd, $uint};
            use elliptic_curve::consts::$bytes;
            use elliptic_curve::point::{PointCompaction, PointCompression};
            use elliptic_curve::{Curve, CurveArithmetic, PrimeCurve, PrimeCurveArithmetic, hazmat::FieldArithmetic};
            use primeorder::{PrimeCurveParams, point_arithmetic};

            use field::FieldElement;
            use scalar::Scalar;

            #[expect(deprecated, reason = "the macro of `primefield` calls it")]
            mod field {
                use elliptic_curve::bigint::$uint;
                use elliptic_curve::ff::PrimeField;
                use elliptic_curve::ops::BatchInvert;
                use elliptic_curve::subtle::{Choice, ConstantTimeEq, CtOption};

                primefield::monty_field_params! {
                    name: FieldParams,
                    modulus: $field,
                    uint: $uint,
                    byte_order: primefield::ByteOrder::BigEndian,
                    multiplicative_generator: $field_generator,
                    doc: "The field's parameters."
                }

                primefield::monty_field_element! {
                    name: FieldElement,
                    params: FieldParams,
                    uint: $uint,
                    doc: "An element of the field."
                }

                primefield::monty_field_arithmetic! {
                    name: FieldElement,
                    params: FieldParams,
                    uint: $uint
                }

                impl BatchInvert for FieldElement {}
            }

            #[expect(deprecated, reason = "the macro of `primefield` calls it")]
            mod scalar {
                use elliptic_curve::bigint::$uint;
                use elliptic_curve::ff::PrimeField;
                use elliptic_curve::ops::Reduce;
                use elliptic_curve::scalar::{FromUintUnchecked, IsHigh};
                use elliptic_curve::subtle::{Choice, ConstantTimeEq, ConstantTimeGreater as _, CtOption};
                use elliptic_curve::{Curve as _, FieldBytes};
                use primeorder::WnafSize;

                primefield::monty_field_params! {
                    name: ScalarParams,
                    modulus: $order,
                    uint: $uint,
                    byte_order: primefield::ByteOrder::BigEndian,
                    multiplicative_generator: $order_generator,
                    doc: "The scalars' parameters."
                }

                primefield::monty_field_element! {
                    name: Scalar,
                    params: ScalarParams,
                    uint: $uint,
                    doc: "A number modulo the order."
                }

                primefield::monty_field_arithmetic! {
                    name: Scalar,
                    params: ScalarParams,
                    uint: $uint
                }

                impl Reduce<$uint> for Scalar {
                    fn reduce(number: &$uint) -> Self {
                        Self(primefield::MontyFieldElement::from_uint_reduced(number))
                    }
                }

                impl Reduce<FieldBytes<super::$curve>> for Scalar {
                    fn reduce(bytes: &FieldBytes<super::$curve>) -> Self {
                        Self::reduce(&$uint::from_be_slice_truncated(bytes, $uint::BITS))
                    }
                }

                elliptic_curve::scalar_impls!(super::$curve, Scalar);

                /// Of the size that the largest curve would need: [`super::super::NoWnaf`] makes none of these.
                impl WnafSize for Scalar {
                    type StorageSize = elliptic_curve::consts::U640;
                }

                impl AsRef<Scalar> for Scalar {
                    fn as_ref(&self) -> &Scalar {
                        self
                    }
                }

                impl FromUintUnchecked for Scalar {
                    type Uint = $uint;

                    fn from_uint_unchecked(uint: $uint) -> Self {
                        Self::from_uint_unchecked(uint)
                    }
                }

                impl IsHigh for Scalar {
                    fn is_high(&self) -> Choice {
                        const HALF: $uint = super::$curve::ORDER.as_ref().shr_vartime(1);
                        self.to_canonical().ct_gt(&HALF)
                    }
                }
            }

            $(#[$doc])*
            #[derive(Copy, Clone, Debug, Default, Eq, PartialEq, PartialOrd, Ord)]
            pub struct $curve;

            impl Curve for $curve {
                type FieldBytesSize = $bytes;
                type Uint = $uint;
                const ORDER: Odd<$uint> = Odd::<$uint>::from_be_hex($order);
            }

            impl PrimeCurve for $curve {}

            impl PointCompression for $curve {
                const COMPRESS_POINTS: bool = false;
            }

            impl PointCompaction for $curve {
                const COMPACT_POINTS: bool = false;
            }

            impl CurveArithmetic for $curve {
                type AffinePoint = primeorder::AffinePoint<Self>;
                type ProjectivePoint = primeorder::ProjectivePoint<Self>;
                type Scalar = Scalar;
            }

            impl FieldArithmetic for $curve {
                type FieldElement = FieldElement;
            }

            impl PrimeCurveArithmetic for $curve {
                type CurveGroup = primeorder::ProjectivePoint<Self>;
            }

            impl PrimeCurveParams for $curve {
                type PointArithmetic = point_arithmetic::$equation;
                type Backend = super::NoWnaf;
                const EQUATION_A: FieldElement = $a;
                const EQUATION_B: FieldElement = $b;
                const GENERATOR: (FieldElement, FieldElement) = ($x, $y);
            }
        }
    };
}

prime_curve! {
    /// P-192 (FIPS 186-4, D.1.2.1).
    NistP192 in p192: U192, U24 bytes;
    field "fffffffffffffffffffffffffffffffeffffffffffffffff", generator 11;
    order "ffffffffffffffffffffffff99def836146bc9b1b4d22831", generator 3;
    equation EquationAIsMinusThree,
        a = FieldElement::from_u64(3).neg(),
        b = FieldElement::from_hex_vartime("64210519e59c80e70fa7e9ab72243049feb8deecc146b9b1");
    base point
        FieldElement::from_hex_vartime("188da80eb03090f67cbf20eb43a18800f4ff0afd82ff1012"),
        FieldElement::from_hex_vartime("07192b95ffc8da78631011ed6b24cdd573f977a11e794811");
}

prime_curve! {
    /// P-224 (SP 800-186, 3.2.1.2). Its numbers are of 256 bits for word sizes of 32 and 64 bits alike.
    NistP224 in p224: U256, U28 bytes;
    field "00000000ffffffffffffffffffffffffffffffff000000000000000000000001", generator 11;
    order "00000000ffffffffffffffffffffffffffff16a2e0b8f03e13dd29455c5c2a3d", generator 2;
    equation EquationAIsMinusThree,
        a = FieldElement::from_u64(3).neg(),
        b = FieldElement::from_hex_vartime("b4050a850c04b3abf54132565044b0b7d7bfd8ba270b39432355ffb4");
    base point
        FieldElement::from_hex_vartime("b70e0cbd6bb4bf7f321390b94a03c1d356c21122343280d6115c1d21"),
        FieldElement::from_hex_vartime("bd376388b5f723fb4c22dfe6cd4375a05a07476444d5819985007e34");
}

prime_curve! {
    /// TPM_ECC_BN_P256 (TCG Algorithm Registry; ISO/IEC 15946-5): y² = x³ + 3.
    BnP256 in bn256: U256, U32 bytes;
    field "fffffffffffcf0cd46e5f25eee71a49f0cdc65fb12980a82d3292ddbaed33013", generator 2;
    order "fffffffffffcf0cd46e5f25eee71a49e0cdc65fb1299921af62d536cd10b500d", generator 2;
    equation EquationAIsZero, a = FieldElement::ZERO, b = FieldElement::from_u64(3);
    base point FieldElement::ONE, FieldElement::from_u64(2);
}

prime_curve! {
    /// TPM_ECC_BN_P638 (TCG Algorithm Registry; ISO/IEC 15946-5): y² = x³ + 257, with the parameter 2^158 - 2^128 - 2^68 + 1.
    /// Its numbers have the next larger size that the big numbers' crate can turn into bytes.
    BnP638 in bn638: U768, U80 bytes;
    field
        "0000000000000000000000000000000023fffffdc000000d7fffffb8000001d3fffff942d000165e3fff94870000d52ffffdd0e00008de55c00086520021e55bfffff51ffff4eb800000004c80015acdffffffffffffece00000000000000067",
        generator 3;
    order
        "0000000000000000000000000000000023fffffdc000000d7fffffb8000001d3fffff942d000165e3fff94870000d52ffffdd0e00008de55600086550021e555fffff54ffff4eac000000049800154d9ffffffffffffeda00000000000000061",
        generator 7;
    equation EquationAIsZero, a = FieldElement::ZERO, b = FieldElement::from_u64(257);
    base point FieldElement::ONE.neg(), FieldElement::from_u64(16);
}
