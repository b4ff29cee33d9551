//! Block ciphers and their modes (Part 1, 11.4.7; SP 800-38A).

use cipher::array::Array;
use cipher::{
    Block, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, IvState, KeyInit,
    StreamCipherCore,
};
use ctr::flavors::Ctr128BE;
use ctr::{CtrCore, CtrFlavor};
use ofb::OfbCore;

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
/// block (with ECB: not empty), or data that CBC and ECB cannot divide into blocks.
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

fn run(
    cipher: BlockCipher,
    key: &[u8],
    mode: CipherMode,
    direction: Direction,
    iv: &mut [u8],
    data: &mut [u8],
) -> Result<(), CryptoError> {
    match (cipher, key.len()) {
        (BlockCipher::Aes, 16) => in_mode::<_, Ctr128BE>(keyed::<aes::Aes128>(key)?, mode, direction, iv, data),
        (BlockCipher::Aes, 24) => in_mode::<_, Ctr128BE>(keyed::<aes::Aes192>(key)?, mode, direction, iv, data),
        (BlockCipher::Aes, 32) => in_mode::<_, Ctr128BE>(keyed::<aes::Aes256>(key)?, mode, direction, iv, data),
        (BlockCipher::Aes, _) => Err(CryptoError::Key),
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
        (CipherMode::Ctr | CipherMode::Ecb, _) => {
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
mod tests {
    use super::*;
    use crate::crypto::testing::{hex, to_hex};

    const KEY_128: &str = "2b7e151628aed2a6abf7158809cf4f3c";
    const KEY_192: &str = "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b";
    const KEY_256: &str = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
    const IV: &str = "000102030405060708090a0b0c0d0e0f";
    const COUNTER: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
    const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";

    /// SP 800-38A, appendix F, first two blocks of each.
    const VECTORS: &[(CipherMode, &str, &str, &str)] = &[
        (
            CipherMode::Ecb,
            KEY_128,
            "",
            "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf",
        ),
        (
            CipherMode::Ecb,
            KEY_192,
            "",
            "bd334f1d6e45f25ff712a214571fa5cc974104846d0ad3ad7734ecb3ecee4eef",
        ),
        (
            CipherMode::Ecb,
            KEY_256,
            "",
            "f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870",
        ),
        (
            CipherMode::Cbc,
            KEY_128,
            IV,
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2",
        ),
        (
            CipherMode::Cbc,
            KEY_256,
            IV,
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d",
        ),
        (
            CipherMode::Cfb,
            KEY_128,
            IV,
            "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b",
        ),
        (
            CipherMode::Cfb,
            KEY_192,
            IV,
            "cdc80d6fddf18cab34c25909c99a417467ce7f7f81173621961a2b70171d3d7a",
        ),
        (
            CipherMode::Cfb,
            KEY_256,
            IV,
            "dc7e84bfda79164b7ecd8486985d386039ffed143b28b1c832113c6331e5407b",
        ),
        (
            CipherMode::Ofb,
            KEY_128,
            IV,
            "3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825",
        ),
        (
            CipherMode::Ofb,
            KEY_256,
            IV,
            "dc7e84bfda79164b7ecd8486985d38604febdc6740d20b3ac88f6ad82a4fb08d",
        ),
        (
            CipherMode::Ctr,
            KEY_128,
            COUNTER,
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff",
        ),
        (
            CipherMode::Ctr,
            KEY_256,
            COUNTER,
            "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5",
        ),
    ];

    #[test]
    fn published_vectors() {
        for (mode, key, iv, cipher_text) in VECTORS {
            let mut data = hex(PLAIN);
            encrypt(BlockCipher::Aes, &hex(key), *mode, &mut hex(iv), &mut data).unwrap();
            assert_eq!(to_hex(&data), *cipher_text, "{mode:?} with {key}");
            decrypt(BlockCipher::Aes, &hex(key), *mode, &mut hex(iv), &mut data).unwrap();
            assert_eq!(to_hex(&data), PLAIN, "{mode:?} with {key}");
        }
    }

    #[test]
    fn the_returned_iv_goes_on_where_the_data_ended() {
        for (mode, key, iv, cipher_text) in VECTORS {
            let mut iv_encrypt = hex(iv);
            let mut iv_decrypt = hex(iv);
            let mut data = hex(PLAIN);
            for block in data.chunks_mut(16) {
                encrypt(BlockCipher::Aes, &hex(key), *mode, &mut iv_encrypt, block).unwrap();
            }
            assert_eq!(to_hex(&data), *cipher_text, "{mode:?}");
            for block in data.chunks_mut(16) {
                decrypt(BlockCipher::Aes, &hex(key), *mode, &mut iv_decrypt, block).unwrap();
            }
            assert_eq!(to_hex(&data), PLAIN, "{mode:?}");
            assert_eq!(iv_encrypt, iv_decrypt, "{mode:?}");
        }
    }

    #[test]
    fn stream_modes_take_any_size() {
        for mode in [CipherMode::Cfb, CipherMode::Ofb, CipherMode::Ctr] {
            let key = hex(KEY_128);
            let mut whole = hex(PLAIN);
            encrypt(BlockCipher::Aes, &key, mode, &mut hex(IV), &mut whole).unwrap();
            for size in 0..32 {
                let mut data = hex(PLAIN)[..size].to_vec();
                let (mut iv, mut iv_back) = (hex(IV), hex(IV));
                encrypt(BlockCipher::Aes, &key, mode, &mut iv, &mut data).unwrap();
                assert_eq!(data, whole[..size], "{mode:?}");
                decrypt(BlockCipher::Aes, &key, mode, &mut iv_back, &mut data).unwrap();
                assert_eq!(data, hex(PLAIN)[..size], "{mode:?}");
                assert_eq!(iv, iv_back, "{mode:?}");
                assert_eq!(iv == hex(IV), size == 0, "{mode:?}");
            }
        }
    }

    #[test]
    fn the_counter_wraps_over_the_whole_block() {
        let mut iv = [0xFF; 16];
        let mut data = [0; 17];
        encrypt(BlockCipher::Aes, &hex(KEY_128), CipherMode::Ctr, &mut iv, &mut data).unwrap();
        assert_eq!(iv, *hex("00000000000000000000000000000001").as_slice());
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let key = hex(KEY_128);
        for mode in CipherMode::ALL {
            for size in [0, 15, 17, 33] {
                let wrong = &mut vec![0; size];
                assert_eq!(
                    encrypt(BlockCipher::Aes, wrong, *mode, &mut [0; 16], &mut []),
                    Err(CryptoError::Key)
                );
                let refused = *mode != CipherMode::Ecb || size != 0;
                let result = decrypt(BlockCipher::Aes, &key, *mode, wrong, &mut []);
                assert_eq!(
                    result,
                    if refused { Err(CryptoError::Size) } else { Ok(()) },
                    "{mode:?}"
                );
            }
        }
        for mode in [CipherMode::Cbc, CipherMode::Ecb] {
            assert_eq!(
                encrypt(BlockCipher::Aes, &key, mode, &mut [0; 16], &mut [0; 31]),
                Err(CryptoError::Size)
            );
        }
    }
}
