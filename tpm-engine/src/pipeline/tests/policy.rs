//! Policies when they authorize.

use std::sync::atomic::Ordering;

use super::{CHANGE_AUTH, INDEX, NV_READ, NV_WRITE, OWNER, PLATFORM, WITH_POLICY, define, owner, set_policy};
use crate::alg::HashAlg;
use crate::crypto::hash::hash;
use crate::testing::session::{CONTINUE, Cipher, ENCRYPT, Entity, Session, Start, TRIAL, sized};
use crate::testing::{Bench, hex, with_passwords};

/// Policy commands with their parameters.
type Policy<'a> = &'a [(u32, &'a str)];

/// A TPM whose owner has this policy.
fn with_policy(policy: Policy<'_>) -> Bench {
    let mut bench = Bench::started();
    let trial = assert_all(&mut bench, Start::of(TRIAL), policy);
    let digest = bench.policy_digest(trial.handle);
    set_policy(&mut bench, OWNER, &digest);
    bench
}

/// A session in which the policy commands have run.
fn assert_all(bench: &mut Bench, start: Start, policy: Policy<'_>) -> Session {
    let mut session = start.run(bench).unwrap();
    again(bench, &mut session, policy);
    session
}

fn again(bench: &mut Bench, session: &mut Session, policy: Policy<'_>) {
    (session.auth_value, session.password) = (false, false);
    for (code, params) in policy {
        bench.policy(session.handle, *code, params).unwrap();
        if matches!(code, 0x16B | 0x18C) {
            (session.auth_value, session.password) = (*code == 0x16B, *code == 0x18C);
        }
    }
}

/// TPM2_HierarchyChangeAuth of the owner to an empty value.
fn change(bench: &mut Bench, session: &mut Session) -> u32 {
    change_at(bench, 0, session)
}

fn change_at(bench: &mut Bench, locality: u8, session: &mut Session) -> u32 {
    let result = bench.send_at(locality, CHANGE_AUTH, &[owner()], &mut [session], &sized(b""));
    result.err().unwrap_or_default()
}

const CODE: (u32, &str) = (0x16C, "00000129");
const AUTH_VALUE: (u32, &str) = (0x16B, "");
const PASSWORD: (u32, &str) = (0x18C, "");

#[test]
fn a_policy_is_for_one_use() {
    let mut bench = with_policy(&[CODE]);
    let mut session = assert_all(&mut bench, Start::policy(), &[CODE]);
    assert_eq!(change(&mut bench, &mut session), 0);
    assert_eq!(bench.policy_digest(session.handle), [0; 32]);
    assert_eq!(change(&mut bench, &mut session), 0x99D);
    again(&mut bench, &mut session, &[CODE]);
    session.attributes = 0;
    assert_eq!(change(&mut bench, &mut session), 0);
    assert_eq!(bench.policy(session.handle, 0x189, ""), Err(0x910));
}

#[test]
fn a_policy_that_is_not_the_owners_fails_and_stays() {
    let mut bench = with_policy(&[CODE]);
    let mut session = assert_all(&mut bench, Start::policy(), &[(0x16C, "0000012e")]);
    let digest = bench.policy_digest(session.handle);
    assert_eq!(change(&mut bench, &mut session), 0x99D);
    assert_eq!(bench.policy_digest(session.handle), digest);
    // A policy of another hash.
    let start = Start {
        hash: HashAlg::Sha384,
        ..Start::policy()
    };
    let mut session = start.run(&mut bench).unwrap();
    assert_eq!(change(&mut bench, &mut session), 0x99D);
    // The lockout authorization has no policy at all.
    let lockout = Entity::of(super::LOCKOUT);
    assert_eq!(bench.send(0x139, &[lockout], &mut [&mut session], &[]), Err(0x12F));
}

#[test]
fn the_value_is_proven_or_given() {
    for policy in [AUTH_VALUE, PASSWORD] {
        // Both have the same digest.
        let mut bench = with_policy(&[AUTH_VALUE]);
        let mut session = assert_all(&mut bench, Start::policy(), &[policy]);
        let set = owner().becomes(b"own");
        bench
            .send(CHANGE_AUTH, &[set], &mut [&mut session], &sized(b"own"))
            .unwrap();
        again(&mut bench, &mut session, &[policy]);
        assert_eq!(change(&mut bench, &mut session), 0x9A2);
        let set = owner().auth(b"own").becomes(b"");
        bench
            .send(CHANGE_AUTH, &[set], &mut [&mut session], &sized(b""))
            .unwrap();
        // A bound policy session still needs the value.
        let mut session = assert_all(&mut bench, Start::policy().bound(&owner()), &[policy]);
        let set = owner().becomes(b"own");
        bench
            .send(CHANGE_AUTH, &[set], &mut [&mut session], &sized(b"own"))
            .unwrap();
    }
}

#[test]
fn what_a_policy_demands_is_checked_when_it_is_used() {
    let (d1, wrong) = ("11".repeat(32), "0020");
    let digest = format!("{wrong} {d1}");
    for (policy, expected) in [
        (&[(0x16C, "0000012e")][..], 0x9A4),
        (&[(0x16F, "02")], 0x907),
        (&[(0x16F, "20")], 0x907),
        (&[(0x187, "")], 0x990),
        (&[(0x16E, &digest)], 0x99D),
        (&[(0x170, &digest)], 0x99D),
        (&[(0x190, &digest)], 0x99D),
        (&[(0x19C, &digest)], 0x99D),
        (&[(0x18F, "01")], 0x99D),
        (&[(0x1A1, "0000 0000")], 0x9B0),
    ] {
        let mut bench = with_policy(policy);
        let mut session = assert_all(&mut bench, Start::policy(), policy);
        assert_eq!(change(&mut bench, &mut session), expected, "{policy:x?}");
    }
}

#[test]
fn what_a_policy_demands_can_be_fulfilled() {
    let parameters = sized(b"");
    let code = CHANGE_AUTH.to_be_bytes();
    let name = OWNER.to_be_bytes();
    let of = |parts: &[&[u8]]| {
        let digest = hash(HashAlg::Sha256, parts);
        format!(
            "0020 {}",
            digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        )
    };
    let (cp, names, p) = (
        of(&[&code, &name, &parameters]),
        of(&[&name]),
        of(&[&code, &parameters]),
    );
    for (policy, locality) in [
        (&[CODE][..], 0),
        (&[(0x16F, "0a")], 1),
        (&[(0x16F, "0a")], 3),
        (&[(0x16F, "21")], 0x21),
        (&[(0x187, "")], 0),
        (&[(0x16E, &cp)], 0),
        (&[(0x170, &names)], 0),
        (&[(0x19C, &p)], 0),
    ] {
        let mut bench = with_policy(policy);
        bench.presence.store(true, Ordering::Relaxed);
        let mut session = assert_all(&mut bench, Start::policy(), policy);
        assert_eq!(change_at(&mut bench, locality, &mut session), 0, "{policy:x?}");
    }
}

#[test]
fn a_change_of_pcr_ends_the_policy() {
    const PCR: (u32, &str) = (0x17F, "0000 00000001 000b 03 010000");
    let mut bench = with_policy(&[PCR]);
    let mut session = assert_all(&mut bench, Start::policy(), &[PCR]);
    assert_eq!(change(&mut bench, &mut session), 0);
    again(&mut bench, &mut session, &[PCR]);
    let extend = |pcr: u32| {
        let params = hex(&format!("00000001 000b {}", "11".repeat(32)));
        with_passwords(0x182, &[pcr], &[b""], &params)
    };
    // PCR 16 may change without notice.
    assert_eq!(bench.run(&extend(16)).0, 0);
    assert_eq!(change(&mut bench, &mut session), 0);
    again(&mut bench, &mut session, &[PCR]);
    assert_eq!(bench.run(&extend(9)).0, 0);
    assert_eq!(change(&mut bench, &mut session), 0x128);
    again(&mut bench, &mut session, &[(0x180, ""), PCR]);
    assert_eq!(change(&mut bench, &mut session), 0);
}

#[test]
fn a_session_that_encrypts_starts_its_policy_again() {
    let mut bench = Bench::started();
    let mut session = assert_all(&mut bench, Start::policy().cipher(Cipher::Xor), &[CODE]);
    session.attributes = ENCRYPT | CONTINUE;
    bench
        .send(super::GET_RANDOM, &[], &mut [&mut session], &hex("0004"))
        .unwrap();
    assert_eq!(bench.policy_digest(session.handle), [0; 32]);
}

/// TPM2_PolicySecret with the platform's authorization, an expiration in seconds, and perhaps the session's nonce.
fn secret(bench: &mut Bench, session: &Session, with_nonce: bool, expiration: i32) -> (u32, Vec<u8>) {
    let nonce = if with_nonce { &session.nonce_tpm[..] } else { &[] };
    let params = [sized(nonce), hex("0000 0000"), expiration.to_be_bytes().to_vec()].concat();
    bench.run(&with_passwords(0x151, &[PLATFORM, session.handle], &[b""], &params))
}

/// TPM2_PolicyTicket with what [`secret`] gave.
fn present(bench: &mut Bench, session: &Session, response: &[u8]) -> u32 {
    let params = &response[14..response.len() - 5];
    let (timeout, ticket) = params.split_at(10);
    let body = [timeout, &hex("0000 0000 0004 4000000c"), ticket].concat();
    let command = [&session.handle.to_be_bytes()[..], &body].concat();
    bench.run(&crate::testing::plain(0x172, &command)).0
}

fn secret_policy() -> Bench {
    let mut bench = Bench::started();
    let trial = Start::of(TRIAL).run(&mut bench).unwrap();
    assert_eq!(secret(&mut bench, &trial, false, 0).0, 0);
    let digest = bench.policy_digest(trial.handle);
    set_policy(&mut bench, OWNER, &digest);
    bench
}

#[test]
fn an_authorization_ends_with_its_time() {
    for with_nonce in [false, true] {
        let mut bench = secret_policy();
        let mut session = Start::policy().run(&mut bench).unwrap();
        assert_eq!(secret(&mut bench, &session, with_nonce, 2).0, 0);
        bench.clock.0.fetch_add(1999, Ordering::Relaxed);
        assert_eq!(change(&mut bench, &mut session), 0);
        assert_eq!(secret(&mut bench, &session, with_nonce, 3).0, 0);
        bench.clock.0.fetch_add(5000, Ordering::Relaxed);
        assert_eq!(change(&mut bench, &mut session), 0x9A3);
        assert_eq!(secret(&mut bench, &session, with_nonce, 3).0, 0x4E3);
    }
}

#[test]
fn the_nonce_and_the_size_of_a_cp_hash_are_checked() {
    let mut bench = secret_policy();
    let session = Start::policy().run(&mut bench).unwrap();
    let mut stranger = session.clone();
    stranger.nonce_tpm[0] ^= 1;
    assert_eq!(secret(&mut bench, &stranger, true, 0).0, 0x1CF);
    let params = hex("0000 0001 11 0000 00000000");
    let command = with_passwords(0x151, &[PLATFORM, session.handle], &[b""], &params);
    assert_eq!(bench.run(&command).0, 0x2D5);
}

#[test]
fn a_ticket_stands_for_the_authorization_until_its_end() {
    for with_nonce in [false, true] {
        let mut bench = secret_policy();
        let mut session = Start::policy().run(&mut bench).unwrap();
        let (code, ticket) = secret(&mut bench, &session, with_nonce, -10);
        assert_eq!(code, 0);
        assert_eq!(change(&mut bench, &mut session), 0);
        assert_eq!(present(&mut bench, &session, &ticket), 0);
        assert_eq!(change(&mut bench, &mut session), 0);
        let trial = Start::of(TRIAL).run(&mut bench).unwrap();
        assert_eq!(present(&mut bench, &trial, &ticket), 0x182);
        let mut changed = ticket.clone();
        changed[23] ^= 1;
        assert_eq!(present(&mut bench, &session, &changed), 0x5E0);
        let mut changed = ticket.clone();
        let last = changed.len() - 6;
        changed[last] ^= 1;
        assert_eq!(present(&mut bench, &session, &changed), 0x5E0);
        bench.clock.0.fetch_add(11_000, Ordering::Relaxed);
        assert_eq!(present(&mut bench, &session, &ticket), 0x1E3);
        // Time starts again, and with it what the ticket could count from.
        bench.tpm.power_on();
        bench.run_ok("8001 0000000c 00000144 0000");
        let session = Start::policy().run(&mut bench).unwrap();
        assert_eq!(present(&mut bench, &session, &ticket), 0x5E0);
    }
}

#[test]
fn a_policy_authorizes_a_secret_only_by_the_value() {
    let mut bench = with_policy(&[AUTH_VALUE]);
    let mut target = Start::policy().run(&mut bench).unwrap();
    let entities = [owner(), Entity::of(target.handle)];
    let params = hex("0000 0000 0000 00000000");
    let mut empty = Start::policy().run(&mut bench).unwrap();
    let refused = bench.send(0x151, &entities, &mut [&mut empty], &params);
    assert_eq!(refused, Err(0x989));
    let mut session = assert_all(&mut bench, Start::policy(), &[AUTH_VALUE]);
    bench.send(0x151, &entities, &mut [&mut session], &params).unwrap();
    target.attributes = CONTINUE;
    assert_ne!(bench.policy_digest(target.handle), [0; 32]);
}

#[test]
fn an_index_is_read_and_written_with_its_policy() {
    let digest = {
        let mut bench = Bench::started();
        let trial = assert_all(&mut bench, Start::of(TRIAL), &[(0x18F, "00")]);
        bench.policy_digest(trial.handle)
    };
    let mut bench = Bench::started();
    define(&mut bench, WITH_POLICY, b"", &digest);
    let mut session = assert_all(&mut bench, Start::policy(), &[(0x18F, "00")]);
    let index = Entity::known(&bench, INDEX);
    let write = hex("0001 41 0000");
    // The authorization value may not be used.
    assert_eq!(
        bench.run(&with_passwords(NV_WRITE, &[INDEX, INDEX], &[b""], &write)).0,
        0x12F
    );
    bench
        .send(NV_WRITE, &[index.clone(), index], &mut [&mut session], &write)
        .unwrap();
    // It is written now.
    again(&mut bench, &mut session, &[(0x18F, "00")]);
    let index = Entity::known(&bench, INDEX);
    let refused = bench.send(NV_READ, &[index.clone(), index], &mut [&mut session], &hex("0001 0000"));
    assert_eq!(refused, Err(0x99D));
}
