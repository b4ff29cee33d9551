//! What the daemon prepares while the TPM is idle, and that commands come to use it.
#![allow(
    clippy::allow_attributes,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic"
)]

mod common;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{Daemon, Data, authorized};
use rustix::process::Signal;
use tempfile::TempDir;

/// Background work waits for processors that have nothing else to do: on a busy machine for long.
const IDLE: Duration = Duration::from_secs(300);

const KEY_PAIR: &str = "RSA key pair of 2048 bits made";
const PRIMARY: &str = "hierarchy derived";

fn start(directory: &TempDir) -> Daemon {
    Daemon::start(directory, &["--startup", "clear", "--log-level", "debug"])
}

/// Waits until there is nothing left to prepare.
fn wait_for_all(daemon: &mut Daemon) {
    for _ in 0..2 {
        daemon.wait_patiently_for(KEY_PAIR, IDLE);
    }
}

/// Primary keys that were derived in the background so far.
fn derived(daemon: &Daemon) -> usize {
    daemon.lines.iter().filter(|line| line.contains(PRIMARY)).count()
}

/// TPM2_Create or TPM2_CreatePrimary without a secret of one's own.
fn create(code: u32, parent: u32, public: &[u8]) -> Vec<u8> {
    let size = u16::try_from(public.len()).unwrap().to_be_bytes();
    let params = [b"\0\x04\0\0\0\0".as_slice(), &size, public, &[0; 6]].concat();
    authorized(code, &[parent], &params)
}

/// A TPM2B at the start of these bytes, and what follows.
fn sized(bytes: &[u8]) -> (&[u8], &[u8]) {
    let size = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[2..].split_at(size)
}

/// Creates the storage root key, as every guest does: its handle and public area.
fn storage_root_key(data: &mut Data<UnixStream>) -> (u32, Vec<u8>) {
    let head = b"\0\x01\0\x0b\0\x03\x04\x72\0\0\0\x06\0\x80\0\x43\0\x10\x08\0\0\0\0\0\x01\0";
    let response = data.run(&create(0x131, 0x4000_0001, &[head.as_slice(), &[0; 256]].concat()));
    assert_eq!(response[6..10], [0; 4], "{response:x?}");
    let handle = u32::from_be_bytes(response[10..14].try_into().unwrap());
    (handle, sized(&response[18..]).0.to_vec())
}

/// Creates a signing key under a parent: its public area.
fn signing_key(data: &mut Data<UnixStream>, parent: u32) -> Vec<u8> {
    let public = b"\0\x01\0\x0b\0\x04\0\x72\0\0\0\x10\0\x14\0\x0b\x08\0\0\0\0\0\0\0";
    let response = data.run(&create(0x153, parent, public));
    assert_eq!(response[6..10], [0; 4], "{response:x?}");
    let (_private, rest) = sized(&response[14..]);
    sized(rest).0.to_vec()
}

#[test]
fn create_takes_key_pairs_out_of_the_pool_which_is_filled_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = start(&directory);
    wait_for_all(&mut daemon);
    let mut data = daemon.control().attach();
    let (parent, _) = storage_root_key(&mut data);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let key = signing_key(&mut data, parent);
        assert!(!seen.contains(&key), "a key pair is given out once");
        seen.push(key);
        // A full pool is short of one again only because one was taken.
        daemon.wait_patiently_for(KEY_PAIR, IDLE);
    }
}

#[test]
fn primary_keys_that_were_derived_once_last_until_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = start(&directory);
    wait_for_all(&mut daemon);
    assert_eq!(derived(&daemon), 2, "{:?}", daemon.lines);
    let (_, first) = storage_root_key(&mut daemon.control().attach());
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.end();
    assert!(status.success(), "{log}");

    let mut daemon = start(&directory);
    wait_for_all(&mut daemon);
    assert_eq!(derived(&daemon), 0, "they were kept: {:?}", daemon.lines);
    let (_, kept) = storage_root_key(&mut daemon.control().attach());
    assert_eq!(kept, first);
}

/// What is kept is no more than what the seed gives: where it is lost, the same keys are derived again.
#[test]
fn primary_keys_that_were_lost_are_derived_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = start(&directory);
    wait_for_all(&mut daemon);
    let (_, first) = storage_root_key(&mut daemon.control().attach());
    daemon.signal(Signal::KILL);
    drop(daemon);

    let mut daemon = start(&directory);
    let (_, derived_by_command) = storage_root_key(&mut daemon.control().attach());
    assert_eq!(derived_by_command, first);
    wait_for_all(&mut daemon);
    // The endorsement key, and perhaps the storage root key once more, if the command came first.
    assert!(derived(&daemon) >= 1, "{:?}", daemon.lines);
}
