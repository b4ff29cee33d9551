//! Handle and authorization areas that are wrong, with the codes and in the order that guests know.

use super::{CHANGE_AUTH, GET_RANDOM, OWNER, PLATFORM};
use crate::testing::session::{AUDIT, CONTINUE, Cipher, DECRYPT, ENCRYPT, EXCLUSIVE, RESET, Start};
use crate::testing::{Bench, command, hex};

const CLEAR: u32 = 0x126;
const STIR: u32 = 0x146;
const GET_DIGEST: u32 = 0x189;
const PASSWORD: u32 = 0x4000_0009;

/// An entry of the authorization area, with an empty HMAC.
fn entry(handle: u32, nonce: usize, attributes: u8) -> Vec<u8> {
    let mut out = handle.to_be_bytes().to_vec();
    out.extend((nonce as u16).to_be_bytes());
    out.extend(vec![0; nonce]);
    out.push(attributes);
    out.extend([0, 0]);
    out
}

/// The code of a command with this authorization area.
fn code(bench: &mut Bench, number: u32, handles: &[u32], area: &[Vec<u8>], params: &str) -> u32 {
    let command = command(0x8002, number, handles, &area.concat(), &hex(params));
    bench.run(&command).0
}

#[test]
fn handles() {
    let mut bench = Bench::started();
    let hmac = Start::hmac().run(&mut bench).unwrap().handle;
    for (handle, expected) in [
        (hmac, 0x184),
        (hmac + 0x0100_0000, 0x18B),
        (0x0300_0005, 0x910),
        (0x8000_0000, 0x184),
    ] {
        assert_eq!(bench.unauthorized(GET_DIGEST, &[handle], &[]), Err(expected));
    }
    assert_eq!(bench.unauthorized(CLEAR, &[PLATFORM], &[]), Err(0x125));
    assert_eq!(bench.unauthorized(CLEAR, &[OWNER], &[]), Err(0x184));
    assert_eq!(bench.code("8002 0000000a 00000126"), 0x19A);
    assert_eq!(bench.code("8002 0000000e 00000126 4000000c"), 0x09A);
    assert_eq!(bench.code("8002 00000010 00000126 4000000c 0000"), 0x09A);
}

#[test]
fn sizes() {
    let mut bench = Bench::started();
    assert_eq!(code(&mut bench, CLEAR, &[PLATFORM], &[vec![0; 8]], ""), 0x95);
    assert_eq!(code(&mut bench, CLEAR, &[PLATFORM], &[], ""), 0x95);
    // The size of the area comes first.
    assert_eq!(code(&mut bench, 0x165, &[], &[vec![0; 8]], ""), 0x95);
    assert_eq!(code(&mut bench, 0x165, &[], &[entry(PASSWORD, 0, 0)], ""), 0x145);
    let session = Start::hmac().run(&mut bench).unwrap().handle;
    let audit = entry(session, 0, AUDIT | CONTINUE);
    let password = entry(PASSWORD, 0, 0);
    let four = [audit.clone(), password.clone(), password.clone(), password.clone()];
    assert_eq!(code(&mut bench, GET_RANDOM, &[], &four, "0004"), 0xC95);
    assert_eq!(code(&mut bench, GET_RANDOM, &[], &four[1..], "0004"), 0x98B);
    assert_eq!(code(&mut bench, GET_RANDOM, &[], &[audit, vec![0]], "0004"), 0xA9A);
    assert_eq!(
        code(&mut bench, GET_RANDOM, &[], &[entry(session, 65, AUDIT)], "0004"),
        0x995
    );
}

#[test]
fn passwords() {
    let mut bench = Bench::started();
    for (entry, expected) in [
        (entry(PASSWORD, 16, 0), 0x98F),
        (entry(PASSWORD, 16, DECRYPT), 0x982),
        (entry(PASSWORD, 0, AUDIT), 0x982),
        (entry(PASSWORD, 0, CONTINUE), 0),
        (entry(0x8000_0000, 0, 0), 0x984),
    ] {
        assert_eq!(code(&mut bench, CHANGE_AUTH, &[OWNER], &[entry], "0000"), expected);
    }
    // Not for more than the handles that need it.
    let two = [entry(PASSWORD, 0, 0), entry(PASSWORD, 0, 0)];
    assert_eq!(code(&mut bench, CHANGE_AUTH, &[OWNER], &two, "0000"), 0xA8B);
}

#[test]
fn sessions() {
    let mut bench = Bench::started();
    let hmac = Start::hmac().run(&mut bench).unwrap().handle;
    let second = Start::hmac().run(&mut bench).unwrap().handle;
    let policy = Start::policy().run(&mut bench).unwrap().handle;
    let trial = Start::of(3).run(&mut bench).unwrap().handle;
    let xor = Start::hmac().cipher(Cipher::Xor).run(&mut bench).unwrap().handle;
    let mut random = |area: &[Vec<u8>]| code(&mut bench, GET_RANDOM, &[], area, "0004");
    let audit = entry(hmac, 0, AUDIT | CONTINUE);
    for (area, expected) in [
        (vec![entry(0x0200_0020, 0, AUDIT)], 0x918),
        (vec![audit.clone(), entry(0x0200_0020, 0, AUDIT)], 0x919),
        (vec![entry(hmac + 0x0100_0000, 0, AUDIT)], 0x98B),
        (vec![audit.clone(), audit.clone()], 0xA8B),
        (vec![entry(hmac, 0, CONTINUE)], 0x982),
        (vec![entry(hmac, 0, 0x08 | AUDIT)], 0x9A1),
        (vec![audit.clone(), entry(second, 0, AUDIT)], 0xA82),
        (vec![entry(policy, 0, AUDIT)], 0x982),
        (vec![entry(hmac, 0, DECRYPT)], 0x982),
        (vec![entry(hmac, 0, ENCRYPT)], 0x996),
        (vec![entry(xor, 0, ENCRYPT | CONTINUE), entry(hmac, 0, ENCRYPT)], 0xA82),
        (vec![entry(trial, 0, AUDIT)], 0x982),
        (vec![entry(trial, 0, CONTINUE)], 0x982),
        // These say something about an audit only.
        (vec![entry(xor, 0, ENCRYPT | EXCLUSIVE)], 0x982),
        (vec![entry(xor, 0, ENCRYPT | RESET)], 0x982),
    ] {
        assert_eq!(random(&area), expected, "{area:02x?}");
    }
    assert_eq!(
        code(&mut bench, CHANGE_AUTH, &[OWNER], &[entry(trial, 0, 0)], "0000"),
        0x982
    );
    assert_eq!(
        code(&mut bench, CHANGE_AUTH, &[OWNER], &[entry(policy, 0, 0)], "0000"),
        0x12F
    );
    // What is wrong with a second session comes before what is missing, and a missing one before a wrong HMAC.
    let two = [entry(hmac, 0, 0), entry(0x0200_0020, 0, 0)];
    assert_eq!(code(&mut bench, CHANGE_AUTH, &[OWNER], &two, "0000"), 0x919);
    let started = bench.unauthorized(0x186, &[], &hex("0000 0010")).unwrap();
    let sequence = u32::from_be_bytes(started.try_into().unwrap());
    assert_eq!(
        code(&mut bench, 0x185, &[0, sequence], &[entry(hmac, 0, 0)], "0000"),
        0x125
    );
}

#[test]
fn parameters_to_decrypt() {
    let mut bench = Bench::started();
    let hmac = Start::hmac().run(&mut bench).unwrap().handle;
    let xor = Start::hmac().cipher(Cipher::Xor).run(&mut bench).unwrap().handle;
    assert_eq!(
        code(&mut bench, STIR, &[], &[entry(hmac, 0, DECRYPT)], "0001 00"),
        0x996
    );
    let area = [entry(xor, 0, DECRYPT | CONTINUE)];
    for (params, expected) in [("0005 00", 0x995), ("00", 0x99A), ("", 0x99A)] {
        assert_eq!(code(&mut bench, STIR, &[], &area, params), expected);
    }
    let long = format!("00c8 {}", "00".repeat(200));
    assert_eq!(code(&mut bench, STIR, &[], &area, &long), 0x1D5);
    assert_eq!(code(&mut bench, STIR, &[], &area, "0001 00"), 0);
}
