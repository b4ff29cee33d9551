//! Hash functions (Part 1, 11.4.2).

use digest::array::Array;
use digest::block_api::{Block, BlockSizeUser};
use digest::common::hazmat::{SerializableState, SerializedState};
use digest::{Digest as _, FixedOutputReset};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use sha3::{Sha3_256, Sha3_384, Sha3_512};
use sm3::Sm3;
use zeroize::{Zeroize, Zeroizing};

use crate::alg::HashAlg;
use crate::bytes::{Bytes, Digest};

/// Room for the running state of any hash, in bytes.
pub const HASH_STATE_SIZE: usize = 208;

/// The running state of a hash as bytes: intermediate hash value (little-endian words), count of whole blocks
/// (little-endian), length of the unfinished block, unfinished block padded with zeros; for SHA-3 the sponge's words
/// (little-endian) and the place in its rate. The layout is part of the saved state of a TPM and pinned by a test.
pub type HashState = Zeroizing<Bytes<HASH_STATE_SIZE>>;

/// Blocks that a restored state may have hashed: enough for any input, and far from where the algorithms' own
/// counts of bits overflow.
const MAX_BLOCKS: u64 = 1 << 48;

macro_rules! hashers {
    ($($alg:ident: $hash:ty, counter in $counter:expr;)*) => {
        #[derive(Clone)]
        enum Running { $($alg($hash)),* }

        impl Running {
            fn new(alg: HashAlg) -> Self {
                match alg { $(HashAlg::$alg => Self::$alg(<$hash>::new())),* }
            }

            fn alg(&self) -> HashAlg {
                match self { $(Self::$alg(_) => HashAlg::$alg),* }
            }

            fn update(&mut self, data: &[u8]) {
                match self { $(Self::$alg(hash) => digest::Update::update(hash, data)),* }
            }

            fn finish(mut self) -> Digest {
                match &mut self { $(Self::$alg(hash) => finish(hash)),* }
            }

            fn digest(alg: HashAlg, feed: impl FnOnce(&mut dyn digest::Update)) -> Digest {
                match alg {
                    $(HashAlg::$alg => {
                        let mut hash = <$hash>::new();
                        feed(&mut hash);
                        finish(&mut hash)
                    })*
                }
            }

            fn keyed(alg: HashAlg, key: &[u8]) -> (Self, Self) {
                match alg {
                    $(HashAlg::$alg => {
                        let (inner, outer) = keyed(key);
                        (Self::$alg(inner), Self::$alg(outer))
                    })*
                }
            }

            fn hmac(alg: HashAlg, key: &[u8], parts: &[&[u8]]) -> Digest {
                match alg { $(HashAlg::$alg => hmac_of::<$hash>(keyed(key), parts)),* }
            }

            fn with_hmac<T>(alg: HashAlg, key: &[u8], then: impl FnOnce(&dyn Fn(&[&[u8]]) -> Digest) -> T) -> T {
                match alg {
                    $(HashAlg::$alg => {
                        let keyed = keyed::<$hash>(key);
                        then(&|parts| hmac_of(keyed.clone(), parts))
                    })*
                }
            }

            fn export(&self) -> HashState {
                match self {
                    $(Self::$alg(hash) => {
                        Zeroizing::new(Bytes::truncated(&Zeroizing::new(hash.serialize().0)[..]))
                    })*
                }
            }

            fn import(alg: HashAlg, state: &[u8]) -> Option<Self> {
                match alg {
                    $(HashAlg::$alg => {
                        let counter = state.get($counter)?;
                        if counter.iter().rev().fold(0u128, |sum, byte| (sum << 8) | u128::from(*byte))
                            > u128::from(MAX_BLOCKS) {
                            return None;
                        }
                        let state: &SerializedState<$hash> = <&Array<u8, _>>::try_from(state).ok()?;
                        <$hash>::deserialize(state).ok().map(Self::$alg)
                    })*
                }
            }
        }
    };
}

hashers! {
    Sha1: Sha1, counter in 20..28;
    Sha256: Sha256, counter in 32..40;
    Sha384: Sha384, counter in 64..80;
    Sha512: Sha512, counter in 64..80;
    Sm3: Sm3, counter in 32..40;
    Sha3_256: Sha3_256, counter in 0..0;
    Sha3_384: Sha3_384, counter in 0..0;
    Sha3_512: Sha3_512, counter in 0..0;
}

/// A hash over data that comes in pieces. Wiped when dropped.
#[derive(Clone)]
pub struct Hasher(Running);

impl Hasher {
    /// A hash over nothing yet.
    #[must_use]
    pub fn new(alg: HashAlg) -> Self {
        Self(Running::new(alg))
    }

    /// The inner and the outer hash of an HMAC, behind the block of a key that is no larger than a block.
    pub(super) fn keyed(alg: HashAlg, key: &[u8]) -> (Self, Self) {
        let (inner, outer) = Running::keyed(alg, key);
        (Self(inner), Self(outer))
    }

    /// The algorithm.
    #[must_use]
    pub fn alg(&self) -> HashAlg {
        self.0.alg()
    }

    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest over all that was added.
    #[must_use]
    pub fn finish(self) -> Digest {
        self.0.finish()
    }

    /// The running state, to go on from later with [`Hasher::import`].
    #[must_use]
    pub fn export(&self) -> HashState {
        self.0.export()
    }

    /// Goes on from a state of [`Hasher::export`]; `None` if it is not one of this algorithm.
    #[must_use]
    pub fn import(alg: HashAlg, state: &[u8]) -> Option<Self> {
        Running::import(alg, state).map(Self)
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hasher({:?})", self.alg())
    }
}

/// The digest over the concatenation of `parts`.
#[must_use]
pub fn hash(alg: HashAlg, parts: &[&[u8]]) -> Digest {
    hash_by(alg, |hash| {
        for part in parts {
            hash.update(part);
        }
    })
}

/// The digest over what `feed` adds. All in one place: a running hash that may be of any algorithm is large, and would be
/// moved about.
#[must_use]
pub(crate) fn hash_by(alg: HashAlg, feed: impl FnOnce(&mut dyn digest::Update)) -> Digest {
    Running::digest(alg, feed)
}

/// The HMAC over the concatenation of `parts`, under a key that is no larger than a block.
pub(super) fn hmac(alg: HashAlg, key: &[u8], parts: &[&[u8]]) -> Digest {
    Running::hmac(alg, key, parts)
}

/// Hands on such an HMAC, for several uses under one key.
pub(super) fn with_hmac<T>(alg: HashAlg, key: &[u8], then: impl FnOnce(&dyn Fn(&[&[u8]]) -> Digest) -> T) -> T {
    Running::with_hmac(alg, key, then)
}

/// As [`Hasher::keyed`].
fn keyed<H: digest::Digest + BlockSizeUser>(key: &[u8]) -> (H, H) {
    let behind_key = |pad| {
        let mut block = Block::<H>::default();
        block.fill(pad);
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        let hash = H::new_with_prefix(&block);
        // As a slice: of an array each element is wiped by a store of its own.
        block.as_mut_slice().zeroize();
        hash
    };
    (behind_key(HMAC_INNER), behind_key(HMAC_OUTER))
}

fn hmac_of<H: digest::Digest + FixedOutputReset>((mut inner, mut outer): (H, H), parts: &[&[u8]]) -> Digest {
    for part in parts {
        digest::Digest::update(&mut inner, part);
    }
    digest::Digest::update(&mut outer, inner.finalize_fixed_reset());
    finish(&mut outer)
}

/// Ends the hash where it is: one that is moved waits for what was just written to it.
fn finish(hash: &mut impl FixedOutputReset) -> Digest {
    Digest::truncated(&hash.finalize_fixed_reset())
}

/// What HMAC's inner hash XORs the key with (ipad in FIPS 198-1, section 4), and its outer one (opad).
pub(super) const HMAC_INNER: u8 = 0x36;
pub(super) const HMAC_OUTER: u8 = 0x5C;

/// The initial hash value of SHA-256 (FIPS 180-4, 5.3.3).
pub(super) const SHA256_INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::testing::{hex, to_hex};

    /// FIPS 180-4, FIPS 202 and GB/T 32905 examples: "abc" and the two-block message.
    const VECTORS: &[(HashAlg, &str, &str)] = &[
        (HashAlg::Sha1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            HashAlg::Sha1,
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
        ),
        (
            HashAlg::Sha256,
            "abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            HashAlg::Sha256,
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        ),
        (
            HashAlg::Sha384,
            "abc",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            HashAlg::Sha512,
            "abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            HashAlg::Sha3_256,
            "abc",
            "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
        ),
        (
            HashAlg::Sha3_256,
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "41c0dba2a9d6240849100376a8235e2c82e1b9998a999e21db32dd97496d3376",
        ),
        (
            HashAlg::Sha3_384,
            "abc",
            "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
        ),
        (
            HashAlg::Sha3_384,
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "991c665755eb3a4b6bbdfb75c78a492e8c56a22c5c4d7e429bfdbc32b9d4ad5aa04a1f076e62fea19eef51acd0657c22",
        ),
        (
            HashAlg::Sha3_512,
            "abc",
            "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
        ),
        (
            HashAlg::Sha3_512,
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "04a371e84ecfb5b8b77cb48610fca8182dd457ce6f326a0fd3d7ec2f1e91636dee691fbe0c985302ba1b0d8dc78c086346b533b49c030d99a27daf1139d6e75e",
        ),
        (
            HashAlg::Sm3,
            "abc",
            "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
        ),
        (
            HashAlg::Sm3,
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "639b6cc5e64d9e37a390b192df4fa1ea0720ab747ff692b9f38c4e66ad7b8c05",
        ),
    ];

    #[test]
    fn published_vectors() {
        for (alg, message, digest) in VECTORS {
            assert_eq!(
                to_hex(&hash(*alg, &[message.as_bytes()])),
                *digest,
                "{alg:?} of {message}"
            );
            let (head, tail) = message.as_bytes().split_at(2);
            assert_eq!(
                to_hex(&hash(*alg, &[head, &[], tail])),
                *digest,
                "{alg:?} of {message} in parts"
            );
        }
    }

    #[test]
    fn sizes_are_those_of_the_algorithm_table() {
        for alg in HashAlg::ALL {
            assert_eq!(hash(*alg, &[]).len(), alg.digest_size(), "{alg:?}");
        }
    }

    #[test]
    fn a_state_can_be_saved_at_any_byte() {
        let data: Vec<u8> = (0..=255).chain(0..=255).collect();
        for alg in HashAlg::ALL {
            let whole = hash(*alg, &[&data]);
            for cut in 0..data.len() {
                let mut first = Hasher::new(*alg);
                first.update(&data[..cut]);
                let state = first.export();
                let mut second = Hasher::import(*alg, &state).unwrap();
                second.update(&data[cut..]);
                assert_eq!(second.alg(), *alg);
                assert_eq!(second.finish(), whole, "{alg:?} saved after {cut} bytes");
            }
        }
    }

    #[test]
    fn malformed_states_are_refused() {
        for alg in HashAlg::ALL {
            let mut hasher = Hasher::new(*alg);
            hasher.update(&[0x55; 70]);
            let good = hasher.export();
            for len in 0..good.len() {
                assert!(
                    Hasher::import(*alg, &good[..len]).is_none(),
                    "{alg:?} cut to {len} bytes"
                );
            }
            assert!(Hasher::import(*alg, &[&good[..], &[0]].concat()).is_none());
            assert!(Hasher::import(*alg, &[0xFF; HASH_STATE_SIZE][..good.len()]).is_none());
            // Every single byte set to 255 must give an error or a state that works.
            for at in 0..good.len() {
                let mut bad = good.to_vec();
                bad[at] = 0xFF;
                if let Some(mut hasher) = Hasher::import(*alg, &bad) {
                    hasher.update(&[1; 300]);
                    let _ = hasher.finish();
                }
            }
        }
    }

    /// If this fails, states saved by an earlier release can no longer be read: a migrated or suspended TPM would lose
    /// its hash sequences. Convert the old layout in `import` instead of changing the vector.
    #[test]
    fn the_layout_of_a_saved_state_never_changes() {
        let mut hasher = Hasher::new(HashAlg::Sha256);
        hasher.update(&[b'a'; 67]);
        let state = hasher.export();
        let words = sha2::block_api::compress256;
        let mut expected_words = SHA256_INITIAL;
        words(&mut expected_words, &[[b'a'; 64]]);
        let mut expected: Vec<u8> = expected_words.iter().flat_map(|word| word.to_le_bytes()).collect();
        expected.extend(1u64.to_le_bytes());
        expected.extend([3, b'a', b'a', b'a']);
        expected.resize(104, 0);
        assert_eq!(to_hex(&state), to_hex(&expected));
        assert_eq!(hex(&to_hex(&state)), expected);
    }
}
