//! Time and audits, as those see them who verify (Part 3, 18.5–18.7).

use crate::alg::HashAlg;
use crate::crypto::hash::hash;
use crate::testing::keys::{ENDORSEMENT, NULL, OWNER, Parts, Template, attr, sized};
use crate::testing::session::{AUDIT, CONTINUE, Entity, Session, Start};
use crate::testing::{Bench, hex, plain, with_passwords};

const GET_COMMAND_AUDIT: u32 = 0x133;
const SET_AUDIT: u32 = 0x140;
const GET_TIME: u32 = 0x14C;
const GET_SESSION_AUDIT: u32 = 0x14D;
const GET_RANDOM: u32 = 0x17B;

/// TPMS_ATTEST taken apart.
struct Attested {
    tag: u16,
    signer: Vec<u8>,
    extra: Vec<u8>,
    /// clock, resetCount, restartCount, safe.
    clock_info: Vec<u8>,
    firmware: u64,
    rest: Vec<u8>,
}

fn attested(attest: &[u8]) -> Attested {
    let word = |at: usize| u16::from_be_bytes([attest[at], attest[at + 1]]);
    assert_eq!(attest[..4], hex("ff544347"));
    let mut parts = Parts(&attest[6..]);
    let (signer, extra) = (parts.take().to_vec(), parts.take().to_vec());
    let (clock_info, rest) = parts.0.split_at(17);
    Attested {
        tag: word(4),
        signer,
        extra,
        clock_info: clock_info.to_vec(),
        firmware: u64::from_be_bytes(rest[..8].try_into().unwrap()),
        rest: rest[8..].to_vec(),
    }
}

/// Sends an attestation command by this key, has its signature verified, and takes the structure apart.
fn attest(tpm: &mut Bench, code: u32, handles: &[u32], scheme: &str) -> Attested {
    let (signer, params) = (handles[1], [sized(&[b"nonce"]), hex(scheme)].concat());
    let reply = tpm.ok_with(code, handles, &[b"", b""], &params);
    let mut parts = Parts(&reply);
    let bytes = parts.take();
    if signer == NULL {
        assert_eq!(parts.0, hex("0010"), "no signature");
    } else {
        let digest = hash(HashAlg::Sha256, &[bytes]);
        let verify = [&signer.to_be_bytes()[..], &sized(&[&digest]), parts.0].concat();
        assert_eq!(tpm.run(&plain(0x177, &verify)).0, 0);
    }
    attested(bytes)
}

/// A key of the endorsement hierarchy, which is told counts and version as they are.
fn signer(tpm: &mut Bench) -> u32 {
    tpm.primary(ENDORSEMENT, &Template::attestation_key())
}

#[test]
fn time_is_signed() {
    let mut tpm = Bench::started();
    let key = signer(&mut tpm);
    tpm.pass(1234);
    let signed = attest(&mut tpm, GET_TIME, &[ENDORSEMENT, key], "0010");
    assert_eq!((signed.tag, &signed.extra[..]), (0x8019, &b"nonce"[..]));
    assert_eq!(signed.signer, tpm.names(key).1);
    // time, clockInfo and firmwareVersion, the latter two as in the structure around.
    let (_, read) = tpm.run(&plain(0x181, &[]));
    assert_eq!(signed.rest, [&read[10..], &signed.firmware.to_be_bytes()].concat());
    assert_eq!(signed.rest[..8], 1234u64.to_be_bytes());
    assert_eq!(signed.rest[8..25], signed.clock_info);
}

#[test]
fn other_hierarchies_are_not_told_which_tpm_it_is() {
    let mut tpm = Bench::started();
    let keys = [b"one", b"two"].map(|unique| {
        let template = Template::attestation_key().with_unique(&sized(&[unique, b""]));
        tpm.primary(OWNER, &template)
    });
    let [one, two] = keys.map(|key| attest(&mut tpm, GET_TIME, &[ENDORSEMENT, key], "0010"));
    let candid = attest(&mut tpm, GET_TIME, &[ENDORSEMENT, NULL], "0010");
    for (a, b) in [(&one, &two), (&one, &candid), (&two, &candid)] {
        assert_ne!(a.firmware, b.firmware);
        assert_ne!(a.clock_info[8..16], b.clock_info[8..16], "the counts");
        assert_eq!(
            a.clock_info[..8],
            b.clock_info[..8],
            "Clock itself is what is asked for"
        );
    }
    // For the same key they are hidden in the same way.
    let again = attest(&mut tpm, GET_TIME, &[ENDORSEMENT, keys[0]], "0010");
    assert_eq!((again.firmware, again.clock_info), (one.firmware, one.clock_info));
}

#[test]
fn refuses_what_cannot_sign_and_schemes_that_do_not_suit() {
    let mut tpm = Bench::started();
    let (key, parent) = (signer(&mut tpm), tpm.primary(OWNER, &Template::srk()));
    let free = tpm.primary(OWNER, &Template::ecc(attr::OWN | attr::SIGN));
    let params = |scheme: &str| [sized(&[b"nonce"]), hex(scheme)].concat();
    for code in [GET_TIME, GET_COMMAND_AUDIT] {
        for (expected, handles, scheme) in [
            (0x184, [OWNER, key], "0010"),
            (0x29C, [ENDORSEMENT, parent], "0010"),
            (0x2D2, [ENDORSEMENT, key], "0018 000c"),
            (0x2D2, [ENDORSEMENT, key], "0014 000b"),
            (0x2D2, [ENDORSEMENT, free], "0010"),
            (0x2C3, [ENDORSEMENT, free], "0018 0004"),
            (0, [ENDORSEMENT, free], "0018 000b"),
            (0, [ENDORSEMENT, NULL], "0010"),
        ] {
            let answer = tpm.code_with(code, &handles, &params(scheme));
            assert_eq!(answer, expected, "{code:#x} {handles:x?} {scheme}");
        }
    }
    let long = [sized(&[&[1; 67]]), hex("0010")].concat();
    assert_eq!(tpm.code_with(GET_TIME, &[ENDORSEMENT, key], &long), 0x1D5);
    let wrong = with_passwords(GET_TIME, &[ENDORSEMENT, key], &[b"x", b""], &params("0010"));
    assert_eq!(tpm.run(&wrong).0, 0x9A2);
}

/// A session that audits TPM2_GetRandom, and the digest that its caller computes.
fn audited(tpm: &mut Bench, session: &mut Session, digest: &mut Vec<u8>) {
    session.attributes = AUDIT | CONTINUE;
    let reply = tpm.send(GET_RANDOM, &[], &mut [session], &hex("0004")).unwrap();
    let code = GET_RANDOM.to_be_bytes();
    let command = hash(HashAlg::Sha256, &[&code, &hex("0004")]);
    let response = hash(HashAlg::Sha256, &[&[0; 4], &code, &reply]);
    *digest = hash(HashAlg::Sha256, &[digest, &command, &response]).to_vec();
}

fn session_audit(tpm: &mut Bench, signer: u32, session: u32) -> (bool, Vec<u8>) {
    let signed = attest(tpm, GET_SESSION_AUDIT, &[ENDORSEMENT, signer, session], "0010");
    assert_eq!(signed.tag, 0x8016);
    let (exclusive, digest) = signed.rest.split_first().unwrap();
    (*exclusive == 1, Parts(digest).take().to_vec())
}

#[test]
fn the_digest_of_a_session_is_signed() {
    let mut tpm = Bench::started();
    let key = signer(&mut tpm);
    let mut session = Start::hmac().run(&mut tpm).unwrap();
    // One that has audited nothing yet audits nothing.
    let early = [sized(&[b""]), hex("0010")].concat();
    let handles = [ENDORSEMENT, key, session.handle];
    let ask = |tpm: &mut Bench| {
        tpm.run(&with_passwords(GET_SESSION_AUDIT, &handles, &[b"", b""], &early))
            .0
    };
    assert_eq!(ask(&mut tpm), 0x38A);
    let mut digest = vec![0; 32];
    audited(&mut tpm, &mut session, &mut digest);
    audited(&mut tpm, &mut session, &mut digest);
    // Exclusive up to this very command, which is not audited by it.
    assert_eq!(session_audit(&mut tpm, key, session.handle), (true, digest.clone()));
    assert_eq!(session_audit(&mut tpm, NULL, session.handle), (false, digest.clone()));
    audited(&mut tpm, &mut session, &mut digest);
    assert_eq!(session_audit(&mut tpm, key, session.handle).1, digest);
    let policy = Start::policy().run(&mut tpm).unwrap();
    for (code, third) in [(0x384, policy.handle), (0x384, OWNER), (0x912, session.handle + 2)] {
        let command = with_passwords(GET_SESSION_AUDIT, &[ENDORSEMENT, key, third], &[b"", b""], &early);
        assert_eq!(tpm.run(&command).0, code, "{third:#x}");
    }
}

/// auditCounter, digestAlg, auditDigest and commandDigest.
fn command_audit(tpm: &mut Bench, signer: u32) -> (u64, u16, Vec<u8>, Vec<u8>) {
    let signed = attest(tpm, GET_COMMAND_AUDIT, &[ENDORSEMENT, signer], "0010");
    assert_eq!(signed.tag, 0x8015);
    let (counter, rest) = signed.rest.split_first_chunk().unwrap();
    let (alg, rest) = rest.split_first_chunk().unwrap();
    let mut parts = Parts(rest);
    let (audit, commands) = (parts.take().to_vec(), parts.take().to_vec());
    (u64::from_be_bytes(*counter), u16::from_be_bytes(*alg), audit, commands)
}

#[test]
fn the_digest_of_commands_is_signed_and_then_begins_anew() {
    let mut tpm = Bench::started();
    let key = signer(&mut tpm);
    let codes = |codes: &[u32]| {
        let codes: Vec<u8> = codes.iter().flat_map(|code| code.to_be_bytes()).collect();
        hash(HashAlg::Sha256, &[&codes]).to_vec()
    };
    assert_eq!(
        command_audit(&mut tpm, key),
        (0, 0x000B, Vec::new(), codes(&[SET_AUDIT]))
    );
    let list = hex("0010 00000001 0000017b 00000000");
    assert_eq!(tpm.code_with(SET_AUDIT, &[OWNER], &list), 0);
    let (counter, _, first, commands) = command_audit(&mut tpm, key);
    assert_eq!((counter, commands), (1, codes(&[SET_AUDIT, GET_RANDOM])));
    let command = hash(
        HashAlg::Sha256,
        &[&SET_AUDIT.to_be_bytes(), &OWNER.to_be_bytes(), &list],
    );
    let response = hash(HashAlg::Sha256, &[&[0; 4], &SET_AUDIT.to_be_bytes()]);
    assert_eq!(first, hash(HashAlg::Sha256, &[&[0; 32], &command, &response])[..]);
    // Signed, it is gone, and nothing was audited since.
    let (counter, _, digest, _) = command_audit(&mut tpm, key);
    assert_eq!((counter, digest), (1, Vec::new()));
    // The next one begins a new digest, which is counted, and stays until it is signed.
    tpm.run_ok("8001 0000000c 0000017b 0004");
    let unsigned = command_audit(&mut tpm, NULL);
    assert_eq!((unsigned.0, unsigned.2.len()), (2, 32));
    assert_eq!(command_audit(&mut tpm, key), unsigned);
    assert!(command_audit(&mut tpm, key).2.is_empty());
}

#[test]
fn a_command_is_audited_by_the_tpm_and_by_a_session_at_once() {
    let mut tpm = Bench::started();
    let key = signer(&mut tpm);
    assert_eq!(
        tpm.code_with(SET_AUDIT, &[OWNER], &hex("0010 00000001 0000017b 00000000")),
        0
    );
    command_audit(&mut tpm, key);
    let mut session = Start::hmac().run(&mut tpm).unwrap();
    let mut digest = vec![0; 32];
    audited(&mut tpm, &mut session, &mut digest);
    audited(&mut tpm, &mut session, &mut digest);
    // Both begin with zeros and are of the same hash, and see the same commands.
    assert_eq!(session_audit(&mut tpm, key, session.handle).1, digest);
    let (_, _, of_commands, _) = command_audit(&mut tpm, key);
    assert_eq!(of_commands, digest);
    // Each goes on by itself.
    audited(&mut tpm, &mut session, &mut digest);
    assert_eq!(session_audit(&mut tpm, key, session.handle).1, digest);
    let (_, _, of_commands, _) = command_audit(&mut tpm, key);
    assert_ne!(of_commands, digest);
    // A command that fails is in neither.
    session.attributes = AUDIT | CONTINUE;
    tpm.send(GET_RANDOM, &[], &mut [&mut session.clone()], &hex("00"))
        .unwrap_err();
    assert_eq!(session_audit(&mut tpm, key, session.handle).1, digest);
    assert!(command_audit(&mut tpm, key).2.is_empty());
}

#[test]
fn the_audit_command_can_be_audited_by_its_own_session() {
    let mut tpm = Bench::started();
    let key = signer(&mut tpm);
    let mut session = Start::hmac().run(&mut tpm).unwrap();
    let mut digest = vec![0; 32];
    audited(&mut tpm, &mut session, &mut digest);
    // What is signed is the digest before the command that signs it.
    session.attributes = AUDIT | CONTINUE;
    let entities = [ENDORSEMENT, key, session.handle].map(|handle| Entity::known(&tpm, handle));
    let params = [sized(&[b"nonce"]), hex("0010")].concat();
    let mut passwords = [
        Start::hmac().run(&mut tpm).unwrap(),
        Start::hmac().run(&mut tpm).unwrap(),
    ];
    let [first, second] = &mut passwords;
    let reply = tpm
        .send(
            GET_SESSION_AUDIT,
            &entities,
            &mut [first, second, &mut session],
            &params,
        )
        .unwrap();
    let signed = attested(Parts(&reply).take());
    assert_eq!(Parts(&signed.rest[1..]).take(), digest);
    let names: Vec<u8> = entities.iter().flat_map(|entity| entity.name.clone()).collect();
    let code = GET_SESSION_AUDIT.to_be_bytes();
    let command = hash(HashAlg::Sha256, &[&code, &names, &params]);
    let response = hash(HashAlg::Sha256, &[&[0; 4], &code, &reply]);
    digest = hash(HashAlg::Sha256, &[&digest, &command, &response]).to_vec();
    assert_eq!(session_audit(&mut tpm, key, session.handle).1, digest);
}
