//! The data channel: over TCP, behind the simulator's header, and with what is no command at all.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use common::{Daemon, Data, GET_RANDOM, Numbers, STARTUP_CLEAR, SUCCESS, framed, request};

const COMMAND_SIZE: [u8; 10] = *b"\x80\x01\0\0\0\x0a\0\0\x01\x42";
const TCP: [&str; 4] = ["--swtpm-tcp", "127.0.0.1:0", "--startup", "clear"];

#[test]
fn ports_serve_one_client_after_another() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &TCP);
    let (data, control) = daemon.ports();
    assert_eq!(control.port(), data.port() + 1);
    for _ in 0..3 {
        let mut first = Data::connect(data);
        assert_eq!(first.run(&GET_RANDOM).len(), 20);
        // The second waits in the queue until the first leaves.
        let mut second = Data::connect(data);
        second.0.write_all(&GET_RANDOM).unwrap();
        second.0.set_nonblocking(true).unwrap();
        assert_eq!(
            second.0.read(&mut [0; 32]).unwrap_err().kind(),
            std::io::ErrorKind::WouldBlock
        );
        second.0.set_nonblocking(false).unwrap();
        assert_eq!(first.run(&GET_RANDOM).len(), 20);
        drop(first);
        assert_eq!(second.response().len(), 20);
        drop(second);

        let mut socket = TcpStream::connect(control).unwrap();
        socket.write_all(&request(0x01, &[])).unwrap();
        let mut capability = [0; 8];
        socket.read_exact(&mut capability).unwrap();
        assert_eq!(capability, 0x1_FFFFu64.to_be_bytes());
        // There are no descriptors over TCP.
        socket.write_all(&request(0x10, &[])).unwrap();
        socket.read_exact(&mut capability[..4]).unwrap();
        assert_eq!(capability[..4], [0, 0, 0, 3]);
    }
}

#[test]
fn the_simulators_header_is_understood() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &TCP);
    let mut data = Data::connect(daemon.ports().0);
    assert_eq!(data.run_framed(0, &GET_RANDOM).len(), 20);
    // The IBM TSS sends each field of the header by itself.
    for byte in framed(0, &GET_RANDOM) {
        data.0.write_all(&[byte]).unwrap();
    }
    let mut response = [0; 28];
    data.0.read_exact(&mut response).unwrap();
    assert_eq!(response[..4], [0, 0, 0, 20]);
    // Raw and framed commands may take turns; a framed one's locality is its own.
    assert_eq!(data.run(&GET_RANDOM).len(), 20);
    let reset_pcr_20 = &common::pcr_reset(20);
    assert_eq!(data.run_framed(2, reset_pcr_20)[6..10], [0; 4]);
    assert_eq!(data.run(reset_pcr_20)[6..10], *b"\0\0\x09\x07");
    assert_eq!(data.run_framed(9, &GET_RANDOM)[6..10], *b"\0\0\x09\x07");
    assert_eq!(data.run_framed(0, &GET_RANDOM[..5]), COMMAND_SIZE);
    assert_eq!(data.run_framed(0, &[]), COMMAND_SIZE);
    // TPM_SESSION_END, by which clients of the simulator take their leave.
    data.0.write_all(&[0, 0, 0, 20]).unwrap();
    drop(data);
    assert_eq!(Data::connect(daemon.ports().0).run(&GET_RANDOM).len(), 20);
}

#[test]
fn wrong_sizes_are_answered_and_the_next_command_is_unharmed() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &["--startup", "clear"]);
    let mut data = daemon.control().attach();
    let with_size = |size: u32, len: usize| {
        let mut command = GET_RANDOM.to_vec();
        command[2..6].copy_from_slice(&size.to_be_bytes());
        command.resize(len, 0xA5);
        command
    };
    for (size, len) in [
        (13, 12),
        (11, 12),
        (9, 12),
        (0, 12),
        (u32::MAX, 12),
        (12, 13),
        (4097, 4097),
        (9000, 9000),
        (12, 9000),
    ] {
        assert_eq!(data.run(&with_size(size, len)), COMMAND_SIZE, "{size} {len}");
        assert_eq!(data.run(&GET_RANDOM).len(), 20, "{size} {len}");
    }
}

#[test]
fn a_command_may_come_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &["--startup", "clear"]);
    let mut data = daemon.control().attach();
    for cut in 1..GET_RANDOM.len() {
        data.0.write_all(&GET_RANDOM[..cut]).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert_eq!(data.run(&GET_RANDOM[cut..]).len(), 20, "{cut}");
    }
}

#[test]
fn a_client_may_close_its_sending_side() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &TCP);
    let mut data = Data::connect(daemon.ports().0);
    data.0.write_all(&GET_RANDOM).unwrap();
    data.0.shutdown(Shutdown::Write).unwrap();
    assert_eq!(data.response().len(), 20);
    assert_eq!(data.0.read(&mut [0]).unwrap(), 0);
}

/// Something that looks like a command, more or less.
fn nonsense(numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = match numbers.below(5) {
        0 => {
            let len = numbers.below(64);
            numbers.bytes(len)
        }
        1 => {
            let len = numbers.below(6000);
            numbers.bytes(len)
        }
        2 => framed(numbers.below(256) as u8, &GET_RANDOM),
        3 => common::pcr_extend(7, [3; 32]),
        _ => STARTUP_CLEAR.to_vec(),
    };
    for _ in 0..numbers.below(4) {
        if !bytes.is_empty() {
            let place = numbers.below(bytes.len());
            bytes[place] ^= numbers.below(256) as u8;
        }
    }
    bytes.truncate(numbers.below(bytes.len() + 1).max(bytes.len() / 2));
    bytes
}

#[test]
fn nonsense_on_the_data_channel_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(&directory, &TCP);
    let address = daemon.ports().0;
    let mut numbers = Numbers(2);
    for case in 0..300 {
        let mut data = Data::connect(address);
        let bytes = nonsense(&mut numbers);
        let _ = data.0.write_all(&bytes);
        if case % 8 == 0 {
            // Wait for the answer, or for the daemon to see that nothing more comes.
            let _ = data.0.shutdown(Shutdown::Write);
            let _ = data.0.read_to_end(&mut Vec::new());
        }
        drop(data);
        if case % 10 == 0 {
            assert_eq!(Data::connect(address).run(&GET_RANDOM).len(), 20, "case {case}");
        }
    }
    assert!(!daemon.has_ended());
}

#[test]
fn nonsense_on_the_control_channel_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(&directory, &[]);
    let mut numbers = Numbers(3);
    for case in 0..300 {
        let mut control = daemon.control();
        for _ in 0..=numbers.below(3) {
            let len = [0, 1, 4, 12, 16, 5000][numbers.below(6)];
            let number = numbers.below(0x16) as u32;
            let mut bytes = request(number, &numbers.bytes(len));
            // CMD_SHUTDOWN stops the daemon, as it should.
            if number == 3 {
                bytes.push(0);
            }
            bytes.truncate(
                bytes
                    .len()
                    .saturating_sub(numbers.below(8))
                    .max(usize::from(number == 3) * 5),
            );
            if control.0.write_all(&bytes).is_err() {
                break;
            }
        }
        if case % 4 == 0 {
            let _ = control.0.shutdown(Shutdown::Write);
            let _ = control.0.read_to_end(&mut Vec::new());
        }
        drop(control);
        if case % 10 == 0 {
            assert_eq!(daemon.control().ask(&request(0x01, &[]), 8).len(), 8, "case {case}");
        }
    }
    assert!(!daemon.has_ended());
    let (_control, mut data) = daemon.attach();
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
}
