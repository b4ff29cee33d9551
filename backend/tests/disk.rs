//! A disk without room, and a directory that is read only, as the daemon meets them.
//!
//! Both are mounts in a namespace of their own, which takes root, or a kernel that lets others make one.
#![allow(
    clippy::allow_attributes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::{Daemon, GET_RANDOM, authorized, counter, define_counter, increment, pcr_extend};
use rustix::process::{Signal, geteuid};
use tempfile::TempDir;

const SUCCESS: [u8; 4] = [0; 4];
const NV_UNAVAILABLE: [u8; 4] = [0, 0, 0x09, 0x23];

/// A file system of its own, which ends with its shell.
struct Disk {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The daemon's directory; its state directory is on the disk.
    directory: TempDir,
}

impl Disk {
    /// A disk of this size; `None`, which the test says, where nobody but root may mount one.
    fn new(size: &str) -> Option<Self> {
        let is_root = geteuid().is_root();
        let mut command = Command::new("unshare");
        command
            .arg("--mount")
            .args((!is_root).then_some("--map-root-user"))
            .arg("sh");
        let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut disk = Self {
            input: shell.stdin.take().unwrap(),
            output: BufReader::new(shell.stdout.take().unwrap()),
            shell,
            directory: tempfile::tempdir().unwrap(),
        };
        let mount = disk.directory.path().join("disk");
        std::fs::create_dir(&mount).unwrap();
        let mounted = disk.run(&format!(
            "mount -t tmpfs -o mode=0700,size={size} tmpfs {}",
            mount.display()
        ));
        if !mounted {
            assert!(!is_root, "root can mount a tmpfs");
            eprintln!("NOT TESTED: this takes root, or unprivileged user namespaces");
            return None;
        }
        std::os::unix::fs::symlink(disk.seen(&mount), disk.directory.path().join("tpm")).unwrap();
        Some(disk)
    }

    /// A path as the shell sees it.
    fn seen(&self, path: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.shell.id(), path.display()))
    }

    /// Runs a command in the disk's namespace; says whether it succeeded.
    fn run(&mut self, command: &str) -> bool {
        // The shell may not have come to be.
        let _ = writeln!(self.input, "{command} && echo done || echo failed");
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line == "done\n"
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("tpm")
    }

    /// Leaves this many bytes.
    fn fill(&self, left: u64) {
        let mut file = File::create(self.state().join("filler")).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let size = file.metadata().unwrap().len();
        file.set_len(size.saturating_sub(left)).unwrap();
    }

    fn make_room(&self) {
        std::fs::remove_file(self.state().join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// TPM2_NV_DefineSpace of 1,000 bytes.
fn define(number: u8) -> Vec<u8> {
    let public = [&[1, 0x80, 1, number][..], b"\0\x0b\x02\x04\0\x04\0\0\x03\xe8"].concat();
    authorized(0x12A, &[0x4000_0001], &[b"\0\0\0\x0e", &public[..]].concat())
}

/// TPM2_NV_UndefineSpace.
fn undefine(number: u8) -> Vec<u8> {
    authorized(0x122, &[0x4000_0001, 0x0180_0100 | u32::from(number)], &[])
}

fn code(response: &[u8]) -> [u8; 4] {
    response[6..10].try_into().unwrap()
}

#[test]
fn a_disk_without_room_loses_nothing_and_the_tpm_goes_on_when_there_is() {
    let Some(disk) = Disk::new("1m") else { return };
    let start = || {
        let daemon = Daemon::start(&disk.directory, &["--startup", "clear"]);
        let data = daemon.control().attach();
        (daemon, data)
    };
    let (mut daemon, mut data) = start();
    define_counter(&mut data);
    let (mut value, mut refused) = (1, 0);
    for left in [0, 4096, 3 * 4096, 8 * 4096] {
        for is_killed in [false, true] {
            disk.fill(left);
            // The database goes on for a while in the room that it has.
            let mut defined = 0;
            for _ in 0..20 {
                match code(&data.run(&increment())) {
                    SUCCESS => value += 1,
                    NV_UNAVAILABLE => refused += 1,
                    other => panic!("{other:x?}"),
                }
                match code(&data.run(&define(defined))) {
                    SUCCESS => defined += 1,
                    NV_UNAVAILABLE => refused += 1,
                    other => panic!("{other:x?}"),
                }
                assert_eq!(counter(&mut data), value, "{left}");
            }
            // What needs no room goes on.
            assert_eq!(code(&data.run(&GET_RANDOM)), SUCCESS);
            assert_eq!(code(&data.run(&pcr_extend(16, [1; 32]))), SUCCESS);
            if is_killed {
                daemon.signal(Signal::KILL);
                daemon.end();
                // On a disk that is still full it serves, or says that the disk is.
                let mut full = Daemon::spawn(&disk.directory, &[], |_| {});
                std::thread::sleep(std::time::Duration::from_millis(300));
                if full.has_ended() {
                    let (_, log) = full.end();
                    assert!(log.contains("No space left on device"), "{log}");
                } else {
                    full.wait_for("READY");
                    full.signal(Signal::KILL);
                    full.end();
                }
                disk.make_room();
                (daemon, data) = start();
                assert_eq!(counter(&mut data), value, "{left}");
            } else {
                disk.make_room();
            }
            assert_eq!(code(&data.run(&increment())), SUCCESS, "{left}");
            value += 1;
            assert_eq!(counter(&mut data), value, "{left}");
            for number in 0..defined {
                assert_eq!(code(&data.run(&undefine(number))), SUCCESS, "{left}");
            }
        }
    }
    assert!(refused > 40, "{refused}");
}

#[test]
fn a_tpm_that_has_no_room_to_be_made_is_made_when_there_is() {
    let Some(disk) = Disk::new("1m") else { return };
    for left in [0, 4096, 2 * 4096] {
        disk.fill(left);
        let (status, log) = Daemon::spawn(&disk.directory, &[], |_| {}).end();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains("No space left on device"), "{log}");
        assert!(log.contains("make room"), "{log}");
        disk.make_room();
    }
    let daemon = Daemon::start(&disk.directory, &["--startup", "clear"]);
    define_counter(&mut daemon.control().attach());
}

#[test]
fn a_directory_that_is_read_only_is_refused_with_what_to_do() {
    let Some(mut disk) = Disk::new("1m") else { return };
    let daemon = Daemon::start(&disk.directory, &["--startup", "clear"]);
    let mut data = daemon.control().attach();
    define_counter(&mut data);
    daemon.signal(Signal::TERM);
    daemon.end();
    let mount = disk.directory.path().join("disk");
    let remount = |how: &str| format!("mount -o remount,{how} {}", mount.display());
    assert!(disk.run(&remount("ro")));
    let before = std::fs::read(disk.state().join("state.redb")).unwrap();
    let (status, log) = Daemon::spawn(&disk.directory, &[], |_| {}).end();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("Read-only file system"), "{log}");
    assert!(log.contains("must be writable"), "{log}");
    assert_eq!(std::fs::read(disk.state().join("state.redb")).unwrap(), before);
    assert!(disk.run(&remount("rw")));
    let daemon = Daemon::start(&disk.directory, &["--startup", "clear"]);
    assert_eq!(counter(&mut daemon.control().attach()), 1);
}
