//! HMAC_DRBG with SHA-256 (SP 800-90A Rev. 1, 10.1.2): the TPM's random number generator (Part 1, 11.4.11) and the
//! stream that primary keys are derived from.
//!
//! The one well-kept implementation at hand, inside `rfc6979`, is private to that crate and cannot be reseeded.

use std::convert::Infallible;
use std::slice;

use rand_core::{TryCryptoRng, TryRng};
use sha2::block_api::compress256;
use zeroize::{Zeroize, Zeroizing};

use super::hash::{HMAC_INNER, HMAC_OUTER, SHA256_INITIAL};

/// Bytes that one request may draw (SP 800-90A, table 2: 2^19 bits).
const MAX_REQUEST: usize = 1 << 16;
/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;
/// Bytes that are hashed with the blocks of HMAC's key and a hash value behind it.
const BEGUN: usize = BLOCK + size_of::<Words>();
/// Where in the last block the number of bits is that are hashed (FIPS 180-4, 5.1.1).
const LENGTH_AT: usize = BLOCK - size_of::<u64>();

/// A hash value of SHA-256, or the state of a hash between two blocks.
type Words = Zeroizing<[u32; 8]>;

/// An instance of HMAC_DRBG with SHA-256: 256 bits of security strength. Wiped when dropped.
///
/// As a random number generator of `rand_core` every fill is one request without additional input.
#[derive(Clone)]
pub struct HmacDrbg {
    /// The working state's Key.
    key: Keyed,
    /// The working state's V.
    v: Words,
    requests: u64,
}

impl HmacDrbg {
    /// HMAC_DRBG_Instantiate (10.1.2.3). `entropy` and `nonce` together must hold 384 bits of entropy, unless the
    /// instance only derives keys from a secret seed.
    #[must_use]
    pub fn new(entropy: &[u8], nonce: &[u8], personalization: &[u8]) -> Self {
        let mut drbg = Self {
            key: Keyed::new(&[0; 8]),
            v: Zeroizing::new([0x0101_0101; 8]),
            requests: 0,
        };
        drbg.update(&[entropy, nonce, personalization]);
        drbg
    }

    /// HMAC_DRBG_Reseed (10.1.2.4).
    pub fn reseed(&mut self, entropy: &[u8], additional: &[u8]) {
        self.update(&[entropy, additional]);
        self.requests = 0;
    }

    /// HMAC_DRBG_Generate (10.1.2.5): fills `out`. More than 2^16 bytes are drawn in several requests, each with the
    /// additional input.
    pub fn generate(&mut self, additional: &[u8], out: &mut [u8]) {
        for request in out.chunks_mut(MAX_REQUEST) {
            if !additional.is_empty() {
                self.update(&[additional]);
            }
            for drawn in request.chunks_mut(size_of_val(&*self.v)) {
                self.next_v();
                put(drawn, &self.v);
            }
            self.update(&[additional]);
            self.requests = self.requests.saturating_add(1);
        }
    }

    /// Requests since the last (re)seeding. SP 800-90A asks for a reseed after 2^48; whoever owns the instance
    /// may choose a smaller interval.
    #[must_use]
    pub fn requests_since_reseed(&self) -> u64 {
        self.requests
    }

    fn next_v(&mut self) {
        self.v = self.key.hmac(&self.v, &[]);
    }

    /// HMAC_DRBG_Update (10.1.2.2).
    fn update(&mut self, provided: &[&[u8]]) {
        for round in [0u8, 1] {
            let data = provided.iter().copied().flatten();
            self.key = Keyed::new(&self.key.hmac(&self.v, [round].iter().chain(data)));
            self.next_v();
            if provided.iter().all(|part| part.is_empty()) {
                return;
            }
        }
    }
}

/// HMAC with SHA-256 under one key, made of the compression function: nearly all that is hashed here are single blocks, and
/// a hash that takes anything in pieces makes two thirds as much work again.
#[derive(Clone)]
struct Keyed {
    /// The inner and the outer hash, both behind the block of the key.
    inner: Words,
    outer: Words,
}

impl Keyed {
    fn new(key: &[u32; 8]) -> Self {
        let behind_key = |pad| {
            let mut block = [0; BLOCK];
            put(&mut block, key);
            block.iter_mut().for_each(|byte| *byte ^= pad);
            let mut state = Zeroizing::new(SHA256_INITIAL);
            compress256(&mut state, slice::from_ref(&block));
            block.as_mut_slice().zeroize();
            state
        };
        Self {
            inner: behind_key(HMAC_INNER),
            outer: behind_key(HMAC_OUTER),
        }
    }

    /// The HMAC over `first` and `rest`.
    fn hmac<'a>(&self, first: &[u32; 8], rest: impl IntoIterator<Item = &'a u8>) -> Words {
        hash_behind_block(&self.outer, &hash_behind_block(&self.inner, first, rest), &[])
    }
}

/// The hash over a block, behind which its state is `state`, then `first` and `rest`.
fn hash_behind_block<'a>(state: &Words, first: &[u32; 8], rest: impl IntoIterator<Item = &'a u8>) -> Words {
    let mut state = state.clone();
    let mut block = [0; BLOCK];
    put(&mut block, first);
    let mut len = BEGUN;
    for byte in rest {
        if let Some(place) = block.get_mut(len % BLOCK) {
            *place = *byte;
        }
        len = len.saturating_add(1);
        if len.is_multiple_of(BLOCK) {
            compress256(&mut state, slice::from_ref(&block));
        }
    }
    // A bit that is one, zeros, and the length at the end of a block.
    if let Some([bit, zeros @ ..]) = block.get_mut(len % BLOCK..) {
        *bit = 0x80;
        zeros.fill(0);
    }
    if len % BLOCK >= LENGTH_AT {
        compress256(&mut state, slice::from_ref(&block));
        block.fill(0);
    }
    if let Some(end) = block.last_chunk_mut() {
        *end = u64::try_from(len).unwrap_or_default().saturating_mul(8).to_be_bytes();
    }
    compress256(&mut state, slice::from_ref(&block));
    // As a slice: of an array each element is wiped by a store of its own.
    block.as_mut_slice().zeroize();
    state
}

/// Writes a hash value, or as much of it as there is room for.
fn put(out: &mut [u8], words: &[u32; 8]) {
    let (whole, rest) = out.as_chunks_mut();
    let mut words = words.iter();
    for (bytes, word) in whole.iter_mut().zip(&mut words) {
        *bytes = word.to_be_bytes();
    }
    for (to, from) in rest.iter_mut().zip(words.flat_map(|word| word.to_be_bytes())) {
        *to = from;
    }
}

impl std::fmt::Debug for HmacDrbg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HmacDrbg")
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

impl TryRng for HmacDrbg {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.generate(&[], &mut bytes);
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.generate(&[], &mut bytes);
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.generate(&[], out);
        Ok(())
    }
}

impl TryCryptoRng for HmacDrbg {}

#[cfg(test)]
mod tests {
    use ::hmac::{Hmac, KeyInit, Mac};
    use sha2::Sha256;

    use super::*;
    use crate::crypto::testing::{hex, to_hex};

    /// Of every length within three blocks: padding may take a block of its own.
    #[test]
    fn an_hmac_is_that_of_the_crate() {
        let bytes = |words: &[u32; 8]| {
            let mut out = [0; 32];
            put(&mut out, words);
            out
        };
        let (key, first) = (std::array::from_fn(|n| 77 << n), std::array::from_fn(|n| 1234 << n));
        let data: Vec<u8> = (0..192).collect();
        for len in 0..data.len() {
            let mut expected = Hmac::<Sha256>::new_from_slice(&bytes(&key)).unwrap();
            expected.update(&bytes(&first));
            expected.update(&data[..len]);
            let actual = Keyed::new(&key).hmac(&first, &data[..len]);
            assert_eq!(bytes(&actual)[..], expected.finalize().into_bytes()[..], "{len} bytes");
        }
    }

    /// CAVP, HMAC_DRBG no_reseed, SHA-256, first case without personalization: the second of two requests is shown.
    #[test]
    fn cavp_without_reseed() {
        let mut drbg = HmacDrbg::new(
            &hex("ca851911349384bffe89de1cbdc46e6831e44d34a4fb935ee285dd14b71a7488"),
            &hex("659ba96c601dc69fc902940805ec0ca8"),
            &[],
        );
        let mut out = [0; 128];
        drbg.generate(&[], &mut out);
        drbg.generate(&[], &mut out);
        assert_eq!(
            to_hex(&out),
            "e528e9abf2dece54d47c7e75e5fe302149f817ea9fb4bee6f4199697d04d5b89d54fbb978a15b5c443c9ec21036d2460b6f73ebad0dc2aba6e624abf07745bc107694bb7547bb0995f70de25d6b29e2d3011bb19d27676c07162c8b5ccde0668961df86803482cb37ed6d5c0bb8d50cf1f50d476aa0458bdaba806f48be9dcb8"
        );
        assert_eq!(drbg.requests_since_reseed(), 2);
    }

    /// CAVP, HMAC_DRBG without prediction resistance, SHA-256: instantiate, reseed, two requests.
    #[test]
    fn cavp_with_reseed() {
        let mut drbg = HmacDrbg::new(
            &hex("06032cd5eed33f39265f49ecb142c511da9aff2af71203bffaf34a9ca5bd9c0d"),
            &hex("0e66f71edc43e42a45ad3c6fc6cdc4df"),
            &[],
        );
        drbg.reseed(
            &hex("01920a4e669ed3a85ae8a33b35a74ad7fb2a6bb4cf395ce00334a9c9a5a5d552"),
            &[],
        );
        let mut out = [0; 128];
        drbg.generate(&[], &mut out);
        drbg.try_fill_bytes(&mut out).unwrap();
        assert_eq!(
            to_hex(&out),
            "76fc79fe9b50beccc991a11b5635783a83536add03c157fb30645e611c2898bb2b1bc215000209208cd506cb28da2a51bdb03826aaf2bd2335d576d519160842e7158ad0949d1a9ec3e66ea1b1a064b005de914eac2e9d4f2d72a8616a80225422918250ff66a41bd2f864a6a38cc5b6499dc43f7f2bd09e1e0f8f5885935124"
        );
    }

    /// As before, with additional input to the reseed and to both requests.
    #[test]
    fn cavp_with_reseed_and_additional_input() {
        let mut drbg = HmacDrbg::new(
            &hex("05ac9fc4c62a02e3f90840da5616218c6de5743d66b8e0fbf833759c5928b53d"),
            &hex("2b89a17904922ed8f017a63044848545"),
            &[],
        );
        drbg.reseed(
            &hex("2791126b8b52ee1fd9392a0a13e0083bed4186dc649b739607ac70ec8dcecf9b"),
            &hex("43bac13bae715092cf7eb280a2e10a962faf7233c41412f69bc74a35a584e54c"),
        );
        assert_eq!(drbg.requests_since_reseed(), 0);
        let mut out = [0; 128];
        drbg.generate(
            &hex("3f2fed4b68d506ecefa21f3f5bb907beb0f17dbc30f6ffbba5e5861408c53a1e"),
            &mut out,
        );
        drbg.generate(
            &hex("529030df50f410985fde068df82b935ec23d839cb4b269414c0ede6cffea5b68"),
            &mut out,
        );
        assert_eq!(
            to_hex(&out),
            "02ddff5173da2fcffa10215b030d660d61179e61ecc22609b1151a75f1cbcbb4363c3a89299b4b63aca5e581e73c860491010aa35de3337cc6c09ebec8c91a6287586f3a74d9694b462d2720ea2e11bbd02af33adefb4a16e6b370fa0effd57d607547bdcfbb7831f54de7073ad2a7da987a0016a82fa958779a168674b56524"
        );
    }
}
