//! The daemon behind a CRB window: what a guest's driver does, over the monitor's side of `crb-interface`.

#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test may panic: that is how it fails"
)]

mod common;

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::virtio::Driver;
use common::window::{answer, code, read32, start, transact, write32};
use common::{
    CANCELED, Daemon, NOT_STARTED, STARTUP_CLEAR, SUCCESS, flush, pcr_extend, scene, slow_primary, wait_until,
};
use crb_interface::frontend::{Frontend, FrontendConfig, FrontendError};
use crb_interface::{Control, Memory, layout};
use rustix::process::Signal;
use tempfile::TempDir;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// TPM2_GetRandom of 16 bytes.
const GET_RANDOM: &[u8] = b"\x80\x01\0\0\0\x0c\0\0\x01\x7b\0\x10";

/// A daemon that serves monitors, with its directory.
struct Server {
    daemon: Option<Daemon>,
    directory: TempDir,
}

impl Server {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Self {
        let mut server = Self {
            daemon: None,
            directory: tempfile::tempdir().unwrap(),
        };
        server.restart_with(more);
        server
    }

    /// Kills the process, if there is one, without warning, and starts one.
    fn restart(&mut self) {
        self.restart_with(&[]);
    }

    fn restart_with(&mut self, more: &[&str]) {
        drop(self.daemon.take());
        let socket = self.socket();
        let args = ["--socket-path", socket.to_str().unwrap()];
        self.daemon = Some(Daemon::start(&self.directory, &[&args, more].concat()));
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("tpm.sock")
    }

    fn attach(&self) -> Frontend {
        Frontend::connect(FrontendConfig::new(self.socket())).unwrap()
    }
}

/// TPM2_PCR_Read of PCR 0 in the SHA-256 bank.
const PCR0_READ: &[u8] = b"\x80\x01\0\0\0\x14\0\0\x01\x7e\0\0\0\x01\0\x0b\x03\x01\0\0";

/// The value of PCR 0.
fn pcr0(frontend: &Frontend) -> Vec<u8> {
    let response = transact(frontend, PCR0_READ);
    assert_eq!(code(&response), 0);
    response[response.len() - 32..].to_vec()
}

#[test]
fn a_guest_starts_its_tpm_and_reads_random_numbers() {
    let server = Server::start();
    let frontend = server.attach();
    assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0x100, "TPM_RC_INITIALIZE");
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    for _ in 0..1000 {
        assert_eq!(transact(&frontend, GET_RANDOM).len(), 10 + 2 + 16);
    }
}

#[test]
fn a_reset_machine_has_a_tpm_that_waits_for_startup() {
    let server = Server::start();
    let frontend = server.attach();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0x100);
    frontend.reset().unwrap();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
}

#[test]
fn a_restarted_process_goes_on_with_spoilt_pcr() {
    let mut server = Server::start();
    let frontend = server.attach();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    assert_eq!(pcr0(&frontend), [0; 32]);
    server.restart();
    let deadline = Instant::now() + Duration::from_secs(20);
    // Until the process is back the guest is told to try again.
    loop {
        let response = transact(&frontend, GET_RANDOM);
        match code(&response) {
            0 => break,
            0x922 | 0x101 => assert!(Instant::now() < deadline, "never attached again"),
            other => panic!("{other:#x}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_ne!(
        pcr0(&frontend),
        [0; 32],
        "nothing that was measured can be claimed again"
    );
    frontend.reset().unwrap();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    assert_eq!(pcr0(&frontend), [0; 32]);
}

#[test]
fn a_command_that_dies_with_its_process_fails_and_the_next_is_to_be_tried_again() {
    let mut server = Server::start();
    let frontend = server.attach();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    for round in 0..3 {
        start(&frontend, &slow_primary(round));
        assert_eq!(read32(&frontend, layout::CTRL_START), 1, "it is being executed");
        drop(server.daemon.take());
        assert_eq!(answer(&frontend), common::NO_POWER, "TPM_RC_FAILURE");
        assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0x922, "TPM_RC_RETRY");
        server.restart();
        wait_until("the process is attached again", || frontend.attached());
        assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0);
    }
}

#[test]
fn a_machine_that_is_reset_without_its_process_begins_afresh() {
    let mut server = Server::start();
    let frontend = server.attach();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    drop(server.daemon.take());
    wait_until("the loss is noticed", || !frontend.attached());
    assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0x922, "TPM_RC_RETRY");
    assert!(matches!(frontend.reset(), Err(FrontendError::Detached)));
    server.restart();
    wait_until("the process is attached again", || frontend.attached());
    // Not as after a crash under a running machine: that one would be started up, and its PCR spoilt.
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    assert_eq!(pcr0(&frontend), [0; 32]);
}

/// What the frontend may hold a vCPU for, unless it is told otherwise.
const BUDGET: Duration = Duration::from_millis(2);
/// The same on a machine that does much else.
const HELD: Duration = Duration::from_millis(500);

/// A guest's write, and how long it held the vCPU.
fn timed_write(frontend: &Frontend, register: u64, value: u32) -> Duration {
    let begun = Instant::now();
    write32(frontend, register, value);
    let took = begun.elapsed();
    assert!(took < HELD, "a write to {register:#x} took {took:?}");
    took
}

#[test]
fn a_process_that_hangs_does_not_hold_the_guest() {
    let server = Server::start();
    let frontend = server.attach();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    let daemon = server.daemon.as_ref().unwrap();
    let mut best = HELD;
    for _ in 0..100 {
        daemon.freeze();
        timed_write(&frontend, layout::LOC_CTRL, 1);
        timed_write(&frontend, layout::CTRL_REQ, 1);
        frontend.write(layout::DATA_BUFFER, GET_RANDOM);
        best = best.min(timed_write(&frontend, layout::CTRL_START, 1));
        daemon.signal(Signal::CONT);
        assert_eq!(answer(&frontend).len(), 28);
        // Where the processors are busy it takes some tries.
        if best <= BUDGET {
            break;
        }
    }
    assert!(
        best <= BUDGET,
        "the budget is {BUDGET:?}, and START took {best:?} at best"
    );
    daemon.freeze();
    start(&frontend, GET_RANDOM);
    // More requests than the socket's buffer has room for.
    for _ in 0..2000 {
        timed_write(&frontend, layout::CTRL_CANCEL, 1);
        timed_write(&frontend, layout::CTRL_CANCEL, 0);
        timed_write(&frontend, 0x3000 + layout::LOC_CTRL, 8);
    }
    assert_eq!(read32(&frontend, layout::CTRL_START), 1, "it is still being executed");
    daemon.signal(Signal::CONT);
    wait_until("the command completes", || read32(&frontend, layout::CTRL_START) == 0);
    write32(&frontend, layout::CTRL_REQ, 2);
    write32(&frontend, layout::LOC_CTRL, 2);
    assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0);
}

#[test]
fn a_socket_that_never_answers_does_not_hold_the_guest() {
    let mut server = Server::start();
    let frontend = server.attach();
    drop(server.daemon.take());
    wait_until("the loss is noticed", || !frontend.attached());
    // Somebody else listens there, and says nothing.
    std::fs::remove_file(server.socket()).unwrap();
    let listener = UnixListener::bind(server.socket()).unwrap();
    let silent = listener.accept().unwrap();
    for _ in 0..20 {
        timed_write(&frontend, layout::LOC_CTRL, 1);
        timed_write(&frontend, layout::CTRL_REQ, 1);
        timed_write(&frontend, layout::DATA_BUFFER, 0x0180);
        timed_write(&frontend, layout::CTRL_START, 1);
        assert_eq!(read32(&frontend, layout::CTRL_START), 0);
    }
    drop((listener, silent));
    std::fs::remove_file(server.socket()).unwrap();
    server.restart();
    wait_until("the process is attached again", || frontend.attached());
    assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0);
}

#[test]
fn a_slow_command_lets_the_guest_go_on_and_ends_with_its_answer() {
    let server = Server::start();
    let frontend = server.attach();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    start(&frontend, &slow_primary(0));
    assert_eq!(
        read32(&frontend, layout::CTRL_START),
        1,
        "the guest has its processor back"
    );
    let response = answer(&frontend);
    assert_eq!(code(&response), 0);
    assert_eq!(response[10..14], [0x80, 0, 0, 0], "the first transient object");
}

#[test]
fn a_cancel_is_for_the_command_that_was_started_whenever_it_comes() {
    let server = Server::start();
    // A monitor that never waits: its guest cancels before the daemon has seen the command, and later.
    let frontend = Frontend::connect(FrontendConfig {
        budget: Duration::ZERO,
        spin: Duration::ZERO,
        ..FrontendConfig::new(server.socket())
    })
    .unwrap();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    let daemon = server.daemon.as_ref().unwrap();
    for round in 0..10 {
        // Before the daemon has seen the command: the request is in the window then.
        daemon.freeze();
        start(&frontend, &slow_primary(round));
        write32(&frontend, layout::CTRL_CANCEL, 1);
        daemon.signal(Signal::CONT);
        assert_eq!(answer(&frontend), CANCELED);
        assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0);
    }
    let mut cancelled = 0;
    for round in 10..60 {
        // While the daemon takes it, and later.
        start(&frontend, &slow_primary(round));
        std::thread::sleep(Duration::from_micros(u64::from(round % 6) * 50));
        write32(&frontend, layout::CTRL_CANCEL, 1);
        let response = answer(&frontend);
        if response == CANCELED {
            cancelled += 1;
        } else {
            // Where the processors are busy the key can be found before the thread runs that takes requests.
            assert_eq!(code(&transact(&frontend, &flush(&response))), 0);
        }
        assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0);
    }
    assert!(cancelled > 0, "no request has reached a command that runs");
}

#[test]
fn a_cancel_of_a_virtio_driver_is_for_the_command_that_it_finds() {
    let server = Server::start();
    let mut driver = Driver::attach(&server.socket());
    assert_eq!(driver.run(&STARTUP_CLEAR), SUCCESS);
    for round in 0..4 {
        // The daemon has not been told of the command yet.
        let number = driver.submitted();
        driver.submit(&slow_primary(round));
        driver.control(Control::Cancel);
        driver.submit(GET_RANDOM);
        driver.kick();
        assert_eq!(driver.answer(number), CANCELED);
        assert_eq!(driver.answer(number + 1).len(), 28);
        // There is none.
        driver.control(Control::Cancel);
        driver.submit(&slow_primary(100));
        driver.kick();
        let response = driver.answer(number + 2);
        assert_eq!(code(&response), 0);
        assert_eq!(driver.run(&flush(&response)), SUCCESS);
    }
    let mut cancelled = 0;
    for round in 10..40 {
        let number = driver.submitted();
        driver.submit(&slow_primary(round));
        driver.kick();
        driver.control(Control::Cancel);
        let response = driver.answer(number);
        if response == CANCELED {
            cancelled += 1;
        } else {
            assert_eq!(driver.run(&flush(&response)), SUCCESS);
        }
        assert_eq!(driver.run(GET_RANDOM).len(), 28);
    }
    assert!(cancelled > 0, "no request has reached a command that runs");
}

#[test]
fn a_cancel_before_the_queue_is_used_is_for_the_command_in_it() {
    let server = Server::start();
    let daemon = server.daemon.as_ref().unwrap();
    let mut data = daemon.control().attach();
    for round in 0..10 {
        let mut driver = Driver::attach(&server.socket());
        assert_eq!(data.run(&STARTUP_CLEAR), SUCCESS);
        driver.submit(&slow_primary(round));
        driver.control(Control::Cancel);
        driver.kick();
        assert_eq!(driver.answer(0), CANCELED);
        assert_eq!(driver.run(GET_RANDOM).len(), 28);
    }
}

#[test]
fn a_socket_that_is_handed_over_outlives_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("tpm.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    // As whoever polls it has it.
    listener.set_nonblocking(true).unwrap();
    let start = || {
        let mut daemon = Daemon::spawn(&directory, &["--socket-fd", "0"], |command| {
            command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
        });
        daemon.wait_for("READY");
        daemon
    };
    // A monitor that is there before the process waits for it.
    let monitor = std::thread::spawn(move || Frontend::connect(FrontendConfig::new(socket)));
    let daemon = start();
    let frontend = monitor.join().unwrap().unwrap();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    drop(daemon);
    wait_until("the loss is noticed", || !frontend.attached());
    let _daemon = start();
    wait_until("the process is attached again", || frontend.attached());
    assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0);
}

#[test]
fn a_descriptor_on_which_nobody_listens_is_refused() {
    let (connection, _other) = UnixStream::pair().unwrap();
    let refused = |number: &str, stdin: OwnedFd| {
        let directory = tempfile::tempdir().unwrap();
        let daemon = Daemon::spawn(&directory, &["--socket-fd", number], |command| {
            command.stdin(stdin);
        });
        let (status, log) = daemon.end();
        assert!(!status.success(), "{log}");
        log
    };
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    for stdin in [null(), connection.into()] {
        let log = refused("0", stdin);
        assert!(
            log.contains("descriptor 0 is no UNIX stream socket that listens"),
            "{log}"
        );
    }
    let log = refused("987", null());
    assert!(log.contains("descriptor 987 was not handed over"), "{log}");
}

#[test]
fn a_monitor_that_has_left_keeps_its_window() {
    let server = Server::start();
    let mut untouched = 0;
    for round in 0..5 {
        let frontend = server.attach();
        let window = Arc::clone(frontend.memory());
        assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
        start(&frontend, &slow_primary(round));
        assert_eq!(window.load(layout::CTRL_START as usize), 1);
        drop(frontend);
        // The next one is served when the command has ended.
        drop(server.attach());
        untouched += window.load(layout::CTRL_START as usize);
    }
    // On a busy machine a key can be found before the end of the connection is noticed.
    assert!(untouched > 0, "answers are written for monitors that are gone");
}

#[test]
fn one_monitor_after_another_is_served() {
    let server = Server::start();
    for _ in 0..5 {
        let frontend = server.attach();
        assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    }
}

/// A guest in the middle of everything.
fn begin(frontend: &Frontend) {
    scene::begin(&mut |command| transact(frontend, command));
}

fn finish(frontend: &Frontend) {
    scene::finish(&mut |command| transact(frontend, command));
}

#[test]
fn a_guest_goes_on_at_another_process_and_the_first_refuses() {
    let (source, destination) = (Server::start(), Server::start());
    let frontend = source.attach();
    begin(&frontend);
    // The command that the guest is writing moves with it.
    write32(&frontend, layout::LOC_CTRL, 1);
    write32(&frontend, layout::CTRL_REQ, 1);
    frontend.write(layout::DATA_BUFFER, &GET_RANDOM[..8]);
    let saved = frontend.snapshot().unwrap();
    let there = Frontend::restore(FrontendConfig::new(destination.socket()), &saved).unwrap();
    there.write(layout::DATA_BUFFER + 8, &GET_RANDOM[8..]);
    write32(&there, layout::CTRL_START, 1);
    let deadline = Instant::now() + Duration::from_secs(20);
    while read32(&there, layout::CTRL_START) != 0 {
        assert!(Instant::now() < deadline, "no answer");
    }
    let mut header = [0; 10];
    there.read(layout::DATA_BUFFER, &mut header);
    assert_eq!(header, *b"\x80\x01\0\0\0\x1c\0\0\0\0");
    write32(&there, layout::CTRL_REQ, 2);
    write32(&there, layout::LOC_CTRL, 2);
    finish(&there);
    write32(&frontend, layout::CTRL_REQ, 2);
    assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0x101, "the source refuses");
    // So does its process, whoever asks.
    let mut data = source.daemon.as_ref().unwrap().control().attach();
    assert_eq!(data.run(GET_RANDOM), common::NO_POWER);
}

#[test]
fn a_machine_that_was_saved_goes_on_when_it_is_told_to() {
    let server = Server::start();
    let frontend = server.attach();
    begin(&frontend);
    for _ in 0..3 {
        let saved = frontend.snapshot().unwrap();
        assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0x101);
        assert!(saved.len() > 1000);
        frontend.resume().unwrap();
        assert_eq!(code(&transact(&frontend, GET_RANDOM)), 0);
    }
    finish(&frontend);
    frontend.snapshot().unwrap();
    frontend.reset().unwrap();
    assert_eq!(
        code(&transact(&frontend, &STARTUP_CLEAR)),
        0,
        "a reset brings it back as well"
    );
}

#[test]
fn a_state_that_is_refused_leaves_both_as_they_were() {
    let (source, destination) = (Server::start(), Server::start());
    let frontend = source.attach();
    begin(&frontend);
    let saved = frontend.snapshot().unwrap();
    let there = destination.attach();
    assert_eq!(code(&transact(&there, &STARTUP_CLEAR)), 0);
    let measured = pcr0(&there);
    drop(there);
    let restore = |saved: &[u8]| Frontend::restore(FrontendConfig::new(destination.socket()), saved).err();
    let mut volatile = saved.clone();
    let middle = saved.len() - 40_000;
    volatile[middle] ^= 1;
    for bad in [&saved[..saved.len() - 1], &saved[..50_000], &volatile] {
        let error = restore(bad).unwrap();
        assert!(error.to_string().contains("did not load its TPM"), "{error}");
    }
    for bad in [&saved[..4], &saved[..3000], b"nonsense that is long enough"] {
        let error = restore(bad).unwrap();
        assert!(error.to_string().contains("is no TPM"), "{error}");
    }
    let mut data = destination.daemon.as_ref().unwrap().control().attach();
    assert_eq!(
        data.run(PCR0_READ)[30..],
        measured,
        "the TPM that was there is still there"
    );
    frontend.resume().unwrap();
    finish(&frontend);
}

/// A command by the registers in the config space, from cmdReady on.
fn transact_by_config(driver: &mut Driver, command: &[u8]) -> Vec<u8> {
    driver.write_config(layout::CTRL_REQ, &[1, 0, 0, 0]);
    driver.write_config(layout::DATA_BUFFER, command);
    finish_by_config(driver)
}

/// From START on.
fn finish_by_config(driver: &mut Driver) -> Vec<u8> {
    driver.write_config(layout::CTRL_START, &[1, 0, 0, 0]);
    assert_eq!(driver.read_config(layout::CTRL_START, 4), [0; 4]);
    let header = driver.read_config(layout::DATA_BUFFER, 10);
    let size = u32::from_be_bytes(header[2..6].try_into().unwrap());
    driver.read_config(layout::DATA_BUFFER, size as usize)
}

#[test]
fn registers_in_the_config_space_move_with_their_tpm() {
    let (source, destination) = (Server::start(), Server::start());
    let mut driver = Driver::connect(&source.socket());
    driver.control(Control::PowerOn);
    driver.write_config(layout::LOC_CTRL, &[1, 0, 0, 0]);
    scene::begin(&mut |command| transact_by_config(&mut driver, command));
    // Half a command is written here, the other half there.
    driver.write_config(layout::CTRL_REQ, &[1, 0, 0, 0]);
    driver.write_config(layout::DATA_BUFFER, &GET_RANDOM[..5]);
    let state = driver.save();
    let mut there = Driver::connect(&destination.socket());
    there.load(&state);
    assert_eq!(
        there.read_config(layout::LOC_STS, 1)[0] & 1,
        1,
        "the locality has the TPM"
    );
    there.write_config(layout::DATA_BUFFER + 5, &GET_RANDOM[5..]);
    let response = finish_by_config(&mut there);
    assert_eq!((response.len(), code(&response)), (28, 0));
    scene::finish(&mut |command| transact_by_config(&mut there, command));
    // The source has the registers, and no TPM behind them.
    driver.write_config(layout::DATA_BUFFER + 5, &GET_RANDOM[5..]);
    assert_eq!(finish_by_config(&mut driver), common::NO_POWER);
}

#[test]
fn a_queue_that_is_started_again_takes_its_saved_tpm_back() {
    let server = Server::start();
    let call = EventFd::new(EFD_NONBLOCK).unwrap();
    let mut driver = Driver::attach_with(&server.socket(), &call);
    scene::begin(&mut |command| driver.run(command));
    for _ in 0..3 {
        driver.stop();
        assert!(driver.save().len() > 1000);
        let mut data = server.daemon.as_ref().unwrap().control().attach();
        assert_eq!(data.run(GET_RANDOM), common::NO_POWER);
        // Without a request of its own: the first kick says that the machine goes on here.
        driver.start(&call);
        assert_eq!(driver.run(GET_RANDOM).len(), 28);
    }
    scene::finish(&mut |command| driver.run(command));
}

#[test]
fn a_queue_that_is_stopped_keeps_the_commands_in_it() {
    let server = Server::start();
    let call = EventFd::new(EFD_NONBLOCK).unwrap();
    let mut driver = Driver::attach_with(&server.socket(), &call);
    assert_eq!(driver.run(&STARTUP_CLEAR), SUCCESS);
    for _ in 0..20 {
        let first = driver.submitted();
        for _ in 0..3 {
            driver.submit(GET_RANDOM);
        }
        driver.kick();
        let taken = driver.stop() as u16;
        assert!((first..=first + 3).contains(&taken), "{taken} from {first} on");
        driver.start_from(&call, taken);
        for number in first..first + 3 {
            assert_eq!(driver.answer(number).len(), 28);
        }
    }
}

#[test]
fn requests_of_a_monitor_lose_no_command() {
    let server = Server::start();
    let mut driver = Driver::attach(&server.socket());
    assert_eq!(driver.run(&STARTUP_CLEAR), SUCCESS);
    for _ in 0..200 {
        let first = driver.submitted();
        for _ in 0..2 {
            driver.submit(GET_RANDOM);
            driver.kick();
        }
        // The queue is left for each of these, and its kick was taken.
        driver.share_memory();
        driver.submit(GET_RANDOM);
        driver.kick();
        driver.control(Control::ResetEstablishment);
        for number in first..first + 3 {
            assert_eq!(driver.answer(number).len(), 28);
        }
    }
}

/// The same where the process looks at the window, and commands are announced nowhere else.
#[test]
fn requests_of_a_guest_lose_no_command() {
    let server = Server::start();
    let frontend = server.attach();
    assert_eq!(code(&transact(&frontend, &STARTUP_CLEAR)), 0);
    for round in 0..2000 {
        // resetEstablishmentBit of locality 3, for which nobody waits.
        write32(&frontend, 0x3000 + layout::LOC_CTRL, 8);
        for _ in 0..round % 3 {
            assert_eq!(transact(&frontend, GET_RANDOM).len(), 28);
        }
    }
}

/// Measures into PCR 16; returns its value.
fn measure(driver: &mut Driver) -> Vec<u8> {
    assert_eq!(code(&driver.run(&pcr_extend(16, [7; 32]))), 0);
    scene::pcr_16(&mut |command| driver.run(command))
}

#[test]
fn a_monitor_that_knows_no_requests_has_a_tpm_that_was_switched_on() {
    let server = Server::start();
    let call = EventFd::new(EFD_NONBLOCK).unwrap();
    let mut first = Vec::new();
    for _ in 0..3 {
        let mut driver = Driver::attach_plainly(&server.socket());
        assert_eq!(driver.run(GET_RANDOM), NOT_STARTED);
        assert_eq!(driver.run(&STARTUP_CLEAR), SUCCESS);
        let measured = measure(&mut driver);
        first.push(measured.clone());
        // A guest can have its queue stopped. That switches nothing on.
        driver.stop();
        driver.start(&call);
        assert_eq!(driver.run(&STARTUP_CLEAR), NOT_STARTED);
        assert_eq!(scene::pcr_16(&mut |command| driver.run(command)), measured);
    }
    assert!(
        first.iter().all(|value| *value == first[0]),
        "each connection is a machine that was switched on"
    );
}

/// A monitor that knows no requests passes on what its guest writes to the config space.
#[test]
fn a_guest_that_writes_requests_to_the_config_space_is_not_heeded() {
    let server = Server::start();
    let mut driver = Driver::attach_plainly(&server.socket());
    assert_eq!(driver.run(&STARTUP_CLEAR), SUCCESS);
    let measured = measure(&mut driver);
    for request in [Control::PowerOn, Control::HashStart, Control::HashEnd, Control::Recover] {
        driver.control(request);
    }
    driver.write_config(layout::CONFIG_CONTROL.into(), &[0xFF; 4]);
    assert_eq!(scene::pcr_16(&mut |command| driver.run(command)), measured);
}

#[test]
fn a_tpm_that_was_started_up_is_so_for_the_first_machine() {
    let server = Server::start_with(&["--startup", "clear"]);
    let mut driver = Driver::attach_plainly(&server.socket());
    assert_eq!(driver.run(GET_RANDOM).len(), 28);
    drop(driver);
    let mut driver = Driver::attach_plainly(&server.socket());
    assert_eq!(driver.run(GET_RANDOM), NOT_STARTED);
}

#[test]
fn a_tpm_that_has_arrived_goes_on_without_a_request() {
    let (source, destination) = (Server::start(), Server::start_with(&["--migration", "incoming"]));
    let mut driver = Driver::attach_plainly(&source.socket());
    scene::begin(&mut |command| driver.run(command));
    driver.stop();
    let state = driver.save();
    let mut there = Driver::connect(&destination.socket());
    there.load(&state);
    there.start(&EventFd::new(EFD_NONBLOCK).unwrap());
    scene::finish(&mut |command| there.run(command));
}

#[test]
fn a_process_that_is_restarted_has_a_tpm_that_was_switched_on() {
    let mut server = Server::start();
    let mut driver = Driver::attach_plainly(&server.socket());
    assert_eq!(driver.run(&STARTUP_CLEAR), SUCCESS);
    server.restart();
    let mut driver = Driver::attach_plainly(&server.socket());
    assert_eq!(driver.run(GET_RANDOM), NOT_STARTED);
}
