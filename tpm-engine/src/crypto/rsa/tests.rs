use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use crypto_bigint::ConcatenatingMul as _;

use super::*;
use crate::crypto::hash::hash;
use crate::crypto::testing::hex;

const VECTORS: &str = include_str!("vectors.txt");
const LABEL: &[u8] = b"DUPLICATE\0";

/// The vectors of a kind, each with its hash, if it has one.
fn vectors(kind: &str) -> Vec<(Option<HashAlg>, Vec<u8>)> {
    let found: Vec<_> = VECTORS
        .lines()
        .filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' ')?.split_once(' '))
        .map(|(alg, bytes)| {
            let alg = HashAlg::ALL.iter().find(|known| format!("{known:?}") == alg);
            (alg.copied(), hex(bytes))
        })
        .collect();
    assert!(!found.is_empty(), "no vectors {kind}");
    found
}

fn modulus() -> Vec<u8> {
    vectors("N").remove(0).1
}

fn prime() -> Vec<u8> {
    vectors("P").remove(0).1
}

pub(super) static KEY: LazyLock<RsaPrivate> =
    LazyLock::new(|| RsaPrivate::from_prime(&modulus(), 0, &prime()).unwrap());

fn rng() -> HmacDrbg {
    HmacDrbg::new(b"an RSA test", &[], &[])
}

#[test]
fn pkcs1_signatures_are_those_of_openssl() {
    for (alg, expected) in vectors("SSA") {
        let alg = alg.unwrap();
        let digest = hash(alg, &[b"message"]);
        let signature = KEY.sign(RsaSign::Ssa, alg, &digest, &mut rng()).unwrap();
        assert_eq!(*signature, *expected, "{alg:?}");
        KEY.public().verify(RsaSign::Ssa, alg, &digest, &signature).unwrap();
    }
}

#[test]
fn pss_signatures_of_openssl_verify_whatever_their_salt() {
    for (alg, signature) in vectors("PSS") {
        let alg = alg.unwrap();
        let digest = hash(alg, &[b"message"]);
        KEY.public().verify(RsaSign::Pss, alg, &digest, &signature).unwrap();
    }
}

#[test]
fn cipher_texts_of_openssl_decrypt() {
    for (alg, cipher) in vectors("OAEP") {
        let padding = RsaPadding::Oaep {
            hash: alg.unwrap(),
            label: LABEL,
        };
        assert_eq!(**KEY.decrypt(padding, &cipher, &mut rng()).unwrap(), *b"secret");
    }
    for (_, cipher) in vectors("RSAES") {
        assert_eq!(
            **KEY.decrypt(RsaPadding::Pkcs1, &cipher, &mut rng()).unwrap(),
            *b"secret"
        );
    }
}

#[test]
fn every_hash_signs_and_verifies_and_nothing_else_does() {
    let mut rng = rng();
    let public = KEY.public();
    for scheme in [RsaSign::Ssa, RsaSign::Pss] {
        for alg in HashAlg::ALL {
            let digest = hash(*alg, &[b"data"]);
            let signature = KEY.sign(scheme, *alg, &digest, &mut rng).unwrap();
            public.verify(scheme, *alg, &digest, &signature).unwrap();
            let other = hash(*alg, &[b"other data"]);
            let refused = Err(CryptoError::Signature);
            assert_eq!(
                public.verify(scheme, *alg, &other, &signature),
                refused,
                "{scheme:?} {alg:?}"
            );
            assert_eq!(public.verify(scheme, *alg, &digest[1..], &signature), refused);
            assert_eq!(public.verify(scheme, *alg, &digest, &signature[1..]), refused);
            for at in [0, 60, 127] {
                let mut bad = signature.clone();
                bad[at] ^= 1;
                assert_eq!(public.verify(scheme, *alg, &digest, &bad), refused);
            }
            assert_eq!(KEY.sign(scheme, *alg, &digest[1..], &mut rng), Err(CryptoError::Size));
        }
    }
}

#[test]
fn messages_of_every_size_come_back() {
    let mut rng = rng();
    let oaep = RsaPadding::Oaep {
        hash: HashAlg::Sha256,
        label: LABEL,
    };
    for (padding, largest) in [(RsaPadding::Pkcs1, 128 - 11), (oaep, 128 - 66)] {
        for size in [0, 1, 20, largest] {
            let message = vec![0x5A; size];
            let cipher = KEY.public().encrypt(padding, &message, &mut rng).unwrap();
            assert_eq!(cipher.len(), 128);
            assert_eq!(
                **KEY.decrypt(padding, &cipher, &mut rng).unwrap(),
                *message,
                "{size} bytes"
            );
            let again = KEY.public().encrypt(padding, &message, &mut rng).unwrap();
            assert_ne!(cipher, again, "the padding is random");
        }
        let too_long = vec![0; largest + 1];
        assert_eq!(
            KEY.public().encrypt(padding, &too_long, &mut rng),
            Err(CryptoError::Size)
        );
    }
}

#[test]
fn wrong_paddings_are_refused() {
    let mut rng = rng();
    let refused = Err(CryptoError::Decrypt);
    let decrypt = |padding, encoded: &[u8], rng: &mut _| {
        let cipher = KEY.public().raw(encoded).unwrap();
        KEY.decrypt(padding, &cipher, rng)
    };
    // 00 02, random bytes, 00, message.
    let mut good = [7; 128];
    good[..2].copy_from_slice(&[0, 2]);
    good[10] = 0;
    assert_eq!(decrypt(RsaPadding::Pkcs1, &good, &mut rng).unwrap().len(), 117);
    for (at, value) in [(0, 1), (1, 1), (9, 0), (10, 7)] {
        let mut bad = good;
        bad[at] = value;
        assert_eq!(
            decrypt(RsaPadding::Pkcs1, &bad, &mut rng),
            refused,
            "byte {at} = {value}"
        );
    }

    let oaep = |label| RsaPadding::Oaep {
        hash: HashAlg::Sha1,
        label,
    };
    let encoded = padding::encode_oaep(128, HashAlg::Sha1, LABEL, b"secret", &mut rng).unwrap();
    assert_eq!(**decrypt(oaep(LABEL), &encoded, &mut rng).unwrap(), *b"secret");
    assert_eq!(decrypt(oaep(b"DUPLICATE"), &encoded, &mut rng), refused);
    for at in [0, 1, 30, 127] {
        let mut bad = encoded.clone();
        bad[at] ^= 1;
        assert_eq!(decrypt(oaep(LABEL), &bad, &mut rng), refused, "byte {at}");
    }
}

#[test]
fn raw_takes_numbers_below_the_modulus() {
    let mut rng = rng();
    let public = KEY.public();
    let mut number = KEY.modulus();
    assert_eq!(public.raw(&number), Err(CryptoError::Value));
    assert_eq!(KEY.raw(&number, &mut rng), Err(CryptoError::Value));
    number[127] -= 1;
    let cipher = public.raw(&number).unwrap();
    assert_eq!(*KEY.raw(&cipher, &mut rng).unwrap(), number);

    let zeros = [0; 200];
    assert_eq!(*public.raw(&zeros).unwrap(), [0; 128]);
    assert_eq!(public.raw(&[1; 129]), Err(CryptoError::Size));
    assert_eq!(*public.encrypt(RsaPadding::None, &[], &mut rng).unwrap(), [0; 128]);
    let cipher = public.encrypt(RsaPadding::None, &[0, 9], &mut rng).unwrap();
    assert_eq!(
        KEY.decrypt(RsaPadding::None, &cipher[1..], &mut rng),
        Err(CryptoError::Size)
    );
    let plain = KEY.decrypt(RsaPadding::None, &cipher, &mut rng).unwrap();
    assert_eq!((plain.len(), plain[127]), (128, 9));
}

#[test]
fn only_what_makes_a_key_is_loaded() {
    let (modulus, prime) = (modulus(), prime());
    let load = |modulus: &[u8], exponent, prime: &[u8]| RsaPrivate::from_prime(modulus, exponent, prime).map(|_| ());
    assert_eq!(load(&modulus, 65537, &prime), Ok(()));
    assert_eq!(load(&modulus, 0, &prime[1..]), Err(CryptoError::Size));
    assert_eq!(load(&modulus[1..], 0, &prime), Err(CryptoError::Size));
    assert_eq!(load(&modulus, 2, &prime), Err(CryptoError::Key));
    assert_eq!(load(&modulus, 1, &prime), Err(CryptoError::Key));
    for at in [1, 63] {
        let mut other = prime.clone();
        other[at] ^= 2;
        assert_eq!(load(&modulus, 0, &other), Err(CryptoError::Key), "byte {at}");
    }
    let mut low = prime.clone();
    low[0] &= 0x7F;
    assert_eq!(load(&modulus, 0, &low), Err(CryptoError::Size));
    // A square, and an even factor.
    let p = BoxedUint::from_be_slice_vartime(&prime);
    let square = p.concatenating_mul(&p);
    assert_eq!(load(&square.to_be_bytes(), 0, &prime), Err(CryptoError::Key));
    let even = BoxedUint::from_be_slice_vartime(&prime).wrapping_add(BoxedUint::one());
    let product = even.concatenating_mul(&p);
    assert_eq!(
        load(&product.to_be_bytes(), 0, &even.to_be_bytes()),
        Err(CryptoError::Key)
    );

    assert_eq!(RsaPublic::new(&modulus, 0).unwrap().size(), 128);
    assert_eq!(RsaPublic::new(&modulus[..64], 0).unwrap_err(), CryptoError::Size);
    assert_eq!(RsaPublic::new(&modulus, 4).unwrap_err(), CryptoError::Key);
}

#[test]
fn factors_that_are_not_prime_give_an_error_and_no_wrong_result() {
    // 2^511 + 1 is divisible by 3.
    let mut p = [0; 64];
    (p[0], p[63]) = (0x80, 1);
    let p = BoxedUint::from_be_slice_vartime(&p);
    let q = BoxedUint::from_be_slice_vartime(&prime());
    let modulus = p.concatenating_mul(&q);
    if let Ok(key) = RsaPrivate::from_prime(&modulus.to_be_bytes(), 0, &p.to_be_bytes()) {
        assert_eq!(key.raw(&[5], &mut rng()), Err(CryptoError::Key));
    }
}

#[test]
fn a_generated_key_is_a_key() {
    let mut rng = rng();
    let cancel = AtomicBool::new(false);
    for exponent in [0, 3, 65539] {
        let key = RsaPrivate::generate(1024, exponent, &mut rng, &cancel).unwrap();
        assert!(starts_high(&key.modulus()));
        let again = RsaPrivate::from_prime(&key.modulus(), exponent, &key.prime()).unwrap();
        let digest = hash(HashAlg::Sha256, &[]);
        let signature = again.sign(RsaSign::Pss, HashAlg::Sha256, &digest, &mut rng).unwrap();
        let public = RsaPublic::new(&key.modulus(), exponent).unwrap();
        public
            .verify(RsaSign::Pss, HashAlg::Sha256, &digest, &signature)
            .unwrap();
    }
    cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    let cancelled = RsaPrivate::generate(2048, 0, &mut rng, &cancel);
    assert_eq!(cancelled.unwrap_err(), CryptoError::Cancelled);
    assert_eq!(
        RsaPrivate::generate(512, 0, &mut rng, &cancel).unwrap_err(),
        CryptoError::Key
    );
    assert_eq!(
        RsaPrivate::generate(1024, 8, &mut rng, &cancel).unwrap_err(),
        CryptoError::Key
    );
}
