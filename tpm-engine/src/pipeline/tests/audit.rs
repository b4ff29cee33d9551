//! Sessions that audit.

use super::{CHANGE_AUTH, GET_RANDOM, owner};
use crate::alg::HashAlg;
use crate::crypto::hash::hash;
use crate::handle::Handle;
use crate::testing::session::{AUDIT, CONTINUE, EXCLUSIVE, RESET, Session, Start, sized};
use crate::testing::{Bench, hex};

/// TPM2_GetRandom of 4 bytes; the attributes of the answer, or the response code.
fn audited(bench: &mut Bench, session: &mut Session, attributes: u8) -> Result<u8, u32> {
    session.attributes = attributes | AUDIT | CONTINUE;
    bench.send(GET_RANDOM, &[], &mut [session], &hex("0004"))?;
    Ok(session.reply_attributes)
}

const PLAIN: u8 = AUDIT | CONTINUE;
const ALONE: u8 = PLAIN | EXCLUSIVE;

#[test]
fn a_session_is_exclusive_until_another_command_comes() {
    let mut bench = Bench::started();
    let mut session = Start::hmac().run(&mut bench).unwrap();
    assert_eq!(audited(&mut bench, &mut session, 0), Ok(ALONE));
    assert_eq!(audited(&mut bench, &mut session, EXCLUSIVE), Ok(ALONE));
    // Commands that take no sessions do not count.
    bench.unauthorized(0x165, &[], &hex("80000000")).unwrap_err();
    let other = Start::hmac().run(&mut bench).unwrap();
    assert_eq!(audited(&mut bench, &mut session, 0), Ok(PLAIN));
    assert_eq!(audited(&mut bench, &mut session, EXCLUSIVE), Err(0x121));
    assert_eq!(audited(&mut bench, &mut session, RESET), Ok(ALONE));
    bench.unauthorized(0x165, &[], &other.handle.to_be_bytes()).unwrap();
    assert_eq!(audited(&mut bench, &mut session, 0), Ok(ALONE));
    // One without sessions, though it could have some.
    bench.unauthorized(GET_RANDOM, &[], &hex("0004")).unwrap();
    assert_eq!(audited(&mut bench, &mut session, 0), Ok(PLAIN));
    assert_eq!(audited(&mut bench, &mut session, RESET | EXCLUSIVE), Ok(ALONE));
}

#[test]
fn a_command_that_fails_changes_nothing_of_the_audit() {
    let mut bench = Bench::started();
    let mut session = Start::hmac().run(&mut bench).unwrap();
    assert_eq!(audited(&mut bench, &mut session, 0), Ok(ALONE));
    let before = bench.tpm.sessions.get(Handle(session.handle)).unwrap().clone();
    bench.unauthorized(GET_RANDOM, &[], &hex("00")).unwrap_err();
    bench
        .send(GET_RANDOM, &[], &mut [&mut session.clone()], &hex("00"))
        .unwrap_err();
    assert!(*bench.tpm.sessions.get(Handle(session.handle)).unwrap() == before);
    assert_eq!(audited(&mut bench, &mut session, EXCLUSIVE), Ok(ALONE));
}

#[test]
fn two_audits_take_turns() {
    let mut bench = Bench::started();
    let mut first = Start::hmac().run(&mut bench).unwrap();
    let mut second = Start::hmac().run(&mut bench).unwrap();
    assert_eq!(audited(&mut bench, &mut first, 0), Ok(ALONE));
    assert_eq!(audited(&mut bench, &mut second, 0), Ok(ALONE));
    assert_eq!(audited(&mut bench, &mut first, 0), Ok(PLAIN));
    assert_eq!(audited(&mut bench, &mut second, 0), Ok(PLAIN));
}

#[test]
fn the_digest_is_over_commands_and_responses() {
    let mut bench = Bench::started();
    let mut session = Start::hmac().run(&mut bench).unwrap();
    session.attributes = AUDIT | CONTINUE;
    let mut expected = vec![0; 32];
    for _ in 0..2 {
        let reply = bench.send(GET_RANDOM, &[], &mut [&mut session], &hex("0004")).unwrap();
        let code = GET_RANDOM.to_be_bytes();
        let command = hash(HashAlg::Sha256, &[&code, &hex("0004")]);
        let response = hash(HashAlg::Sha256, &[&[0; 4], &code, &reply]);
        expected = hash(HashAlg::Sha256, &[&expected, &command, &response]).to_vec();
        let audit = &bench.tpm.sessions.get(Handle(session.handle)).unwrap().audit_digest;
        assert_eq!(**audit, *expected);
    }
}

#[test]
fn a_session_that_audits_is_not_bound_any_more() {
    let mut bench = Bench::started();
    let mut session = Start::hmac().bound(&owner()).run(&mut bench).unwrap();
    assert_eq!(audited(&mut bench, &mut session, 0), Ok(ALONE));
    session.bound = None;
    let set = owner().becomes(b"x");
    session.attributes = CONTINUE;
    bench
        .send(CHANGE_AUTH, &[set], &mut [&mut session], &sized(b"x"))
        .unwrap();
    let set = owner().auth(b"x").becomes(b"");
    bench
        .send(CHANGE_AUTH, &[set], &mut [&mut session], &sized(b""))
        .unwrap();
}

#[test]
fn the_exclusive_session_ends() {
    let mut bench = Bench::started();
    let mut session = Start::hmac().run(&mut bench).unwrap();
    session.attributes = AUDIT;
    bench.send(GET_RANDOM, &[], &mut [&mut session], &hex("0004")).unwrap();
    assert_eq!(session.reply_attributes, AUDIT | EXCLUSIVE);
    assert_eq!(bench.tpm.exclusive_audit, None);
    let mut session = Start::hmac().run(&mut bench).unwrap();
    assert_eq!(audited(&mut bench, &mut session, 0), Ok(ALONE));
    bench.unauthorized(0x165, &[], &session.handle.to_be_bytes()).unwrap();
    assert_eq!(bench.tpm.exclusive_audit, None);
}
