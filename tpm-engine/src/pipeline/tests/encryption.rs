//! Sessions that encrypt parameters.

use super::{CHANGE_AUTH, INDEX, NULL, NV_READ, NV_WRITE, ORDINARY, define, owner, owner_auth_is};
use crate::alg::HashAlg;
use crate::crypto::hash::hash;
use crate::crypto::hmac::hmac;
use crate::testing::session::{CONTINUE, Cipher, DECRYPT, ENCRYPT, Entity, Start, sized};
use crate::testing::{Bench, hex, with_passwords};

const CIPHERS: [Cipher; 3] = [Cipher::Xor, Cipher::Aes(128), Cipher::Aes(256)];

#[test]
fn parameters_are_encrypted_both_ways() {
    for cipher in CIPHERS {
        let mut bench = Bench::started();
        let mut both = Start::hmac().cipher(cipher).run(&mut bench).unwrap();
        both.attributes |= DECRYPT | ENCRYPT;
        let mut decrypt = Start::hmac().cipher(cipher).run(&mut bench).unwrap();
        decrypt.attributes |= DECRYPT;
        let mut encrypt = Start::hmac().cipher(cipher).run(&mut bench).unwrap();
        encrypt.attributes |= ENCRYPT;
        // TPM2_Hash of "abc".
        let params = [sized(b"abc"), hex("000b 40000007")].concat();
        let expected = sized(&hash(HashAlg::Sha256, &[b"abc"]));
        for _ in 0..2 {
            let reply = bench.send(0x17D, &[], &mut [&mut both], &params).unwrap();
            assert!(reply.starts_with(&expected));
            let reply = bench
                .send(0x17D, &[], &mut [&mut decrypt, &mut encrypt], &params)
                .unwrap();
            assert!(reply.starts_with(&expected));
        }
    }
}

#[test]
fn the_value_of_the_entity_is_part_of_the_key_even_of_a_bound_session() {
    for cipher in CIPHERS {
        let mut bench = Bench::started();
        assert!(owner_auth_is(&mut bench, b""));
        let set = with_passwords(CHANGE_AUTH, &[super::OWNER], &[b""], &sized(b"own"));
        assert_eq!(bench.run(&set).0, 0);
        let entity = owner().auth(b"own");
        let mut session = Start::hmac().bound(&entity).cipher(cipher).run(&mut bench).unwrap();
        let change = entity.becomes(b"secret");
        bench
            .send(
                CHANGE_AUTH,
                &[change],
                &mut [session.with(DECRYPT | CONTINUE)],
                &sized(b"secret"),
            )
            .unwrap();
        assert!(owner_auth_is(&mut bench, b"secret"));
    }
}

#[test]
fn other_sessions_encrypt_what_one_authorizes() {
    for cipher in CIPHERS {
        let mut bench = Bench::started();
        define(&mut bench, ORDINARY, b"pw", &[]);
        let mut auth = Start::hmac().run(&mut bench).unwrap();
        let mut decrypt = Start::policy().cipher(cipher).run(&mut bench).unwrap();
        let mut encrypt = Start::hmac().cipher(cipher).run(&mut bench).unwrap();
        let index = Entity::known(&bench, INDEX).auth(b"pw");
        let write = hex("0004 41424344 0000");
        bench
            .send(
                NV_WRITE,
                &[index.clone(), index],
                &mut [&mut auth, decrypt.with(DECRYPT | CONTINUE)],
                &write,
            )
            .unwrap();
        let index = Entity::known(&bench, INDEX).auth(b"pw");
        let read = bench.send(
            NV_READ,
            &[index.clone(), index],
            &mut [&mut auth, encrypt.with(ENCRYPT | CONTINUE)],
            &hex("0004 0000"),
        );
        assert_eq!(read.unwrap(), hex("0004 41424344"));
    }
}

#[test]
fn the_nonces_of_decryption_and_encryption_are_tied_in() {
    let mut bench = Bench::started();
    // A primary HMAC key whose value is "abc".
    let params = hex("0007 0000 0003 616263 0010 0008 000b 00040052 0000 0005 000b 0000 0000 00000000");
    let (code, response) = bench.run(&with_passwords(0x131, &[NULL], &[b""], &params));
    assert_eq!(code, 0);
    let handle = u32::from_be_bytes(response[10..14].try_into().unwrap());
    let key = Entity::known(&bench, handle);
    let mut auth = Start::hmac().run(&mut bench).unwrap();
    let mut decrypt = Start::hmac().cipher(Cipher::Aes(128)).run(&mut bench).unwrap();
    let mut encrypt = Start::hmac().cipher(Cipher::Xor).run(&mut bench).unwrap();
    decrypt.attributes |= DECRYPT;
    encrypt.attributes |= ENCRYPT;
    let params = [sized(b"data"), hex("0010")].concat();
    let expected = sized(&hmac(HashAlg::Sha256, b"abc", &[b"data"]));
    let reply = bench.send(
        0x155,
        std::slice::from_ref(&key),
        &mut [&mut auth, &mut decrypt, &mut encrypt],
        &params,
    );
    assert_eq!(reply.as_ref(), Ok(&expected));
    let reply = bench.send(
        0x155,
        std::slice::from_ref(&key),
        &mut [&mut auth, &mut encrypt, &mut decrypt],
        &params,
    );
    assert_eq!(reply.as_ref(), Ok(&expected));
    decrypt.attributes |= ENCRYPT;
    let reply = bench.send(0x155, &[key], &mut [&mut auth, &mut decrypt], &params);
    assert_eq!(reply.as_ref(), Ok(&expected));
}

#[test]
fn the_mask_is_of_the_hash_of_the_session() {
    let mut bench = Bench::started();
    // The definition names SHA-1.
    let params = hex("0010 11111111111111111111111111111111 0000 00 000a 0004 000b");
    let response = bench.unauthorized(0x176, &[NULL, NULL], &params).unwrap();
    let mut session = Start::hmac().cipher(Cipher::Xor).run(&mut bench).unwrap();
    session.handle = u32::from_be_bytes(response[..4].try_into().unwrap());
    session.nonce_tpm = response[6..].to_vec();
    let change = owner().becomes(b"secret");
    bench
        .send(
            CHANGE_AUTH,
            &[change],
            &mut [session.with(DECRYPT | CONTINUE)],
            &sized(b"secret"),
        )
        .unwrap();
    assert!(owner_auth_is(&mut bench, b"secret"));
}
