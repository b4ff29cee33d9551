//! Localities and chunks over the window, from a guest's accesses to the TPM in its process.

#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test may panic: that is how it fails"
)]

mod common;

use std::time::{Duration, Instant};

use common::window::{
    answer_to, at, code, get_ready, is_granted, read32, start_from, transact, transact_from, write32,
};
use common::{Daemon, GET_RANDOM, STARTUP_CLEAR, pcr_extend, pcr_reset, slow_primary, wait_until};
use crb_interface::Config;
use crb_interface::frontend::{Frontend, FrontendConfig};
use crb_interface::layout;
use crb_interface::registers::LocCtrl;
use rustix::process::Signal;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// TPM_RC_LOCALITY.
const LOCALITY: u32 = 0x907;

/// A daemon and a monitor that gives its guest all localities.
struct Machine {
    frontend: Frontend,
    daemon: Daemon,
    _directory: TempDir,
}

impl Machine {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("tpm.sock");
        let daemon = Daemon::start(&directory, &["--socket-path", socket.to_str().unwrap()]);
        let frontend = Frontend::connect(FrontendConfig {
            crb: Config {
                localities: 0x1F,
                ..Config::default()
            },
            budget: Duration::ZERO,
            spin: Duration::ZERO,
            ..FrontendConfig::new(socket)
        });
        Self {
            frontend: frontend.unwrap(),
            daemon,
            _directory: directory,
        }
    }

    fn started() -> Self {
        let machine = Self::start();
        assert_eq!(code(&transact(&machine.frontend, &STARTUP_CLEAR)), 0);
        machine
    }

    /// The response code of a command from a locality that gets the TPM for it.
    fn code_from(&self, locality: u8, command: &[u8]) -> u32 {
        code(&transact_from(&self.frontend, locality, command))
    }

    /// The value of a PCR in the SHA-256 bank.
    fn pcr(&self, pcr: u32) -> [u8; 32] {
        let mut command = common::PCR_READ;
        command[17..].copy_from_slice(&(1u32 << pcr).to_le_bytes()[..3]);
        let response = transact(&self.frontend, &command);
        assert_eq!(code(&response), 0);
        response[response.len() - 32..].try_into().unwrap()
    }

    /// A write to TPM_LOC_CTRL.
    fn ask(&self, locality: u8, what: LocCtrl) {
        write32(&self.frontend, at(locality, layout::LOC_CTRL), what.bits());
    }

    /// As a guest that goes on in the very moment in which it has the TPM.
    fn wait_until_granted(&self, locality: u8) {
        let begun = Instant::now();
        while !is_granted(&self.frontend, locality) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the locality has not got the TPM"
            );
        }
    }

    /// Waits for the end of locality 0's command.
    fn wait_until_done(&self) {
        wait_until("the command ends", || read32(&self.frontend, layout::CTRL_START) == 0);
    }

    /// Flushes the key that a command has made in spite of all, if any; says whether there was one.
    fn made_a_key(&self, locality: u8) -> bool {
        const FLUSH: [u8; 14] = *b"\x80\x01\0\0\0\x0e\0\0\x01\x65\x80\0\0\0";
        self.code_from(locality, &FLUSH) == 0
    }

    /// tpmEstablished says that there was a dynamic launch by being 0.
    fn established(&self) -> bool {
        read32(&self.frontend, layout::LOC_STATE) & 1 == 0
    }

    /// A hash sequence of locality 4.
    fn measure(&self, parts: &[&[u8]]) {
        self.ask(4, LocCtrl::HASH_START);
        for part in parts {
            self.frontend.write(at(4, layout::DATA_BUFFER), part);
            self.ask(4, LocCtrl::HASH_DATA);
        }
        self.ask(4, LocCtrl::HASH_END);
    }
}

/// What a PCR is after a measurement.
fn extended(before: [u8; 32], digest: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(before)
        .chain_update(digest)
        .finalize()
        .into()
}

/// How a locality loses the TPM in the middle of a command, and which gets it.
fn is_taken_in_mid_command(machine: &Machine, lose: impl Fn(), next: u8) {
    let Machine { frontend, daemon, .. } = machine;
    let mut cancelled = 0;
    for round in 0..20 {
        // Before the process has the command, and while it executes it.
        let frozen = round < 5;
        if frozen {
            daemon.freeze();
        }
        start_from(frontend, 0, &slow_primary(round));
        if !frozen {
            std::thread::sleep(Duration::from_micros(u64::from(round % 4) * 100));
        }
        assert!(is_granted(frontend, 0));
        lose();
        if frozen {
            assert!(!is_granted(frontend, next), "the command comes first");
            daemon.signal(Signal::CONT);
        }
        machine.wait_until_granted(next);
        let mut rest = [0xFF; 64];
        frontend.read(at(next, layout::DATA_BUFFER), &mut rest);
        assert_eq!(rest, [0; 64], "the response is for nobody else");
        let made = machine.made_a_key(next);
        assert!(!(frozen && made), "a command that was cancelled before it began");
        cancelled += u32::from(!made);
        // Both go on.
        assert_eq!(machine.code_from(next, &GET_RANDOM), 0);
        assert_eq!(machine.code_from(0, &GET_RANDOM), 0);
    }
    assert!(cancelled > 5, "no command was cancelled while it ran");
}

#[test]
fn a_locality_that_seizes_in_mid_command_has_the_tpm_and_the_command_is_cancelled() {
    let machine = Machine::started();
    is_taken_in_mid_command(&machine, || machine.ask(2, LocCtrl::SEIZE), 2);
}

#[test]
fn a_locality_that_relinquishes_in_mid_command_makes_way_for_the_next() {
    let machine = Machine::started();
    let lose = || {
        machine.ask(1, LocCtrl::REQUEST_ACCESS);
        assert!(!is_granted(&machine.frontend, 1));
        machine.ask(0, LocCtrl::RELINQUISH);
    };
    is_taken_in_mid_command(&machine, lose, 1);
}

#[test]
fn a_locality_that_was_seized_from_sees_it_and_can_ask_again() {
    let machine = Machine::started();
    get_ready(&machine.frontend, 0);
    machine.ask(3, LocCtrl::SEIZE);
    assert_eq!(
        read32(&machine.frontend, layout::LOC_STS),
        2,
        "beenSeized, and not granted"
    );
    assert_eq!(machine.code_from(3, &GET_RANDOM), 0);
    assert_eq!(machine.code_from(0, &GET_RANDOM), 0);
    assert_eq!(read32(&machine.frontend, layout::LOC_STS) & 2, 0);
}

#[test]
fn localities_reach_the_tpm_with_their_commands() {
    let machine = Machine::started();
    // PC Client Platform TPM Profile, 4.6.1, Table 5.
    for (pcr, may) in [(16, 0b1111), (18, 0b1100), (20, 0b1110), (21, 0b0100)] {
        for locality in 0..4 {
            let expected = if may & 1 << locality != 0 { 0 } else { LOCALITY };
            assert_eq!(
                machine.code_from(locality, &pcr_extend(pcr, [7; 32])),
                expected,
                "{pcr}"
            );
        }
    }
    for (pcr, may) in [(16, 0b1111), (17, 0), (20, 0b0100), (23, 0b1111)] {
        for locality in 0..4 {
            let expected = if may & 1 << locality != 0 { 0 } else { LOCALITY };
            assert_eq!(machine.code_from(locality, &pcr_reset(pcr)), expected, "{pcr}");
        }
    }
    assert_eq!(machine.pcr(20), [0; 32]);
    assert_ne!(machine.pcr(21), [0; 32]);
}

#[test]
fn a_dynamic_launch_is_in_pcr_17_and_the_flag_until_locality_3_clears_it() {
    let machine = Machine::started();
    assert_eq!(machine.pcr(17), [0xFF; 32]);
    assert!(!machine.established());
    machine.measure(&[b"what is laun", &[b'c'; 3000], b"hed"]);
    let data = [&b"what is laun"[..], &[b'c'; 3000], b"hed"].concat();
    assert_eq!(machine.pcr(17), extended([0; 32], &Sha256::digest(data)));
    assert_eq!(machine.pcr(18), [0; 32]);
    assert_eq!(machine.pcr(0), [0; 32]);
    assert!(machine.established());
    // It outlives the machine's reset, and is the process' own.
    machine.frontend.reset().unwrap();
    assert!(machine.established());
    machine.ask(2, LocCtrl::RESET_ESTABLISHMENT);
    machine.frontend.reset().unwrap();
    assert!(machine.established(), "locality 2 may not");
    machine.ask(3, LocCtrl::RESET_ESTABLISHMENT);
    assert!(!machine.established());
    machine.frontend.reset().unwrap();
    assert!(!machine.established());
}

#[test]
fn what_starts_the_machine_is_in_pcr_0_with_its_locality() {
    let machine = Machine::start();
    machine.measure(&[b"firmware"]);
    assert_eq!(code(&transact(&machine.frontend, &STARTUP_CLEAR)), 0);
    let mut before = [0; 32];
    before[31] = 4;
    assert_eq!(machine.pcr(0), extended(before, &Sha256::digest(b"firmware")));
    assert_eq!(machine.pcr(17), [0xFF; 32]);
    assert!(machine.established());
}

/// TPM2_GetRandom with nonsense behind it, of this size.
fn padded(size: usize) -> Vec<u8> {
    let mut command = vec![0xA5; size];
    command[..12].copy_from_slice(&GET_RANDOM);
    command[2..6].copy_from_slice(&(size as u32).to_be_bytes());
    command
}

#[test]
fn a_command_longer_than_the_buffer_comes_in_chunks() {
    const RSP_RETRY: u32 = 2;
    const NEXT_CHUNK: u32 = 4;
    let machine = Machine::started();
    let frontend = &machine.frontend;
    for (size, expected) in [
        // TPM_RC_SIZE: all of it has arrived. What is cut off would not have the size that its header says.
        (layout::DATA_BUFFER_SIZE + 1, 0x95),
        (4096, 0x95),
        // TPM_RC_COMMAND_SIZE: no TPM takes more.
        (4097, 0x142),
        (layout::STAGING_SIZE, 0x142),
    ] {
        get_ready(frontend, 0);
        let command = padded(size);
        let mut chunks = command.chunks(layout::DATA_BUFFER_SIZE).peekable();
        while let Some(chunk) = chunks.next() {
            frontend.write(layout::DATA_BUFFER, chunk);
            let last = chunks.peek().is_none();
            write32(frontend, layout::CTRL_START, if last { 1 } else { NEXT_CHUNK });
        }
        machine.wait_until_done();
        // A response that fits the buffer stays there.
        write32(frontend, layout::CTRL_START, NEXT_CHUNK);
        write32(frontend, layout::CTRL_START, RSP_RETRY);
        assert_eq!(code(&answer_to(frontend, 0)), expected, "{size} bytes");
        assert_eq!(machine.code_from(0, &GET_RANDOM), 0);
    }
}
