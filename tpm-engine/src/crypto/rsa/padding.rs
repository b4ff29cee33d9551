//! Encodings of messages and digests for RSA (Part 1, annex B; RFC 8017).
//!
//! They are put together here over [`HashAlg`]: the `rsa` crate fixes the hash at compile time, answers a badly padded
//! RSAES message with made-up bytes where the TPM has an error, and chooses salts otherwise than the TPM.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use super::{MAX_MODULUS, Number};
use crate::alg::HashAlg;
use crate::bytes::Bytes;
use crate::crypto::CryptoError;
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::hash::hash;
use crate::crypto::kdf::mgf1;

/// Least number of random bytes in an RSAES padding.
const RSAES_RANDOM: usize = 8;

/// The DER encoding of an algorithm's object identifier.
const fn object_identifier(alg: HashAlg) -> &'static [u8] {
    match alg {
        HashAlg::Sha1 => &[0x2B, 0x0E, 0x03, 0x02, 0x1A],
        HashAlg::Sha256 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
        HashAlg::Sha384 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02],
        HashAlg::Sha512 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03],
        HashAlg::Sm3 => &[0x2A, 0x81, 0x1C, 0xCF, 0x55, 0x01, 0x83, 0x11],
        HashAlg::Sha3_256 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x08],
        HashAlg::Sha3_384 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x09],
        HashAlg::Sha3_512 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x0A],
    }
}

/// A byte string's size as the one byte that DER has for it here.
fn der_size(content: usize) -> Result<u8, CryptoError> {
    u8::try_from(content).map_err(|_| CryptoError::Size)
}

/// The DER encoding of DigestInfo.
fn digest_info(alg: HashAlg, digest: &[u8]) -> Result<Bytes<128>, CryptoError> {
    let oid = object_identifier(alg);
    let algorithm = oid.len().saturating_add(4);
    let whole = algorithm.saturating_add(digest.len()).saturating_add(4);
    let mut info = Bytes::EMPTY;
    for part in [
        &[
            0x30,
            der_size(whole)?,
            0x30,
            der_size(algorithm)?,
            0x06,
            der_size(oid.len())?,
        ][..],
        oid,
        &[0x05, 0x00, 0x04, der_size(digest.len())?],
        digest,
    ] {
        info.extend(part).ok_or(CryptoError::Size)?;
    }
    Ok(info)
}

fn check_digest(alg: HashAlg, digest: &[u8]) -> Result<(), CryptoError> {
    if digest.len() == alg.digest_size() {
        Ok(())
    } else {
        Err(CryptoError::Size)
    }
}

/// `size` zero bytes.
pub(super) fn zeroed(size: usize) -> Result<Zeroizing<Number>, CryptoError> {
    Bytes::zeroed(size).map(Zeroizing::new).ok_or(CryptoError::Size)
}

fn xor(data: &mut [u8], mask: impl FnOnce(&mut [u8])) {
    let mut stream = Zeroizing::new([0; MAX_MODULUS]);
    let (stream, _) = stream.split_at_mut(data.len().min(MAX_MODULUS));
    mask(stream);
    for (byte, mask) in data.iter_mut().zip(stream.iter()) {
        *byte ^= mask;
    }
}

/// EMSA-PKCS1-v1_5 (Part 1, B.6).
pub(super) fn encode_ssa(size: usize, alg: HashAlg, digest: &[u8]) -> Result<Zeroizing<Number>, CryptoError> {
    check_digest(alg, digest)?;
    let info = digest_info(alg, digest)?;
    let mut encoded = zeroed(size)?;
    let (padding, to) = split_end(&mut encoded, info.len()).ok_or(CryptoError::Size)?;
    to.copy_from_slice(&info);
    // 00 01, at least eight times FF, 00.
    let [_, kind, filler @ .., _] = padding else {
        return Err(CryptoError::Size);
    };
    if filler.len() < 8 {
        return Err(CryptoError::Size);
    }
    *kind = 0x01;
    filler.fill(0xFF);
    Ok(encoded)
}

/// The last `len` bytes and what is before them; `None` if there are not so many.
fn split_end(bytes: &mut [u8], len: usize) -> Option<(&mut [u8], &mut [u8])> {
    bytes.split_at_mut_checked(bytes.len().checked_sub(len)?)
}

/// Size of the salt of a PSS signature by a key of `size` bytes: that of the hash (FIPS 186-5, 5.4), or what fits if that
/// is less; `None` if the hash does not fit.
pub(crate) fn pss_salt_size(size: usize, alg: HashAlg) -> Option<usize> {
    let room = size.checked_sub(alg.digest_size())?.checked_sub(2)?;
    Some(room.min(alg.digest_size()))
}

/// EMSA-PSS (Part 1, B.7) for a modulus whose highest bit is set.
pub(super) fn encode_pss(
    size: usize,
    alg: HashAlg,
    digest: &[u8],
    rng: &mut HmacDrbg,
) -> Result<Zeroizing<Number>, CryptoError> {
    check_digest(alg, digest)?;
    let mut salt = pss_salt_size(size, alg)
        .and_then(crate::bytes::Digest::zeroed)
        .ok_or(CryptoError::Size)?;
    rng.generate(&[], &mut salt);

    let mut encoded = zeroed(size)?;
    let Some((trailer, rest)) = encoded.split_last_mut() else {
        return Err(CryptoError::Size);
    };
    *trailer = 0xBC;
    let (block, h) = split_end(rest, alg.digest_size()).ok_or(CryptoError::Size)?;
    h.copy_from_slice(&hash(alg, &[&[0; 8], digest, &salt]));
    let (zeros, to) = split_end(block, salt.len()).ok_or(CryptoError::Size)?;
    to.copy_from_slice(&salt);
    if let Some(separator) = zeros.last_mut() {
        *separator = 0x01;
    }
    xor(block, |mask| mgf1(alg, h, mask));
    if let Some(first) = block.first_mut() {
        *first &= 0x7F;
    }
    Ok(encoded)
}

/// Whether `encoded` is an EMSA-PSS encoding of `digest`, with a salt of any size.
pub(super) fn verify_pss(encoded: &mut [u8], alg: HashAlg, digest: &[u8]) -> bool {
    let Some((0xBC, rest)) = encoded.split_last_mut() else {
        return false;
    };
    let Some((block, h)) = split_end(rest, alg.digest_size()) else {
        return false;
    };
    if block.first().is_none_or(|first| *first > 0x7F) {
        return false;
    }
    xor(block, |mask| mgf1(alg, h, mask));
    if let Some(first) = block.first_mut() {
        *first &= 0x7F;
    }
    let mut rest = block.iter();
    if rest.find(|byte| **byte != 0) != Some(&0x01) {
        return false;
    }
    *hash(alg, &[&[0; 8], digest, rest.as_slice()]) == *h
}

/// EME-PKCS1-v1_5 (Part 1, B.3).
pub(super) fn encode_rsaes(size: usize, message: &[u8], rng: &mut HmacDrbg) -> Result<Zeroizing<Number>, CryptoError> {
    let mut encoded = zeroed(size)?;
    let (padding, to) = split_end(&mut encoded, message.len()).ok_or(CryptoError::Size)?;
    to.copy_from_slice(message);
    let [_, kind, filler @ .., _] = padding else {
        return Err(CryptoError::Size);
    };
    if filler.len() < RSAES_RANDOM {
        return Err(CryptoError::Size);
    }
    *kind = 0x02;
    for byte in filler {
        while *byte == 0 {
            rng.generate(&[], std::slice::from_mut(byte));
        }
    }
    Ok(encoded)
}

/// The message in an EME-PKCS1-v1_5 encoding. Where the encoding is wrong does not show in the time this takes.
pub(super) fn decode_rsaes(encoded: &[u8]) -> Result<Zeroizing<Number>, CryptoError> {
    let Some(([0, kind], rest)) = encoded.split_first_chunk().map(|(head, rest)| (*head, rest)) else {
        return Err(CryptoError::Decrypt);
    };
    let mut found = Choice::from(0);
    let mut end = 0u32;
    for (at, byte) in (0u32..).zip(rest) {
        end.conditional_assign(&at, !found & byte.ct_eq(&0));
        found |= byte.ct_eq(&0);
    }
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    let valid = found & kind.ct_eq(&0x02) & Choice::from(u8::from(end >= RSAES_RANDOM));
    let message = rest.get(end.saturating_add(1)..).filter(|_| valid.into());
    message
        .and_then(Bytes::new)
        .map(Zeroizing::new)
        .ok_or(CryptoError::Decrypt)
}

/// EME-OAEP (Part 1, B.4) with MGF1 over the same hash.
pub(super) fn encode_oaep(
    size: usize,
    alg: HashAlg,
    label: &[u8],
    message: &[u8],
    rng: &mut HmacDrbg,
) -> Result<Zeroizing<Number>, CryptoError> {
    let mut encoded = zeroed(size)?;
    let Some((seed, block)) = encoded
        .split_first_mut()
        .and_then(|(_, rest)| rest.split_at_mut_checked(alg.digest_size()))
    else {
        return Err(CryptoError::Size);
    };
    rng.generate(&[], seed);
    let (head, to) = split_end(block, message.len()).ok_or(CryptoError::Size)?;
    to.copy_from_slice(message);
    let Some((label_hash, [.., separator])) = head.split_at_mut_checked(alg.digest_size()) else {
        return Err(CryptoError::Size);
    };
    label_hash.copy_from_slice(&hash(alg, &[label]));
    *separator = 0x01;
    xor(block, |mask| mgf1(alg, seed, mask));
    xor(seed, |mask| mgf1(alg, block, mask));
    Ok(encoded)
}

/// The message in an EME-OAEP encoding. Where the encoding is wrong does not show in the time this takes.
pub(super) fn decode_oaep(encoded: &mut [u8], alg: HashAlg, label: &[u8]) -> Result<Zeroizing<Number>, CryptoError> {
    let Some((first, rest)) = encoded.split_first_mut() else {
        return Err(CryptoError::Decrypt);
    };
    let Some((seed, block)) = rest.split_at_mut_checked(alg.digest_size()) else {
        return Err(CryptoError::Decrypt);
    };
    xor(seed, |mask| mgf1(alg, block, mask));
    xor(block, |mask| mgf1(alg, seed, mask));
    let Some((label_hash, data)) = block.split_at_checked(alg.digest_size()) else {
        return Err(CryptoError::Decrypt);
    };
    let mut valid = first.ct_eq(&0) & label_hash.ct_eq(&hash(alg, &[label]));
    let mut found = Choice::from(0);
    let mut end = 0u32;
    for (at, byte) in (0u32..).zip(data) {
        let separates = !found & byte.ct_eq(&1);
        end.conditional_assign(&at, separates);
        found |= separates;
        valid &= found | byte.ct_eq(&0);
    }
    let start = usize::try_from(end).unwrap_or(usize::MAX).saturating_add(1);
    let message = data.get(start..).filter(|_| (valid & found).into());
    message
        .and_then(Bytes::new)
        .map(Zeroizing::new)
        .ok_or(CryptoError::Decrypt)
}
