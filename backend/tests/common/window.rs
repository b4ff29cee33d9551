//! What a guest's driver does with a CRB window.

use std::time::{Duration, Instant};

use crb_interface::frontend::Frontend;
use crb_interface::layout;

pub(crate) fn read32(frontend: &Frontend, register: u64) -> u32 {
    let mut bytes = [0; 4];
    frontend.read(register, &mut bytes);
    u32::from_le_bytes(bytes)
}

pub(crate) fn write32(frontend: &Frontend, register: u64, value: u32) {
    frontend.write(register, &value.to_le_bytes());
}

/// Where a locality's register is.
pub(crate) fn at(locality: u8, register: u64) -> u64 {
    u64::from(locality) * layout::PAGE as u64 + register
}

/// One command as Linux' tpm_crb sends it; returns the response.
pub(crate) fn transact(frontend: &Frontend, command: &[u8]) -> Vec<u8> {
    transact_from(frontend, 0, command)
}

/// The same from another locality.
pub(crate) fn transact_from(frontend: &Frontend, locality: u8, command: &[u8]) -> Vec<u8> {
    start_from(frontend, locality, command);
    answer_to(frontend, locality)
}

/// The first half of a command: up to START.
pub(crate) fn start(frontend: &Frontend, command: &[u8]) {
    start_from(frontend, 0, command);
}

/// The same from another locality.
pub(crate) fn start_from(frontend: &Frontend, locality: u8, command: &[u8]) {
    get_ready(frontend, locality);
    for (offset, piece) in (0u64..).zip(command.chunks(8)) {
        frontend.write(at(locality, layout::DATA_BUFFER) + offset * 8, piece);
    }
    write32(frontend, at(locality, layout::CTRL_START), 1);
}

/// What comes before a command.
pub(crate) fn get_ready(frontend: &Frontend, locality: u8) {
    let at = |register| at(locality, register);
    write32(frontend, at(layout::LOC_CTRL), 1);
    assert!(is_granted(frontend, locality), "the locality is granted");
    write32(frontend, at(layout::CTRL_REQ), 1);
    assert_eq!(read32(frontend, at(layout::CTRL_STS)), 0, "ready");
    write32(frontend, at(layout::CTRL_CANCEL), 0);
}

/// Whether a locality has the TPM.
pub(crate) fn is_granted(frontend: &Frontend, locality: u8) -> bool {
    read32(frontend, at(locality, layout::LOC_STS)) & 1 != 0
}

/// The other half: waits for the response.
pub(crate) fn answer(frontend: &Frontend) -> Vec<u8> {
    answer_to(frontend, 0)
}

/// The same for another locality.
pub(crate) fn answer_to(frontend: &Frontend, locality: u8) -> Vec<u8> {
    let at = |register| at(locality, register);
    let deadline = Instant::now() + Duration::from_secs(20);
    while read32(frontend, at(layout::CTRL_START)) != 0 {
        assert!(Instant::now() < deadline, "no answer");
        std::thread::sleep(Duration::from_micros(100));
    }
    let mut header = [0; 10];
    frontend.read(at(layout::DATA_BUFFER), &mut header);
    let mut response = vec![0; u32::from_be_bytes(header[2..6].try_into().unwrap()) as usize];
    frontend.read(at(layout::DATA_BUFFER), &mut response);
    write32(frontend, at(layout::CTRL_REQ), 2);
    write32(frontend, at(layout::LOC_CTRL), 2);
    response
}

pub(crate) fn code(response: &[u8]) -> u32 {
    u32::from_be_bytes(response[6..10].try_into().unwrap())
}
