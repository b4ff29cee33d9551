//! Sessions and dictionary-attack protection.

use super::{CHANGE_AUTH, GET_RANDOM, INDEX, LOCKOUT, NO_DA, NV_READ, NV_WRITE, ORDINARY, WITH_POLICY, define, owner};
use crate::testing::session::{AUDIT, CONTINUE, Entity, Session, Start, sized};
use crate::testing::{Bench, hex, with_passwords};

fn index(bench: &Bench) -> Entity {
    Entity::known(bench, INDEX).auth(b"pw")
}

fn written(attributes: u32, policy: &[u8]) -> Bench {
    let mut bench = Bench::started();
    define(&mut bench, attributes, b"pw", policy);
    let write = with_passwords(NV_WRITE, &[INDEX, INDEX], &[b"pw"], &hex("0001 41 0000"));
    assert_eq!(bench.run(&write).0, 0);
    bench
}

fn read(bench: &mut Bench, session: &mut Session) -> u32 {
    let index = index(bench);
    let result = bench.send(NV_READ, &[index.clone(), index], &mut [session], &hex("0001 0000"));
    result.err().unwrap_or_default()
}

fn tries(bench: &Bench) -> u32 {
    bench.tpm.nv.da.failed_tries
}

#[test]
fn wrong_hmacs_count_until_lockout() {
    let mut bench = written(ORDINARY, &[]);
    let mut session = Start::hmac().run(&mut bench).unwrap();
    session.spoilt = true;
    let most = bench.tpm.nv.da.max_tries;
    for tried in 1..=most {
        assert_eq!(read(&mut bench, &mut session), 0x98E);
        assert_eq!(tries(&bench), tried);
    }
    assert_eq!(read(&mut bench, &mut session), 0x921);
    session.spoilt = false;
    assert_eq!(read(&mut bench, &mut session), 0x921);
    // What is not protected goes on.
    bench
        .send(CHANGE_AUTH, &[owner()], &mut [&mut session], &sized(b""))
        .unwrap();
}

#[test]
fn wrong_hmacs_do_not_count_where_there_is_no_protection() {
    let mut bench = written(ORDINARY | NO_DA, &[]);
    let mut session = Start::hmac().run(&mut bench).unwrap();
    session.spoilt = true;
    assert_eq!(read(&mut bench, &mut session), 0x9A2);
    let refused = bench.send(GET_RANDOM, &[], &mut [session.with(AUDIT | CONTINUE)], &hex("0004"));
    assert_eq!(refused, Err(0x9A2));
    assert_eq!(tries(&bench), 0);
}

#[test]
fn a_session_that_is_bound_to_what_is_protected_is_protected_wherever_it_is_used() {
    let mut bench = written(ORDINARY, &[]);
    let bind = index(&bench);
    let mut session = Start::hmac().bound(&bind).run(&mut bench).unwrap();
    session.spoilt = true;
    let refused = bench.send(GET_RANDOM, &[], &mut [session.with(AUDIT | CONTINUE)], &hex("0004"));
    assert_eq!(refused, Err(0x98E));
    session.attributes = CONTINUE;
    let refused = bench.send(CHANGE_AUTH, &[owner()], &mut [&mut session], &sized(b""));
    assert_eq!(refused, Err(0x98E));
    assert_eq!(read(&mut bench, &mut session), 0x98E);
    assert_eq!(tries(&bench), 3);
    session.spoilt = false;
    let refused = bench.send(CHANGE_AUTH, &[owner()], &mut [&mut session], &sized(b""));
    assert_eq!(refused, Err(0x921));
    // A policy session is not bound, but its key is of the same value.
    let mut policy = Start::policy().bound(&bind).run(&mut bench).unwrap();
    assert_eq!(read(&mut bench, &mut policy), 0x921);
}

#[test]
fn the_lockout_authorization_is_blocked_by_one_failure() {
    for bound in [false, true] {
        let mut bench = Bench::started();
        let lockout = Entity::of(LOCKOUT);
        let start = if bound {
            Start::hmac().bound(&lockout)
        } else {
            Start::hmac()
        };
        let mut session = start.run(&mut bench).unwrap();
        let reset =
            |bench: &mut Bench, session: &mut Session| bench.send(0x139, &[Entity::of(LOCKOUT)], &mut [session], &[]);
        reset(&mut bench, &mut session).unwrap();
        session.spoilt = true;
        assert_eq!(reset(&mut bench, &mut session), Err(0x98E));
        session.spoilt = false;
        assert_eq!(reset(&mut bench, &mut session), Err(0x921));
        assert_eq!(tries(&bench), 0);
    }
}

#[test]
fn a_policy_without_the_value_does_not_care_for_lockout() {
    // TPM2_PolicyCommandCode of TPM2_NV_Read, and then with TPM2_PolicyAuthValue.
    for with_value in [false, true] {
        let mut trial_bench = Bench::started();
        let trial = Start::of(3).run(&mut trial_bench).unwrap().handle;
        trial_bench.policy(trial, 0x16C, "0000014e").unwrap();
        if with_value {
            trial_bench.policy(trial, 0x16B, "").unwrap();
        }
        let digest = trial_bench.policy_digest(trial);
        let mut bench = written(ORDINARY | WITH_POLICY, &digest);
        let mut wrong = Start::hmac().run(&mut bench).unwrap();
        wrong.spoilt = true;
        while read(&mut bench, &mut wrong) != 0x921 {}
        let mut session = Start::policy().run(&mut bench).unwrap();
        bench.policy(session.handle, 0x16C, "0000014e").unwrap();
        if with_value {
            bench.policy(session.handle, 0x16B, "").unwrap();
            session.auth_value = true;
        }
        assert_eq!(read(&mut bench, &mut session), if with_value { 0x921 } else { 0 });
    }
}

#[test]
fn a_try_that_cannot_be_counted_does_not_show_its_outcome() {
    let mut bench = written(ORDINARY, &[]);
    let mut session = Start::hmac().run(&mut bench).unwrap();
    session.spoilt = true;
    bench.memory.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(read(&mut bench, &mut session), 0x923);
    bench.memory.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(tries(&bench), 0);
}
