use super::*;
use crate::alg::HashAlg;
use crate::crypto::hash::hash;
use crate::crypto::testing::{hex, to_hex};

/// Made by OpenSSL 3.5; the keys and signatures are also those of RFC 6979, A.2 (message "sample").
struct Vector {
    curve: Curve,
    scalar: &'static str,
    public: (&'static str, &'static str),
    signatures: &'static [(HashAlg, &'static str, &'static str)],
    /// Another point and its product with the scalar.
    peer: (&'static str, &'static str),
    z: &'static str,
}

fn point(x: &str, y: &str) -> Point {
    Point {
        x: Coordinate::new(&hex(x)).unwrap(),
        y: Coordinate::new(&hex(y)).unwrap(),
    }
}

fn rng() -> HmacDrbg {
    HmacDrbg::new(b"an ECC test", &[], &[])
}

const VECTORS: &[Vector] = &[
    Vector {
        curve: Curve::P256,
        scalar: "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
        public: (
            "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
            "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
        ),
        signatures: &[
            (
                HashAlg::Sha1,
                "61340c88c3aaebeb4f6d667f672ca9759a6ccaa9fa8811313039ee4a35471d32",
                "6d7f147dac089441bb2e2fe8f7a3fa264b9c475098fdcf6e00d7c996e1b8b7eb",
            ),
            (
                HashAlg::Sha256,
                "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
                "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
            ),
            (
                HashAlg::Sha512,
                "8496a60b5e9b47c825488827e0495b0e3fa109ec4568fd3f8d1097678eb97f00",
                "2362ab1adbe2b8adf9cb9edab740ea6049c028114f2460f96554f61fae3302fe",
            ),
        ],
        peer: (
            "2b68a03907aec4d4000b37f25b3ff39f0f719860a790efcd55003829ea2ffac4",
            "4949e7facf9fcd7a812f99309c9c8ae0d68cca3d3e16d4caca76623188fb0393",
        ),
        z: "63f4d4d7a4384cf0e94ee69a424268b7cdd3a64971bb2ecde1525b7e8181d362",
    },
    Vector {
        curve: Curve::P384,
        scalar: "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
        public: (
            "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13",
            "8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
        ),
        signatures: &[
            (
                HashAlg::Sha1,
                "ec748d839243d6fbef4fc5c4859a7dffd7f3abddf72014540c16d73309834fa37b9ba002899f6fda3a4a9386790d4eb2",
                "a3bcfa947beef4732bf247ac17f71676cb31a847b9ff0cbc9c9ed4c1a5b3facf26f49ca031d4857570ccb5ca4424a443",
            ),
            (
                HashAlg::Sha256,
                "21b13d1e013c7fa1392d03c5f99af8b30c570c6f98d4ea8e354b63a21d3daa33bde1e888e63355d92fa2b3c36d8fb2cd",
                "f3aa443fb107745bf4bd77cb3891674632068a10ca67e3d45db2266fa7d1feebefdc63eccd1ac42ec0cb8668a4fa0ab0",
            ),
            (
                HashAlg::Sha512,
                "ed0959d5880ab2d869ae7f6c2915c6d60f96507f9cb3e047c0046861da4a799cfe30f35cc900056d7c99cd7882433709",
                "512c8cceee3890a84058ce1e22dbc2198f42323ce8aca9135329f03c068e5112dc7cc3ef3446defceb01a45c2667fdd5",
            ),
        ],
        peer: (
            "8cfd9e9144b6fcece93fae5199fe828c2a221081fe86b3baa47a1823e489c08123aef60d63e892601bfa12dd56c1a93a",
            "980dc5189b64bc521bc0ac645ed3aa92003b4c37a472d650ad9882625aad8238ebee16fc15374826fc7c10bb6b77d02e",
        ),
        z: "a111ab050e513a6236c461d28431e42eff6ee083cb7479f5418418fd327f332c0960dcc668d5337eb121862371165f34",
    },
];

#[test]
fn published_public_points() {
    for vector in VECTORS {
        let expected = point(vector.public.0, vector.public.1);
        assert_eq!(
            public(vector.curve, &hex(vector.scalar)).unwrap(),
            expected,
            "{:?}",
            vector.curve
        );
        assert!(on_curve(vector.curve, &expected.x, &expected.y));
    }
}

#[test]
fn published_signatures_verify() {
    for vector in VECTORS {
        let public = point(vector.public.0, vector.public.1);
        for (alg, r, s) in vector.signatures {
            let digest = hash(*alg, &[b"sample"]);
            ecdsa_verify(vector.curve, &public, &digest, &hex(r), &hex(s)).unwrap();
            let other = hash(*alg, &[b"simple"]);
            assert_eq!(
                ecdsa_verify(vector.curve, &public, &other, &hex(r), &hex(s)),
                Err(CryptoError::Signature),
                "{:?} {alg:?}",
                vector.curve
            );
        }
    }
}

#[test]
fn published_shared_secrets() {
    for vector in VECTORS {
        let peer = point(vector.peer.0, vector.peer.1);
        let z = multiply(vector.curve, &hex(vector.scalar), &peer).unwrap();
        assert_eq!(to_hex(&z.x), vector.z, "{:?}", vector.curve);
    }
}

#[test]
fn generated_keys_agree_and_sign() {
    let mut rng = rng();
    for curve in Curve::ALL.iter().copied() {
        let (a, a_public) = generate(curve, &mut rng);
        let (b, b_public) = generate(curve, &mut rng);
        assert_ne!(a, b);
        assert_eq!(
            (a.len(), a_public.x.len(), a_public.y.len()),
            (curve.size(), curve.size(), curve.size())
        );
        assert_eq!(public(curve, &a).unwrap(), a_public);
        let ab = multiply(curve, &a, &b_public).unwrap();
        assert_eq!(ab, multiply(curve, &b, &a_public).unwrap(), "{curve:?}");
        for alg in HashAlg::ALL {
            let digest = hash(*alg, &[b"message"]);
            let (r, s) = ecdsa_sign(curve, &a, &digest, &mut rng).unwrap();
            ecdsa_verify(curve, &a_public, &digest, &r, &s).unwrap();
            let refused = Err(CryptoError::Signature);
            assert_eq!(ecdsa_verify(curve, &b_public, &digest, &r, &s), refused);
            assert_eq!(ecdsa_verify(curve, &a_public, &digest, &s, &r), refused);
            assert_eq!(ecdsa_verify(curve, &a_public, &digest, &[0], &s), refused);
            assert_eq!(ecdsa_verify(curve, &a_public, &digest, &r, &[]), refused);
            assert_eq!(ecdsa_verify(curve, &a_public, &digest, &[0xFF; 80], &s), refused);
        }
    }
}

#[test]
fn a_repeating_generator_does_not_repeat_a_signature_secret() {
    let (scalar, _) = generate(Curve::P256, &mut rng());
    let sign =
        |message: &[u8]| ecdsa_sign(Curve::P256, &scalar, &hash(HashAlg::Sha256, &[message]), &mut rng()).unwrap();
    assert_eq!(sign(b"one"), sign(b"one"));
    assert_ne!(sign(b"one").0, sign(b"two").0);
}

#[test]
fn numbers_out_of_range_are_refused() {
    for vector in VECTORS {
        let curve = vector.curve;
        let public_point = point(vector.public.0, vector.public.1);
        let order = with_curve!(curve, C => BoxedUint::from_be_slice_vartime(
            &<C as elliptic_curve::Curve>::ORDER.to_be_byte_array()
        ));
        let order = order.to_be_bytes();
        let order = &order[order.len() - curve.size()..];
        for scalar in [&[][..], &[0], order, &[0xFF; 80]] {
            assert_eq!(public(curve, scalar), Err(CryptoError::Value), "{curve:?}");
            assert_eq!(multiply(curve, scalar, &public_point), Err(CryptoError::Value));
            assert_eq!(ecdsa_sign(curve, scalar, &[1; 32], &mut rng()), Err(CryptoError::Value));
        }
        let mut last = order.to_vec();
        *last.last_mut().unwrap() -= 1;
        // -G has G's x.
        assert_eq!(public(curve, &last).unwrap().x, public(curve, &[1]).unwrap().x);

        let mut wrong = public_point.clone();
        wrong.y[0] ^= 1;
        let swapped = Point {
            x: public_point.y.clone(),
            y: public_point.x.clone(),
        };
        let zero = Point {
            x: Coordinate::EMPTY,
            y: Coordinate::EMPTY,
        };
        let long = Point {
            x: Coordinate::new(&[&[0; 1], &*public_point.x].concat()).unwrap_or_default(),
            y: public_point.y.clone(),
        };
        for point in [wrong, swapped, zero, long] {
            assert!(!on_curve(curve, &point.x, &point.y), "{curve:?} {point:?}");
            assert_eq!(multiply(curve, &[1], &point), Err(CryptoError::Point));
            assert_eq!(
                ecdsa_verify(curve, &point, &[1; 32], &[1], &[1]),
                Err(CryptoError::Point)
            );
        }
    }
}

/// A failure here means that every ECC primary key of every TPM becomes another one. The vectors were made by another
/// program, from the definition.
#[test]
fn a_stream_yields_the_same_scalar_for_ever() {
    for (curve, expected) in [
        (
            Curve::P256,
            "8608d073a9da873b8ead5473a8a8b84a593e58214bcddb54887752482372cc5a",
        ),
        (
            Curve::P384,
            "2a1b8523da12efa1ad2d62b6b8df9709f38788b0107510032c8b788b58677ac4",
        ),
    ] {
        let mut stream = HmacDrbg::new(b"seed of a primary key", b"its template", b"derivation 1");
        let (scalar, _) = generate(curve, &mut stream);
        assert_eq!(
            to_hex(&hash(HashAlg::Sha256, &[&scalar])),
            expected,
            "derivation 1 gave another {curve:?} key: guests would lose every disk key, credential and blob that is \
             sealed under a primary key derived from a seed. Do not change the vector: restore the derivation, or add a \
             new one with a new number and keep this one for the TPMs that have it"
        );
    }
}

#[test]
fn a_key_pair_from_bytes_is_the_one_from_a_stream_of_them() {
    for curve in [Curve::P256, Curve::P384] {
        let stream = HmacDrbg::new(&[7; 48], &[], &[]);
        let mut wide = vec![0; wide_size(curve)];
        stream.clone().generate(&[], &mut wide);
        let (scalar, point) = from_wide(curve, &wide).unwrap();
        let (expected_scalar, expected_point) = generate(curve, &mut stream.clone());
        assert_eq!((&*scalar, point), (&*expected_scalar, expected_point));
        assert!(from_wide(curve, &wide[1..]).is_none());
    }
}
