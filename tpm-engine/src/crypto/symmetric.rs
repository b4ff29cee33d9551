//! Block ciphers and their modes (Part 1, 11.4.7; SP 800-38A).

use cipher::array::Array;
use cipher::{
    Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, IvState, KeyInit,
    StreamCipherCore,
};
use ctr::flavors::{Ctr64BE, Ctr128BE};
use ctr::{CtrCore, CtrFlavor};
use ofb::OfbCore;
use zeroize::Zeroizing;

use crate::alg::{BlockCipher, CipherMode};
use crate::crypto::CryptoError;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Encrypt,
    Decrypt,
}

/// Encrypts `data` in place and replaces `iv` by the one that goes on from here, as TPM2_EncryptDecrypt returns it.
///
/// # Errors
/// [`CryptoError::Key`] for a key of a size that the cipher has not; [`CryptoError::Size`] for an IV that is not a
/// block (with ECB: not empty), or data that CBC and ECB cannot divide into blocks; [`CryptoError::Value`] for CMAC,
/// which does not encrypt.
pub fn encrypt(
    cipher: BlockCipher,
    key: &[u8],
    mode: CipherMode,
    iv: &mut [u8],
    data: &mut [u8],
) -> Result<(), CryptoError> {
    run(cipher, key, mode, Direction::Encrypt, iv, data)
}

/// Decrypts `data` in place; otherwise like [`encrypt`].
///
/// # Errors
/// Those of [`encrypt`].
pub fn decrypt(
    cipher: BlockCipher,
    key: &[u8],
    mode: CipherMode,
    iv: &mut [u8],
    data: &mut [u8],
) -> Result<(), CryptoError> {
    run(cipher, key, mode, Direction::Decrypt, iv, data)
}

/// Gives every byte of a TDES key odd parity: the lowest bit of each is not part of the key (SP 800-67, 3.2).
pub fn set_parity(key: &mut [u8]) {
    for byte in key {
        let others = (*byte >> 1).count_ones();
        *byte = (*byte & 0xFE) | u8::from(others % 2 == 0);
    }
}

/// Whether this is no key for TDES (Part 1, 11.4.7; SP 800-67, 3.3): of another size, with parts that are the same, or
/// with a part that encrypts weakly. Parity does not matter.
#[must_use]
pub fn is_weak_tdes(key: &[u8]) -> bool {
    let mut odd = Zeroizing::new([0; 24]);
    match odd.get_mut(..key.len()) {
        Some(odd) if matches!(key.len(), 16 | 24) => {
            odd.copy_from_slice(key);
            set_parity(odd);
            des::weak_key_test(odd).is_err()
        }
        _ => true,
    }
}

fn run(
    cipher: BlockCipher,
    key: &[u8],
    mode: CipherMode,
    direction: Direction,
    iv: &mut [u8],
    data: &mut [u8],
) -> Result<(), CryptoError> {
    if mode == CipherMode::Cmac {
        return Err(CryptoError::Value);
    }
    match (cipher, key.len()) {
        (BlockCipher::Tdes, 16) => in_mode::<_, Ctr64BE>(keyed::<des::TdesEde2>(key)?, mode, direction, iv, data),
        (BlockCipher::Tdes, 24) => in_mode::<_, Ctr64BE>(keyed::<des::TdesEde3>(key)?, mode, direction, iv, data),
        (BlockCipher::Aes, 16) => in_mode::<_, Ctr128BE>(keyed::<aes::Aes128>(key)?, mode, direction, iv, data),
        (BlockCipher::Aes, 24) => in_mode::<_, Ctr128BE>(keyed::<aes::Aes192>(key)?, mode, direction, iv, data),
        (BlockCipher::Aes, 32) => in_mode::<_, Ctr128BE>(keyed::<aes::Aes256>(key)?, mode, direction, iv, data),
        (BlockCipher::Sm4, 16) => in_mode::<_, Ctr128BE>(keyed::<sm4::Sm4>(key)?, mode, direction, iv, data),
        (BlockCipher::Camellia, 16) => {
            in_mode::<_, Ctr128BE>(keyed::<camellia::Camellia128>(key)?, mode, direction, iv, data)
        }
        (BlockCipher::Camellia, 24) => {
            in_mode::<_, Ctr128BE>(keyed::<camellia::Camellia192>(key)?, mode, direction, iv, data)
        }
        (BlockCipher::Camellia, 32) => {
            in_mode::<_, Ctr128BE>(keyed::<camellia::Camellia256>(key)?, mode, direction, iv, data)
        }
        (BlockCipher::Tdes | BlockCipher::Aes | BlockCipher::Sm4 | BlockCipher::Camellia, _) => Err(CryptoError::Key),
    }
}

fn keyed<C: KeyInit>(key: &[u8]) -> Result<C, CryptoError> {
    C::new_from_slice(key).map_err(|_| CryptoError::Key)
}

/// `Counter` is the counter of CTR mode: a whole block of the cipher.
fn in_mode<C, Counter>(
    cipher: C,
    mode: CipherMode,
    direction: Direction,
    iv: &mut [u8],
    data: &mut [u8],
) -> Result<(), CryptoError>
where
    C: BlockCipherEncrypt + BlockCipherDecrypt,
    Counter: CtrFlavor<C::BlockSize>,
{
    if matches!(mode, CipherMode::Cbc | CipherMode::Ecb) && !data.len().is_multiple_of(C::block_size()) {
        return Err(CryptoError::Size);
    }
    if mode == CipherMode::Ecb {
        if !iv.is_empty() {
            return Err(CryptoError::Size);
        }
        for_blocks::<C>(data, |blocks| match direction {
            Direction::Encrypt => cipher.encrypt_blocks(blocks),
            Direction::Decrypt => cipher.decrypt_blocks(blocks),
        });
        return Ok(());
    }
    let start = Block::<C>::try_from(&*iv).map_err(|_| CryptoError::Size)?;
    let next = match (mode, direction) {
        (CipherMode::Ctr | CipherMode::Ecb | CipherMode::Cmac, _) => {
            let mut mode = CtrCore::<C, Counter>::inner_iv_init(cipher, &start);
            for_blocks::<C>(data, |blocks| mode.apply_keystream_blocks(blocks));
            mode.iv_state()
        }
        (CipherMode::Ofb, _) => {
            let mut mode = OfbCore::inner_iv_init(cipher, &start);
            for_blocks::<C>(data, |blocks| mode.apply_keystream_blocks(blocks));
            mode.iv_state()
        }
        (CipherMode::Cbc, Direction::Encrypt) => {
            let mut mode = cbc::Encryptor::inner_iv_init(cipher, &start);
            for_blocks::<C>(data, |blocks| mode.encrypt_blocks(blocks));
            mode.iv_state()
        }
        (CipherMode::Cbc, Direction::Decrypt) => {
            let mut mode = cbc::Decryptor::inner_iv_init(cipher, &start);
            for_blocks::<C>(data, |blocks| mode.decrypt_blocks(blocks));
            mode.iv_state()
        }
        (CipherMode::Cfb, Direction::Encrypt) => {
            cfb_mode::Encryptor::inner_iv_init(cipher, &start).encrypt(data);
            last_block::<C>(start, data)
        }
        (CipherMode::Cfb, Direction::Decrypt) => {
            let next = last_block::<C>(start.clone(), data);
            cfb_mode::Decryptor::inner_iv_init(cipher, &start).decrypt(data);
            next
        }
    };
    iv.copy_from_slice(&next);
    Ok(())
}

/// Gives `data` to `process` in blocks; an incomplete last one is padded with zeros and cut again.
fn for_blocks<C: cipher::BlockSizeUser>(data: &mut [u8], mut process: impl FnMut(&mut [Block<C>])) {
    let (blocks, tail) = Array::slice_as_chunks_mut(data);
    process(blocks);
    if !tail.is_empty() {
        let mut block = Block::<C>::default();
        for (to, from) in block.iter_mut().zip(tail.iter()) {
            *to = *from;
        }
        process(std::slice::from_mut(&mut block));
        for (to, from) in tail.iter_mut().zip(block.iter()) {
            *to = *from;
        }
    }
}

/// The last block of the cipher text, an incomplete one padded with zeros: where CFB goes on from. `start` if there
/// is no cipher text.
fn last_block<C: cipher::BlockSizeUser>(start: Block<C>, cipher_text: &[u8]) -> Block<C> {
    let Some(last) = cipher_text.chunks(C::block_size()).next_back() else {
        return start;
    };
    let mut block = Block::<C>::default();
    for (to, from) in block.iter_mut().zip(last) {
        *to = *from;
    }
    block
}

#[cfg(test)]
mod tests;
