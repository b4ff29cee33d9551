//! HMAC (Part 1, 11.4.3; FIPS 198-1).
//!
//! The `hmac` crate does not let a computation be saved half-way, which an HMAC sequence object needs
//! (TPM2_ContextSave, migration). So HMAC is put together here from two running [`Hasher`]s, as FIPS 198-1, section 4
//! defines it, and one over data that is there at once from two hashes of the algorithm itself; tests hold both against
//! the crate.

use zeroize::Zeroizing;

use crate::alg::HashAlg;
use crate::bytes::{Bytes, Digest};
use crate::crypto::hash::{self, HASH_STATE_SIZE, Hasher, hash};

/// Room for the running state of any HMAC, in bytes.
pub const HMAC_STATE_SIZE: usize = 416;
const _: () = assert!(HMAC_STATE_SIZE == HASH_STATE_SIZE * 2);

/// The running state of an HMAC as bytes: the state of the inner hash, then that of the outer one.
/// As secret as the key.
pub type HmacState = Zeroizing<Bytes<HMAC_STATE_SIZE>>;

/// An HMAC over data that comes in pieces. Wiped when dropped.
#[derive(Clone)]
pub struct Hmac {
    /// Has hashed the key XOR ipad, then the data.
    inner: Hasher,
    /// Has hashed the key XOR opad.
    outer: Hasher,
}

impl Hmac {
    /// An HMAC over nothing yet, under a key of any size.
    #[must_use]
    pub fn new(alg: HashAlg, key: &[u8]) -> Self {
        let (inner, outer) = with_block_key(alg, key, |key| Hasher::keyed(alg, key));
        Self { inner, outer }
    }

    /// The hash algorithm.
    #[must_use]
    pub fn alg(&self) -> HashAlg {
        self.inner.alg()
    }

    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.inner.update(data);
    }

    /// The HMAC over all that was added.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        self.outer.update(&Zeroizing::new(self.inner.finish()));
        self.outer.finish()
    }

    /// The running state, to go on from later with [`Hmac::import`].
    #[must_use]
    pub fn export(&self) -> HmacState {
        let mut state = HmacState::default();
        // Two states of at most half the room each always fit.
        let _ = state.extend(&self.inner.export());
        let _ = state.extend(&self.outer.export());
        state
    }

    /// Goes on from a state of [`Hmac::export`]; `None` if it is not one of this algorithm.
    #[must_use]
    pub fn import(alg: HashAlg, state: &[u8]) -> Option<Self> {
        let (inner, outer) = state.split_at_checked(state.len() / 2)?;
        Some(Self {
            inner: Hasher::import(alg, inner)?,
            outer: Hasher::import(alg, outer)?,
        })
    }
}

impl std::fmt::Debug for Hmac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hmac({:?})", self.alg())
    }
}

/// The HMAC over the concatenation of `parts`.
#[must_use]
pub fn hmac(alg: HashAlg, key: &[u8], parts: &[&[u8]]) -> Digest {
    with_block_key(alg, key, |key| hash::hmac(alg, key, parts))
}

/// Hands on the HMAC, of the concatenation of parts, for several uses under one key.
pub(super) fn with_hmac<T>(alg: HashAlg, key: &[u8], then: impl FnOnce(&dyn Fn(&[&[u8]]) -> Digest) -> T) -> T {
    with_block_key(alg, key, |key| hash::with_hmac(alg, key, then))
}

/// Hands on a key that is no larger than a block: the hash of one that is.
fn with_block_key<T>(alg: HashAlg, key: &[u8], then: impl FnOnce(&[u8]) -> T) -> T {
    if key.len() > alg.block_size() {
        then(&Zeroizing::new(hash(alg, &[key])))
    } else {
        then(key)
    }
}

#[cfg(test)]
mod tests {
    use ::hmac::{KeyInit, Mac};

    use super::*;
    use crate::crypto::testing::{hex, to_hex};

    /// RFC 4231, test cases 1, 2 and 6 (key larger than a block); RFC 2202 for SHA-1.
    #[test]
    fn published_vectors() {
        let jefe = ("4a656665", "what do ya want for nothing?");
        let long_key = "aa".repeat(131);
        let long = (
            long_key.as_str(),
            "Test Using Larger Than Block-Size Key - Hash Key First",
        );
        let hi = ("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "Hi There");
        for (alg, (key, message), mac) in [
            (HashAlg::Sha1, hi, "b617318655057264e28bc0b6fb378c8ef146be00"),
            (HashAlg::Sha1, jefe, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                HashAlg::Sha256,
                hi,
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                HashAlg::Sha256,
                jefe,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                HashAlg::Sha256,
                long,
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                HashAlg::Sha384,
                jefe,
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                HashAlg::Sha512,
                jefe,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            assert_eq!(to_hex(&hmac(alg, &hex(key), &[message.as_bytes()])), mac, "{alg:?}");
        }
    }

    #[test]
    fn agrees_with_the_hmac_crate_for_every_key_size() {
        fn reference<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
            <M as KeyInit>::new_from_slice(key)
                .unwrap()
                .chain_update(data)
                .finalize()
                .into_bytes()
                .to_vec()
        }
        for len in 0..300 {
            let key: Vec<u8> = (0..len).map(|i| (i * 7 + 1) as u8).collect();
            let data = &key[len / 3..];
            assert_eq!(
                &*hmac(HashAlg::Sha1, &key, &[data]),
                reference::<::hmac::Hmac<sha1::Sha1>>(&key, data)
            );
            assert_eq!(
                &*hmac(HashAlg::Sha256, &key, &[data]),
                reference::<::hmac::Hmac<sha2::Sha256>>(&key, data)
            );
            assert_eq!(
                &*hmac(HashAlg::Sha384, &key, &[data]),
                reference::<::hmac::Hmac<sha2::Sha384>>(&key, data)
            );
            assert_eq!(
                &*hmac(HashAlg::Sha512, &key, &[data]),
                reference::<::hmac::Hmac<sha2::Sha512>>(&key, data)
            );
        }
    }

    #[test]
    fn a_state_can_be_saved() {
        for alg in HashAlg::ALL {
            let mut mac = Hmac::new(*alg, b"key");
            mac.update(&[0x11; 200]);
            let mut restored = Hmac::import(*alg, &mac.export()).unwrap();
            assert_eq!(restored.alg(), *alg);
            restored.update(b"more");
            mac.update(b"more");
            assert_eq!(restored.finish(), mac.finish());
            let state = Hmac::new(*alg, b"").export();
            assert!(Hmac::import(*alg, &state[1..]).is_none());
            assert!(Hmac::import(*alg, &[]).is_none());
        }
    }
}
