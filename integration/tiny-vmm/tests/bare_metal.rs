//! A guest of some sixty instructions on a real vCPU: it drives the CRB registers as a driver does, and a TPM process
//! answers.

#![cfg(target_arch = "x86_64")]
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test may panic: that is how it fails"
)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use crb_interface::frontend::{Frontend, FrontendConfig};
use tempfile::TempDir;
use tiny_vmm::devices::End;
use tiny_vmm::machine::{Config, Exits, Machine};
use tiny_vmm::sandbox;
use vm_memory::{Bytes, GuestAddress};

/// Where the guest's program is, and what it works on.
const PROGRAM: u64 = 0x10_0000;
const COMMANDS: u64 = 0x20_0000;
const RESPONSES: u64 = 0x30_0000;

const STARTUP_CLEAR: &[u8] = b"\x80\x01\0\0\0\x0c\0\0\x01\x44\0\0";
/// TPM2_GetRandom of 16 bytes.
const GET_RANDOM: &[u8] = b"\x80\x01\0\0\0\x0c\0\0\x01\x7b\0\x10";
/// TPM2_PCR_Extend of PCR 16 in the SHA-256 bank with a digest of sevens.
const PCR_EXTEND: &[u8] = b"\x80\x02\0\0\0\x41\0\0\x01\x82\0\0\0\x10\0\0\0\x09\x40\0\0\x09\0\0\0\0\0\0\0\0\x01\0\x0b\
    \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\
    \x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07";
/// TPM2_PCR_Read of PCR 16 in the SHA-256 bank.
const PCR_READ: &[u8] = b"\x80\x01\0\0\0\x14\0\0\x01\x7e\0\0\0\x01\0\x0b\x03\0\0\x01";

// Whole transactions; the request of locality 3 in each is one for which the monitor sends a message.
//
// RSI: commands, each a length of 8 bytes and as many bytes, rounded up to a multiple of 8; length 0 ends them.
// The responses are written to 0x300000 in the same form.
std::arch::global_asm!(
    r"
    .globl crb_guest, crb_guest_end
crb_guest:
    mov     rbx, 0x300000
    mov     edi, 0xFED40000
2:  mov     rcx, [rsi]
    test    rcx, rcx
    jz      9f
    add     rsi, 8
    mov     dword ptr [rdi + 0x08], 1       # TPM_LOC_CTRL: requestAccess
3:  mov     eax, [rdi]                      # TPM_LOC_STATE: assigned and valid
    and     eax, 0x82
    cmp     eax, 0x82
    jne     3b
    mov     dword ptr [rdi + 0x40], 1       # TPM_CRB_CTRL_REQ: cmdReady
4:  test    dword ptr [rdi + 0x44], 2       # TPM_CRB_CTRL_STS: no longer idle
    jnz     4b
    lea     rdx, [rdi + 0x80]
5:  mov     rax, [rsi]                      # the command, 8 bytes at a time, the last ones padded
    mov     [rdx], rax
    add     rsi, 8
    add     rdx, 8
    sub     rcx, 8
    ja      5b
    mov     dword ptr [rdi + 0x4C], 1       # TPM_CRB_CTRL_START
6:  test    dword ptr [rdi + 0x4C], 1
    jnz     6b
    mov     ecx, [rdi + 0x82]               # the response's size, at an odd place and of the other byte order
    bswap   ecx
    mov     [rbx], rcx
    add     rbx, 8
    lea     rdx, [rdi + 0x80]
7:  mov     rax, [rdx]
    mov     [rbx], rax
    add     rdx, 8
    add     rbx, 8
    sub     rcx, 8
    ja      7b
    mov     dword ptr [rdi + 0x3008], 8     # TPM_LOC_CTRL of locality 3: resetEstablishmentBit
    mov     dword ptr [rdi + 0x40], 2       # goIdle
    mov     dword ptr [rdi + 0x08], 2       # relinquish
    jmp     2b
9:  hlt
crb_guest_end:
    "
);

/// The guest's instructions, which do not depend on where they are.
#[allow(unsafe_code, reason = "the assembler's symbols have no type")]
fn program() -> &'static [u8] {
    unsafe extern "C" {
        static crb_guest: u8;
        static crb_guest_end: u8;
    }
    // SAFETY: the two symbols are the ends of one piece of this program's code, which is never written.
    unsafe {
        let (start, end) = (&raw const crb_guest, &raw const crb_guest_end);
        std::slice::from_raw_parts(start, end.offset_from_unsigned(start))
    }
}

/// A TPM process that ends with this value.
struct Tpm {
    child: Child,
    folder: TempDir,
}

impl Tpm {
    fn start() -> Self {
        let mut program = std::env::current_exe().unwrap();
        program.pop();
        if program.ends_with("deps") {
            program.pop();
        }
        let program: PathBuf = program.join("vhost-device-tpm");
        assert!(
            program.is_file(),
            "build the daemon first: cargo build -p vhost-device-tpm"
        );
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(program)
            .arg("serve")
            .arg("--state-dir")
            .arg(folder.path().join("state"))
            .arg("--socket-path")
            .arg(folder.path().join("tpm.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn attach(&self) -> Frontend {
        Frontend::connect(FrontendConfig::new(self.folder.path().join("tpm.sock"))).unwrap()
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Runs the guest on these commands; returns their responses and what they cost.
fn run(tpm: &Frontend, map_window: bool, commands: &[&[u8]]) -> (Vec<Vec<u8>>, Exits) {
    let config = Config {
        memory: 8 << 20,
        platform: false,
        map_window,
    };
    let mut machine = Machine::new(config, tpm.clone()).unwrap();
    machine.memory().write_slice(program(), GuestAddress(PROGRAM)).unwrap();
    let mut list = Vec::new();
    for command in commands {
        list.extend((command.len() as u64).to_le_bytes());
        list.extend(*command);
        list.resize(list.len().next_multiple_of(8), 0);
    }
    machine.memory().write_slice(&list, GuestAddress(COMMANDS)).unwrap();
    machine.start_at(PROGRAM, COMMANDS).unwrap();
    // A guest that waits for ever cannot be told to stop; the test can.
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let end = sandbox::enter().and_then(|()| machine.run());
        // Whoever waited may have given up.
        let _ = sender.send((machine, end));
    });
    let (machine, end) = receiver.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(end.unwrap(), End::Halted);
    let mut at = RESPONSES;
    let responses = commands
        .iter()
        .map(|_| {
            let len: u64 = machine.memory().read_obj(GuestAddress(at)).unwrap();
            let mut response = vec![0; usize::try_from(len).unwrap()];
            machine
                .memory()
                .read_slice(&mut response, GuestAddress(at + 8))
                .unwrap();
            at += 8 + len.next_multiple_of(8);
            response
        })
        .collect();
    (responses, machine.exits())
}

/// Writes that the guest makes for its commands: six to registers for each, the others are data.
fn writes(commands: &[&[u8]]) -> u64 {
    commands
        .iter()
        .map(|command| 6 + command.len().div_ceil(8) as u64)
        .sum()
}

#[test]
fn a_guest_without_an_operating_system_uses_its_tpm() {
    let tpm = Tpm::start();
    let frontend = tpm.attach();
    let commands = [GET_RANDOM, STARTUP_CLEAR, GET_RANDOM, PCR_EXTEND, PCR_READ];
    let (responses, exits) = run(&frontend, true, &commands);
    assert_eq!(responses[0][6..], [0, 0, 1, 0], "TPM_RC_INITIALIZE");
    assert_eq!(responses[1], b"\x80\x01\0\0\0\x0a\0\0\0\0");
    assert_eq!(responses[2][..12], *b"\x80\x01\0\0\0\x1c\0\0\0\0\0\x10");
    assert_eq!(responses[3][6..10], [0; 4]);
    assert_eq!(responses[4][6..10], [0; 4]);
    // SHA-256 of 32 zeros and 32 sevens.
    let value = &responses[4][responses[4].len() - 32..];
    assert_eq!(value[..4], [0xDA, 0xF6, 0xD3, 0xE6], "{value:x?}");
    assert_eq!(
        exits,
        Exits {
            mmio_reads: 0,
            mmio_writes: writes(&commands)
        },
        "reads cost no exit"
    );
}

#[test]
fn a_guest_that_cannot_map_the_window_reads_it_by_exits() {
    let tpm = Tpm::start();
    let frontend = tpm.attach();
    let commands = [STARTUP_CLEAR, GET_RANDOM];
    let (responses, exits) = run(&frontend, false, &commands);
    assert_eq!(responses[0], b"\x80\x01\0\0\0\x0a\0\0\0\0");
    assert_eq!(responses[1].len(), 28);
    assert_eq!(exits.mmio_writes, writes(&commands));
    assert!(exits.mmio_reads > 0);
}

#[test]
fn a_reset_machine_starts_its_tpm_again() {
    let tpm = Tpm::start();
    let frontend = tpm.attach();
    for _ in 0..3 {
        let (responses, _) = run(&frontend, true, &[STARTUP_CLEAR, PCR_READ, PCR_EXTEND]);
        assert_eq!(responses[0][6..], [0; 4], "TPM2_Startup is expected");
        assert!(responses[1].ends_with(&[0; 32]), "PCR 16 is as after power-on");
        assert_eq!(responses[2][6..10], [0; 4]);
        frontend.reset().unwrap();
    }
}
