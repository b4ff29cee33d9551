//! HMAC sessions: bound, salted or neither.

use super::{
    CHANGE_AUTH, GET_RANDOM, NULL, NV_READ, NV_WRITE, ORDINARY, OWNER, PLATFORM, define, owner, owner_auth_is,
};
use crate::alg::HashAlg;
use crate::handle::Handle;
use crate::testing::session::{AUDIT, CONTINUE, Entity, Start, sized};
use crate::testing::{Bench, hex, with_passwords};

#[test]
fn a_session_authorizes_and_its_nonces_roll() {
    for hash in [HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512] {
        let mut bench = Bench::started();
        let start = Start {
            hash,
            nonce_size: hash.digest_size(),
            ..Start::hmac()
        };
        let mut session = start.run(&mut bench).unwrap();
        let mut auth: Vec<u8> = Vec::new();
        for new in [&b"one"[..], b"two", b""] {
            let nonce = session.nonce_tpm.clone();
            let entity = owner().auth(&auth).becomes(new);
            bench
                .send(CHANGE_AUTH, &[entity], &mut [&mut session], &sized(new))
                .unwrap();
            assert_ne!(session.nonce_tpm, nonce);
            auth = new.to_vec();
        }
        assert!(owner_auth_is(&mut bench, b""));
    }
}

#[test]
fn a_failed_command_leaves_the_session_as_it_was() {
    let mut bench = Bench::started();
    let mut session = Start::hmac().run(&mut bench).unwrap();
    session.attributes = 0;
    session.spoilt = true;
    let change = |bench: &mut Bench, session: &mut _, auth: &[u8]| {
        bench.send(CHANGE_AUTH, &[owner().becomes(auth)], &mut [session], &sized(auth))
    };
    assert_eq!(change(&mut bench, &mut session, b"x"), Err(0x9A2));
    session.spoilt = false;
    // An authorization value that is too long: the command fails after its authorization.
    assert_eq!(change(&mut bench, &mut session, &[1; 65]), Err(0x1D5));
    change(&mut bench, &mut session, b"x").unwrap();
    // It was not to continue.
    session.attributes = CONTINUE;
    let entity = owner().auth(b"x");
    let refused = bench.send(CHANGE_AUTH, &[entity], &mut [&mut session], &sized(b""));
    assert_eq!(refused, Err(0x918));
}

#[test]
fn a_command_cannot_be_replayed() {
    let mut bench = Bench::started();
    let mut session = Start::hmac().run(&mut bench).unwrap();
    let mut earlier = session.clone();
    bench
        .send(GET_RANDOM, &[], &mut [session.with(AUDIT | CONTINUE)], &hex("0004"))
        .unwrap();
    let replayed = bench.send(GET_RANDOM, &[], &mut [earlier.with(AUDIT | CONTINUE)], &hex("0004"));
    assert_eq!(replayed, Err(0x9A2));
}

#[test]
fn without_any_secret_there_need_not_be_an_hmac() {
    let mut bench = Bench::started();
    let session = Start::hmac().run(&mut bench).unwrap();
    let area = [&session.handle.to_be_bytes()[..], &hex("0000 01 0000")].concat();
    let command = crate::testing::command(0x8002, CHANGE_AUTH, &[OWNER], &area, &sized(b""));
    let (code, response) = bench.run(&command);
    assert_eq!(code, 0);
    assert!(response.ends_with(&hex("01 0000")));
}

#[test]
fn a_bound_session_needs_no_value_of_what_it_is_bound_to() {
    let mut bench = Bench::started();
    assert!(owner_auth_is(&mut bench, b""));
    let set = with_passwords(CHANGE_AUTH, &[OWNER], &[b""], &sized(b"own"));
    assert_eq!(bench.run(&set).0, 0);
    let bound_to = owner().auth(b"own");
    let mut session = Start::hmac().bound(&bound_to).run(&mut bench).unwrap();
    // Another entity has its value in the key.
    let platform = Entity::of(PLATFORM).becomes(b"plat");
    bench
        .send(CHANGE_AUTH, &[platform], &mut [&mut session], &sized(b"plat"))
        .unwrap();
    // While the value changes, the session stays what it was when the command came.
    let change = bound_to.becomes(b"new");
    bench
        .send(CHANGE_AUTH, &[change], &mut [&mut session], &sized(b"new"))
        .unwrap();
    // From then on it is not bound any more.
    let change = owner().auth(b"new").becomes(b"");
    bench
        .send(CHANGE_AUTH, &[change], &mut [&mut session], &sized(b""))
        .unwrap();
}

#[test]
fn a_session_that_is_bound_with_the_wrong_value_is_useless() {
    let mut bench = Bench::started();
    let mut session = Start::hmac().bound(&owner().auth(b"wrong")).run(&mut bench).unwrap();
    let refused = bench.send(GET_RANDOM, &[], &mut [session.with(AUDIT | CONTINUE)], &hex("0004"));
    assert_eq!(refused, Err(0x9A2));
}

#[test]
fn an_index_that_is_written_is_another_than_it_was_bound_as() {
    let mut bench = Bench::started();
    define(&mut bench, ORDINARY, b"pw", &[]);
    let before = Entity::known(&bench, super::INDEX).auth(b"pw");
    let mut session = Start::hmac().bound(&before).run(&mut bench).unwrap();
    bench
        .send(
            NV_WRITE,
            &[before.clone(), before.clone()],
            &mut [&mut session],
            &hex("0002 4142 0000"),
        )
        .unwrap();
    let after = Entity::known(&bench, super::INDEX).auth(b"pw");
    assert_ne!(before.name, after.name);
    let read = bench.send(NV_READ, &[after.clone(), after], &mut [&mut session], &hex("0002 0000"));
    assert_eq!(read.unwrap(), hex("0002 4142"));
}

/// A primary decryption key on P-256, or of RSA 2048; its handle.
fn salt_key(bench: &mut Bench, template: &str) -> u32 {
    let params = hex(&format!("0004 0000 0000 {template} 0000 00000000"));
    let (code, response) = bench.run(&with_passwords(0x131, &[NULL], &[b""], &params));
    assert_eq!(code, 0);
    u32::from_be_bytes(response[10..14].try_into().unwrap())
}

#[test]
fn a_salt_is_part_of_the_key() {
    for template in [
        "001a 0023 000b 00030072 0000 0006 0080 0043 0010 0003 0010 0000 0000",
        "001a 0001 000b 00030072 0000 0006 0080 0043 0010 0800 00000000 0000",
    ] {
        let mut bench = Bench::started();
        let key = salt_key(&mut bench, template);
        let public = bench.tpm.object(Handle(key)).unwrap().public.0.clone();
        let (salt, encrypted) = bench.tpm.make_secret(&public, b"SECRET").unwrap();
        let start = |bind: Option<Entity>| Start {
            salt: Some((key, salt.to_vec(), encrypted.to_vec())),
            bind,
            ..Start::hmac()
        };
        for bind in [None, Some(owner())] {
            let mut session = start(bind).run(&mut bench).unwrap();
            bench
                .send(CHANGE_AUTH, &[owner()], &mut [&mut session], &sized(b""))
                .unwrap();
        }
        let (_, other) = bench.tpm.make_secret(&public, b"SECRET").unwrap();
        let wrong = Start {
            salt: Some((key, salt.to_vec(), other.to_vec())),
            ..Start::hmac()
        };
        let mut session = wrong.run(&mut bench).unwrap();
        let refused = bench.send(CHANGE_AUTH, &[owner()], &mut [&mut session], &sized(b""));
        assert_eq!(refused, Err(0x9A2));
    }
}

#[test]
fn start_auth_session_checks_its_parameters() {
    let mut bench = Bench::started();
    let key = salt_key(
        &mut bench,
        "001a 0023 000b 00030072 0000 0006 0080 0043 0010 0003 0010 0000 0000",
    );
    let nonce = |size: usize| sized(&vec![1; size]);
    let mut start = |key: u32, bind: u32, nonce: Vec<u8>, rest: &str| {
        let params = [nonce, hex(rest)].concat();
        bench
            .unauthorized(0x176, &[key, bind], &params)
            .err()
            .unwrap_or_default()
    };
    const GOOD: &str = "0000 00 0010 000b";
    assert_eq!(start(NULL, NULL, nonce(15), GOOD), 0x1D5);
    assert_eq!(start(NULL, NULL, nonce(33), GOOD), 0x1D5);
    assert_eq!(start(NULL, NULL, nonce(32), GOOD), 0);
    for (rest, expected) in [
        ("0001 11 00 0010 000b", 0x2C4),
        ("0000 02 0010 000b", 0x3C4),
        ("0000 00 0006 0080 0040 000b", 0x4C9),
        ("0000 00 0006 0080 0010 000b", 0x4C9),
        ("0000 00 0006 0081 0043 000b", 0x4C4),
        ("0000 00 000a 0010 000b", 0x4C3),
        ("0000 00 0010 0010", 0x5C3),
    ] {
        assert_eq!(start(NULL, NULL, nonce(16), rest), expected, "{rest}");
    }
    assert_eq!(start(key, NULL, nonce(16), GOOD), 0x2C4);
    assert_eq!(start(key, NULL, nonce(16), "0003 111111 00 0010 000b"), 0x2C4);
    assert_eq!(start(0x8000_0007, NULL, nonce(16), GOOD), 0x910);
    assert_eq!(start(0x0100_0000, NULL, nonce(16), GOOD), 0x184);
    assert_eq!(start(NULL, 0x0100_0000, nonce(16), GOOD), 0x28B);
    assert_eq!(start(NULL, 24, nonce(16), GOOD), 0x284);
    assert_eq!(start(NULL, 0x4000_000D, nonce(16), GOOD), 0x284);
    assert_eq!(start(NULL, 0x0200_0000, nonce(16), GOOD), 0x284);
    assert_eq!(start(NULL, 0, nonce(16), GOOD), 0);
}

#[test]
fn a_pin_index_cannot_be_bound() {
    for kind in [0x80, 0x90] {
        let mut bench = Bench::started();
        // TPM_NT_PIN_FAIL must not be subject to dictionary-attack protection, nor written with its own value.
        define(&mut bench, 0x0006_0002 | kind | super::NO_DA, b"pin", &[]);
        let bind = Entity::known(&bench, super::INDEX);
        assert_eq!(Start::hmac().bound(&bind).run(&mut bench).err(), Some(0x28B));
    }
}
