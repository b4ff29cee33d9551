//! Known-answer tests of the algorithms (Part 1, 12.3; FIPS 140-3, 7.10).
//!
//! They test the program, not one TPM's state: they run when the first TPM of the process is powered on, before any
//! algorithm can be used, and again when TPM2_SelfTest asks. The vectors are those published with the algorithms.

use std::sync::OnceLock;

use crate::alg::{BlockCipher, CipherMode, HashAlg};
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::hash::hash;
use crate::crypto::hmac::hmac;
use crate::crypto::{kdf, symmetric};

/// One known-answer test.
pub(crate) struct SelfTest {
    /// What TPM2_GetTestResult and the log say when it fails.
    pub(crate) name: &'static str,
    /// The TPM_ALG_ID that it tests.
    pub(crate) algs: &'static [u16],
    /// Whether the answer was the known one.
    pub(crate) run: fn() -> bool,
}

/// All tests.
pub(crate) static ALL: &[SelfTest] = &[
    SelfTest {
        name: "self-test of SHA-1 failed",
        algs: &[HashAlg::Sha1.id()],
        run: || digest_of_abc(HashAlg::Sha1, SHA1_OF_ABC),
    },
    SelfTest {
        name: "self-test of SHA-256 failed",
        algs: &[HashAlg::Sha256.id()],
        run: || digest_of_abc(HashAlg::Sha256, SHA256_OF_ABC),
    },
    SelfTest {
        name: "self-test of SHA-384 failed",
        algs: &[HashAlg::Sha384.id()],
        run: || digest_of_abc(HashAlg::Sha384, SHA384_OF_ABC),
    },
    SelfTest {
        name: "self-test of SHA-512 failed",
        algs: &[HashAlg::Sha512.id()],
        run: || digest_of_abc(HashAlg::Sha512, SHA512_OF_ABC),
    },
    SelfTest {
        name: "self-test of SM3 failed",
        algs: &[HashAlg::Sm3.id()],
        run: || digest_of_abc(HashAlg::Sm3, SM3_OF_ABC),
    },
    SelfTest {
        name: "self-test of SHA3-256 failed",
        algs: &[HashAlg::Sha3_256.id()],
        run: || digest_of_abc(HashAlg::Sha3_256, SHA3_256_OF_ABC),
    },
    SelfTest {
        name: "self-test of SHA3-384 failed",
        algs: &[HashAlg::Sha3_384.id()],
        run: || digest_of_abc(HashAlg::Sha3_384, SHA3_384_OF_ABC),
    },
    SelfTest {
        name: "self-test of SHA3-512 failed",
        algs: &[HashAlg::Sha3_512.id()],
        run: || digest_of_abc(HashAlg::Sha3_512, SHA3_512_OF_ABC),
    },
    SelfTest {
        name: "self-test of HMAC failed",
        algs: &[0x0005],
        run: hmac_sha256,
    },
    SelfTest {
        name: "self-test of the random number generator failed",
        algs: &[],
        run: random_number_generator,
    },
    SelfTest {
        name: "self-test of KDFa failed",
        algs: &[0x0022],
        run: key_derivation,
    },
    SelfTest {
        name: "self-test of MGF1 failed",
        algs: &[0x0007],
        run: mask_generation,
    },
    SelfTest {
        name: "self-test of AES failed",
        algs: &[BlockCipher::Aes.id(), CipherMode::Cfb.id()],
        run: aes_cfb,
    },
];

/// The tests, once a process: the name of the first that failed.
pub(crate) fn at_start() -> Result<(), &'static str> {
    static RESULT: OnceLock<Result<(), &'static str>> = OnceLock::new();
    *RESULT.get_or_init(|| match ALL.iter().find(|test| !(test.run)()) {
        Some(failed) => Err(failed.name),
        None => Ok(()),
    })
}

fn digest_of_abc(alg: HashAlg, known: &[u8]) -> bool {
    *hash(alg, &[b"abc"]) == *known
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
const AES_KEY_256: &[u8] =
    b"\x60\x3d\xeb\x10\x15\xca\x71\xbe\x2b\x73\xae\xf0\x85\x7d\x77\x81\x1f\x35\x2c\x07\x3b\x61\x08\xd7\
      \x2d\x98\x10\xa3\x09\x14\xdf\xf4";
const AES_CIPHER_256: &[u8; 32] =
    b"\xdc\x7e\x84\xbf\xda\x79\x16\x4b\x7e\xcd\x84\x86\x98\x5d\x38\x60\x39\xff\xed\x14\x3b\x28\xb1\xc8\
      \x32\x11\x3c\x63\x31\xe5\x40\x7b";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_passes_and_has_its_own_name() {
        for (index, test) in ALL.iter().enumerate() {
            assert!((test.run)(), "{}", test.name);
            assert!(ALL[..index].iter().all(|other| other.name != test.name));
        }
        assert_eq!(at_start(), Ok(()));
    }

    #[test]
    fn every_hash_is_tested() {
        for alg in HashAlg::ALL {
            assert!(ALL.iter().any(|test| test.algs.contains(&alg.id())), "{alg:?}");
        }
    }

    #[test]
    fn a_wrong_answer_is_noticed() {
        assert!(!digest_of_abc(HashAlg::Sha256, SHA1_OF_ABC));
        assert!(!digest_of_abc(HashAlg::Sha1, SHA256_OF_ABC));
    }
}
