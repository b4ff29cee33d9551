//! A TPM moves between two daemons by swtpm's protocol, as QEMU moves it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test may panic: that is how it fails"
)]

mod common;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use common::{
    Control, Daemon, Data, GET_RANDOM, NO_POWER, NOT_STARTED, STARTUP_CLEAR, counter, define_counter, increment,
    request, scene,
};
use rustix::process::Signal;
use tempfile::TempDir;

const PERMANENT: u32 = 1;
const VOLATILE: u32 = 2;
const SAVED: u32 = 3;
const BAD_PARAMETER: [u8; 4] = [0, 0, 0, 3];
const FAIL: [u8; 4] = [0, 0, 0, 9];
const BAD_ORDINAL: [u8; 4] = [0, 0, 0, 10];
const SUCCESS: [u8; 4] = [0; 4];

/// A part of the state from an offset on, with the flags that say how it is.
#[derive(Debug, Clone, PartialEq)]
struct Blob {
    flags: u32,
    bytes: Vec<u8>,
}

fn get_from(control: &mut Control, part: u32, offset: u32) -> Option<Blob> {
    let body = [1, part, offset].map(u32::to_be_bytes).concat();
    let header = control.ask(&request(0x0C, &body), 16);
    let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
    assert_eq!(word(8), word(12), "all that there is comes at once");
    let mut bytes = vec![0; word(12) as usize];
    std::io::Read::read_exact(&mut control.0, &mut bytes).unwrap();
    match word(0) {
        0 => Some(Blob { flags: word(4), bytes }),
        0x800 => None,
        other => panic!("{other:#x}"),
    }
}

fn get(control: &mut Control, part: u32) -> Option<Blob> {
    get_from(control, part, 0)
}

fn set(control: &mut Control, part: u32, bytes: &[u8]) -> Vec<u8> {
    let body = [2, part, bytes.len() as u32].map(u32::to_be_bytes).concat();
    // As QEMU has it, the header comes before the data.
    std::io::Write::write_all(&mut control.0, &request(0x0D, &body)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(5));
    control.ask(bytes, 4)
}

/// What QEMU takes from the source.
fn take(control: &mut Control) -> [Blob; 2] {
    let parts = [PERMANENT, VOLATILE].map(|part| get(control, part).unwrap());
    assert_eq!(get(control, SAVED), None);
    parts
}

/// What QEMU does with them at the destination; the result of CMD_INIT.
fn put(control: &mut Control, parts: &[Blob; 2]) -> Vec<u8> {
    assert_eq!(control.ask(&request(0x0E, &[]), 4), SUCCESS);
    assert_eq!(set(control, PERMANENT, &parts[0].bytes), SUCCESS);
    assert_eq!(set(control, VOLATILE, &parts[1].bytes), SUCCESS);
    init(control)
}

fn init(control: &mut Control) -> Vec<u8> {
    control.ask(&request(0x02, &[0, 0, 0, 1]), 4)
}

fn lock_storage(control: &mut Control) -> Vec<u8> {
    control.ask(&request(0x13, &[0, 0, 0, 3]), 4)
}

fn begin(data: &mut Data<UnixStream>) {
    scene::begin(&mut |command| data.run(command));
}

fn finish(data: &mut Data<UnixStream>) {
    scene::finish(&mut |command| data.run(command));
}

/// A daemon with a directory of its own, and a guest in the middle of everything.
fn busy(args: &[&str]) -> (TempDir, Daemon, Control, Data<UnixStream>) {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, args);
    let (control, mut data) = daemon.attach();
    begin(&mut data);
    (directory, daemon, control, data)
}

/// A daemon that waits for a TPM, with its channels.
fn waiting(args: &[&str]) -> (TempDir, Daemon, Control, Data<UnixStream>) {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[&["--migration", "incoming"], args].concat());
    let mut control = daemon.control();
    let data = control.attach();
    (directory, daemon, control, data)
}

#[test]
fn a_guest_goes_on_at_the_destination_and_the_source_refuses() {
    let (_a, _source, mut control, mut data) = busy(&[]);
    let (b, mut destination, mut there, mut data_there) = waiting(&[]);
    assert_eq!(data_there.run(&GET_RANDOM), NO_POWER);
    let parts = take(&mut control);
    assert_eq!(parts[0].flags, 0);
    assert_eq!(data.run(&GET_RANDOM), NO_POWER, "the source refuses");
    assert!(
        !b.path().join("tpm/state.redb").exists(),
        "the destination has touched nothing"
    );
    assert_eq!(put(&mut there, &parts), SUCCESS);
    finish(&mut data_there);
    assert_eq!(data.run(&GET_RANDOM), NO_POWER, "the source still refuses");
    destination.wait_for("has arrived and lives here");
    // It is durable there.
    define_counter(&mut data_there);
    destination.signal(Signal::KILL);
    destination.end();
    let again = Daemon::start(&b, &[]);
    let (_control, mut data) = again.attach();
    assert_eq!(data.run(&STARTUP_CLEAR)[6..10], SUCCESS);
    assert_eq!(counter(&mut data), 1);
}

/// What a TPM that was handed over leaves behind is served by nobody who does not say what it is.
#[test]
fn what_a_tpm_leaves_behind_is_refused_until_it_comes_back_or_is_restored() {
    for end in [Signal::TERM, Signal::KILL] {
        let (a, source, mut control, mut data) = busy(&[]);
        define_counter(&mut data);
        let parts = take(&mut control);
        source.signal(end);
        let (_, log) = source.end();
        assert_eq!(
            log.contains("handed over and lives elsewhere"),
            end == Signal::TERM,
            "{log}"
        );
        assert!(!log.contains("all state is on disk"), "{log}");
        for args in [
            &[][..],
            &["--startup", "clear"],
            &["--migration", "release-lock-outgoing"],
        ] {
            let (status, log) = Daemon::spawn(&a, args, |_| {}).end();
            assert_eq!(status.code(), Some(1), "{log}");
            assert!(log.contains("was handed over to another daemon"), "{log}");
            assert!(
                log.contains("--migration incoming") && log.contains("`vhost-device-tpm restore`"),
                "{log}"
            );
        }
        // The machine comes back, and until then there is no TPM.
        let daemon = Daemon::start(&a, &["--migration", "incoming"]);
        let mut control = daemon.control();
        let mut data = control.attach();
        assert_eq!(init(&mut control), FAIL);
        assert_eq!(data.run(&GET_RANDOM), NO_POWER);
        assert_eq!(put(&mut control, &parts), SUCCESS);
        finish(&mut data);
        assert_eq!(counter(&mut data), 1);
        daemon.signal(end);
        daemon.end();
        let daemon = Daemon::start(&a, &[]);
        // It is handed over once more, and never arrives.
        let (mut control, _data) = daemon.attach();
        take(&mut control);
        daemon.signal(end);
        daemon.end();
        let state = a.path().join("tpm");
        let mut restore = Command::new(env!("CARGO_BIN_EXE_vhost-device-tpm"));
        let restored = restore.arg("restore").arg("--state-dir").arg(state).output().unwrap();
        assert!(restored.status.success(), "{restored:?}");
        Daemon::start(&a, &["--startup", "clear"]);
    }
}

#[test]
fn a_tpm_that_was_taken_back_is_served_on_after_a_crash() {
    let (a, source, mut control, mut data) = busy(&[]);
    define_counter(&mut data);
    take(&mut control);
    assert_eq!(lock_storage(&mut control), SUCCESS);
    assert_eq!(data.run(&increment())[6..10], SUCCESS);
    take(&mut control);
    assert_eq!(init(&mut control), SUCCESS);
    source.signal(Signal::KILL);
    source.end();
    let again = Daemon::start(&a, &["--startup", "clear"]);
    assert_eq!(counter(&mut again.control().attach()), 2);
}

#[test]
fn a_migration_that_fails_leaves_the_source_in_charge() {
    let (_a, _source, mut control, mut data) = busy(&[]);
    let parts = take(&mut control);
    // The destination already has a TPM, and a state that does not fit together comes to it.
    let directory = tempfile::tempdir().unwrap();
    let destination = Daemon::start(&directory, &[]);
    let (mut there, mut data_there) = destination.attach();
    data_there.run(&STARTUP_CLEAR);
    define_counter(&mut data_there);
    let other = take(&mut there);
    assert_eq!(data_there.run(&GET_RANDOM), NO_POWER);
    assert_eq!(put(&mut there, &[parts[0].clone(), other[1].clone()]), FAIL);
    // It has the TPM that it had.
    assert_eq!(init(&mut there), SUCCESS);
    assert_eq!(data_there.run(&GET_RANDOM), NOT_STARTED);
    data_there.run(&STARTUP_CLEAR);
    assert_eq!(counter(&mut data_there), 1);
    // QEMU goes on at the source.
    assert_eq!(lock_storage(&mut control), SUCCESS);
    finish(&mut data);
}

#[test]
fn state_that_is_broken_is_refused_when_it_comes() {
    let (_a, _source, mut control, _data) = busy(&[]);
    let parts = take(&mut control);
    let (_b, mut destination, mut there, mut data_there) = waiting(&[]);
    for (part, blob) in [(PERMANENT, &parts[0].bytes), (VOLATILE, &parts[1].bytes)] {
        let mut flipped = blob.clone();
        flipped[blob.len() / 2] ^= 1;
        let mut newer = blob.clone();
        newer[9] = 2;
        for bad in [
            &blob[..blob.len() - 1],
            &blob[..20],
            &flipped,
            &newer,
            b"something else",
        ] {
            assert_eq!(set(&mut there, part, bad), BAD_PARAMETER);
        }
        assert_eq!(set(&mut there, 3 - part, blob), BAD_PARAMETER, "the other part");
        assert_eq!(set(&mut there, 9, blob), BAD_PARAMETER);
        assert_eq!(set(&mut there, part, &vec![0; 3 << 20]), BAD_PARAMETER, "too large");
        assert_eq!(set(&mut there, part, &[]), SUCCESS);
    }
    destination.wait_for("of version 2; this program reads version 1");
    assert_eq!(data_there.run(&GET_RANDOM), NO_POWER);
    // Volatile state alone belongs to no TPM that is here.
    assert_eq!(set(&mut there, VOLATILE, &parts[1].bytes), SUCCESS);
    assert_eq!(init(&mut there), FAIL);
    assert_eq!(put(&mut there, &parts), SUCCESS);
    finish(&mut data_there);
    assert_eq!(
        set(&mut there, PERMANENT, &parts[0].bytes),
        BAD_ORDINAL,
        "a TPM with power"
    );
}

#[test]
fn parts_are_of_one_moment_and_can_be_read_in_pieces() {
    let (_a, _source, mut control, mut data) = busy(&[]);
    let permanent = get(&mut control, PERMANENT).unwrap();
    let rest = get_from(&mut control, PERMANENT, 100).unwrap();
    assert_eq!(rest.bytes, permanent.bytes[100..]);
    assert_eq!(get_from(&mut control, PERMANENT, u32::MAX).unwrap().bytes, b"");
    assert_eq!(get(&mut control, 0), None);
    // Whoever looks at one half does not take the TPM away, and a later half is of the later TPM.
    define_counter(&mut data);
    let volatile = get(&mut control, VOLATILE).unwrap();
    assert_eq!(data.run(&increment())[6..10], SUCCESS);
    let (_b, _destination, mut there, _data) = waiting(&[]);
    assert_eq!(put(&mut there, &[permanent, volatile]), FAIL);
    assert_eq!(control.ask(&request(0x0E, &[]), 4), SUCCESS);
    let body = [1, PERMANENT, 0].map(u32::to_be_bytes).concat();
    assert_eq!(control.ask(&request(0x0C, &body), 4), BAD_ORDINAL, "without power");
}

fn share(directory: &TempDir, with: &Path) {
    std::os::unix::fs::symlink(with.join("tpm"), directory.path().join("tpm")).unwrap();
}

#[test]
fn two_daemons_hand_over_one_directory() {
    let (a, mut source, mut control, mut data) = busy(&["--migration", "release-lock-outgoing"]);
    define_counter(&mut data);
    let b = tempfile::tempdir().unwrap();
    share(&b, a.path());
    let destination = Daemon::start(&b, &["--migration", "incoming"]);
    let mut there = destination.control();
    let mut data_there = there.attach();
    // A migration that fails before the destination has the TPM: the source takes its directory back.
    take(&mut control);
    assert_eq!(lock_storage(&mut control), SUCCESS);
    assert_eq!(data.run(&increment())[6..10], SUCCESS);
    assert_eq!(init(&mut there), FAIL, "the directory is the source's");
    // One that succeeds.
    let parts = take(&mut control);
    source.wait_for("its state directory given up");
    let (status, log) = Daemon::spawn(&a, &[], |_| {}).end();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("was handed over to another daemon"), "{log}");
    assert_eq!(put(&mut there, &parts), SUCCESS);
    finish(&mut data_there);
    assert_eq!(data_there.run(&increment())[6..10], SUCCESS);
    assert_eq!(lock_storage(&mut control), FAIL, "the destination has it");
    assert_eq!(data.run(&GET_RANDOM), NO_POWER);
    destination.signal(Signal::KILL);
    destination.end();
    assert_eq!(lock_storage(&mut control), FAIL, "it has lived elsewhere");
    source.wait_for("it lives elsewhere now");
    assert_eq!(data.run(&GET_RANDOM), NO_POWER);
    source.signal(Signal::TERM);
    assert!(source.end().0.success());
    let last = Daemon::start(&a, &[]);
    let (_control, mut data) = last.attach();
    data.run(&STARTUP_CLEAR);
    assert_eq!(counter(&mut data), 3);
}

#[test]
fn a_reset_of_the_machine_brings_a_tpm_back_that_was_handed_over() {
    let (_a, _source, mut control, mut data) = busy(&[]);
    take(&mut control);
    assert_eq!(init(&mut control), SUCCESS);
    assert_eq!(data.run(&GET_RANDOM), NOT_STARTED);
}

#[test]
fn a_migration_key_seals_the_state_on_its_way() {
    let keys = tempfile::tempdir().unwrap();
    let key = |name: &str, byte: u8| {
        let path = keys.path().join(name);
        std::fs::write(&path, [byte; 32]).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (right, wrong) = (key("right", 1), key("wrong", 2));
    let (_a, _source, mut control, _data) = busy(&["--migration-key-file", &right]);
    assert_eq!(control.ask(&request(0x0F, &[]), 8), [0, 0, 0, 0, 0, 0, 0, 2]);
    let parts = take(&mut control);
    assert!(
        parts
            .iter()
            .all(|blob| blob.flags == 2 && blob.bytes.starts_with(b"VDTPM-ENVELOPE"))
    );
    let (_b, mut other, mut there, _data) = waiting(&["--migration-key-file", &wrong]);
    assert_eq!(set(&mut there, PERMANENT, &parts[0].bytes), BAD_PARAMETER);
    other.wait_for("is not the one that it was sealed with");
    let (_c, mut none, mut there, _data) = waiting(&[]);
    assert_eq!(set(&mut there, PERMANENT, &parts[0].bytes), BAD_PARAMETER);
    none.wait_for("--migration-key-file");
    let (_d, _same, mut there, mut data_there) = waiting(&["--migration-key-file", &right]);
    assert_eq!(put(&mut there, &parts), SUCCESS);
    finish(&mut data_there);
    let (_e, _open, mut control, _data) = busy(&[]);
    let plain = take(&mut control);
    let (_f, _same, mut there, _data) = waiting(&["--migration-key-file", &right]);
    assert_eq!(set(&mut there, VOLATILE, &plain[1].bytes), BAD_PARAMETER);
}

#[test]
fn a_new_process_goes_on_from_stored_volatile_state() {
    let (directory, daemon, mut control, _data) = busy(&[]);
    assert_eq!(control.ask(&request(0x0A, &[]), 4), SUCCESS);
    daemon.signal(Signal::TERM);
    assert!(daemon.end().0.success());
    let daemon = Daemon::start(&directory, &[]);
    let (mut control, mut data) = daemon.attach();
    finish(&mut data);
    assert_eq!(init(&mut control), SUCCESS);
    assert_eq!(data.run(&GET_RANDOM), NOT_STARTED, "only once");
    assert_eq!(control.ask(&request(0x0E, &[]), 4), SUCCESS);
    assert_eq!(control.ask(&request(0x0A, &[]), 4), BAD_ORDINAL, "without power");
}

#[test]
fn without_a_tpm_to_come_one_is_made_when_the_monitor_powers_it_on() {
    let (directory, _daemon, mut control, mut data) = waiting(&[]);
    assert_eq!(init(&mut control), SUCCESS);
    assert_eq!(data.run(&STARTUP_CLEAR)[6..10], SUCCESS);
    assert!(directory.path().join("tpm/state.redb").exists());
}

/// The database's own assertions are among what notices damage.
#[test]
fn a_damaged_store_that_is_opened_late_is_refused_and_ends_no_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &["--startup", "clear"]);
    daemon.signal(Signal::TERM);
    daemon.end();
    // A database that was closed in order is relied on before its checksums are looked at.
    let state = directory.path().join("tpm");
    let mut info = Command::new(env!("CARGO_BIN_EXE_vhost-device-tpm"));
    assert!(
        info.arg("info")
            .arg("--state-dir")
            .arg(state)
            .output()
            .unwrap()
            .status
            .success()
    );
    let path = directory.path().join("tpm/state.redb");
    let acknowledged = path.with_file_name("acknowledged");
    let (good, mark) = (std::fs::read(&path).unwrap(), std::fs::read(&acknowledged).unwrap());
    let mut refused = 0;
    for page in 0..good.len() / 4096 {
        // The kind of a page, and the lengths of what is in it.
        let mut bad = good.clone();
        bad[page * 4096..][..16].fill(0xFF);
        std::fs::write(&path, bad).unwrap();
        std::fs::write(&acknowledged, &mark).unwrap();
        let daemon = Daemon::start(&directory, &["--migration", "incoming"]);
        let result = init(&mut daemon.control());
        daemon.signal(Signal::TERM);
        let (status, log) = daemon.end();
        assert!(status.success() && !log.contains("panicked"), "{page}: {log}");
        if result != SUCCESS {
            assert_eq!(result, FAIL, "{page}");
            assert!(
                log.contains("cannot be read") || log.contains("not the newest"),
                "{page}: {log}"
            );
            refused += 1;
        }
    }
    assert!(refused > 2, "{refused}");
}
