//! Policies that rest on something outside of the session: signatures, approvals and NV indices.

use crate::alg::HashAlg;
use crate::crypto::hash::hash;
use crate::crypto::hmac::hmac;
use crate::handle::Handle;
use crate::testing::session::{Session, Start, TRIAL, sized};
use crate::testing::{Bench, hex, with_passwords};

const OWNER: u32 = 0x4000_0001;
const INDEX: u32 = 0x0100_0001;
/// The null ticket of TPM2_VerifySignature.
const NO_TICKET: &str = "8022 40000007 0000";

/// A primary HMAC key whose value is "abc", and its Name.
fn hmac_key(bench: &mut Bench) -> (u32, Vec<u8>) {
    let params = hex("0007 0000 0003 616263 0010 0008 000b 00040052 0000 0005 000b 0000 0000 00000000");
    let (code, response) = bench.run(&with_passwords(0x131, &[OWNER], &[b""], &params));
    assert_eq!(code, 0);
    let handle = u32::from_be_bytes(response[10..14].try_into().unwrap());
    (handle, bench.tpm.name(Handle(handle)).to_vec())
}

/// The key's signature of a digest: a TPMT_SIGNATURE.
fn signature(digest: &[u8]) -> Vec<u8> {
    [hex("0005 000b"), hmac(HashAlg::Sha256, b"abc", &[digest]).to_vec()].concat()
}

/// PolicyUpdate of a fresh policyDigest.
fn updated(code: u32, name: &[u8], policy_ref: &[u8]) -> [u8; 32] {
    let first = hash(HashAlg::Sha256, &[&[0; 32], &code.to_be_bytes(), name]);
    hash(HashAlg::Sha256, &[&first, policy_ref])[..].try_into().unwrap()
}

/// TPM2_PolicySigned with policyRef "ref"; `spoil` changes the signature.
fn signed(bench: &mut Bench, key: u32, session: &Session, expiration: i32, spoil: bool) -> Result<Vec<u8>, u32> {
    let seconds = expiration.to_be_bytes();
    let digest = hash(HashAlg::Sha256, &[&session.nonce_tpm, &seconds, b"ref"]);
    let mut signature = signature(&digest);
    if spoil {
        *signature.last_mut().unwrap() ^= 1;
    }
    let params = [
        &sized(&session.nonce_tpm)[..],
        &[0, 0],
        &sized(b"ref"),
        &seconds,
        &signature,
    ]
    .concat();
    bench.unauthorized(0x160, &[key, session.handle], &params)
}

#[test]
fn a_signature_authorizes() {
    let mut bench = Bench::started();
    let (key, name) = hmac_key(&mut bench);
    let session = Start::policy().run(&mut bench).unwrap();
    assert_eq!(signed(&mut bench, key, &session, 0, true), Err(0x5DB));
    assert_eq!(bench.policy_digest(session.handle), [0; 32]);
    // No ticket was asked for.
    assert_eq!(
        signed(&mut bench, key, &session, 0, false),
        Ok(hex("0000 8025 40000007 0000"))
    );
    assert_eq!(bench.policy_digest(session.handle), updated(0x160, &name, b"ref"));
    // A trial believes every signature.
    let trial = Start::of(TRIAL).run(&mut bench).unwrap();
    assert_eq!(
        signed(&mut bench, key, &trial, -1, true),
        Ok(hex("0000 8025 40000007 0000"))
    );
    assert_eq!(bench.policy_digest(trial.handle), updated(0x160, &name, b"ref"));
    // Nothing but an object signs.
    assert_eq!(signed(&mut bench, OWNER, &session, 0, false), Err(0x184));
}

#[test]
fn a_ticket_of_a_signature_stands_for_it() {
    let mut bench = Bench::started();
    let (key, name) = hmac_key(&mut bench);
    let session = Start::policy().run(&mut bench).unwrap();
    let answer = signed(&mut bench, key, &session, -10, false).unwrap();
    let (timeout, ticket) = answer.split_at(10);
    assert_eq!(ticket[..6], hex("8025 40000001"));
    let present = |session: u32, policy_ref: &[u8]| {
        let parts = [
            &session.to_be_bytes()[..],
            timeout,
            &[0, 0],
            &sized(policy_ref),
            &sized(&name),
            ticket,
        ];
        crate::testing::plain(0x172, &parts.concat())
    };
    let other = Start::policy().run(&mut bench).unwrap().handle;
    assert_eq!(bench.run(&present(other, b"fer")).0, 0x5E0);
    assert_eq!(bench.run(&present(other, b"ref")).0, 0);
    assert_eq!(bench.policy_digest(other), updated(0x160, &name, b"ref"));
}

#[test]
fn an_approved_policy_becomes_that_of_the_key() {
    const AUTHORIZE: u32 = 0x16A;
    let mut bench = Bench::started();
    let (key, name) = hmac_key(&mut bench);
    let session = Start::policy().run(&mut bench).unwrap().handle;
    bench.policy(session, 0x16B, "").unwrap();
    let approved = bench.policy_digest(session);
    let digest = hash(HashAlg::Sha256, &[&approved, b"ref"]);
    let params = [sized(&digest), signature(&digest)].concat();
    let ticket = bench.unauthorized(0x177, &[key], &params).unwrap();
    let mut authorize = |session: u32, approved: &[u8], name: &[u8], ticket: &[u8]| {
        let params = [&sized(approved)[..], &sized(b"ref"), &sized(name), ticket].concat();
        bench
            .unauthorized(AUTHORIZE, &[session], &params)
            .err()
            .unwrap_or_default()
    };
    let mut stranger = name.clone();
    stranger[9] ^= 1;
    assert_eq!(authorize(session, &[0; 32], &name, &ticket), 0x1C4);
    assert_eq!(authorize(session, &approved, &stranger, &ticket), 0x4C4);
    assert_eq!(authorize(session, &approved, &name, &hex(NO_TICKET)), 0x4C4);
    assert_eq!(authorize(session, &approved, &name, &hex("8021 40000007 0000")), 0x4D7);
    for (wrong, expected) in [
        (&[][..], 0x3C3),
        (&[0], 0x3C3),
        (&[0, 0x0B, 0], 0x3D5),
        (&[0x77, 0x77], 0x3C3),
    ] {
        assert_eq!(authorize(session, &approved, wrong, &ticket), expected);
    }
    assert_eq!(authorize(session, &approved, &name, &ticket), 0);
    assert_eq!(bench.policy_digest(session), updated(AUTHORIZE, &name, b"ref"));
    let trial = Start::of(TRIAL).run(&mut bench).unwrap().handle;
    let params = [&sized(b"")[..], &sized(b"ref"), &sized(&name), &hex(NO_TICKET)].concat();
    bench.unauthorized(AUTHORIZE, &[trial], &params).unwrap();
    assert_eq!(bench.policy_digest(trial), updated(AUTHORIZE, &name, b"ref"));
}

/// Defines an index of 40 bytes that the owner reads and writes.
fn define(bench: &mut Bench) {
    let params = hex("0000 000e 01000001 000b 02020002 0000 0028");
    assert_eq!(bench.run(&with_passwords(0x12A, &[OWNER], &[b""], &params)).0, 0);
}

fn write(bench: &mut Bench, data: &[u8]) {
    let params = [sized(data), hex("0000")].concat();
    assert_eq!(bench.run(&with_passwords(0x137, &[OWNER, INDEX], &[b""], &params)).0, 0);
}

/// TPM2_PolicyNV or TPM2_PolicyAuthorizeNV by the owner.
fn by_index(bench: &mut Bench, code: u32, session: u32, params: &str) -> u32 {
    let command = with_passwords(code, &[OWNER, INDEX, session], &[b""], &hex(params));
    bench.run(&command).0
}

#[test]
fn conditions_on_an_index_are_checked() {
    const NV: u32 = 0x149;
    let mut bench = Bench::started();
    define(&mut bench);
    let session = Start::policy().run(&mut bench).unwrap().handle;
    let trial = Start::of(TRIAL).run(&mut bench).unwrap().handle;
    assert_eq!(by_index(&mut bench, NV, session, "0001 00 0000 0000"), 0x14A);
    assert_eq!(by_index(&mut bench, NV, trial, "0001 00 0000 0000"), 0);
    bench.policy(trial, 0x180, "").unwrap();
    write(&mut bench, &[5; 40]);
    for (params, expected) in [
        ("0001 06 0000 0000", 0x126),
        ("0001 05 0028 0000", 0x1D5),
        ("0000 0029 0000", 0x2C4),
        ("0001 05 0000 000c", 0x3C4),
        ("0001 04 0027 0003", 0),
    ] {
        assert_eq!(by_index(&mut bench, NV, session, params), expected, "{params}");
    }
    assert_eq!(by_index(&mut bench, NV, trial, "0001 04 0027 0003"), 0);
    let arguments = hash(HashAlg::Sha256, &[&hex("04 0027 0003")]);
    let name = bench.tpm.name(Handle(INDEX));
    let expected = hash(HashAlg::Sha256, &[&[0; 32], &NV.to_be_bytes(), &arguments, &name]);
    for session in [session, trial] {
        assert_eq!(bench.policy_digest(session), expected[..]);
    }
    // The platform may not read it.
    let command = with_passwords(NV, &[0x4000_000C, INDEX, session], &[b""], &hex("0000 0000 0000"));
    assert_eq!(bench.run(&command).0, 0x149);
}

#[test]
fn a_policy_in_an_index_authorizes() {
    const AUTHORIZE_NV: u32 = 0x192;
    let mut bench = Bench::started();
    define(&mut bench);
    let session = Start::policy().run(&mut bench).unwrap().handle;
    assert_eq!(by_index(&mut bench, AUTHORIZE_NV, session, ""), 0x14A);
    bench.policy(session, 0x16B, "").unwrap();
    let digest = bench.policy_digest(session);
    for (alg, digest, expected) in [
        ("7777", &digest[..], 0x83),
        ("0004", &digest, 0x83),
        ("000b", &[0; 32], 0x84),
        ("000d", &[0; 38], 0x9A),
        ("000b", &digest, 0),
    ] {
        write(&mut bench, &[&hex(alg), digest].concat());
        assert_eq!(by_index(&mut bench, AUTHORIZE_NV, session, ""), expected, "{alg}");
    }
    let name = bench.tpm.name(Handle(INDEX));
    let expected = hash(HashAlg::Sha256, &[&[0; 32], &AUTHORIZE_NV.to_be_bytes(), &name]);
    assert_eq!(bench.policy_digest(session), expected[..]);
}
