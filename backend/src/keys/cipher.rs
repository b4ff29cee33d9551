//! The cipher of all that the daemon stores or hands out encrypted: XAES-256-GCM of the C2SP.
//!
//! It is AES-256-GCM under a key of its own for each message, derived from the first half of a random nonce of 192 bits.
//! A nonce of plain GCM has 96 bits. At random it is good for 2^32 messages under one key, which a guest can write in
//! weeks; counted, it repeats when a commit is undone, when a backup is put back or when the host is itself a virtual
//! machine and goes on twice from one snapshot. A repeated nonce gives away both messages and lets others be forged; 192
//! random bits do not repeat, and nothing has to be counted.

use aes_gcm::aead::AeadInOut;
use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::BlockCipherEncrypt;
use aes_gcm::{Aes256Gcm, KeyInit};
use zeroize::Zeroizing;

/// Bytes of a key.
pub(crate) const KEY_SIZE: usize = 32;
const NONCE_SIZE: usize = 24;
const TAG_SIZE: usize = 16;
/// By how much a sealed message is longer: its nonce before it, its tag behind it.
pub(crate) const OVERHEAD: usize = NONCE_SIZE + TAG_SIZE;

/// The kernel has no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the kernel gives no random numbers: {0}")]
pub(crate) struct NoEntropy(getrandom::Error);

/// Random bytes for keys and nonces.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, NoEntropy> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(NoEntropy)?;
    Ok(bytes)
}

/// A key, ready for use.
pub(crate) struct Cipher {
    aes: Aes256,
    /// The subkey K1 of CMAC (RFC 4493, 2.3): all that is derived is derived from whole blocks.
    subkey: Zeroizing<[u8; 16]>,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Cipher")
    }
}

impl Cipher {
    pub(crate) fn new(key: &[u8; KEY_SIZE]) -> Self {
        let aes = Aes256::new(key.into());
        let mut block = Zeroizing::new([0; 16]);
        aes.encrypt_block((&mut *block).into());
        // Doubled in the field of CMAC, without a branch on a secret bit.
        let value = u128::from_be_bytes(*block);
        let carry = (value >> 127).wrapping_neg() & 0x87;
        *block = ((value << 1) ^ carry).to_be_bytes();
        Self { aes, subkey: block }
    }

    /// Encrypts a message and authenticates it together with what it belongs to.
    pub(crate) fn seal(&self, context: &[u8], message: &[u8]) -> Result<Vec<u8>, NoEntropy> {
        Ok(self.seal_with(&*random()?, context, message))
    }

    fn seal_with(&self, nonce: &[u8; NONCE_SIZE], context: &[u8], message: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(message.len() + OVERHEAD);
        sealed.extend_from_slice(nonce);
        sealed.extend_from_slice(message);
        let (gcm, nonce) = self.derive(nonce);
        let tag = gcm
            .encrypt_inout_detached((&nonce).into(), context, (&mut sealed[NONCE_SIZE..]).into())
            .expect("a message is shorter than the 64 GiB that GCM takes");
        sealed.extend_from_slice(&tag);
        sealed
    }

    /// The message, or `None` if it or what it belongs to is not what was sealed.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_SIZE>()?;
        let (message, tag) = rest.split_last_chunk::<TAG_SIZE>()?;
        let mut message = Zeroizing::new(message.to_vec());
        let (gcm, nonce) = self.derive(nonce);
        gcm.decrypt_inout_detached((&nonce).into(), context, message.as_mut_slice().into(), tag.into())
            .ok()?;
        Some(message)
    }

    /// The key and the nonce for GCM: SP 800-108r1 in counter mode with CMAC, each of whose two blocks is one block long.
    fn derive(&self, nonce: &[u8; NONCE_SIZE]) -> (Aes256Gcm, [u8; 12]) {
        let mut key = Zeroizing::new([0; KEY_SIZE]);
        for (counter, half) in (1u8..).zip(key.as_chunks_mut::<16>().0) {
            half[..4].copy_from_slice(&[0, counter, b'X', 0]);
            half[4..].copy_from_slice(&nonce[..12]);
            for (byte, mask) in half.iter_mut().zip(self.subkey.iter()) {
                *byte ^= mask;
            }
            self.aes.encrypt_block(half.into());
        }
        let mut rest = [0; 12];
        rest.copy_from_slice(&nonce[12..]);
        (Aes256Gcm::new((&*key).into()), rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The test vectors of the specification: one for either value of the bit that is carried out of CMAC's subkey.
    #[test]
    fn the_specification_s_vectors_come_out() {
        let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
        for (key, context, want) in [
            (1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
            (
                3,
                "c2sp.org/XAES-256-GCM",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ] {
            let cipher = Cipher::new(&[key; KEY_SIZE]);
            let sealed = cipher.seal_with(nonce, context.as_bytes(), b"XAES-256-GCM");
            assert_eq!(hex(&sealed[NONCE_SIZE..]), want);
            assert_eq!(&**cipher.open(context.as_bytes(), &sealed).unwrap(), b"XAES-256-GCM");
        }
    }

    #[test]
    fn what_was_changed_or_moved_does_not_open() {
        let cipher = Cipher::new(&[7; KEY_SIZE]);
        let sealed = cipher.seal(b"here", b"message").unwrap();
        assert_eq!(sealed.len(), 7 + OVERHEAD);
        assert!(cipher.open(b"there", &sealed).is_none());
        assert!(Cipher::new(&[8; KEY_SIZE]).open(b"here", &sealed).is_none());
        for place in 0..sealed.len() {
            assert!(cipher.open(b"here", &sealed[..place]).is_none());
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(cipher.open(b"here", &changed).is_none());
        }
    }

    #[test]
    fn no_two_messages_look_alike() {
        let cipher = Cipher::new(&[7; KEY_SIZE]);
        assert_ne!(
            cipher.seal(b"", b"message").unwrap(),
            cipher.seal(b"", b"message").unwrap()
        );
    }
}
