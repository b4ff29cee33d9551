//! The client's side of sessions and secrets: hashes, HMAC, KDFs (Part 1, 11.4) on the RustCrypto crates.

use aes::cipher::KeyIvInit;
use anyhow::{Context, Result, bail, ensure};
use hmac::{KeyInit, Mac};
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::sec1::ToSec1Point;
use rsa::BoxedUint;
use sha2::Digest;

use crate::codes::alg;
use crate::wire::Out;

/// The size of a digest in bytes.
///
/// # Errors
/// No hash algorithm, or one that scenarios do not use.
pub fn size(hash: u16) -> Result<usize> {
    Ok(match hash {
        alg::SHA1 => 20,
        alg::SHA256 => 32,
        alg::SHA384 => 48,
        alg::SHA512 => 64,
        other => bail!("no hash algorithm {other:#x}"),
    })
}

/// The hash of `parts`, one after the other.
///
/// # Errors
/// Those of [`size`].
pub fn hash(alg: u16, parts: &[&[u8]]) -> Result<Vec<u8>> {
    let data = parts.concat();
    Ok(match alg {
        alg::SHA1 => sha1::Sha1::digest(data).to_vec(),
        alg::SHA256 => sha2::Sha256::digest(data).to_vec(),
        alg::SHA384 => sha2::Sha384::digest(data).to_vec(),
        alg::SHA512 => sha2::Sha512::digest(data).to_vec(),
        other => bail!("no hash algorithm {other:#x}"),
    })
}

/// HMAC.
///
/// # Errors
/// Those of [`size`].
pub fn hmac(alg: u16, key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>> {
    fn run<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>> {
        let mut mac = <M as KeyInit>::new_from_slice(key)?;
        parts.iter().for_each(|part| mac.update(part));
        Ok(mac.finalize().into_bytes().to_vec())
    }
    match alg {
        alg::SHA1 => run::<hmac::Hmac<sha1::Sha1>>(key, parts),
        alg::SHA256 => run::<hmac::Hmac<sha2::Sha256>>(key, parts),
        alg::SHA384 => run::<hmac::Hmac<sha2::Sha384>>(key, parts),
        alg::SHA512 => run::<hmac::Hmac<sha2::Sha512>>(key, parts),
        other => bail!("no hash algorithm {other:#x}"),
    }
}

/// KDFa (Part 1, 11.4.10.2); `label` is without its NUL, `bits` a multiple of eight.
///
/// # Errors
/// Those of [`size`].
pub fn kdfa(alg: u16, key: &[u8], label: &str, u: &[u8], v: &[u8], bits: u32) -> Result<Vec<u8>> {
    let length = usize::try_from(bits / 8)?;
    let mut out = Vec::new();
    let mut counter = 0u32;
    while out.len() < length {
        counter += 1;
        let (counter, bits) = (counter.to_be_bytes(), bits.to_be_bytes());
        out.extend(hmac(alg, key, &[&counter, label.as_bytes(), &[0], u, v, &bits])?);
    }
    out.truncate(length);
    Ok(out)
}

/// KDFe (Part 1, 11.4.10.3) for a whole digest.
///
/// # Errors
/// Those of [`size`].
pub fn kdfe(alg: u16, z: &[u8], label: &str, u: &[u8], v: &[u8]) -> Result<Vec<u8>> {
    hash(alg, &[&1u32.to_be_bytes(), z, label.as_bytes(), &[0], u, v])
}

/// MGF1 (PKCS#1).
fn mgf1(alg: u16, seed: &[u8], length: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut counter = 0u32;
    while out.len() < length {
        out.extend(hash(alg, &[seed, &counter.to_be_bytes()])?);
        counter += 1;
    }
    out.truncate(length);
    Ok(out)
}

/// XOR obfuscation (Part 1, 11.4.7.3).
///
/// # Errors
/// Those of [`size`].
pub fn xor(alg: u16, key: &[u8], nonce_newer: &[u8], nonce_older: &[u8], data: &mut [u8]) -> Result<()> {
    let bits = u32::try_from(data.len() * 8)?;
    let mask = kdfa(alg, key, "XOR", nonce_newer, nonce_older, bits)?;
    data.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    Ok(())
}

/// AES in CFB mode, in place.
///
/// # Errors
/// No AES key or IV has this size.
pub fn aes_cfb(encrypt: bool, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<()> {
    use cfb_mode::{Decryptor, Encryptor};
    match (key.len(), encrypt) {
        (16, true) => Encryptor::<aes::Aes128>::new_from_slices(key, iv)?.encrypt(data),
        (16, false) => Decryptor::<aes::Aes128>::new_from_slices(key, iv)?.decrypt(data),
        (24, true) => Encryptor::<aes::Aes192>::new_from_slices(key, iv)?.encrypt(data),
        (24, false) => Decryptor::<aes::Aes192>::new_from_slices(key, iv)?.decrypt(data),
        (32, true) => Encryptor::<aes::Aes256>::new_from_slices(key, iv)?.encrypt(data),
        (32, false) => Decryptor::<aes::Aes256>::new_from_slices(key, iv)?.decrypt(data),
        (size, _) => bail!("no AES key has {size} bytes"),
    }
    Ok(())
}

/// RSAEP with the exponent 65537; the result has the size of the modulus.
///
/// # Errors
/// No RSA key.
pub fn rsa_raw(modulus: &[u8], input: &[u8]) -> Result<Vec<u8>> {
    let bits = u32::try_from(modulus.len() * 8)?;
    let number = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, bits).map_err(|error| anyhow::anyhow!("{error:?}"));
    let key = rsa::PublicKey::new(number(modulus)?, BoxedUint::from(65537u32))?;
    Ok(rsa::hazmat::rsa_encrypt(&key, &number(input)?)?.to_be_bytes().to_vec())
}

/// RSAES-OAEP (PKCS#1) with `label`, which gets the NUL that a TPM expects, and this `seed` for randomness.
///
/// # Errors
/// The message is too long, or no RSA key.
pub fn oaep(alg: u16, modulus: &[u8], label: &str, message: &[u8], seed: &[u8]) -> Result<Vec<u8>> {
    let digest = size(alg)?;
    let seed = seed.get(..digest).context("a seed shorter than a digest")?;
    let room = modulus.len().checked_sub(2 * digest + 2).context("a small modulus")?;
    ensure!(message.len() <= room, "a message of {} bytes", message.len());
    let mut block = hash(alg, &[label.as_bytes(), &[0]])?;
    block.resize(digest + room - message.len(), 0);
    block.push(1);
    block.extend_from_slice(message);
    let mask = mgf1(alg, seed, block.len())?;
    block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    let mut seed = seed.to_vec();
    let mask = mgf1(alg, &block, digest)?;
    seed.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    rsa_raw(modulus, &[&[0], &seed[..], &block].concat())
}

/// Whether this is an RSASSA-PKCS1-v1_5 signature with SHA-256 over `digest`.
///
/// # Errors
/// No RSA key.
pub fn rsassa_sha256_is_valid(modulus: &[u8], digest: &[u8], signature: &[u8]) -> Result<bool> {
    // DigestInfo of SHA-256 (RFC 8017, 9.2).
    const PREFIX: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
        0x20,
    ];
    let block = rsa_raw(modulus, signature)?;
    let padding = block
        .len()
        .checked_sub(3 + PREFIX.len() + digest.len())
        .context("a small modulus")?;
    Ok(block == [&[0, 1], &vec![0xFF; padding][..], &[0], &PREFIX, digest].concat())
}

/// A P-256 key: the point of this secret scalar, reduced to the group's order.
///
/// # Errors
/// The scalar is zero.
pub fn p256_public(secret: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>)> {
    let point = p256_scalar(secret)?.public_key().to_sec1_point(false);
    Ok((point.x().context("no x")?.to_vec(), point.y().context("no y")?.to_vec()))
}

/// The x coordinate that ECDH with this point gives.
///
/// # Errors
/// The point is not on the curve.
pub fn p256_ecdh(secret: &[u8; 32], x: &[u8], y: &[u8]) -> Result<Vec<u8>> {
    let point = p256::PublicKey::from_sec1_bytes(&Out::new().u8(4).raw(x).raw(y).0)?;
    let secret = p256_scalar(secret)?;
    let shared = p256::ecdh::diffie_hellman(secret.to_nonzero_scalar(), point.as_affine());
    Ok(shared.raw_secret_bytes().to_vec())
}

/// The scalar that [`p256_public`] uses.
fn p256_scalar(secret: &[u8; 32]) -> Result<p256::SecretKey> {
    let scalar = <p256::Scalar as Reduce<p256::FieldBytes>>::reduce(&(*secret).into());
    Ok(p256::SecretKey::from_bytes(&scalar.to_bytes())?)
}

/// An ECDSA signature (r, s) over a digest of 32 bytes.
///
/// # Errors
/// The scalar is zero.
pub fn p256_sign(secret: &[u8; 32], digest: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    use p256::ecdsa::signature::hazmat::PrehashSigner;
    let key = p256::ecdsa::SigningKey::from(p256_scalar(secret)?);
    let signature: p256::ecdsa::Signature = key.sign_prehash(digest)?;
    let (r, s) = signature.split_bytes();
    Ok((r.to_vec(), s.to_vec()))
}

/// Whether (r, s) is an ECDSA signature over a digest of 32 bytes.
///
/// # Errors
/// The point is not on the curve.
pub fn p256_signature_is_valid(x: &[u8], y: &[u8], digest: &[u8], r: &[u8], s: &[u8]) -> Result<bool> {
    use p256::ecdsa::signature::hazmat::PrehashVerifier;
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&Out::new().u8(4).raw(x).raw(y).0)?;
    let (r, s): ([u8; 32], [u8; 32]) = (r.try_into()?, s.try_into()?);
    let signature = p256::ecdsa::Signature::from_scalars(r, s)?;
    Ok(key.verify_prehash(digest, &signature).is_ok())
}

/// Bytes that look random and depend on a seed only (SplitMix64).
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next_u64() % bound).unwrap_or(0)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len().max(1))).cloned()
    }

    /// `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next_u64().to_le_bytes()[0]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p256_signatures_and_ecdh_agree_with_themselves() {
        let (secret, other) = ([7; 32], [9; 32]);
        let (x, y) = p256_public(&secret).unwrap();
        let digest = hash(alg::SHA256, &[b"message"]).unwrap();
        let (r, s) = p256_sign(&secret, &digest).unwrap();
        assert!(p256_signature_is_valid(&x, &y, &digest, &r, &s).unwrap());
        assert!(!p256_signature_is_valid(&x, &y, &[0; 32], &r, &s).unwrap());
        let (other_x, other_y) = p256_public(&other).unwrap();
        assert_eq!(
            p256_ecdh(&secret, &other_x, &other_y).unwrap(),
            p256_ecdh(&other, &x, &y).unwrap()
        );
    }
}
