//! CMAC (Part 1, 11.4.3; SP 800-38B), for TPM2_MAC and sequences.
//!
//! The `cmac` crate does not let a computation be saved half-way, which a sequence object needs (TPM2_ContextSave,
//! migration). CMAC is CBC with little around it: that is put together here over [`symmetric`], and tests hold it against
//! published vectors.

use zeroize::Zeroizing;

use crate::alg::{BlockCipher, CipherMode};
use crate::bytes::Bytes;
use crate::crypto::{CryptoError, symmetric};

/// Largest block of any cipher, in bytes.
const MAX_BLOCK: usize = 16;
/// Largest key of any cipher, in bytes.
const MAX_KEY: usize = 32;
/// Room for the running state of any CMAC, in bytes.
pub const CMAC_STATE_SIZE: usize = MAX_KEY + 2 * MAX_BLOCK;

/// The running state of a CMAC as bytes: the last cipher block, the key, and what waits for more to be processed. As
/// secret as the key.
pub type CmacState = Zeroizing<Bytes<CMAC_STATE_SIZE>>;

type Block = Zeroizing<Bytes<MAX_BLOCK>>;

/// A CMAC over data that comes in pieces. Wiped when dropped.
#[derive(Clone)]
pub struct Cmac {
    cipher: BlockCipher,
    key: Zeroizing<Bytes<MAX_KEY>>,
    /// The last cipher block: the initialization vector that CBC goes on from.
    chain: Block,
    /// At most a block, which may turn out to be the last.
    waiting: Block,
}

impl Cmac {
    /// A CMAC over nothing yet.
    ///
    /// # Errors
    /// [`CryptoError::Key`] for a key of a size that the cipher has not.
    pub fn new(cipher: BlockCipher, key: &[u8]) -> Result<Self, CryptoError> {
        let chain = Bytes::zeroed(cipher.block_size()).ok_or(CryptoError::Size)?;
        let cmac = Self {
            cipher,
            key: Zeroizing::new(Bytes::new(key).ok_or(CryptoError::Key)?),
            chain: Zeroizing::new(chain),
            waiting: Block::default(),
        };
        // Nothing to encrypt, but the key is looked at.
        symmetric::encrypt(cipher, key, CipherMode::Ecb, &mut [], &mut [])?;
        Ok(cmac)
    }

    /// The cipher.
    #[must_use]
    pub fn cipher(&self) -> BlockCipher {
        self.cipher
    }

    /// Size of the key in bytes: what [`Cmac::import`] needs beside the state.
    #[must_use]
    pub fn key_size(&self) -> usize {
        self.key.len()
    }

    /// Adds `data`.
    ///
    /// # Errors
    /// None that [`Cmac::new`] would not have had.
    pub fn update(&mut self, mut data: &[u8]) -> Result<(), CryptoError> {
        while !data.is_empty() {
            let room = self.cipher.block_size().saturating_sub(self.waiting.len());
            if room == 0 {
                self.process()?;
                continue;
            }
            let (now, later) = data.split_at(room.min(data.len()));
            self.waiting.extend(now).ok_or(CryptoError::Size)?;
            data = later;
        }
        Ok(())
    }

    /// Encrypts the block that waits.
    fn process(&mut self) -> Result<(), CryptoError> {
        let mut block = std::mem::take(&mut self.waiting);
        symmetric::encrypt(self.cipher, &self.key, CipherMode::Cbc, &mut self.chain, &mut block)
    }

    /// The CMAC over all that was added: a block.
    ///
    /// # Errors
    /// None that [`Cmac::new`] would not have had.
    pub fn finish(mut self) -> Result<Bytes<MAX_BLOCK>, CryptoError> {
        let size = self.cipher.block_size();
        let mut subkey = Zeroizing::new(Bytes::<MAX_BLOCK>::zeroed(size).ok_or(CryptoError::Size)?);
        symmetric::encrypt(self.cipher, &self.key, CipherMode::Ecb, &mut [], &mut subkey)?;
        double(&mut subkey);
        if self.waiting.len() < size {
            double(&mut subkey);
            self.waiting.extend(&[0x80]).ok_or(CryptoError::Size)?;
            let zeros = [0; MAX_BLOCK];
            let rest = zeros.get(self.waiting.len()..size).unwrap_or_default();
            self.waiting.extend(rest).ok_or(CryptoError::Size)?;
        }
        for (byte, key) in self.waiting.iter_mut().zip(subkey.iter()) {
            *byte ^= key;
        }
        self.process()?;
        Ok((*self.chain).clone())
    }

    /// The running state, to go on from later with [`Cmac::import`].
    #[must_use]
    pub fn export(&self) -> CmacState {
        let mut state = CmacState::default();
        for part in [&*self.chain as &[u8], &self.key, &self.waiting] {
            // The room is that of the largest of each.
            let _ = state.extend(part);
        }
        state
    }

    /// Goes on from a state of [`Cmac::export`]; `None` if it is not one of this cipher with keys of `key_size` bytes.
    #[must_use]
    pub fn import(cipher: BlockCipher, key_size: usize, state: &[u8]) -> Option<Self> {
        let (chain, rest) = state.split_at_checked(cipher.block_size())?;
        let (key, waiting) = rest.split_at_checked(key_size)?;
        let mut cmac = Self::new(cipher, key).ok()?;
        cmac.chain = Zeroizing::new(Bytes::new(chain)?);
        if waiting.len() > cipher.block_size() {
            return None;
        }
        cmac.waiting = Zeroizing::new(Bytes::new(waiting)?);
        Some(cmac)
    }
}

/// Multiplies by x in the field of the block's size (SP 800-38B, 5.3), in constant time.
fn double(block: &mut [u8]) {
    let polynomial = if block.len() == 8 { 0x1B } else { 0x87 };
    let mut carry = 0;
    for byte in block.iter_mut().rev() {
        let next = *byte >> 7;
        *byte = (*byte << 1) | carry;
        carry = next;
    }
    if let Some(last) = block.last_mut() {
        *last ^= polynomial & carry.wrapping_neg();
    }
}

impl std::fmt::Debug for Cmac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cmac({:?})", self.cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::testing::{hex, to_hex};

    const KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
    const KEY_192: &str = "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b";
    const KEY_256: &str = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
    const DATA: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

    /// SP 800-38B, appendix D, for AES, with two more lengths; the other ciphers by OpenSSL.
    type Macs = &'static [(usize, &'static str)];
    const VECTORS: &[(BlockCipher, &str, Macs)] = &[
        (
            BlockCipher::Aes,
            KEY,
            &[
                (0, "bb1d6929e95937287fa37d129b756746"),
                (16, "070a16b46b4d4144f79bdd9dd04a287c"),
                (20, "7d85449ea6ea19c823a7bf78837dfade"),
                (40, "dfa66747de9ae63030ca32611497c827"),
                (64, "51f0bebf7e3b9d92fc49741779363cfe"),
            ],
        ),
        (
            BlockCipher::Aes,
            KEY_192,
            &[
                (0, "d17ddf46adaacde531cac483de7a9367"),
                (16, "9e99a7bf31e710900662f65e617c5184"),
                (20, "3d75c194ed96070444a9fa7ec740ecf8"),
                (40, "8a1de5be2eb31aad089a82e6ee908b0e"),
                (64, "a1d5df0eed790f794d77589659f39a11"),
            ],
        ),
        (
            BlockCipher::Aes,
            KEY_256,
            &[
                (0, "028962f61b7bf89efc6b551f4667d983"),
                (16, "28a7023f452e8f82bd4bf28d8c37c35c"),
                (20, "156727dc0878944a023c1fe03bad6d93"),
                (40, "aaf3d8f1de5640c232f5b169b9c911e6"),
                (64, "e1992190549f6ed5696a2c056c315410"),
            ],
        ),
        (
            BlockCipher::Camellia,
            KEY,
            &[
                (0, "ba925782aaa1f5d9a00f89648094fc71"),
                (16, "6d962854a3b9fda56d7d45a95ee17993"),
                (20, "ee9c1a550649c844bcebac9f4a9d6728"),
                (40, "5c18d119ccd6766144ac1866131d9f22"),
                (64, "c2699a6eba55ce9d939a8a4e19466ee9"),
            ],
        ),
        (
            BlockCipher::Sm4,
            KEY,
            &[
                (0, "399a9c930964a3d4e38c59da47f0b309"),
                (16, "4e4c2a4417e567fef081e0fab55a5762"),
                (20, "7e8d5e550154792a82724b32dfa2bfbf"),
                (40, "8e31701927d50b28d53787513b69dd75"),
                (64, "cc2b4f3d2c5aaf8a4ac30e28650eddc0"),
            ],
        ),
        (
            BlockCipher::Tdes,
            KEY_192,
            &[
                (0, "1596b467878ce1b7"),
                (16, "f4ee2a1dbd1b0f94"),
                (20, "61478180f69c9965"),
                (40, "f7331061495a46e1"),
                (64, "7412875e33a838db"),
            ],
        ),
    ];

    fn whole(cipher: BlockCipher, key: &str, data: &[u8]) -> String {
        let mut cmac = Cmac::new(cipher, &hex(key)).unwrap();
        cmac.update(data).unwrap();
        to_hex(&cmac.finish().unwrap())
    }

    #[test]
    fn published_vectors() {
        let data = hex(DATA);
        for (cipher, key, macs) in VECTORS {
            for (size, expected) in *macs {
                assert_eq!(
                    whole(*cipher, key, &data[..*size]),
                    *expected,
                    "{cipher:?}, {size} bytes"
                );
            }
        }
    }

    #[test]
    fn a_state_can_be_saved_at_any_byte() {
        let data = hex(DATA);
        for (cipher, key, _) in VECTORS {
            for cut in 0..=data.len() {
                let mut first = Cmac::new(*cipher, &hex(key)).unwrap();
                first.update(&data[..cut]).unwrap();
                let mut second = Cmac::import(*cipher, key.len() / 2, &first.export()).unwrap();
                assert_eq!(second.cipher(), *cipher);
                second.update(&data[cut..]).unwrap();
                let mac = to_hex(&second.finish().unwrap());
                assert_eq!(mac, whole(*cipher, key, &data), "{cipher:?} saved after {cut} bytes");
            }
        }
    }

    #[test]
    fn malformed_keys_and_states_are_refused() {
        assert_eq!(Cmac::new(BlockCipher::Aes, &[0; 15]).unwrap_err(), CryptoError::Key);
        assert_eq!(Cmac::new(BlockCipher::Aes, &[0; 33]).unwrap_err(), CryptoError::Key);
        for size in [0, 16, 31, 49, 64] {
            let state = &[1; 64][..size];
            assert!(Cmac::import(BlockCipher::Aes, 16, state).is_none(), "{size} bytes");
        }
        assert!(Cmac::import(BlockCipher::Aes, 17, &[1; 40]).is_none());
    }
}
