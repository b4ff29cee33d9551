//! Power cycles: what a reset, a restart and a resume keep, and what makes a shutdown void.

use std::sync::atomic::Ordering;

use crate::state::time::CLOCK_UPDATE_INTERVAL;
use crate::testing::{Bench, hex, plain, with_passwords};

const CLEAR: u8 = 0;
const STATE: u8 = 1;

/// TPM_RC_VALUE of the parameter, TPM_RC_INITIALIZE and TPM_RC_LOCALITY.
const VALUE: u32 = 0x1C4;
const INITIALIZE: u32 = 0x100;
const LOCALITY: u32 = 0x907;

fn shutdown(tpm: &mut Bench, kind: u8) {
    assert_eq!(tpm.run(&plain(0x145, &[0, kind])).0, 0);
}

fn startup_at(tpm: &mut Bench, locality: u8, kind: u8) -> u32 {
    tpm.run_at(locality, &plain(0x144, &[0, kind])).0
}

fn startup(tpm: &mut Bench, kind: u8) -> u32 {
    startup_at(tpm, 0, kind)
}

/// The TPM that finds what this one has left behind, after `_TPM_Init`.
fn power_off(tpm: &Bench) -> Bench {
    Bench::on(tpm.memory.clone())
}

/// Shutdown, power cycle and start-up.
fn cycle(tpm: &mut Bench, before: Option<u8>, after: u8) {
    if let Some(kind) = before {
        shutdown(tpm, kind);
    }
    *tpm = power_off(tpm);
    assert_eq!(startup(tpm, after), 0);
}

/// resetCount, restartCount and whether Clock is safe, as TPM2_ReadClock reports them.
fn counts(tpm: &mut Bench) -> (u32, u32, bool) {
    let reply = tpm.run_ok("8001 0000000a 00000181");
    let word = |at: usize| u32::from_be_bytes(reply[at..at + 4].try_into().unwrap());
    (word(16), word(20), reply[24] == 1)
}

fn clock(tpm: &mut Bench) -> (u64, bool) {
    let reply = tpm.run_ok("8001 0000000a 00000181");
    (u64::from_be_bytes(reply[8..16].try_into().unwrap()), reply[24] == 1)
}

fn extend(tpm: &mut Bench, pcr: u32) -> u32 {
    let params = [&hex("00000001 000b")[..], &[7; 32]].concat();
    tpm.run(&with_passwords(0x182, &[pcr], &[b""], &params)).0
}

/// The PCR's value in the SHA-256 bank.
fn pcr(tpm: &mut Bench, number: u32) -> [u8; 32] {
    let select = (1u32 << number).to_le_bytes();
    let params = [&hex("00000001 000b 03")[..], &select[..3]].concat();
    let (code, response) = tpm.run(&plain(0x17E, &params));
    assert_eq!(code, 0);
    response[response.len() - 32..].try_into().unwrap()
}

fn ending_with(last: u8) -> [u8; 32] {
    let mut value = [0; 32];
    value[31] = last;
    value
}

#[test]
fn nothing_but_startup_runs_before_it_and_it_runs_once() {
    let mut tpm = Bench::unstarted();
    assert_eq!(tpm.code("8001 0000000c 0000017b 0001"), INITIALIZE);
    assert_eq!(tpm.code("8001 0000000c 00000145 0000"), INITIALIZE);
    assert_eq!(tpm.code("8001 0000000c 00000144 0002"), VALUE);
    assert_eq!(tpm.code("8001 0000000b 00000144 00"), 0x1DA);
    let with_session = hex("8002 00000019 00000144 00000009 40000009 0000 00 0000 0000");
    assert_eq!(tpm.run(&with_session).0, 0x145);
    for locality in [1, 2, 4] {
        assert_eq!(startup_at(&mut tpm, locality, CLEAR), LOCALITY);
    }
    assert_eq!(startup(&mut tpm, CLEAR), 0);
    assert_eq!(startup(&mut tpm, CLEAR), INITIALIZE);
    assert_eq!(tpm.code("8001 0000000c 00000144 0002"), INITIALIZE);
    assert_eq!(tpm.code("8001 0000000c 00000145 0002"), VALUE);
}

#[test]
fn counters_tell_resets_from_restarts_and_resumes() {
    let mut tpm = Bench::started();
    assert_eq!(counts(&mut tpm), (1, 0, true));
    cycle(&mut tpm, Some(CLEAR), CLEAR);
    assert_eq!(counts(&mut tpm), (2, 0, true));
    cycle(&mut tpm, Some(STATE), CLEAR);
    assert_eq!(counts(&mut tpm), (2, 1, true));
    cycle(&mut tpm, Some(STATE), STATE);
    assert_eq!(counts(&mut tpm), (2, 2, true));
    cycle(&mut tpm, None, CLEAR);
    assert_eq!(counts(&mut tpm), (3, 0, false));
}

#[test]
fn there_is_no_resume_without_saved_state() {
    let mut tpm = Bench::unstarted();
    assert_eq!(startup(&mut tpm, STATE), VALUE);
    assert_eq!(startup(&mut tpm, CLEAR), 0);
    shutdown(&mut tpm, CLEAR);
    let mut tpm = power_off(&tpm);
    assert_eq!(startup(&mut tpm, STATE), VALUE);
    assert_eq!(startup(&mut tpm, CLEAR), 0);
    // A state is good for one start.
    cycle(&mut tpm, Some(STATE), STATE);
    let mut tpm = power_off(&tpm);
    assert_eq!(startup(&mut tpm, STATE), VALUE);
}

#[test]
fn the_last_shutdown_counts() {
    let mut tpm = Bench::started();
    shutdown(&mut tpm, STATE);
    shutdown(&mut tpm, CLEAR);
    let mut tpm = power_off(&tpm);
    assert_eq!(startup(&mut tpm, STATE), VALUE);
    assert_eq!(startup(&mut tpm, CLEAR), 0);
    shutdown(&mut tpm, CLEAR);
    shutdown(&mut tpm, STATE);
    let mut tpm = power_off(&tpm);
    assert_eq!(startup(&mut tpm, STATE), 0);
}

#[test]
fn a_change_of_what_was_saved_voids_the_shutdown() {
    let orderly = hex("0000 000e 01000001 000b 06040004 0000 0008");
    let mut tpm = Bench::started();
    assert_eq!(tpm.run(&with_passwords(0x12A, &[0x4000_0001], &[b""], &orderly)).0, 0);
    let write = |tpm: &mut Bench| {
        let command = with_passwords(0x137, &[0x0100_0001, 0x0100_0001], &[b""], &hex("0001 61 0000"));
        tpm.run(&command).0
    };
    let own_platform = with_passwords(0x129, &[0x4000_000C], &[b""], &hex("0000"));
    let disable = with_passwords(0x121, &[0x4000_0001], &[b""], &hex("40000001 00"));
    let changes: [&dyn Fn(&mut Bench) -> u32; 4] =
        [&|tpm| extend(tpm, 0), &write, &|tpm| tpm.run(&own_platform).0, &|tpm| {
            tpm.run(&disable).0
        }];
    for change in changes {
        shutdown(&mut tpm, STATE);
        assert_eq!(change(&mut tpm), 0);
        tpm = power_off(&tpm);
        assert_eq!(startup(&mut tpm, STATE), VALUE);
        assert_eq!(startup(&mut tpm, CLEAR), 0);
    }
    // What is persistent anyway, and what changes nothing, does not.
    let own_owner = with_passwords(0x129, &[0x4000_0001], &[b""], &hex("0000"));
    shutdown(&mut tpm, STATE);
    tpm.run_ok("8001 0000000c 0000017b 0001");
    assert_eq!(tpm.run(&own_owner).0, 0);
    tpm = power_off(&tpm);
    assert_eq!(startup(&mut tpm, STATE), 0);
}

#[test]
fn resume_brings_back_the_pcr_of_the_static_root() {
    let mut tpm = Bench::started();
    for number in [0, 8, 16, 23] {
        assert_eq!(extend(&mut tpm, number), 0);
    }
    let measured = pcr(&mut tpm, 0);
    cycle(&mut tpm, Some(STATE), STATE);
    let kept = [0, 1, 8, 16, 17, 23].map(|number| pcr(&mut tpm, number));
    assert_eq!(kept, [measured, [0; 32], measured, [0; 32], [0xFF; 32], [0; 32]]);
    cycle(&mut tpm, Some(STATE), CLEAR);
    assert_eq!(pcr(&mut tpm, 0), [0; 32]);
}

#[test]
fn locality_3_shows_in_pcr_0_and_a_resume_comes_from_where_the_start_came() {
    let mut tpm = Bench::unstarted();
    assert_eq!(startup_at(&mut tpm, 3, CLEAR), 0);
    assert_eq!(pcr(&mut tpm, 0), ending_with(3));
    shutdown(&mut tpm, STATE);
    let mut tpm = power_off(&tpm);
    assert_eq!(startup(&mut tpm, STATE), LOCALITY);
    assert_eq!(startup_at(&mut tpm, 3, STATE), 0);
    assert_eq!(pcr(&mut tpm, 0), ending_with(3));
    cycle(&mut tpm, Some(STATE), CLEAR);
    assert_eq!(pcr(&mut tpm, 0), [0; 32]);
    shutdown(&mut tpm, STATE);
    let mut tpm = power_off(&tpm);
    assert_eq!(startup_at(&mut tpm, 3, STATE), LOCALITY);
    assert_eq!(startup(&mut tpm, STATE), 0);
}

#[test]
fn an_hcrtm_is_measured_from_locality_4_and_resumes_with_another() {
    let measure = |tpm: &mut Bench| {
        tpm.tpm.hash_start();
        tpm.tpm.hash_data(b"abc");
        tpm.tpm.hash_end();
    };
    let mut tpm = Bench::unstarted();
    measure(&mut tpm);
    assert_eq!(startup_at(&mut tpm, 3, CLEAR), 0);
    // As another implementation computes it.
    let expected = hex("15703cc929081671c587dad9b09606521a35aa6bf4741df448d22c4b307acc71");
    assert_eq!(pcr(&mut tpm, 0)[..], expected);
    shutdown(&mut tpm, STATE);
    let mut tpm = power_off(&tpm);
    assert_eq!(startup(&mut tpm, STATE), VALUE);
    measure(&mut tpm);
    assert_eq!(startup(&mut tpm, STATE), 0);
    assert_eq!(pcr(&mut tpm, 0)[..], expected);
}

#[test]
fn an_event_sequence_of_either_kind_sets_the_established_flag() {
    let locality = |number| crate::Locality::new(number).unwrap();
    let mut tpm = Bench::unstarted();
    tpm.tpm.hash_start();
    assert!(tpm.tpm.established());
    tpm.tpm.hash_end();
    assert_eq!(startup(&mut tpm, CLEAR), 0);
    for (number, allowed) in [(0, false), (2, false), (3, true), (4, true)] {
        tpm.tpm.hash_start();
        tpm.tpm.hash_end();
        assert_eq!(tpm.tpm.reset_established(locality(number)), allowed);
        assert_eq!(tpm.tpm.established(), !allowed);
    }
    // It outlives a reset of the machine.
    tpm.tpm.hash_start();
    tpm.tpm.power_on();
    assert!(tpm.tpm.established());
}

#[test]
fn clock_never_goes_back() {
    let mut tpm = Bench::started();
    tpm.clock.0.store(5000, Ordering::Relaxed);
    assert_eq!(clock(&mut tpm), (5000, true));
    // An orderly stop knows the time.
    cycle(&mut tpm, Some(CLEAR), CLEAR);
    assert_eq!(clock(&mut tpm), (5000, true));
    tpm.clock.0.store(3000, Ordering::Relaxed);
    assert_eq!(clock(&mut tpm), (8000, true));
    // A power failure does not: Clock goes to where it cannot have been, and is unsafe until the next write.
    cycle(&mut tpm, None, CLEAR);
    let (after, safe) = clock(&mut tpm);
    assert!(after >= 8000 && !safe);
    tpm.clock.0.store(CLOCK_UPDATE_INTERVAL, Ordering::Relaxed);
    assert_eq!(clock(&mut tpm), (after + CLOCK_UPDATE_INTERVAL, true));
}

#[test]
fn clock_that_ran_on_after_a_shutdown_is_not_forgotten() {
    let mut tpm = Bench::started();
    shutdown(&mut tpm, STATE);
    tpm.clock.0.store(5000, Ordering::Relaxed);
    assert_eq!(clock(&mut tpm), (5000, true));
    tpm = power_off(&tpm);
    // The shutdown is good all the same.
    assert_eq!(startup(&mut tpm, STATE), 0);
    let (after, safe) = clock(&mut tpm);
    assert!(after >= 5000 && !safe);
}

#[test]
fn a_start_that_cannot_be_written_down_has_not_happened() {
    let mut tpm = Bench::started();
    shutdown(&mut tpm, STATE);
    let mut tpm = power_off(&tpm);
    tpm.memory.broken.store(true, Ordering::Relaxed);
    assert_eq!(startup(&mut tpm, STATE), 0x923);
    assert_eq!(tpm.code("8001 0000000c 0000017b 0001"), INITIALIZE);
    tpm.memory.broken.store(false, Ordering::Relaxed);
    assert_eq!(startup(&mut tpm, STATE), 0);
    assert_eq!(counts(&mut tpm), (1, 1, true));
}

#[test]
fn failure_mode_answers_two_commands() {
    let mut tpm = Bench::started();
    tpm.tpm.fail("broken on purpose");
    assert_eq!(tpm.code("8001 0000000c 0000017b 0001"), 0x101);
    assert_eq!(tpm.code("8001 0000000c 00000145 0000"), 0x101);
    assert_eq!(startup(&mut tpm, CLEAR), 0x101);
    assert_eq!(tpm.code("8001 0000000a 0000017c"), 0);
    assert_eq!(tpm.code("8001 00000016 0000017a 00000006 00000100 00000001"), 0);
    // `_TPM_Init` leads out of it.
    tpm.tpm.power_on();
    assert_eq!(startup(&mut tpm, CLEAR), 0);
}
