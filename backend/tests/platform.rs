//! What of a TPM is its platform's: physical presence, and countdown timers that signal.

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Command;

use common::{Daemon, STARTUP_CLEAR, SUCCESS, authorized, request};
use rustix::process::Signal;

const PLATFORM: u32 = 0x4000_000C;
const ACT: u32 = 0x4000_0110;

/// TPM2_PP_Commands without commands, which always needs physical presence.
fn pp_commands() -> Vec<u8> {
    authorized(0x12D, &[PLATFORM], &[0; 8])
}

/// TPM2_ACT_SetTimeout.
fn set_timer(number: u32, seconds: u32) -> Vec<u8> {
    authorized(0x198, &[ACT + number], &seconds.to_be_bytes())
}

/// TPM_RC_PP of the first session.
const TPM_RC_PP: [u8; 4] = [0, 0, 9, 0x90];

#[test]
fn a_signal_asserts_physical_presence_until_the_next_reset() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(&directory, &["--startup", "clear"]);
    let (mut control, mut data) = daemon.attach();
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    assert_eq!(data.run(&pp_commands())[6..10], TPM_RC_PP);
    daemon.signal(Signal::USR1);
    // The signal may take a while to arrive.
    let present = (0..1000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(5));
        data.run(&pp_commands())[6..10] == [0; 4]
    });
    assert!(present);
    assert_eq!(control.ask(&request(2, &[0; 4]), 4), [0; 4]);
    daemon.wait_for("physical presence has ended");
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    assert_eq!(data.run(&pp_commands())[6..10], TPM_RC_PP);
}

#[test]
fn physical_presence_can_be_asserted_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &["--physical-presence"]);
    let (mut control, mut data) = daemon.attach();
    for _ in 0..2 {
        assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
        assert_eq!(data.run(&pp_commands())[6..10], [0; 4]);
        assert_eq!(control.ask(&request(2, &[0; 4]), 4), [0; 4]);
    }
}

#[test]
fn timers_that_signal_are_logged_and_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let events = directory.path().join("events");
    let events = events.to_str().unwrap();
    let mut daemon = Daemon::start(&directory, &["--startup", "clear", "--timer-events", events]);
    let mut data = daemon.control().attach();
    assert_eq!(data.run(&set_timer(10, 600))[6..10], [0; 4]);
    assert_eq!(data.run(&set_timer(3, 1))[6..10], [0; 4]);
    daemon.wait_for("TPM_RH_ACT_3 has signaled");
    // A timer that runs and is set to zero signals at once.
    assert_eq!(data.run(&set_timer(10, 0))[6..10], [0; 4]);
    daemon.wait_for("TPM_RH_ACT_A has signaled");
    assert_eq!(data.run(&set_timer(3, 1))[6..10], [0; 4]);
    daemon.wait_for("TPM_RH_ACT_3 has signaled");
    assert_eq!(
        fs::read_to_string(events).unwrap(),
        "TPM_RH_ACT_3\nTPM_RH_ACT_A\nTPM_RH_ACT_3\n"
    );
}

#[test]
fn a_fifo_tells_whoever_waits_for_a_timer() {
    let directory = tempfile::tempdir().unwrap();
    let events = directory.path().join("events");
    assert!(Command::new("mkfifo").arg(&events).status().unwrap().success());
    let mut daemon = Daemon::start(
        &directory,
        &["--startup", "clear", "--timer-events", events.to_str().unwrap()],
    );
    // Nobody reads yet, and nobody ever reads fast enough to matter.
    let mut data = daemon.control().attach();
    assert_eq!(data.run(&set_timer(15, 1))[6..10], [0; 4]);
    daemon.wait_for("TPM_RH_ACT_F has signaled");
    let mut line = String::new();
    BufReader::new(fs::File::open(&events).unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "TPM_RH_ACT_F\n");
}

#[test]
fn a_place_for_events_that_cannot_be_opened_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::spawn(&directory, &["--timer-events", "/nowhere/events"], |_| {});
    let (status, log) = daemon.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains("/nowhere/events cannot be opened for the signals of timers"),
        "{log}"
    );
}
