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

/// One command as Linux' tpm_crb sends it; returns the response.
pub(crate) fn transact(frontend: &Frontend, command: &[u8]) -> Vec<u8> {
    start(frontend, command);
    answer(frontend)
}

/// The first half of a command: up to START.
pub(crate) fn start(frontend: &Frontend, command: &[u8]) {
    write32(frontend, layout::LOC_CTRL, 1);
    assert_eq!(read32(frontend, layout::LOC_STS) & 1, 1, "the locality is granted");
    write32(frontend, layout::CTRL_REQ, 1);
    assert_eq!(read32(frontend, layout::CTRL_STS), 0, "ready");
    write32(frontend, layout::CTRL_CANCEL, 0);
    for (at, piece) in (0u64..).zip(command.chunks(8)) {
        frontend.write(layout::DATA_BUFFER + at * 8, piece);
    }
    write32(frontend, layout::CTRL_START, 1);
}

/// The other half: waits for the response.
pub(crate) fn answer(frontend: &Frontend) -> Vec<u8> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while read32(frontend, layout::CTRL_START) != 0 {
        assert!(Instant::now() < deadline, "no answer");
        std::thread::sleep(Duration::from_micros(100));
    }
    let mut header = [0; 10];
    frontend.read(layout::DATA_BUFFER, &mut header);
    let mut response = vec![0; u32::from_be_bytes(header[2..6].try_into().unwrap()) as usize];
    frontend.read(layout::DATA_BUFFER, &mut response);
    write32(frontend, layout::CTRL_REQ, 2);
    write32(frontend, layout::LOC_CTRL, 2);
    response
}

pub(crate) fn code(response: &[u8]) -> u32 {
    u32::from_be_bytes(response[6..10].try_into().unwrap())
}
