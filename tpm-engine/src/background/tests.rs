use super::*;
use crate::handle::Handle;
use crate::testing::keys::{ENDORSEMENT, OWNER, Template, attr, creation, sensitive, sized};
use crate::testing::{Bench, hex};

const LOCKOUT: u32 = 0x4000_000A;

/// A TPM whose algorithms were tested.
fn started() -> Bench {
    let mut tpm = Bench::started();
    tpm.tpm.test_keys().unwrap();
    tpm
}

/// Does all jobs that there are; how many these were.
fn idle(tpm: &mut Bench) -> usize {
    let mut jobs = 0;
    while let Some(job) = tpm.tpm.next_job() {
        assert!(tpm.tpm.job_is_due());
        let outcome = job.run(&AtomicBool::new(false)).unwrap();
        tpm.tpm.finish(outcome);
        jobs += 1;
    }
    assert!(!tpm.tpm.job_is_due(), "nothing is left to do");
    jobs
}

fn rsa_child(tpm: &mut Bench, parent: u32) -> Vec<u8> {
    tpm.create(parent, &Template::rsa(attr::OWN | attr::SIGN), b"", b"")
        .public
}

/// The conventional templates, as guests send them.
fn conventional() -> [(u32, Vec<u8>); 2] {
    let parms = hex("0006 0080 0043  0010  0800  00000000  0100");
    let policy_a = hex("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa");
    [
        (OWNER, [&hex("0001 000b 00030472 0000")[..], &parms, &[0; 256]].concat()),
        (
            ENDORSEMENT,
            [&hex("0001 000b 000300b2 0020")[..], &policy_a, &parms, &[0; 256]].concat(),
        ),
    ]
}

fn primary(tpm: &mut Bench, hierarchy: u32, template: &[u8]) -> Vec<u8> {
    let params = [sensitive(b"", b""), sized(&[template, b""]), vec![0; 4]].concat();
    let (handle, _) = tpm.ok_handle(0x131, &[hierarchy], b"", &params);
    let name = tpm.tpm.object(Handle(handle)).unwrap().name.to_vec();
    tpm.run_ok(&format!("8001 0000000e 00000165 {handle:08x}"));
    name
}

#[test]
fn the_conventional_primary_keys_are_ready_and_the_right_ones() {
    let derived = {
        let mut tpm = started();
        conventional().map(|(hierarchy, template)| primary(&mut tpm, hierarchy, &template))
    };
    let mut tpm = started();
    // Two primary keys and two of the pool.
    assert_eq!(idle(&mut tpm), 4);
    let before = tpm.tpm.nv.kept().unwritten();
    let found = conventional().map(|(hierarchy, template)| primary(&mut tpm, hierarchy, &template));
    assert_eq!(found, derived);
    assert_eq!(
        tpm.tpm.nv.kept().unwritten().map(|record| record.len()),
        before.map(|record| record.len())
    );
}

#[test]
fn primary_keys_are_derived_again_when_their_seed_is_new() {
    let mut tpm = started();
    idle(&mut tpm);
    tpm.ok_with(0x126, &[LOCKOUT], &[b""], b"");
    assert!(tpm.tpm.job_is_due());
    assert_eq!(idle(&mut tpm), 2);
    // A change of an authorization value changes no key.
    tpm.ok_with(0x129, &[OWNER], &[b""], &hex("0004 61757468"));
    assert_eq!(idle(&mut tpm), 0);
}

#[test]
fn a_key_of_a_seed_that_is_gone_is_not_kept() {
    let mut tpm = started();
    let job = tpm.tpm.next_job().unwrap();
    let outcome = job.run(&AtomicBool::new(false)).unwrap();
    tpm.ok_with(0x126, &[LOCKOUT], &[b""], b"");
    tpm.tpm.finish(outcome);
    assert!(tpm.tpm.nv.kept().unwritten().is_none());
}

#[test]
fn a_job_can_be_cancelled_and_comes_again() {
    let mut tpm = started();
    for _ in 0..2 {
        assert!(tpm.tpm.next_job().unwrap().run(&AtomicBool::new(true)).is_none());
    }
    assert_eq!(idle(&mut tpm), 4);
}

#[test]
fn a_key_pair_leaves_the_pool_once() {
    let mut tpm = started();
    idle(&mut tpm);
    let parent = tpm.primary(OWNER, &Template::srk());
    // The pool has two keys; the third is made on the spot.
    let mut keys: Vec<Vec<u8>> = (0..3).map(|_| rsa_child(&mut tpm, parent)).collect();
    // The pool is filled again, and the one that was missing is wanted from now on.
    assert_eq!(idle(&mut tpm), 3);
    keys.extend((0..3).map(|_| rsa_child(&mut tpm, parent)));
    assert_eq!(tpm.tpm.pool.short(), Some(2048));
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 6);
}

#[test]
fn a_key_of_the_pool_signs() {
    let mut tpm = started();
    idle(&mut tpm);
    let parent = tpm.primary(OWNER, &Template::srk());
    let template = Template::rsa(attr::OWN | attr::SIGN).with_parms("0010  0014 000b  0800  00000000");
    let key = tpm.child(parent, &template, b"", b"");
    assert_eq!(tpm.tpm.pool.short(), Some(2048), "it was of the pool");
    // TPM2_Sign of a digest under the key's own scheme, with a ticket of no hierarchy.
    let params = [&hex("0020")[..], &[7; 32], &hex("0010 8024 40000007 0000")].concat();
    let signature = tpm.ok_with(0x15D, &[key], &[b""], &params);
    // TPM2_VerifySignature
    let params = [&hex("0020")[..], &[7; 32], &signature].concat();
    let body = [&key.to_be_bytes()[..], &params].concat();
    assert_eq!(tpm.run(&crate::testing::plain(0x177, &body)).0, 0);
}

#[test]
fn the_pool_has_what_is_asked_for_and_nothing_else() {
    let mut tpm = started();
    idle(&mut tpm);
    let parent = tpm.primary(OWNER, &Template::srk());
    let larger = Template::rsa(attr::OWN | attr::SIGN).with_parms("0010  0010  0c00  00000000");
    let other_exponent = Template::rsa(attr::OWN | attr::SIGN).with_parms("0010  0010  0800  00010003");
    tpm.create(parent, &other_exponent, b"", b"");
    assert_eq!(tpm.tpm.pool.short(), None);
    let first = tpm.create(parent, &larger, b"", b"").public;
    assert_eq!(tpm.tpm.pool.short(), Some(3072));
    assert_eq!(idle(&mut tpm), 1);
    let second = tpm.create(parent, &larger, b"", b"").public;
    assert_ne!(first, second);
    assert_eq!(tpm.tpm.pool.short(), Some(3072));
}

#[test]
fn a_cancelled_command_needs_no_key_that_is_ready() {
    let mut tpm = started();
    idle(&mut tpm);
    let parent = tpm.primary(OWNER, &Template::srk());
    tpm.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    let params = creation(&Template::rsa(attr::OWN | attr::SIGN), b"", b"");
    for code in [0, 0, 0x909] {
        assert_eq!(tpm.code_with(0x153, &[parent], &params), code);
    }
}

#[test]
fn algorithms_are_tested_before_anything_is_prepared() {
    static FAILING: &[SelfTest] = &[SelfTest {
        name: "a test that fails",
        when: self_test::When::FirstUse,
        run: || false,
    }];
    let mut tpm = Bench::started();
    let outcome = tpm.tpm.next_job().unwrap().run(&AtomicBool::new(true)).unwrap();
    tpm.tpm.finish(outcome);
    assert!(tpm.tpm.keys_tested && tpm.tpm.phase == Phase::Started);

    let mut tpm = Bench::started();
    tpm.tpm.self_tests = FAILING;
    let outcome = tpm.tpm.next_job().unwrap().run(&AtomicBool::new(true)).unwrap();
    tpm.tpm.finish(outcome);
    assert!(!tpm.tpm.job_is_due());
    assert_eq!(tpm.code("8001 0000000c 0000017b 0004"), 0x101);
}

#[test]
fn a_tpm_that_failed_has_nothing_to_do() {
    let mut tpm = started();
    tpm.tpm.fail("on purpose");
    assert!(!tpm.tpm.job_is_due() && tpm.tpm.next_job().is_none());
}
