//! Key agreement with static and ephemeral keys of both sides (Part 1, C.6; TPM2_ZGen_2Phase).

use elliptic_curve::point::AffineCoordinates as _;
use elliptic_curve::{CurveArithmetic, FieldBytes};
use zeroize::Zeroizing;

use super::{Arithmetic as _, Point, decode_point, decode_scalar, encode_point, reduce, with_curve};
use crate::alg::Curve;
use crate::crypto::CryptoError;

/// A way to make one shared point out of four keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Full MQV (SP 800-56A, 5.7.2.3).
    Mqv,
    /// The key exchange of SM2 (GB/T 32918.3).
    Sm2,
}

/// The secrets of one side and the public points of the other.
#[derive(Debug)]
pub struct Parties<'a> {
    /// The own static scalar.
    pub own_static: &'a [u8],
    /// The own ephemeral scalar.
    pub own_ephemeral: &'a [u8],
    /// The peer's static point.
    pub peer_static: &'a Point,
    /// The peer's ephemeral point.
    pub peer_ephemeral: &'a Point,
}

/// The point that both sides come to.
///
/// # Errors
/// [`CryptoError::Value`] if a scalar is 0, or not below the order; [`CryptoError::Point`] if a point is not on the curve;
/// [`CryptoError::Infinity`] if the result is the point at infinity.
pub fn agree(curve: Curve, agreement: Agreement, parties: &Parties<'_>) -> Result<Point, CryptoError> {
    with_curve!(curve, C => {
        let own_static = decode_scalar::<C>(parties.own_static)?;
        let own_ephemeral = decode_scalar::<C>(parties.own_ephemeral)?;
        let peer_static = decode_point::<C>(parties.peer_static)?;
        let peer_ephemeral = decode_point::<C>(parties.peer_ephemeral)?;
        // The order of a curve here has as many bits as the field. Every cofactor is 1.
        let half = curve.bits().div_ceil(2);
        let (width, scalars, points) = match agreement {
            Agreement::Mqv => (half, (&own_ephemeral, &own_static), (peer_ephemeral, peer_static)),
            Agreement::Sm2 => {
                (half.saturating_sub(1), (&own_static, &own_ephemeral), (peer_static, peer_ephemeral))
            }
        };
        let own_x = C::generator_times(&own_ephemeral).to_affine().x();
        let t = Zeroizing::new(***scalars.0 + half_of::<C>(&own_x, width) * ***scalars.1);
        let sum = points.0 + points.1 * half_of::<C>(&peer_ephemeral.to_affine().x(), width);
        encode_point::<C>(&(sum * *t))
    })
}

/// The associate value of x: its lowest `width` bits, and the next one set.
fn half_of<C: CurveArithmetic>(x: &FieldBytes<C>, width: u16) -> C::Scalar {
    let mut bytes = FieldBytes::<C>::default();
    let (whole, rest) = (usize::from(width / 8), width % 8);
    for (at, (to, from)) in bytes.iter_mut().zip(x).rev().enumerate() {
        if at < whole {
            *to = *from;
        } else if at == whole {
            let next = 1u8 << rest;
            *to = (*from & (next - 1)) | next;
        }
    }
    reduce::<C>(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::drbg::HmacDrbg;
    use crate::crypto::ecc::{Coordinate, generate, public};
    use crate::crypto::testing::{hex, to_hex};

    fn point(x: &str, y: &str) -> Point {
        Point {
            x: Coordinate::new(&hex(x)).unwrap(),
            y: Coordinate::new(&hex(y)).unwrap(),
        }
    }

    /// GB/T 32918.5, B.2: the point that side A comes to.
    #[test]
    fn published_sm2_agreement() {
        let shared = agree(
            Curve::Sm2P256,
            Agreement::Sm2,
            &Parties {
                own_static: &hex("81eb26e941bb5af16df116495f90695272ae2cd63d6c4ae1678418be48230029"),
                own_ephemeral: &hex("d4de15474db74d06491c440d305e012400990f3e390c7e87153c12db2ea60bb3"),
                peer_static: &point(
                    "6ae848c57c53c7b1b5fa99eb2286af078ba64c64591b8b566f7357d576f16dfb",
                    "ee489d771621a27b36c5c7992062e9cd09a9264386f3fbea54dff69305621c4d",
                ),
                peer_ephemeral: &point(
                    "acc27688a6f7b706098bc91ff3ad1bff7dc2802cdb14ccccdb0a90471f9bd707",
                    "2fedac0494b2ffc4d6853876c79b8f301c6573ad0aa50f39fc87181e1a1b46fe",
                ),
            },
        )
        .unwrap();
        assert_eq!(
            to_hex(&shared.x),
            "c558b44bee5301d9f52b44d939bb59584d75b9034dd6a9fc826872109a65739f"
        );
        assert_eq!(
            to_hex(&shared.y),
            "3252b35b191d8ae01cd122c025204334c5eacf68a0cb4854c6a7d367ecad4de7"
        );
    }

    /// Made by a plain implementation of SP 800-56A, 5.7.2.3, and of the group law in another language.
    #[test]
    fn mqv_agrees_with_another_implementation() {
        let shared = agree(
            Curve::P256,
            Agreement::Mqv,
            &Parties {
                own_static: &hex("05466fdb8491f37d2814598ec46881f42a4578ce9501bbaab5dc2e8c9b56cc6e"),
                own_ephemeral: &hex("defb1bda1ff4d24e6eb458d79857db169e105b24580195789807443e30f7857c"),
                peer_static: &point(
                    "671fe85005a53da68c6659c05efdc4a4e78ed2fabc086390b41576f4a6287ce0",
                    "1178da2b2c94e2e5e4ad9fb6f2a71685a1b5a7a8d56aac46a4be0f48a510ad9e",
                ),
                peer_ephemeral: &point(
                    "de9d29dc5d760777eed3ac37587785a69fe18ceffb42f37e775795e96bbecd97",
                    "e8ab07c236d4fa9f7e43ab480561207f24bdffd025bf351c61f4d1e4ace62c24",
                ),
            },
        )
        .unwrap();
        assert_eq!(
            to_hex(&shared.x),
            "d8fc9658b39bb9839d52312c099d3a0ba61f20fcb2d2c9e6fd5ecd341df74e36"
        );
        assert_eq!(
            to_hex(&shared.y),
            "6ba5b2216ed6ebd9abc59799206ffd3a8a456f1741c1d85764427d1b8c0292a4"
        );
    }

    #[test]
    fn both_sides_come_to_the_same_point_on_every_curve() {
        let mut rng = HmacDrbg::new(b"a test of key agreement", &[], &[]);
        for curve in Curve::ALL.iter().copied() {
            for agreement in [Agreement::Mqv, Agreement::Sm2] {
                let (a, a_point) = generate(curve, &mut rng);
                let (x, x_point) = generate(curve, &mut rng);
                let (b, b_point) = generate(curve, &mut rng);
                let (y, y_point) = generate(curve, &mut rng);
                let ours = Parties {
                    own_static: &a,
                    own_ephemeral: &x,
                    peer_static: &b_point,
                    peer_ephemeral: &y_point,
                };
                let theirs = Parties {
                    own_static: &b,
                    own_ephemeral: &y,
                    peer_static: &a_point,
                    peer_ephemeral: &x_point,
                };
                let shared = agree(curve, agreement, &ours);
                assert!(
                    shared.is_ok() && shared == agree(curve, agreement, &theirs),
                    "{curve:?}"
                );
                let swapped = Parties {
                    own_static: &x,
                    own_ephemeral: &a,
                    ..ours
                };
                assert_ne!(agree(curve, agreement, &swapped), shared);
            }
        }
    }

    #[test]
    fn bad_inputs_are_refused() {
        let good = public(Curve::P256, &[5]).unwrap();
        let mut bad = good.clone();
        bad.y[31] ^= 1;
        let parties = |own_static, peer_static| Parties {
            own_static,
            own_ephemeral: &[7],
            peer_static,
            peer_ephemeral: &good,
        };
        let run = |parties| agree(Curve::P256, Agreement::Mqv, &parties).err();
        assert_eq!(run(parties(&[0], &good)), Some(CryptoError::Value));
        assert_eq!(run(parties(&[1], &bad)), Some(CryptoError::Point));
        assert_eq!(run(parties(&[1], &good)), None);
    }
}
