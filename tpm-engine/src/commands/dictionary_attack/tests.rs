//! Tries, lockouts and how they are forgiven.

use std::sync::atomic::Ordering;

use crate::testing::{Bench, plain, with_passwords};

const OWNER: u32 = 0x4000_0001;
const LOCKOUT: u32 = 0x4000_000A;
const PLATFORM: u32 = 0x4000_000C;
const INDEX: u32 = 0x0100_0001;

/// A TPM with an index whose authorization value, "pin", is protected.
fn prepared(max_tries: u32, recovery: u32, lockout_recovery: u32) -> Bench {
    let mut tpm = Bench::started();
    let public = [&INDEX.to_be_bytes()[..], &[0, 0x0B, 0, 4, 0, 4, 0, 0, 0, 8]].concat();
    let params = [&[0, 3][..], b"pin", &[0, public.len() as u8], &public].concat();
    assert_eq!(tpm.run(&with_passwords(0x12A, &[OWNER], &[b""], &params)).0, 0);
    assert_eq!(parameters(&mut tpm, max_tries, recovery, lockout_recovery), 0);
    tpm
}

fn parameters(tpm: &mut Bench, max_tries: u32, recovery: u32, lockout_recovery: u32) -> u32 {
    let params = [max_tries, recovery, lockout_recovery].map(u32::to_be_bytes).concat();
    tpm.run(&with_passwords(0x13A, &[LOCKOUT], &[b""], &params)).0
}

fn lock_reset(tpm: &mut Bench, password: &[u8]) -> u32 {
    tpm.run(&with_passwords(0x139, &[LOCKOUT], &[password], &[])).0
}

fn try_pin(tpm: &mut Bench, pin: &[u8]) -> u32 {
    tpm.run(&with_passwords(0x137, &[INDEX, INDEX], &[pin], &[0, 1, 0x61, 0, 0]))
        .0
}

/// Moves the clock on, in milliseconds.
fn wait(tpm: &Bench, ms: u64) {
    tpm.clock.0.fetch_add(ms, Ordering::Relaxed);
}

fn power_cycle(tpm: Bench, shutdown: Option<u8>, startup: u8) -> Bench {
    let mut tpm = tpm;
    if let Some(kind) = shutdown {
        assert_eq!(tpm.run(&plain(0x145, &[0, kind])).0, 0);
    }
    let mut tpm = Bench::on(tpm.memory.clone());
    assert_eq!(tpm.run(&plain(0x144, &[0, startup])).0, 0);
    tpm
}

#[test]
fn the_last_try_locks_and_a_reset_unlocks() {
    let mut tpm = prepared(3, 10, 20);
    for _ in 0..3 {
        assert_eq!(try_pin(&mut tpm, b"bad"), 0x98E);
    }
    assert_eq!(try_pin(&mut tpm, b"pin"), 0x921);
    assert_eq!(try_pin(&mut tpm, b"bad"), 0x921);
    let mut tpm = power_cycle(tpm, None, 0);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0x921);
    assert_eq!(lock_reset(&mut tpm, b""), 0);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0);
    assert_eq!(tpm.run(&with_passwords(0x139, &[OWNER], &[b""], &[])).0, 0x184);
}

#[test]
fn a_success_forgives_nothing() {
    let mut tpm = prepared(2, 10, 20);
    assert_eq!(try_pin(&mut tpm, b"bad"), 0x98E);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0);
    assert_eq!(try_pin(&mut tpm, b"bad"), 0x98E);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0x921);
}

#[test]
fn time_forgives_one_try_after_another() {
    let mut tpm = prepared(2, 10, 20);
    try_pin(&mut tpm, b"bad");
    try_pin(&mut tpm, b"bad");
    wait(&tpm, 9_999);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0x921);
    wait(&tpm, 1);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0);
    assert_eq!(tpm.tpm.nv.da.failed_tries, 1);
    wait(&tpm, 10_000);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0);
    assert_eq!(tpm.tpm.nv.da.failed_tries, 0);
}

#[test]
fn without_power_nothing_is_forgiven() {
    let mut tpm = prepared(1, 10, 20);
    assert_eq!(try_pin(&mut tpm, b"bad"), 0x98E);
    let memory = tpm.memory.clone();
    drop(tpm);
    // However late the host's clock says it is when power comes back.
    let mut tpm = Bench::on(memory);
    wait(&tpm, 1_000_000);
    tpm.tpm.power_on();
    assert_eq!(tpm.run(&plain(0x144, &[0, 0])).0, 0);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0x921);
}

#[test]
fn without_recovery_time_nothing_is_counted() {
    let mut tpm = prepared(2, 10, 20);
    try_pin(&mut tpm, b"bad");
    assert_eq!(parameters(&mut tpm, 2, 0, 20), 0);
    assert_eq!(tpm.tpm.nv.da.failed_tries, 0);
    for _ in 0..5 {
        assert_eq!(try_pin(&mut tpm, b"bad"), 0x98E);
    }
    assert_eq!(try_pin(&mut tpm, b"pin"), 0);
}

#[test]
fn without_tries_all_is_locked() {
    let mut tpm = prepared(0, 10, 20);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0x921);
    assert_eq!(parameters(&mut tpm, 1, 10, 20), 0);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0);
}

#[test]
fn one_wrong_lockout_authorization_locks_it() {
    let mut tpm = prepared(3, 10, 20);
    assert_eq!(lock_reset(&mut tpm, b"bad"), 0x98E);
    assert_eq!(lock_reset(&mut tpm, b""), 0x921);
    assert_eq!(parameters(&mut tpm, 3, 10, 20), 0x921);
    // Other authorizations are not touched.
    assert_eq!(try_pin(&mut tpm, b"pin"), 0);
    wait(&tpm, 19_999);
    assert_eq!(lock_reset(&mut tpm, b""), 0x921);
    wait(&tpm, 1);
    assert_eq!(lock_reset(&mut tpm, b""), 0);
}

#[test]
fn recovery_goes_on_after_an_orderly_shutdown_and_begins_again_without_one() {
    for (shutdown, startup, missing) in [(Some(0), 0, 1_000), (Some(1), 1, 1_000), (None, 0, 20_000)] {
        let mut tpm = prepared(3, 10, 20);
        assert_eq!(lock_reset(&mut tpm, b"bad"), 0x98E);
        wait(&tpm, 19_000);
        let mut tpm = power_cycle(tpm, shutdown, startup);
        wait(&tpm, missing - 1);
        assert_eq!(lock_reset(&mut tpm, b""), 0x921);
        wait(&tpm, 1);
        assert_eq!(lock_reset(&mut tpm, b""), 0);
    }
}

#[test]
fn tries_are_forgiven_over_orderly_shutdowns() {
    let mut tpm = prepared(1, 10, 20);
    assert_eq!(try_pin(&mut tpm, b"bad"), 0x98E);
    for _ in 0..4 {
        wait(&tpm, 2_000);
        tpm = power_cycle(tpm, Some(0), 0);
    }
    wait(&tpm, 1_999);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0x921);
    wait(&tpm, 1);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0);
}

#[test]
fn without_lockout_recovery_time_a_start_up_recovers() {
    for (shutdown, startup) in [(None, 0), (Some(0), 0), (Some(1), 0), (Some(1), 1)] {
        let mut tpm = prepared(3, 10, 0);
        assert_eq!(lock_reset(&mut tpm, b"bad"), 0x98E);
        wait(&tpm, 1_000_000);
        assert_eq!(lock_reset(&mut tpm, b""), 0x921);
        let mut tpm = power_cycle(tpm, shutdown, startup);
        assert_eq!(lock_reset(&mut tpm, b""), 0);
    }
}

#[test]
fn clear_sets_the_defaults() {
    let mut tpm = prepared(7, 8, 9);
    assert_eq!(lock_reset(&mut tpm, b"bad"), 0x98E);
    assert_eq!(tpm.run(&with_passwords(0x126, &[PLATFORM], &[b""], &[])).0, 0);
    let da = &tpm.tpm.nv.da;
    assert_eq!(
        (da.failed_tries, da.max_tries, da.recovery_time, da.lockout_recovery),
        (0, 3, 1000, 1000)
    );
    assert_eq!(lock_reset(&mut tpm, b""), 0);
}

#[test]
fn a_try_that_cannot_be_counted_does_not_say_whether_it_was_right() {
    let mut tpm = prepared(3, 10, 20);
    tpm.memory.broken.store(true, Ordering::Relaxed);
    assert_eq!(try_pin(&mut tpm, b"bad"), 0x923);
    assert_eq!(try_pin(&mut tpm, b"pin"), 0x923);
    tpm.memory.broken.store(false, Ordering::Relaxed);
    assert_eq!(tpm.tpm.nv.da.failed_tries, 0);
}
