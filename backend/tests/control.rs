//! The control channel, as Cloud Hypervisor, QEMU and swtpm's own tools use it.

mod common;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{
    CANCELED, Daemon, GET_RANDOM, NO_POWER, NOT_STARTED, PCR_READ, SOON, STARTUP_CLEAR, SUCCESS, flush, pcr_extend,
    pcr_reset, request, slow_primary,
};

/// Cloud Hypervisor's handshake. From the second request on each brings a descriptor that nobody asked for.
#[test]
fn cloud_hypervisors_handshake() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    for _ in 0..2 {
        let mut control = daemon.control();
        let mut data = control.attach();
        let (unasked, watched) = UnixStream::pair().unwrap();
        let mut ask = |request: &[u8], size| control.ask_with(request, unasked.as_fd(), size);
        assert_eq!(ask(&request(0x01, &[]), 8), 0x1_FFFFu64.to_be_bytes());
        assert_eq!(ask(&request(0x0E, &[]), 4), [0; 4]);
        let query = ask(&request(0x11, &[0; 4]), 16);
        assert_eq!(query[..4], [0; 4]);
        assert_eq!(query[8..], *b"\0\0\x0a\xf8\0\0\x10\0");
        assert_eq!(ask(&request(0x0E, &[]), 4), [0; 4]);
        let set = ask(&request(0x11, &3968u32.to_be_bytes()), 16);
        assert_eq!(set, *b"\0\0\0\0\0\0\x0f\x80\0\0\x0a\xf8\0\0\x10\0");
        assert_eq!(ask(&request(0x02, &[0; 4]), 4), [0; 4]);
        assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
        assert_eq!(data.run(&GET_RANDOM).len(), 20);
        // The guest is told of the buffer: TPM_PT_MAX_COMMAND_SIZE.
        let property = data.run(b"\x80\x01\0\0\0\x16\0\0\x01\x7a\0\0\0\x06\0\0\x01\x1e\0\0\0\x01");
        assert_eq!(property[property.len() - 8..], *b"\0\0\x01\x1e\0\0\x0f\x80");
        // Every copy of the unasked-for descriptor is closed, so that its peer sees the end.
        drop(unasked);
        let mut watched = watched;
        watched.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(watched.read(&mut [0]).unwrap(), 0);
        // It leaves by closing its sockets, and comes again in the next round.
    }
}

#[test]
fn init_is_a_power_cycle() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (mut control, mut data) = daemon.attach();
    assert_eq!(data.run(&GET_RANDOM), NOT_STARTED);
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    let fresh = data.run(&PCR_READ);
    assert_eq!(data.run(&pcr_extend(16, [7; 32]))[6..10], [0; 4]);
    assert_ne!(data.run(&PCR_READ), fresh);
    for flags in [0u32, 1] {
        assert_eq!(control.ask(&request(0x02, &flags.to_be_bytes()), 4), [0; 4]);
        assert_eq!(data.run(&GET_RANDOM), NOT_STARTED);
        assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
        assert_eq!(data.run(&PCR_READ)[20..], fresh[20..]);
    }
}

#[test]
fn without_power_there_is_no_tpm() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let mut control = daemon.control();
    let mut data = control.attach();
    assert_eq!(data.run(&STARTUP_CLEAR), NO_POWER);
    assert_eq!(control.ask(&request(0x02, &[0; 4]), 4), [0; 4]);
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    // The buffer's size is not changed under a running TPM.
    assert_eq!(control.ask(&request(0x11, &3968u32.to_be_bytes()), 4), [0, 0, 0, 0x0A]);
    assert_eq!(control.ask(&request(0x0E, &[]), 4), [0; 4]);
    assert_eq!(data.run(&GET_RANDOM), NO_POWER);
    for number in [0x04, 0x06, 0x08, 0x09] {
        assert_eq!(control.ask(&request(number, &[]), 4), [0, 0, 0, 0x0A], "{number:#x}");
    }
}

#[test]
fn one_data_channel_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (mut control, mut data) = daemon.attach();
    let (_, other) = UnixStream::pair().unwrap();
    assert_eq!(control.ask_with(&request(0x10, &[]), other.as_fd(), 4), [0, 0, 0, 0x1F]);
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    // The next one is taken at once when the client has left, whether or not the daemon has seen it already.
    for _ in 0..20 {
        drop(data);
        data = control.attach();
        assert_eq!(data.run(&GET_RANDOM).len(), 20);
    }
}

#[test]
fn a_data_descriptor_must_be_a_stream_socket() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let mut control = daemon.control();
    assert_eq!(control.ask(&request(0x10, &[]), 4), [0, 0, 0, 3]);
    let zero = std::fs::File::open("/dev/zero").unwrap();
    assert_eq!(control.ask_with(&request(0x10, &[]), zero.as_fd(), 4), [0, 0, 0, 3]);
    let datagrams = std::os::unix::net::UnixDatagram::unbound().unwrap();
    assert_eq!(
        control.ask_with(&request(0x10, &[]), datagrams.as_fd(), 4),
        [0, 0, 0, 3]
    );
    control.attach();
}

#[test]
fn localities_and_the_h_crtm() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (mut control, mut data) = daemon.attach();
    // _TPM_Hash_Start, Data and End before TPM2_Startup: PCR 0 starts from 4 and is extended once.
    assert_eq!(control.ask(&request(0x06, &[]), 4), [0; 4]);
    control.0.write_all(&request(0x07, b"\0\0\0\x05ab")).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(control.ask(b"cde", 4), [0; 4]);
    assert_eq!(control.ask(&request(0x07, &[0; 4]), 4), [0; 4]);
    assert_eq!(control.ask(&request(0x08, &[]), 4), [0; 4]);
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    let pcr_0 = data.run(b"\x80\x01\0\0\0\x14\0\0\x01\x7e\0\0\0\x01\0\x0b\x03\x01\0\0");
    // SHA-256 of 31 zeros, a 4 and SHA-256("abcde").
    let expected = "e9159aa0996db2fab79263fe62eddd48613899ca82fe921fdf580aaa9a7682e7";
    let hex: String = pcr_0[pcr_0.len() - 32..]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, expected);

    // Such a sequence sets tpmEstablished, and so does one after TPM2_Startup.
    assert_eq!(control.ask(&request(0x04, &[]), 8), [0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(control.ask(&request(0x0B, &[4]), 4), [0; 4]);
    assert_eq!(control.ask(&request(0x04, &[]), 8), [0; 8]);
    assert_eq!(control.ask(&request(0x06, &[]), 4), [0; 4]);
    assert_eq!(control.ask(&request(0x08, &[]), 4), [0; 4]);
    assert_eq!(control.ask(&request(0x04, &[]), 8), [0, 0, 0, 0, 1, 0, 0, 0]);
    for (locality, result) in [(0, 0x3D), (2, 0x3D), (5, 0x3D), (3, 0), (4, 0)] {
        assert_eq!(
            control.ask(&request(0x0B, &[locality]), 4),
            [0, 0, 0, result],
            "{locality}"
        );
    }
    assert_eq!(control.ask(&request(0x04, &[]), 8), [0; 8]);

    // PCR 20 can be reset from localities 2 and 4 only (PC Client PTP, table of PCR attributes).
    let reset = &pcr_reset(20);
    let refused = *b"\x80\x01\0\0\0\x0a\0\0\x09\x07";
    assert_eq!(data.run(reset), refused);
    assert_eq!(control.ask(&request(0x05, &[2]), 4), [0; 4]);
    assert_eq!(data.run(reset)[6..10], [0; 4]);
    assert_eq!(control.ask(&request(0x05, &[5]), 4), [0, 0, 0, 0x3D]);
    assert_eq!(data.run(reset)[6..10], [0; 4]);
    assert_eq!(control.ask(&request(0x05, &[0]), 4), [0; 4]);
    assert_eq!(data.run(reset), refused);
}

#[test]
fn the_tpm_is_described_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let mut control = daemon.control();
    let mut info = |flags: u64| {
        let head = control.ask(&request(0x12, &[&flags.to_be_bytes()[..], &[0; 8]].concat()), 12);
        let size = u32::from_be_bytes(head[8..].try_into().unwrap()) as usize;
        assert_eq!(head[4..8], head[8..]);
        let mut text = vec![0; size];
        control.0.read_exact(&mut text).unwrap();
        assert_eq!(text.pop(), Some(0));
        String::from_utf8(text).unwrap()
    };
    assert_eq!(info(0), "{}");
    let specification = info(1);
    assert!(specification.starts_with(r#"{"TPMSpecification":{"family":"2.0","level":0,"revision":1"#));
    let both = info(3);
    assert!(both.contains(r#","TPMAttributes":{"manufacturer":"id:"#), "{both}");
    assert!(both.contains(r#","model":"SW"#), "{both}");
}

#[test]
fn what_is_not_there_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (mut control, _data) = daemon.attach();
    for number in [0, 0x14, u32::MAX] {
        assert_eq!(
            control.ask(&request(number, &[0; 12]), 4),
            [0, 0, 0, 0x0A],
            "{number:#x}"
        );
    }
    assert_eq!(control.ask(&request(0x13, &[0; 4]), 4), [0; 4]);
    assert_eq!(control.ask(&request(0x0F, &[]), 8), [0; 8]);
}

#[test]
fn an_unfinished_request_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let mut slow = daemon.control();
    slow.0.write_all(&[0, 0, 0]).unwrap();
    // Others are served meanwhile.
    assert_eq!(daemon.control().ask(&request(0x01, &[]), 8).len(), 8);
    assert_eq!(slow.0.read(&mut [0; 8]).unwrap(), 0);
}

/// A request to cancel that comes too late, or too early, harms nothing.
#[test]
fn requests_are_answered_while_a_command_runs() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (_control, mut data) = daemon.attach();
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    let mut other = daemon.control();
    for _ in 0..50 {
        data.0.write_all(&GET_RANDOM).unwrap();
        assert_eq!(other.ask(&request(0x09, &[]), 4), [0; 4]);
        assert_eq!(data.response().len(), 20);
    }
}

/// Whether the data thread has begun, or taken the command, or neither.
#[test]
fn a_cancel_is_for_the_command_that_was_sent() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (mut control, mut data) = daemon.attach();
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    for round in 0..60 {
        let begun = Instant::now();
        data.0.write_all(&slow_primary(round)).unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(round % 6) * 50));
        assert_eq!(control.ask(&request(0x09, &[]), 4), [0; 4]);
        let prompt = begun.elapsed() < SOON;
        let response = data.response();
        if response != CANCELED {
            assert!(!prompt, "{response:02x?}");
            assert_eq!(data.run(&flush(&response)), SUCCESS);
        }
        assert_eq!(data.run(&GET_RANDOM).len(), 20);
    }
}

#[test]
fn a_long_command_holds_no_request_up() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (mut control, mut data) = daemon.attach();
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    data.0.write_all(&slow_primary(0)).unwrap();
    for _ in 0..20 {
        assert_eq!(control.ask(&request(0x01, &[]), 8).len(), 8);
    }
    assert_eq!(control.ask(&request(0x09, &[]), 4), [0; 4]);
    let response = data.response();
    assert!(response == CANCELED || response[6..10] == [0; 4], "{response:02x?}");
    assert_eq!(data.run(&GET_RANDOM).len(), 20);
}

#[test]
fn a_power_cycle_does_not_wait_for_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (mut control, mut data) = daemon.attach();
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
    data.0.write_all(&slow_primary(0)).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(control.ask(&request(0x02, &[0; 4]), 4), [0; 4]);
    // The command began before the power was taken, or after: either way it has an answer, and the TPM starts again.
    assert!([CANCELED, NOT_STARTED].contains(&data.response().try_into().unwrap()));
    assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
}

#[test]
fn shutdown_ends_the_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&directory, &[]);
    let (mut control, _data) = daemon.attach();
    assert_eq!(control.ask(&request(0x03, &[0]), 4), [0, 0, 0, 3]);
    assert_eq!(control.ask(&request(0x03, &[]), 4), [0; 4]);
    let (status, log) = daemon.end();
    assert!(status.success(), "{log}");
    assert!(!directory.path().join("control.sock").exists());
}
