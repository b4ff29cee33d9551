//! The daemon as a process: readiness, signals, its lock and what outlives it.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixListener};

use common::{
    Daemon, GET_RANDOM, PCR_READ, SHUTDOWN_STATE, STARTUP_CLEAR, STARTUP_STATE, SUCCESS, counter, define_counter,
    increment, pcr_extend, program, request,
};
use rustix::process::Signal;

#[test]
fn ready_is_a_line_of_its_own_and_a_datagram() {
    let directory = tempfile::tempdir().unwrap();
    let notify = directory.path().join("notify");
    let manager = UnixDatagram::bind(&notify).unwrap();
    let mut daemon = Daemon::spawn(&directory, &[], |command| {
        command.env("NOTIFY_SOCKET", &notify);
    });
    assert_eq!(daemon.wait_for("READY"), "READY");
    let receive = || {
        let mut message = [0; 64];
        let len = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..len]).into_owned()
    };
    assert_eq!(receive(), "READY=1");
    daemon.signal(Signal::TERM);
    assert_eq!(receive(), "STOPPING=1");
    assert!(daemon.end().0.success());
}

#[test]
fn signals_stop_the_daemon_in_order() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let directory = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(&directory, &[]);
        let (_control, mut data) = daemon.attach();
        assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
        assert_eq!(data.run(&SHUTDOWN_STATE), SUCCESS);
        daemon.signal(signal);
        let (status, log) = daemon.end();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(!directory.path().join("control.sock").exists());
        let daemon = Daemon::start(&directory, &["--startup", "state"]);
        assert_eq!(daemon.control().attach().run(&GET_RANDOM).len(), 20);
    }
}

#[test]
fn a_stop_lets_the_last_response_leave() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &["--startup", "clear"]);
    let mut data = daemon.control().attach();
    assert_eq!(data.run(&GET_RANDOM).len(), 20);
    data.0.write_all(&GET_RANDOM).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    daemon.signal(Signal::TERM);
    assert!(daemon.end().0.success());
    assert_eq!(data.response().len(), 20);
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_the_stop_up() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &["--startup", "clear"]);
    let data = daemon.control().attach();
    data.0.set_nonblocking(true).unwrap();
    while (&data.0).write(&GET_RANDOM).is_ok() {}
    daemon.signal(Signal::TERM);
    assert!(daemon.end().0.success());
}

#[test]
fn what_was_answered_outlives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (_control, mut data) = daemon.attach();
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    // PCR 16 is not kept over TPM2_Startup(STATE), PCR 0 is.
    let mut read = PCR_READ;
    read[17..].copy_from_slice(&[1, 0, 0]);
    assert_eq!(data.run(&pcr_extend(0, [7; 32]))[6..10], [0; 4]);
    let value = data.run(&read);
    assert_eq!(data.run(&SHUTDOWN_STATE), SUCCESS);
    daemon.signal(Signal::KILL);
    assert!(!daemon.end().0.success());

    // The control socket that the killed daemon left is in nobody's way.
    let daemon = Daemon::start(&directory, &[]);
    let (_control, mut data) = daemon.attach();
    assert_eq!(data.run(&STARTUP_STATE), SUCCESS);
    assert_eq!(data.run(&read)[14..], value[14..]);
}

/// A change that cannot be written is refused and has not happened, not even after a restart; when the disk takes
/// writes again, so does the TPM.
#[test]
fn a_full_disk_changes_nothing_and_passes() {
    const NV_UNAVAILABLE: [u8; 4] = [0, 0, 0x09, 0x23];
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(&directory, &["--startup", "clear"]);
    let mut data = daemon.control().attach();
    define_counter(&mut data);
    let mut refused = 0;
    let limits = (0..40).map(|page| Some(page * 4096)).chain([None]);
    for limit in limits {
        let before = counter(&mut data);
        // Writes beyond the limit fail, those before it do not: a commit is cut at each of its pages.
        daemon.limit_file_size(limit);
        let increments = match data.run(&increment())[6..10].try_into().unwrap() {
            NV_UNAVAILABLE => 0,
            [0, 0, 0, 0] => 1,
            code => panic!("{code:x?}"),
        };
        refused += 1 - increments;
        assert_eq!(counter(&mut data), before + increments, "{limit:?}");
        daemon.limit_file_size(None);
        assert_eq!(data.run(&increment())[6..10], [0; 4], "{limit:?}");
        let after = before + increments + 1;
        assert_eq!(counter(&mut data), after, "{limit:?}");
        if limit.is_none_or(|limit| limit % 0x8000 == 0) {
            daemon.signal(Signal::KILL);
            daemon.end();
            daemon = Daemon::start(&directory, &["--startup", "clear"]);
            data = daemon.control().attach();
            assert_eq!(counter(&mut data), after, "{limit:?}");
        }
    }
    assert!(refused > 3, "{refused}");
}

/// A counter that is incremented until the daemon is killed has each increment that was answered, and at most the one
/// more that was on its way.
#[test]
fn kills_under_load_lose_no_increment() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..6 {
        let daemon = Daemon::start(&directory, &["--startup", "clear"]);
        let mut data = daemon.control().attach();
        if round == 0 {
            define_counter(&mut data);
        } else {
            let found = counter(&mut data);
            assert!(
                (acknowledged..=acknowledged + 1).contains(&found),
                "{found} {acknowledged}"
            );
        }
        let before = counter(&mut data);
        let increments = std::thread::spawn(move || {
            let mut count = 0;
            while data.0.write_all(&increment()).is_ok() {
                let mut response = [0; 64];
                match data.0.read(&mut response) {
                    Ok(1..) if response[6..10] == [0; 4] => count += 1,
                    _ => break,
                }
            }
            count
        });
        std::thread::sleep(std::time::Duration::from_millis(7 * (round + 1)));
        daemon.signal(Signal::KILL);
        acknowledged = before + increments.join().unwrap();
        daemon.end();
    }
}

#[test]
fn a_kill_at_manufacture_leaves_a_directory_that_works() {
    for delay in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        let daemon = Daemon::spawn(&directory, &[], |_| {});
        std::thread::sleep(std::time::Duration::from_millis(delay));
        daemon.signal(Signal::KILL);
        daemon.end();
        let daemon = Daemon::start(&directory, &["--startup", "clear"]);
        assert_eq!(daemon.control().attach().run(&GET_RANDOM).len(), 20);
    }
}

#[test]
fn two_daemons_never_serve_one_tpm() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &["--startup", "clear"]);
    let (status, log) = Daemon::spawn(&directory, &[], |_| {}).end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains(&format!("process {}", daemon.id())), "{log}");
    assert!(log.contains("tpm/lock"), "{log}");
    // The first is unharmed, and its socket is still its own.
    assert_eq!(daemon.control().attach().run(&GET_RANDOM).len(), 20);
}

#[test]
fn a_control_socket_that_is_served_is_not_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let _other = UnixListener::bind(&path).unwrap();
    let (status, log) = Daemon::spawn(&directory, &[], |_| {}).end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("another process serves on the socket"), "{log}");
    assert!(path.exists());
}

#[test]
fn a_file_is_not_removed_for_the_control_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    std::fs::write(&path, "notes").unwrap();
    let (status, log) = Daemon::spawn(&directory, &[], |_| {}).end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("is in the way of a socket"), "{log}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "notes");
}

#[test]
fn a_damaged_store_is_refused_and_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    daemon.signal(Signal::TERM);
    assert!(daemon.end().0.success());
    let path = directory.path().join("tpm/state.redb");
    for damage in [&b""[..], b"not a database", &[0xFF; 8192]] {
        std::fs::write(&path, damage).unwrap();
        let (status, log) = Daemon::spawn(&directory, &[], |_| {}).end();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("never replaced by a new TPM"), "{log}");
        assert_eq!(std::fs::read(&path).unwrap(), damage);
    }
}

#[test]
fn a_state_that_is_gone_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    daemon.signal(Signal::TERM);
    assert!(daemon.end().0.success());
    let path = directory.path().join("tpm");
    std::fs::remove_file(path.join("state.redb")).unwrap();
    let (status, log) = Daemon::spawn(&directory, &[], |_| {}).end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("remove manufactured to have a new TPM made"), "{log}");
    assert!(!path.join("state.redb").exists());
    std::fs::remove_file(path.join("manufactured")).unwrap();
    Daemon::start(&directory, &[]);
}

#[test]
fn startup_state_without_a_saved_state_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (status, log) = Daemon::spawn(&directory, &["--startup", "state"], |_| {}).end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("0x1c4"), "{log}");
    assert!(!log.lines().any(|line| line == "READY"), "{log}");
}

#[test]
fn a_profile_is_chosen_once() {
    let directory = tempfile::tempdir().unwrap();
    let (status, log) = Daemon::spawn(&directory, &["--profile", "none-such"], |_| {}).end();
    assert!(!status.success());
    assert!(log.contains("the profiles are default, compat, fips"), "{log}");
    for args in [&["--profile", "compat"][..], &["--profile", "compat"], &[]] {
        let mut daemon = Daemon::spawn(&directory, args, |_| {});
        daemon.wait_for("of profile compat-v1");
        daemon.wait_for("READY");
        daemon.signal(Signal::TERM);
        daemon.end();
    }
    let (status, log) = Daemon::spawn(&directory, &["--profile", "fips"], |_| {}).end();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("was made with the profile compat-v1"), "{log}");
}

#[test]
fn a_daemon_without_a_socket_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = program(&["--state-dir"])
        .arg(directory.path().join("tpm"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("--swtpm-socket"), "{log}");
    assert!(!directory.path().join("tpm").exists());
}

#[test]
fn a_power_cycle_interrupts_nothing_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (mut control, mut data) = daemon.attach();
    for _ in 0..20 {
        assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
        assert_eq!(data.run(&SHUTDOWN_STATE), SUCCESS);
        assert_eq!(control.ask(&request(0x02, &[0; 4]), 4), [0; 4]);
        assert_eq!(data.run(&STARTUP_STATE), SUCCESS);
        assert_eq!(control.ask(&request(0x02, &[0; 4]), 4), [0; 4]);
    }
}
