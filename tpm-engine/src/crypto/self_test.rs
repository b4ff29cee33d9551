//! Known-answer tests of the algorithms (Part 1, 12.3; FIPS 140-3, 7.10).
//!
//! They test the program, not one TPM's state. Those of hashes and symmetric algorithms run when the first TPM of the
//! process is powered on; those of RSA and elliptic curves, which take longer, when nothing else is to be done, and at
//! the latest before the first command that could use them. All run again when TPM2_SelfTest asks. The vectors are those
//! published with the algorithms.

use std::sync::OnceLock;

use crate::alg::{BlockCipher, CipherMode, Curve, HashAlg};
use crate::crypto::cmac::Cmac;
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::hash::hash;
use crate::crypto::hmac::hmac;
use crate::crypto::rsa::{RsaPrivate, RsaSign};
use crate::crypto::{ecc, kdf, symmetric};

/// When a test runs for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At power-on.
    Start,
    /// Before the first command that could use what it tests.
    FirstUse,
}

/// One known-answer test.
pub(crate) struct SelfTest {
    /// What TPM2_GetTestResult and the log say when it fails.
    pub(crate) name: &'static str,
    pub(crate) when: When,
    /// Whether the answer was the known one.
    pub(crate) run: fn() -> bool,
}

/// All tests.
pub(crate) static ALL: &[SelfTest] = &[
    SelfTest {
        name: "self-test of the hash functions failed",
        when: When::Start,
        run: || {
            HASHES_OF_ABC
                .iter()
                .all(|(alg, known)| *hash(*alg, &[b"abc"]) == **known)
        },
    },
    SelfTest {
        name: "self-test of HMAC failed",
        when: When::Start,
        run: hmac_sha256,
    },
    SelfTest {
        name: "self-test of the random number generator failed",
        when: When::Start,
        run: random_number_generator,
    },
    SelfTest {
        name: "self-test of KDFa failed",
        when: When::Start,
        run: key_derivation,
    },
    SelfTest {
        name: "self-test of MGF1 failed",
        when: When::Start,
        run: mask_generation,
    },
    SelfTest {
        name: "self-test of AES failed",
        when: When::Start,
        run: aes_cfb,
    },
    SelfTest {
        name: "self-test of the block ciphers failed",
        when: When::Start,
        run: || BLOCK_CIPHERS.iter().all(block_cipher),
    },
    SelfTest {
        name: "self-test of CMAC failed",
        when: When::Start,
        run: || {
            let mac = Cmac::new(BlockCipher::Aes, AES_KEY_128).and_then(Cmac::finish);
            mac.is_ok_and(|mac| *mac == *CMAC_OF_NOTHING)
        },
    },
    SelfTest {
        name: "self-test of RSA failed",
        when: When::FirstUse,
        run: rsa_signature,
    },
    SelfTest {
        name: "self-test of elliptic curves failed",
        when: When::FirstUse,
        run: ecc_signature,
    },
];

/// The tests of the symmetric algorithms, once a process: the name of the first that failed.
pub(crate) fn at_start() -> Result<(), &'static str> {
    static RESULT: OnceLock<Result<(), &'static str>> = OnceLock::new();
    *RESULT.get_or_init(|| run(ALL, When::Start))
}

/// The other ones of these tests, once a process if they are [`ALL`].
pub(crate) fn before_use(tests: &'static [SelfTest]) -> Result<(), &'static str> {
    static RESULT: OnceLock<Result<(), &'static str>> = OnceLock::new();
    if std::ptr::eq(tests, ALL) {
        *RESULT.get_or_init(|| run(ALL, When::FirstUse))
    } else {
        run(tests, When::FirstUse)
    }
}

fn run(tests: &[SelfTest], when: When) -> Result<(), &'static str> {
    match tests.iter().find(|test| test.when == when && !(test.run)()) {
        Some(failed) => Err(failed.name),
        None => Ok(()),
    }
}

/// RFC 4231, test case 2.
fn hmac_sha256() -> bool {
    *hmac(HashAlg::Sha256, b"Jefe", &[b"what do ya want ", b"for nothing?"]) == *HMAC_OF_JEFE
}

/// CAVP, HMAC_DRBG, SHA-256, no reseed, first case: the second of two requests.
fn random_number_generator() -> bool {
    let mut drbg = HmacDrbg::new(DRBG_ENTROPY, DRBG_NONCE, &[]);
    let mut out = [0; 128];
    drbg.generate(&[], &mut out);
    drbg.generate(&[], &mut out);
    out.starts_with(DRBG_OUTPUT)
}

/// SP 800-108, counter mode: one block is one HMAC, which has been tested already.
fn key_derivation() -> bool {
    let mut out = [0; 32];
    kdf::kdfa(HashAlg::Sha256, b"key", b"LABEL", b"u", b"v", 256, &mut out);
    let input = [b"\0\0\0\x01LABEL\0uv\0\0\x01\0".as_slice()];
    out == *hmac(HashAlg::Sha256, b"key", &input)
}

fn mask_generation() -> bool {
    let mut out = [0; 50];
    kdf::mgf1(HashAlg::Sha256, b"bar", &mut out);
    out == *MASK_OF_BAR
}

/// SP 800-38A, F.3.13 and F.3.17, both ways.
fn aes_cfb() -> bool {
    [(AES_KEY_128, AES_CIPHER_128), (AES_KEY_256, AES_CIPHER_256)]
        .into_iter()
        .all(|(key, cipher)| {
            let mut data = *AES_PLAIN;
            let encrypted = symmetric::encrypt(BlockCipher::Aes, key, CipherMode::Cfb, &mut AES_IV.clone(), &mut data);
            let right = encrypted.is_ok() && data == *cipher;
            let decrypted = symmetric::decrypt(BlockCipher::Aes, key, CipherMode::Cfb, &mut AES_IV.clone(), &mut data);
            right && decrypted.is_ok() && data == *AES_PLAIN
        })
}

/// A key of a block cipher, and blocks with their encryption under it.
struct BlockCipherAnswer {
    cipher: BlockCipher,
    key: &'static [u8],
    plain: &'static [u8],
    encrypted: &'static [u8],
}

/// Each block by itself, both ways.
fn block_cipher(answer: &BlockCipherAnswer) -> bool {
    let mut data = answer.plain.to_vec();
    let encrypted = symmetric::encrypt(answer.cipher, answer.key, CipherMode::Ecb, &mut [], &mut data);
    let right = encrypted.is_ok() && data == answer.encrypted;
    let decrypted = symmetric::decrypt(answer.cipher, answer.key, CipherMode::Ecb, &mut [], &mut data);
    right && decrypted.is_ok() && data == answer.plain
}

/// Signs with a private key and verifies with the public one; a signature of something else does not verify.
fn rsa_signature() -> bool {
    let Ok(key) = RsaPrivate::from_prime(RSA_MODULUS, 0, RSA_PRIME) else {
        return false;
    };
    let digest = |message: &[u8]| hash(HashAlg::Sha256, &[message]);
    let mut rng = HmacDrbg::new(DRBG_ENTROPY, DRBG_NONCE, &[]);
    let signature = key.sign(RsaSign::Ssa, HashAlg::Sha256, &digest(b"message"), &mut rng);
    let verify = |message| {
        key.public()
            .verify(RsaSign::Ssa, HashAlg::Sha256, &digest(message), RSA_SIGNATURE)
    };
    signature.is_ok_and(|signature| *signature == *RSA_SIGNATURE)
        && verify(b"message").is_ok()
        && verify(b"else").is_err()
}

/// The public point of a scalar, a known signature, and one of our own.
fn ecc_signature() -> bool {
    let digest = |message: &[u8]| hash(HashAlg::Sha256, &[message]);
    let Ok(point) = ecc::public(Curve::P256, ECC_SCALAR) else {
        return false;
    };
    let mut rng = HmacDrbg::new(DRBG_ENTROPY, DRBG_NONCE, &[]);
    let Ok((r, s)) = ecc::ecdsa_sign(Curve::P256, ECC_SCALAR, &digest(b"else"), &mut rng) else {
        return false;
    };
    let verify = |message, r: &[u8], s: &[u8]| ecc::ecdsa_verify(Curve::P256, &point, &digest(message), r, s);
    *point.x == *ECC_X
        && *point.y == *ECC_Y
        && verify(b"sample", ECC_R, ECC_S).is_ok()
        && verify(b"else", ECC_R, ECC_S).is_err()
        && verify(b"else", &r, &s).is_ok()
}

/// FIPS 180-4, FIPS 202 and GB/T 32905: the digests of "abc".
const HASHES_OF_ABC: &[(HashAlg, &[u8])] = &[
    (HashAlg::Sha1, SHA1_OF_ABC),
    (HashAlg::Sha256, SHA256_OF_ABC),
    (HashAlg::Sha384, SHA384_OF_ABC),
    (HashAlg::Sha512, SHA512_OF_ABC),
    (HashAlg::Sm3, SM3_OF_ABC),
    (HashAlg::Sha3_256, SHA3_256_OF_ABC),
    (HashAlg::Sha3_384, SHA3_384_OF_ABC),
    (HashAlg::Sha3_512, SHA3_512_OF_ABC),
];
const SHA1_OF_ABC: &[u8] = b"\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c\xd0\xd8\x9d";
const SHA256_OF_ABC: &[u8] =
    b"\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23\xb0\x03\x61\xa3\x96\x17\x7a\x9c\
      \xb4\x10\xff\x61\xf2\x00\x15\xad";
const SHA384_OF_ABC: &[u8] =
    b"\xcb\x00\x75\x3f\x45\xa3\x5e\x8b\xb5\xa0\x3d\x69\x9a\xc6\x50\x07\x27\x2c\x32\xab\x0e\xde\xd1\x63\
      \x1a\x8b\x60\x5a\x43\xff\x5b\xed\x80\x86\x07\x2b\xa1\xe7\xcc\x23\x58\xba\xec\xa1\x34\xc8\x25\xa7";
const SHA512_OF_ABC: &[u8] =
    b"\xdd\xaf\x35\xa1\x93\x61\x7a\xba\xcc\x41\x73\x49\xae\x20\x41\x31\x12\xe6\xfa\x4e\x89\xa9\x7e\xa2\
      \x0a\x9e\xee\xe6\x4b\x55\xd3\x9a\x21\x92\x99\x2a\x27\x4f\xc1\xa8\x36\xba\x3c\x23\xa3\xfe\xeb\xbd\
      \x45\x4d\x44\x23\x64\x3c\xe8\x0e\x2a\x9a\xc9\x4f\xa5\x4c\xa4\x9f";
const SM3_OF_ABC: &[u8] =
    b"\x66\xc7\xf0\xf4\x62\xee\xed\xd9\xd1\xf2\xd4\x6b\xdc\x10\xe4\xe2\x41\x67\xc4\x87\x5c\xf2\xf7\xa2\
      \x29\x7d\xa0\x2b\x8f\x4b\xa8\xe0";
const SHA3_256_OF_ABC: &[u8] =
    b"\x3a\x98\x5d\xa7\x4f\xe2\x25\xb2\x04\x5c\x17\x2d\x6b\xd3\x90\xbd\x85\x5f\x08\x6e\x3e\x9d\x52\x5b\
      \x46\xbf\xe2\x45\x11\x43\x15\x32";
const SHA3_384_OF_ABC: &[u8] =
    b"\xec\x01\x49\x82\x88\x51\x6f\xc9\x26\x45\x9f\x58\xe2\xc6\xad\x8d\xf9\xb4\x73\xcb\x0f\xc0\x8c\x25\
      \x96\xda\x7c\xf0\xe4\x9b\xe4\xb2\x98\xd8\x8c\xea\x92\x7a\xc7\xf5\x39\xf1\xed\xf2\x28\x37\x6d\x25";
const SHA3_512_OF_ABC: &[u8] =
    b"\xb7\x51\x85\x0b\x1a\x57\x16\x8a\x56\x93\xcd\x92\x4b\x6b\x09\x6e\x08\xf6\x21\x82\x74\x44\xf7\x0d\
      \x88\x4f\x5d\x02\x40\xd2\x71\x2e\x10\xe1\x16\xe9\x19\x2a\xf3\xc9\x1a\x7e\xc5\x76\x47\xe3\x93\x40\
      \x57\x34\x0b\x4c\xf4\x08\xd5\xa5\x65\x92\xf8\x27\x4e\xec\x53\xf0";
const HMAC_OF_JEFE: &[u8] =
    b"\x5b\xdc\xc1\x46\xbf\x60\x75\x4e\x6a\x04\x24\x26\x08\x95\x75\xc7\x5a\x00\x3f\x08\x9d\x27\x39\x83\
      \x9d\xec\x58\xb9\x64\xec\x38\x43";
const DRBG_ENTROPY: &[u8] =
    b"\xca\x85\x19\x11\x34\x93\x84\xbf\xfe\x89\xde\x1c\xbd\xc4\x6e\x68\x31\xe4\x4d\x34\xa4\xfb\x93\x5e\
      \xe2\x85\xdd\x14\xb7\x1a\x74\x88";
const DRBG_NONCE: &[u8] = b"\x65\x9b\xa9\x6c\x60\x1d\xc6\x9f\xc9\x02\x94\x08\x05\xec\x0c\xa8";
const DRBG_OUTPUT: &[u8] =
    b"\xe5\x28\xe9\xab\xf2\xde\xce\x54\xd4\x7c\x7e\x75\xe5\xfe\x30\x21\x49\xf8\x17\xea\x9f\xb4\xbe\xe6\
      \xf4\x19\x96\x97\xd0\x4d\x5b\x89";
const MASK_OF_BAR: &[u8; 50] =
    b"\x38\x25\x76\xa7\x84\x10\x21\xcc\x28\xfc\x4c\x09\x48\x75\x3f\xb8\x31\x20\x90\xce\xa9\x42\xea\x4c\
      \x4e\x73\x5d\x10\xdc\x72\x4b\x15\x5f\x9f\x60\x69\xf2\x89\xd6\x1d\xac\xa0\xcb\x81\x45\x02\xef\x04\
      \xea\xe1";
const AES_PLAIN: &[u8; 32] =
    b"\x6b\xc1\xbe\xe2\x2e\x40\x9f\x96\xe9\x3d\x7e\x11\x73\x93\x17\x2a\xae\x2d\x8a\x57\x1e\x03\xac\x9c\
      \x9e\xb7\x6f\xac\x45\xaf\x8e\x51";
const AES_IV: &[u8; 16] = b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f";
const AES_KEY_128: &[u8] = b"\x2b\x7e\x15\x16\x28\xae\xd2\xa6\xab\xf7\x15\x88\x09\xcf\x4f\x3c";
const AES_CIPHER_128: &[u8; 32] =
    b"\x3b\x3f\xd9\x2e\xb7\x2d\xad\x20\x33\x34\x49\xf8\xe8\x3c\xfb\x4a\xc8\xa6\x45\x37\xa0\xb3\xa9\x3f\
      \xcd\xe3\xcd\xad\x9f\x1c\xe5\x8b";
/// RFC 4493, 4, example 1.
const CMAC_OF_NOTHING: &[u8] = b"\xbb\x1d\x69\x29\xe9\x59\x37\x28\x7f\xa3\x7d\x12\x9b\x75\x67\x46";
const AES_KEY_256: &[u8] =
    b"\x60\x3d\xeb\x10\x15\xca\x71\xbe\x2b\x73\xae\xf0\x85\x7d\x77\x81\x1f\x35\x2c\x07\x3b\x61\x08\xd7\
      \x2d\x98\x10\xa3\x09\x14\xdf\xf4";
const AES_CIPHER_256: &[u8; 32] =
    b"\xdc\x7e\x84\xbf\xda\x79\x16\x4b\x7e\xcd\x84\x86\x98\x5d\x38\x60\x39\xff\xed\x14\x3b\x28\xb1\xc8\
      \x32\x11\x3c\x63\x31\xe5\x40\x7b";

/// The examples of SP 800-67, appendix B (a key of three parts), RFC 3713, appendix A, and GB/T 32907, appendix A. AES has
/// a test of its own.
const BLOCK_CIPHERS: &[BlockCipherAnswer] = &[
    BlockCipherAnswer {
        cipher: BlockCipher::Tdes,
        key: b"\x01\x23\x45\x67\x89\xab\xcd\xef\x23\x45\x67\x89\xab\xcd\xef\x01\x45\x67\x89\xab\xcd\xef\x01\x23",
        plain: b"The qufck brown fox jump",
        encrypted: b"\xa8\x26\xfd\x8c\xe5\x3b\x85\x5f\xcc\xe2\x1c\x81\x12\x25\x6f\xe6\x68\xd5\xc0\x5d\xd9\xb6\xb9\x00",
    },
    BlockCipherAnswer {
        cipher: BlockCipher::Camellia,
        key: UP_AND_DOWN,
        plain: UP_AND_DOWN,
        encrypted: b"\x67\x67\x31\x38\x54\x96\x69\x73\x08\x57\x06\x56\x48\xea\xbe\x43",
    },
    BlockCipherAnswer {
        cipher: BlockCipher::Sm4,
        key: UP_AND_DOWN,
        plain: UP_AND_DOWN,
        encrypted: b"\x68\x1e\xdf\x34\xd2\x06\x96\x5e\x86\xb3\xe9\x4f\x53\x6e\x42\x46",
    },
];
const UP_AND_DOWN: &[u8] = b"\x01\x23\x45\x67\x89\xab\xcd\xef\xfe\xdc\xba\x98\x76\x54\x32\x10";

/// A key of 1024 bits made by OpenSSL, and its signature of "message" with SHA-256.
const RSA_MODULUS: &[u8] =
    b"\xb6\xe4\xfa\x67\x89\xb6\x82\x72\x37\x2a\x1d\x7f\xc0\x3b\x65\xb0\x9c\x3e\x34\x19\x9a\xcc\x92\x13\
      \xfd\xb0\x20\x99\x59\xf0\x90\x12\x3f\x2a\x9e\xfd\x1f\x26\x30\x77\x9a\xdd\x9d\xcd\xe7\x90\xb4\xfe\
      \xd9\x81\xb7\xdd\x5c\xd2\x78\x37\x25\x96\x6f\xc0\x61\xcb\x01\xca\x53\x0d\xee\x0b\xce\x93\x1f\x34\
      \xd5\x49\x9d\x90\xbe\xf2\x5d\x43\x36\x46\xf6\xe3\xcc\xed\x10\xef\x87\x14\xda\x8d\xa7\xf1\x0d\x73\
      \x04\x04\x75\x0b\x4f\x09\xea\x76\x6d\x03\x9d\xa4\x3c\x32\x31\x4d\x26\x81\xec\xfc\x73\xe7\x2f\x77\
      \x33\x98\xf8\xf8\xa9\x64\x64\x99";
const RSA_PRIME: &[u8] =
    b"\xe1\x12\x87\xc9\xd1\x66\xfb\xf2\x35\xa0\x2a\xae\x00\x4f\x1f\x11\xf3\x33\xc7\xec\x8f\x49\x58\x4a\
      \x19\x99\xca\x55\x26\x3a\x57\x72\x96\x25\x1e\x35\xf5\x88\x4c\xdc\xe3\x57\xbc\xe2\x40\x9e\x93\xac\
      \xeb\x9f\x2f\x56\x73\x15\x0f\x38\x0c\x5e\xc7\x09\x0c\x23\x01\xd3";
const RSA_SIGNATURE: &[u8] =
    b"\x81\x1e\x93\xc8\x58\x48\x29\x16\x0f\xc4\xa2\x70\x27\x58\x7a\xbc\x0a\x2a\xd9\x24\xee\xec\x5b\x0f\
      \xe5\x65\xdf\x2d\xab\x9e\xed\xdb\xfb\xc4\xe0\x18\xe3\xda\x6f\x56\xa4\x50\x95\xf0\xc7\xd6\x69\x0b\
      \xf9\x80\x88\xb7\x9a\xbf\x5d\x17\xa0\x97\x32\x6d\x6a\x9d\xa1\x68\xb4\x31\xb7\x50\xc5\xf1\xb5\x72\
      \x5f\x27\x43\x21\x10\x84\x15\x3a\xbc\xb4\x17\xce\xf5\x24\xac\x7f\xdf\xbd\xce\x2a\x98\x0b\x3d\xf1\
      \xb4\x80\x46\x0f\x87\xac\x3f\xba\xe1\x9f\x60\xab\xa7\x5f\x62\x4e\x2a\x23\x4f\x41\x1d\xd6\xde\x93\
      \x9d\xf0\x53\xcf\x09\xeb\x41\x21";
/// RFC 6979, A.2.5: the private key, the public point and the signature of "sample" with SHA-256.
const ECC_SCALAR: &[u8] =
    b"\xc9\xaf\xa9\xd8\x45\xba\x75\x16\x6b\x5c\x21\x57\x67\xb1\xd6\x93\x4e\x50\xc3\xdb\x36\xe8\x9b\x12\
      \x7b\x8a\x62\x2b\x12\x0f\x67\x21";
const ECC_X: &[u8] =
    b"\x60\xfe\xd4\xba\x25\x5a\x9d\x31\xc9\x61\xeb\x74\xc6\x35\x6d\x68\xc0\x49\xb8\x92\x3b\x61\xfa\x6c\
      \xe6\x69\x62\x2e\x60\xf2\x9f\xb6";
const ECC_Y: &[u8] =
    b"\x79\x03\xfe\x10\x08\xb8\xbc\x99\xa4\x1a\xe9\xe9\x56\x28\xbc\x64\xf2\xf1\xb2\x0c\x2d\x7e\x9f\x51\
      \x77\xa3\xc2\x94\xd4\x46\x22\x99";
const ECC_R: &[u8] =
    b"\xef\xd4\x8b\x2a\xac\xb6\xa8\xfd\x11\x40\xdd\x9c\xd4\x5e\x81\xd6\x9d\x2c\x87\x7b\x56\xaa\xf9\x91\
      \xc3\x4d\x0e\xa8\x4e\xaf\x37\x16";
const ECC_S: &[u8] =
    b"\xf7\xcb\x1c\x94\x2d\x65\x7c\x41\xd4\x36\xc7\xa1\xb6\xe2\x9f\x65\xf3\xe9\x00\xdb\xb9\xaf\xf4\x06\
      \x4d\xc4\xab\x2f\x84\x3a\xcd\xa8";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_passes_and_has_its_own_name() {
        for (index, test) in ALL.iter().enumerate() {
            assert!((test.run)(), "{}", test.name);
            assert!(ALL[..index].iter().all(|other| other.name != test.name));
        }
        assert_eq!((at_start(), before_use(ALL)), (Ok(()), Ok(())));
    }

    #[test]
    fn every_hash_is_tested() {
        let tested: Vec<HashAlg> = HASHES_OF_ABC.iter().map(|(alg, _)| *alg).collect();
        assert_eq!(tested, HashAlg::ALL);
    }

    #[test]
    fn every_block_cipher_is_tested() {
        let others = BLOCK_CIPHERS.iter().map(|answer| answer.cipher);
        let tested: Vec<BlockCipher> = others.chain([BlockCipher::Aes]).collect();
        assert!(BlockCipher::ALL.iter().all(|cipher| tested.contains(cipher)));
    }

    #[test]
    fn a_wrong_block_is_noticed() {
        for answer in BLOCK_CIPHERS {
            let (encrypted, plain) = (answer.plain, answer.encrypted);
            assert!(!block_cipher(&BlockCipherAnswer { encrypted, ..*answer }));
            assert!(!block_cipher(&BlockCipherAnswer { plain, ..*answer }));
        }
    }
}
