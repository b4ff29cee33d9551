//! Key derivation and mask generation (Part 1, 11.4.10 and 11.4.7.3; Annex B.5).

use zeroize::Zeroizing;

use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::crypto::hash::{Hasher, hash};
use crate::crypto::hmac::with_hmac;

/// Walks `out` in digest-sized pieces, each with the counter of its block as 32 bits, big-endian.
fn counter_mode(
    alg: HashAlg,
    first: u32,
    out: &mut [u8],
    block: impl Fn([u8; 4]) -> Digest,
    combine: impl Fn(&mut u8, u8),
) {
    for (counter, piece) in (first..).zip(out.chunks_mut(alg.digest_size())) {
        let key_stream = Zeroizing::new(block(counter.to_be_bytes()));
        for (to, from) in piece.iter_mut().zip(key_stream.iter()) {
            combine(to, *from);
        }
    }
}

fn assign(to: &mut u8, from: u8) {
    *to = from;
}

fn xor(to: &mut u8, from: u8) {
    *to ^= from;
}

/// Clears the bits that are too many at the front when `bits` is not a multiple of 8 (Part 1, 11.4.10.2).
fn mask_front(bits: u32, out: &mut [u8]) {
    let used = bits % 8;
    if let (1.., Some(first)) = (used, out.first_mut()) {
        *first &= !(0xFFu8 << used);
    }
}

/// The key stream of KDFa, combined with `out`.
fn kdfa_stream(
    alg: HashAlg,
    key: &[u8],
    [label, context_u, context_v]: [&[u8]; 3],
    bits: u32,
    out: &mut [u8],
    combine: impl Fn(&mut u8, u8),
) {
    let bits = bits.to_be_bytes();
    with_hmac(alg, key, |hmac| {
        let block = |counter: [u8; 4]| hmac(&[&counter, label, &[0], context_u, context_v, &bits]);
        counter_mode(alg, 1, out, block, combine);
    });
}

/// KDFa (Part 1, 11.4.10.2): SP 800-108 in counter mode over HMAC.
///
/// `label` comes without its final octet 0, which is added here. `bits` is the size asked for, which is part of what
/// is hashed; `out` must be that many bits rounded up to bytes. If `bits` is not a multiple of 8 the unused bits at
/// the front of `out` are 0.
#[doc(alias = "KDF1_SP800_108")]
pub fn kdfa(alg: HashAlg, key: &[u8], label: &[u8], context_u: &[u8], context_v: &[u8], bits: u32, out: &mut [u8]) {
    kdfa_stream(alg, key, [label, context_u, context_v], bits, out, assign);
    mask_front(bits, out);
}

/// KDFe (Part 1, 11.4.10.3): the one-step derivation of SP 800-56A over a hash, from an ECDH secret.
///
/// `z` is the x coordinate of the product, padded to the size of the field. `label`, `bits` and `out` are as for
/// [`kdfa`].
#[doc(alias = "KDF1_SP800_56A")]
pub fn kdfe(alg: HashAlg, z: &[u8], label: &[u8], party_u: &[u8], party_v: &[u8], bits: u32, out: &mut [u8]) {
    counter_mode(
        alg,
        1,
        out,
        |counter| hash(alg, &[&counter, z, label, &[0], party_u, party_v]),
        assign,
    );
    mask_front(bits, out);
}

/// MGF1 (Part 1, B.5; RFC 8017, B.2.1).
pub fn mgf1(alg: HashAlg, seed: &[u8], out: &mut [u8]) {
    counter_mode(alg, 0, out, |counter| hash(alg, &[seed, &counter]), assign);
}

/// XORs `data` with what KDF2 (ISO/IEC 18033-2, 6.2.3) makes of the parts of `seed`: MGF1 that counts from 1.
#[doc(alias = "KDF2")]
pub fn kdf2_mask(alg: HashAlg, seed: &[&[u8]], data: &mut [u8]) {
    let mut hasher = Hasher::new(alg);
    for part in seed {
        hasher.update(part);
    }
    counter_mode(
        alg,
        1,
        data,
        |counter| {
            let mut block = hasher.clone();
            block.update(&counter);
            block.finish()
        },
        xor,
    );
}

/// XOR obfuscation (Part 1, 11.4.7.3): XORs `data` with a mask of its own size; the same call takes it off again.
pub fn xor_mask(alg: HashAlg, key: &[u8], nonce_newer: &[u8], nonce_older: &[u8], data: &mut [u8]) {
    let bits = u32::try_from(data.len()).unwrap_or(u32::MAX).saturating_mul(8);
    kdfa_stream(alg, key, [b"XOR", nonce_newer, nonce_older], bits, data, xor);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hmac::hmac;
    use crate::crypto::testing::{hex, to_hex};

    #[test]
    fn kdfa_is_counter_mode_hmac() {
        let mut out = [0; 80];
        kdfa(HashAlg::Sha256, b"key", b"LABEL", b"u", b"vv", 640, &mut out);
        let block = |counter| {
            hmac(
                HashAlg::Sha256,
                b"key",
                &[&[0, 0, 0, counter], b"LABEL\0uvv", &[0, 0, 2, 0x80]],
            )
        };
        assert_eq!(out[..32], *block(1));
        assert_eq!(out[32..64], *block(2));
        assert_eq!(out[64..], block(3)[..16]);
    }

    /// RFC 8009, appendix A: KDF-HMAC-SHA2 has the layout of KDFa without contexts.
    #[test]
    fn rfc_8009_key_derivation_vectors() {
        let key = hex("3705d96080c17728a0e800eab6e0d23c");
        let mut out = [0; 16];
        kdfa(HashAlg::Sha256, &key, &hex("0000000299"), &[], &[], 128, &mut out);
        assert_eq!(to_hex(&out), "b31a018a48f54776f403e9a396325dc3");
        let key = hex("6d404d37faf79f9df0d33568d320669800eb4836472ea8a026d16b7182460c52");
        let mut out = [0; 24];
        kdfa(HashAlg::Sha384, &key, &hex("0000000299"), &[], &[], 192, &mut out);
        assert_eq!(to_hex(&out), "ef5718be86cc84963d8bbb5031e9f5c4ba41f28faf69e73d");
    }

    #[test]
    fn bit_counts_that_do_not_fill_bytes_clear_the_front() {
        for bits in [521, 9, 7, 1] {
            let size = usize::try_from(bits).unwrap().div_ceil(8);
            let mut out = vec![0xFF; size];
            kdfa(HashAlg::Sha1, b"k", b"L", b"", b"", bits, &mut out);
            let mut other = vec![0xFF; size];
            kdfe(HashAlg::Sha1, b"z", b"L", b"", b"", bits, &mut other);
            let used = bits % 8;
            assert_eq!((out[0] | other[0]) >> used, 0, "{bits} bits");
        }
        let mut out = [0; 2];
        let whole = hmac(HashAlg::Sha256, b"k", &[&[0, 0, 0, 1], b"L\0", &[0, 0, 0, 13]]);
        kdfa(HashAlg::Sha256, b"k", b"L", b"", b"", 13, &mut out);
        assert_eq!(out, [whole[0] & 0x1F, whole[1]]);
    }

    #[test]
    fn kdfe_is_the_one_step_hash() {
        let mut out = [0; 40];
        kdfe(HashAlg::Sha256, b"zzz", b"DUPLICATE", b"uu", b"v", 320, &mut out);
        assert_eq!(out[..32], *hash(HashAlg::Sha256, &[b"\0\0\0\x01zzzDUPLICATE\0uuv"]));
        assert_eq!(out[32..], hash(HashAlg::Sha256, &[b"\0\0\0\x02zzzDUPLICATE\0uuv"])[..8]);
    }

    #[test]
    fn mgf1_published_vectors() {
        let mut out = [0; 5];
        mgf1(HashAlg::Sha1, b"bar", &mut out);
        assert_eq!(to_hex(&out), "bc0c655e01");
        let mut out = [0; 50];
        mgf1(HashAlg::Sha256, b"bar", &mut out);
        assert_eq!(
            to_hex(&out),
            "382576a7841021cc28fc4c0948753fb8312090cea942ea4c4e735d10dc724b155f9f6069f289d61daca0cb814502ef04eae1"
        );
    }

    /// A vector of NIST's validation of the KDF of ANSI X9.63, which is this one when there is no shared information.
    #[test]
    fn kdf2_published_vector() {
        let seed = hex("96c05619d56c328ab95fe84b18264b08725b85e33fd34f08");
        let mut out = [0; 16];
        kdf2_mask(HashAlg::Sha256, &[&seed], &mut out);
        assert_eq!(to_hex(&out), "443024c3dae66b95e6f5670601558f71");
        let (front, back) = seed.split_at(5);
        kdf2_mask(HashAlg::Sha256, &[front, back], &mut out);
        assert_eq!(out, [0; 16]);
    }

    #[test]
    fn xor_mask_is_kdfa_over_the_size_of_the_data() {
        let mut data = *b"forty-five bytes of a secret parameter, maybe";
        let plain = data;
        let mut mask = [0; 45];
        kdfa(HashAlg::Sha1, b"key", b"XOR", b"newer", b"older", 360, &mut mask);
        xor_mask(HashAlg::Sha1, b"key", b"newer", b"older", &mut data);
        for ((cipher, plain), mask) in data.iter().zip(plain).zip(mask) {
            assert_eq!(*cipher, plain ^ mask);
        }
        xor_mask(HashAlg::Sha1, b"key", b"newer", b"older", &mut data);
        assert_eq!(data, plain);
    }
}
