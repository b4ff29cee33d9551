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

/// Made by OpenSSL, with the keys, initialization vectors and plain text of SP 800-38A; the counter mode of TDES from its
/// blocks.
const OTHER_VECTORS: &str = include_str!("vectors.txt");

fn other_vectors() -> impl Iterator<Item = (BlockCipher, CipherMode, Vec<u8>, Vec<u8>, &'static str)> {
    OTHER_VECTORS.lines().map(|line| {
        let [cipher, mode, bits, cipher_text] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let cipher = *BlockCipher::ALL
            .iter()
            .find(|known| format!("{known:?}") == cipher)
            .unwrap();
        let mode = *CipherMode::ALL
            .iter()
            .find(|known| format!("{known:?}") == mode)
            .unwrap();
        let key = match bits {
            "128" => KEY_128,
            "192" => KEY_192,
            _ => KEY_256,
        };
        let iv = match mode {
            CipherMode::Ecb => Vec::new(),
            CipherMode::Ctr => hex(COUNTER)[16 - cipher.block_size()..].to_vec(),
            _ => hex(IV)[..cipher.block_size()].to_vec(),
        };
        (cipher, mode, hex(key), iv, cipher_text)
    })
}

#[test]
fn other_ciphers_agree_with_openssl() {
    for (cipher, mode, key, iv, cipher_text) in other_vectors() {
        let mut data = hex(PLAIN);
        encrypt(cipher, &key, mode, &mut iv.clone(), &mut data).unwrap();
        assert_eq!(to_hex(&data), cipher_text, "{cipher:?} {mode:?} {}", key.len());
        // In pieces, going on with the returned initialization vector.
        let mut next = iv.clone();
        for piece in data.chunks_mut(cipher.block_size()) {
            decrypt(cipher, &key, mode, &mut next, piece).unwrap();
        }
        assert_eq!(to_hex(&data), PLAIN, "{cipher:?} {mode:?} {}", key.len());
    }
}

/// GB/T 32907, A.1; RFC 3713, appendix A; SP 800-67, B.1.
#[test]
fn published_blocks_of_other_ciphers() {
    let key = "0123456789abcdeffedcba98765432100011223344556677";
    for (cipher, key, plain, expected) in [
        (
            BlockCipher::Sm4,
            &key[..32],
            &key[..32],
            "681edf34d206965e86b3e94f536e4246",
        ),
        (
            BlockCipher::Camellia,
            &key[..32],
            &key[..32],
            "67673138549669730857065648eabe43",
        ),
        (
            BlockCipher::Camellia,
            key,
            &key[..32],
            "b4993401b3e996f84ee5cee7d79b09b9",
        ),
        (
            BlockCipher::Tdes,
            "0123456789abcdef23456789abcdef01456789abcdef0123",
            "5468652071756663",
            "a826fd8ce53b855f",
        ),
    ] {
        let mut data = hex(plain);
        encrypt(cipher, &hex(key), CipherMode::Ecb, &mut [], &mut data).unwrap();
        assert_eq!(to_hex(&data), expected, "{cipher:?}");
    }
}

#[test]
fn every_cipher_refuses_keys_of_other_sizes() {
    for cipher in BlockCipher::ALL {
        for size in [0, 8, 15, 17, 20, 33] {
            let result = encrypt(*cipher, &vec![1; size], CipherMode::Ecb, &mut [], &mut []);
            assert_eq!(result, Err(CryptoError::Key), "{cipher:?}, {size} bytes");
        }
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
    assert_eq!(
        encrypt(BlockCipher::Aes, &key, CipherMode::Cmac, &mut [0; 16], &mut []),
        Err(CryptoError::Value)
    );
    for mode in CipherMode::ALL.iter().filter(|mode| **mode != CipherMode::Cmac) {
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

#[test]
fn parity_of_tdes_keys() {
    let mut key = hex("00017f80fffe55aa");
    set_parity(&mut key);
    assert_eq!(to_hex(&key), "01017f80fefe54ab");
    assert!(key.iter().all(|byte| byte.count_ones() % 2 == 1));
}

#[test]
fn tdes_keys_have_different_parts_none_of_them_weak() {
    let parts = [[0x12; 8], [0x34; 8], [0x56; 8]];
    assert!(!is_weak_tdes(&parts.concat()) && !is_weak_tdes(&parts[..2].concat()));
    for weak in [
        [parts[0], parts[0], parts[1]],
        [parts[0], parts[1], parts[1]],
        [parts[0], parts[1], parts[0]],
        [parts[0], [0x13; 8], parts[1]],
        [[0x01; 8], parts[0], parts[1]],
        [parts[0], [0x00; 8], parts[1]],
        [parts[0], parts[1], [0x1F, 0x1F, 0x1F, 0x1F, 0x0E, 0x0E, 0x0E, 0x0E]],
        [parts[0], parts[1], [0xE0, 0x1F, 0xE0, 0x1F, 0xF1, 0x0E, 0xF1, 0x0E]],
    ] {
        assert!(is_weak_tdes(&weak.concat()), "{weak:x?}");
    }
    assert!(is_weak_tdes(&parts[0]) && is_weak_tdes(&[0x12; 25]));
}
