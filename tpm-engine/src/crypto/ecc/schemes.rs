//! Signature schemes other than ECDSA: ECDAA, EC Schnorr and SM2 (Part 1, C.4).

use elliptic_curve::ops::MulByGeneratorVartime as _;
use elliptic_curve::point::AffineCoordinates as _;
use elliptic_curve::{CurveArithmetic, CurveGroup as _, Field as _, Group as _};
use zeroize::Zeroizing;

use super::ecdsa::{hedge, message_scalar};
use super::{
    Arithmetic as _, Coordinate, Point, decode_point, decode_scalar, encode_scalar, random_scalar, reduce, reduce_wide,
    with_curve,
};
use crate::alg::{Curve, HashAlg};
use crate::crypto::CryptoError;
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::hash::hash;

/// Signs `digest` by ECDAA: the pair (nonce, s). `commitment` is the secret r of the TPM2_Commit that came before.
///
/// # Errors
/// [`CryptoError::Value`] if a scalar is 0, or not below the order.
pub fn ecdaa_sign(
    curve: Curve,
    scalar: &[u8],
    commitment: &[u8],
    alg: HashAlg,
    digest: &[u8],
    rng: &mut HmacDrbg,
) -> Result<(Coordinate, Coordinate), CryptoError> {
    with_curve!(curve, C => {
        let d = decode_scalar::<C>(scalar)?;
        let r = decode_scalar::<C>(commitment)?;
        loop {
            let nonce = encode_scalar::<C>(&random_scalar::<C>(&[], rng));
            let t = reduce_wide::<C>(&hash(alg, &[&nonce, digest]));
            let s = **r + t * **d;
            if !bool::from(s.is_zero()) {
                return Ok((nonce, encode_scalar::<C>(&s)));
            }
        }
    })
}

/// Signs `digest` by EC Schnorr: the pair (r, s).
///
/// # Errors
/// [`CryptoError::Value`] if the scalar is 0, or not below the order.
pub fn schnorr_sign(
    curve: Curve,
    scalar: &[u8],
    alg: HashAlg,
    digest: &[u8],
    rng: &mut HmacDrbg,
) -> Result<(Coordinate, Coordinate), CryptoError> {
    with_curve!(curve, C => {
        let d = decode_scalar::<C>(scalar)?;
        let hedge = hedge::<C>(&d, digest);
        loop {
            let k = random_scalar::<C>(&hedge, rng);
            let r = schnorr_challenge::<C>(alg, &C::generator_times(&k), digest);
            let s = **k + r * **d;
            if !bool::from(r.is_zero() | s.is_zero()) {
                return Ok((encode_scalar::<C>(&r), encode_scalar::<C>(&s)));
            }
        }
    })
}

/// Checks a signature (r, s) of `digest` by EC Schnorr.
///
/// # Errors
/// [`CryptoError::Signature`] if it is not one; [`CryptoError::Point`] if the public point is not on the curve.
pub fn schnorr_verify(
    curve: Curve,
    point: &Point,
    alg: HashAlg,
    digest: &[u8],
    r: &[u8],
    s: &[u8],
) -> Result<(), CryptoError> {
    with_curve!(curve, C => {
        let (q, [r, s]) = decode_signature::<C>(point, r, s)?;
        let commitment = combine::<C>(&s, &-r, &q);
        let valid = !bool::from(commitment.is_identity()) && schnorr_challenge::<C>(alg, &commitment, digest) == r;
        if valid { Ok(()) } else { Err(CryptoError::Signature) }
    })
}

/// The leftmost bits, as many as the order has, of the hash of a point's x, as a number below the order, and the digest.
fn schnorr_challenge<C: CurveArithmetic>(alg: HashAlg, point: &C::ProjectivePoint, digest: &[u8]) -> C::Scalar {
    let x = encode_scalar::<C>(&reduce::<C>(&point.to_affine().x()));
    message_scalar::<C>(&hash(alg, &[&x, digest]))
}

/// Signs `digest` by SM2 (GB/T 32918.2): the pair (r, s). What SM2 has hashed before the message is up to the caller.
///
/// # Errors
/// [`CryptoError::Value`] if the scalar is 0, or not below the order less one.
pub fn sm2_sign(
    curve: Curve,
    scalar: &[u8],
    digest: &[u8],
    rng: &mut HmacDrbg,
) -> Result<(Coordinate, Coordinate), CryptoError> {
    with_curve!(curve, C => {
        let d = decode_scalar::<C>(scalar)?;
        let inverse = Option::<<C as CurveArithmetic>::Scalar>::from((<C as CurveArithmetic>::Scalar::ONE + **d).invert());
        let inverse = Zeroizing::new(inverse.ok_or(CryptoError::Value)?);
        let e = reduce_wide::<C>(digest);
        let hedge = hedge::<C>(&d, digest);
        loop {
            let k = random_scalar::<C>(&hedge, rng);
            let r = e + reduce::<C>(&C::generator_times(&k).to_affine().x());
            let s = *inverse * (**k - r * **d);
            if !bool::from(r.is_zero() | s.is_zero() | (r + **k).is_zero()) {
                return Ok((encode_scalar::<C>(&r), encode_scalar::<C>(&s)));
            }
        }
    })
}

/// Checks a signature (r, s) of `digest` by SM2.
///
/// # Errors
/// [`CryptoError::Signature`] if it is not one; [`CryptoError::Point`] if the public point is not on the curve.
pub fn sm2_verify(curve: Curve, point: &Point, digest: &[u8], r: &[u8], s: &[u8]) -> Result<(), CryptoError> {
    with_curve!(curve, C => {
        let (q, [r, s]) = decode_signature::<C>(point, r, s)?;
        let t = r + s;
        let x = combine::<C>(&s, &t, &q).to_affine().x();
        let valid = !bool::from(t.is_zero()) && reduce_wide::<C>(digest) + reduce::<C>(&x) == r;
        if valid { Ok(()) } else { Err(CryptoError::Signature) }
    })
}

/// A public point and a signature for it, both parts of which are from 1 to n - 1.
fn decode_signature<C: CurveArithmetic>(
    point: &Point,
    r: &[u8],
    s: &[u8],
) -> Result<(C::ProjectivePoint, [C::Scalar; 2]), CryptoError> {
    let q = decode_point::<C>(point)?;
    match (decode_scalar::<C>(r), decode_scalar::<C>(s)) {
        (Ok(r), Ok(s)) => Ok((q, [**r, **s])),
        _ => Err(CryptoError::Signature),
    }
}

/// `a` times the base point and `b` times `q`, which are all public.
fn combine<C: CurveArithmetic>(a: &C::Scalar, b: &C::Scalar, q: &C::ProjectivePoint) -> C::ProjectivePoint {
    C::ProjectivePoint::mul_by_generator_and_mul_add_vartime(a, b, q)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::ecc::{generate, public};
    use crate::crypto::testing::hex;

    fn rng() -> HmacDrbg {
        HmacDrbg::new(b"a test of signature schemes", &[], &[])
    }

    /// Signatures of "sample" that another TPM made: hashes longer, and shorter, than the order.
    #[test]
    fn schnorr_signatures_of_another_tpm_verify() {
        for (curve, alg, scalar, r, s) in [
            (
                Curve::P256,
                HashAlg::Sha512,
                "61d4e8a4e2f2c32de3564d046e7959878207bd48462b038254fd2197a71de804",
                "31520227d4d5617a926eb9c1735375d487137eda2471f9bc2aceb0878cbf7560",
                "bd6132e4f68afafe6ae9fcdefa18308a3bf87fe8e0f85af6eeb7c55d6b331e39",
            ),
            (
                Curve::P192,
                HashAlg::Sha256,
                "15f035026ea88b2842fdb0e4d95a80a6a0f5d5741602b0c1",
                "226585154ad5398b11c850fd33ed8bcb625dd7f419e4a727",
                "6416bcd2ded53a4c5bc1eaf9289c926d10eb40c002777fd8",
            ),
            (
                Curve::P521,
                HashAlg::Sha256,
                "0164ddcfb44d64542904eb43d0ec6916c71c7a44b9d86409814e6c0568ae4dd0e853986e4d370fcd4ba7fa9b0d552aafec83c1d87cdd7109b43c4fa0caea9d5c221c",
                "00000000000000000000000000000000000000000000000000000000000000000000dc5119ee23771c716b5c931dab3a298385f7066d875e3e762726f617d640fa97",
                "00e65df96a1907cd397ccbcb76a51b1684a98a24f294eea584ef28392affdadd196563a9428340c32e28e24eb6505ea03b2ccf0cefb2446e4ce29b9d5a2b08e4f946",
            ),
            (
                Curve::BnP638,
                HashAlg::Sha512,
                "10e73daa99caa114d841bf7b9b135835bf5327154cb14d2ea15c8c279c25c512d099251bb0680fcf8310797d9e6794710b1f4b77c4d347823c192956389ba121b5ade02b6fdb1956ad647109cafe0c59",
                "0000000000000000000000000000000069013478f411fa255e12d03055db250d99c81e97fa6676ac3da2f159a660560cbb8cc306150ac705cd9204a0cdee5f47b4990222bdef9759c8d714cb92f3d74f",
                "175c2c18d54853689e7404c46a477870ca26450a4bf29fb90ad8769a9155d24bfa56788f793d20fb74da8932fc803f341143acae7181e887f23d82657817dd565e4cd56c157d03ff700b7cbfdf5174a4",
            ),
        ] {
            let point = public(curve, &hex(scalar)).unwrap();
            let digest = hash(alg, &[b"sample"]);
            schnorr_verify(curve, &point, alg, &digest, &hex(r), &hex(s)).unwrap();
            let other = hash(alg, &[b"simple"]);
            let refused = schnorr_verify(curve, &point, alg, &other, &hex(r), &hex(s));
            assert_eq!(refused, Err(CryptoError::Signature), "{curve:?}");
        }
    }

    /// GB/T 32918.5, A.2, and a digest longer than the order that another TPM signed.
    #[test]
    fn published_sm2_signature_verifies() {
        let point = public(
            Curve::Sm2P256,
            &hex("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8"),
        )
        .unwrap();
        let digest = hex("f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640");
        let r = hex("f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3");
        let s = hex("b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa");
        sm2_verify(Curve::Sm2P256, &point, &digest, &r, &s).unwrap();
        assert_eq!(
            sm2_verify(Curve::Sm2P256, &point, &digest, &s, &r),
            Err(CryptoError::Signature)
        );

        let point = public(
            Curve::Sm2P256,
            &hex("7cb6c969313e1c84271f350fc6d03c3de3d623f021b81fb732dd6758d5dc5602"),
        )
        .unwrap();
        let digest = hash(HashAlg::Sha512, &[b"sample"]);
        let r = hex("dcc537ebf8c9e1945acec803b0d39b64a98b41266e28a393d9744470e7a5aa30");
        let s = hex("c56fcc179de2653f548bcb63c189317f5fea826940c96051a0f35d8985d73549");
        sm2_verify(Curve::Sm2P256, &point, &digest, &r, &s).unwrap();
    }

    #[test]
    fn what_is_signed_verifies_on_every_curve() {
        let mut rng = rng();
        let refused = Err(CryptoError::Signature);
        for curve in Curve::ALL.iter().copied() {
            let (scalar, point) = generate(curve, &mut rng);
            let (_, other) = generate(curve, &mut rng);
            let alg = HashAlg::Sha256;
            let digest = hash(alg, &[b"message"]);
            let (r, s) = schnorr_sign(curve, &scalar, alg, &digest, &mut rng).unwrap();
            schnorr_verify(curve, &point, alg, &digest, &r, &s).unwrap();
            assert_eq!(
                schnorr_verify(curve, &other, alg, &digest, &r, &s),
                refused,
                "{curve:?}"
            );
            assert_eq!(schnorr_verify(curve, &point, alg, &digest, &r, &[]), refused);
            let (r, s) = sm2_sign(curve, &scalar, &digest, &mut rng).unwrap();
            sm2_verify(curve, &point, &digest, &r, &s).unwrap();
            assert_eq!(sm2_verify(curve, &other, &digest, &r, &s), refused, "{curve:?}");
            assert_eq!(sm2_verify(curve, &point, &digest, &[0], &s), refused);
        }
    }

    /// s·G = R + T·Q, where R is the point of the commitment: what a verifier of ECDAA comes down to.
    #[test]
    fn ecdaa_signatures_satisfy_their_equation() {
        let mut rng = rng();
        for curve in [Curve::P256, Curve::BnP256, Curve::BnP638] {
            let (scalar, point) = generate(curve, &mut rng);
            let (commitment, commitment_point) = generate(curve, &mut rng);
            let alg = HashAlg::Sha512;
            let digest = hash(alg, &[b"message"]);
            let (nonce, s) = ecdaa_sign(curve, &scalar, &commitment, alg, &digest, &mut rng).unwrap();
            assert_eq!((nonce.len(), s.len()), (curve.size(), curve.size()));
            with_curve!(curve, C => {
                let t = reduce_wide::<C>(&hash(alg, &[&nonce, &digest]));
                let left = C::generator_times(&decode_scalar::<C>(&s).unwrap());
                let right = decode_point::<C>(&commitment_point).unwrap() + decode_point::<C>(&point).unwrap() * t;
                assert_eq!(left, right, "{curve:?}");
            });
            let zero = ecdaa_sign(curve, &scalar, &[0], alg, &digest, &mut rng);
            assert_eq!(zero, Err(CryptoError::Value));
        }
    }

    #[test]
    fn scalars_out_of_range_do_not_sign() {
        let mut rng = rng();
        for scalar in [&[][..], &[0xFF; 32]] {
            let schnorr = schnorr_sign(Curve::P256, scalar, HashAlg::Sha256, &[1; 32], &mut rng);
            assert_eq!(schnorr, Err(CryptoError::Value));
            assert_eq!(
                sm2_sign(Curve::P256, scalar, &[1; 32], &mut rng),
                Err(CryptoError::Value)
            );
        }
        // 1 + d has no inverse.
        let mut last = hex("fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123");
        last[31] -= 1;
        assert_eq!(
            sm2_sign(Curve::Sm2P256, &last, &[1; 32], &mut rng),
            Err(CryptoError::Value)
        );
    }
}
