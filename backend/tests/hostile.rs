//! Monitors and guests that mean harm: whatever they send, the process goes on serving.
//!
//! `HOSTILE_ROUNDS` says how many rounds there are in place of some seconds' worth; `HOSTILE_SEED` chooses another run.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "a test may panic: that is how it fails"
)]

mod common;

use std::fs::File;
use std::io::{IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use common::virtio::{self, Driver};
use common::{Daemon, GET_RANDOM, Numbers, STARTUP_CLEAR, SUCCESS, wait_until, window};
use crb_interface::frontend::{Frontend, FrontendConfig};
use crb_interface::{Memory, SharedMemory, layout};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::Signal;
use vmm_sys_util::eventfd::EventFd;

/// Where the window is in the guest, and in the address space that the monitor says it has.
const BASE: u64 = layout::PC_BASE;
const USER: u64 = 0x7F00_0000_0000;

/// Some ten seconds' worth.
const ROUNDS: u64 = 2000;

fn setting(name: &str, or: u64) -> u64 {
    std::env::var(name).map_or(or, |value| value.parse().unwrap())
}

/// A daemon and its socket.
struct Server {
    daemon: Daemon,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("tpm.sock");
        // Each broken connection is a line of the log, at least.
        let args = ["--socket-path", socket.to_str().unwrap(), "--log-level", "error"];
        Self {
            daemon: Daemon::start(&directory, &[&args, more].concat()),
            socket,
            _directory: directory,
        }
    }

    fn attach(&self) -> Frontend {
        Frontend::connect(FrontendConfig::new(&self.socket))
            .unwrap_or_else(|error| panic!("{error}: {:#?}", self.daemon.said()))
    }

    /// The process has its whole TPM to offer, and not more threads than for one monitor.
    fn serves(&mut self) {
        let frontend = self.attach();
        assert_eq!(code_of(&frontend, &STARTUP_CLEAR), 0);
        assert_eq!(code_of(&frontend, &GET_RANDOM), 0);
        assert!(!self.daemon.has_ended());
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.id())).unwrap();
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        assert!(number("Threads:") < 16, "{status}");
        assert!(number("VmRSS:") < 200_000, "{status}");
    }
}

/// The response code of a command from locality 0.
fn code_of(frontend: &Frontend, command: &[u8]) -> u32 {
    window::code(&window::transact(frontend, command))
}

/// What goes with a message.
#[derive(Clone, Copy)]
enum Extra {
    Nothing,
    Memory,
    Event,
}

/// How often a step goes wrong that has to be right.
const NEVER: usize = 1 << 40;

/// A message of the handshake, as it should be.
struct Step(u32, Vec<u8>, Extra);

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Two 32-bit words.
fn pair(first: u32, second: u32) -> Vec<u8> {
    [first.to_le_bytes(), second.to_le_bytes()].concat()
}

fn handshake() -> Vec<Step> {
    let at = |offset: usize| USER + offset as u64;
    let rings = [
        at(layout::QUEUE_DESCRIPTORS),
        at(layout::QUEUE_USED),
        at(layout::QUEUE_AVAILABLE),
        0,
    ];
    let region = words(&[1, BASE, layout::MEMORY_SIZE as u64, USER, 0]);
    vec![
        Step(3, Vec::new(), Extra::Nothing),
        Step(1, Vec::new(), Extra::Nothing),
        Step(2, words(&[1 << 32 | 1 << 30]), Extra::Nothing),
        Step(15, Vec::new(), Extra::Nothing),
        Step(16, words(&[0x8_0208]), Extra::Nothing),
        Step(5, region, Extra::Memory),
        Step(8, pair(0, 2), Extra::Nothing),
        Step(9, [pair(0, 0), words(&rings)].concat(), Extra::Nothing),
        Step(10, pair(0, 0), Extra::Nothing),
        Step(13, words(&[0]), Extra::Event),
        Step(12, words(&[0]), Extra::Event),
        Step(18, pair(0, 1), Extra::Nothing),
        Step(25, [pair(0x70, 4), pair(1, 1)].concat(), Extra::Nothing),
    ]
}

/// A monitor that holds to nothing.
struct Monitor<'a> {
    numbers: &'a mut Numbers,
    stream: UnixStream,
    memory: File,
    event: OwnedFd,
    /// Descriptors that belong nowhere.
    others: [OwnedFd; 2],
}

impl<'a> Monitor<'a> {
    fn connect(numbers: &'a mut Numbers, socket: &Path) -> Self {
        let memory = File::from(memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap());
        // Now and then smaller than what is said of it.
        let size = [layout::MEMORY_SIZE, layout::MEMORY_SIZE, 1 << 20, 4096][numbers.below(4)];
        memory.set_len(size as u64).unwrap();
        // Without it there is no window.
        if numbers.below(8) > 0 {
            fcntl_add_seals(&memory, SealFlags::SHRINK).unwrap();
        }
        Self::with_memory(numbers, socket, memory)
    }

    fn with_memory(numbers: &'a mut Numbers, socket: &Path, memory: File) -> Self {
        let (end, _) = UnixStream::pair().unwrap();
        end.set_nonblocking(true).unwrap();
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self {
            numbers,
            stream,
            memory,
            event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap(),
            others: [File::open("/dev/null").unwrap().into(), end.into()],
        }
    }

    /// A number as those that are wrong are.
    fn odd(&mut self) -> u64 {
        let any = self.numbers.below(1 << 31) as u64;
        let near = self.numbers.below(0x30) as u64;
        let choices = [
            0,
            1,
            near,
            any,
            u64::MAX,
            u64::MAX - near,
            BASE + any % 0xC000,
            USER + any % 0xC000,
            any << 33,
        ];
        choices[self.numbers.below(choices.len())]
    }

    /// Fills the memory: a window or not, rings with chains that loop, point nowhere, or are right.
    fn fill(&mut self) {
        let end = self.memory.metadata().unwrap().len();
        let put = |at: usize, bytes: &[u8]| {
            // Never grows: what is past the end stays there.
            if at as u64 + bytes.len() as u64 <= end {
                self.memory.write_all_at(bytes, at as u64).unwrap();
            }
        };
        let random = self.numbers.bytes(0x100);
        put(0, &random[..0x80]);
        put(0x5000, &random[0x80..0xA0]);
        if self.numbers.below(4) > 0 {
            put(0x50C0, &u32::from_be_bytes(*b"CRB2").to_le_bytes());
        }
        if self.numbers.below(2) > 0 {
            // Locality 0 executes.
            put(0, &0x83u32.to_le_bytes());
            put(0x5000, &(1u32 << 31).to_le_bytes());
            put(0x80, &GET_RANDOM);
        }
        for slot in 0..16 {
            let (address, len) = if self.numbers.below(2) > 0 {
                (BASE + 0x80 + 16 * slot as u64, 12)
            } else {
                (self.odd(), self.odd() as u32)
            };
            let flags = [0u16, 1, 2, 3, 4, 5, 0xFFFF][self.numbers.below(7)];
            let next = [slot as u16, slot as u16 + 1, 0, 0xFFFF][self.numbers.below(4)];
            let entry = [
                &address.to_le_bytes()[..],
                &len.to_le_bytes(),
                &flags.to_le_bytes(),
                &next.to_le_bytes(),
            ];
            let at = layout::QUEUE_DESCRIPTORS + 16 * slot;
            let entry = entry.concat();
            if at as u64 + 16 <= end {
                self.memory.write_all_at(&entry, at as u64).unwrap();
            }
        }
        let index = [0u16, 1, 2, 3, 0x8000, 0xFFFF][self.numbers.below(6)];
        let heads = [self.odd() as u16, self.numbers.below(3) as u16];
        let flags = [0u16, 1][self.numbers.below(2)];
        let ring: Vec<u8> = [flags, index, heads[0], heads[1]]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        if layout::QUEUE_AVAILABLE as u64 + 8 <= end {
            self.memory.write_all_at(&ring, layout::QUEUE_AVAILABLE as u64).unwrap();
        }
    }

    /// Sends a message; false when the daemon has closed the connection.
    fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> bool {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
        }
        sendmsg(&self.stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).is_ok()
    }

    /// Sends a step of the handshake, wrong in one way or another one time in `seldom`.
    fn step(&mut self, step: &Step, seldom: usize) -> bool {
        let Step(request, mut payload, mut extra) = Step(step.0, step.1.clone(), step.2);
        let (mut request, mut flags, mut stated, mut twice) = (request, 1u32, None, false);
        if self.numbers.below(seldom) == 0 {
            match self.numbers.below(9) {
                0 => request = self.numbers.below(48) as u32,
                1 => flags = self.odd() as u32,
                2 => stated = Some(self.odd() as u32),
                3 => payload.truncate(self.numbers.below(payload.len() + 1)),
                4 => extra = [Extra::Nothing, Extra::Memory, Extra::Event][self.numbers.below(3)],
                5 => twice = true,
                6 => return true,
                _ if !payload.is_empty() => {
                    let odd = self.odd().to_le_bytes();
                    let at = self.numbers.below(payload.len() / 4) * 4;
                    for (to, from) in payload.iter_mut().skip(at).zip(odd) {
                        *to = from;
                    }
                }
                _ => payload = self.numbers.bytes(64),
            }
        }
        if self.numbers.below(2) == 0 {
            flags |= 8;
        }
        let len = stated.unwrap_or(payload.len() as u32);
        let message = [
            &request.to_le_bytes()[..],
            &flags.to_le_bytes(),
            &len.to_le_bytes(),
            &payload,
        ]
        .concat();
        let wrong = self.numbers.below(seldom * 4) == 0;
        let other = self.others[self.numbers.below(2)].as_fd();
        let descriptors = match extra {
            Extra::Nothing if wrong => vec![other, self.event.as_fd()],
            Extra::Nothing => Vec::new(),
            _ if wrong => vec![other],
            Extra::Memory => vec![self.memory.as_fd()],
            Extra::Event => vec![self.event.as_fd()],
        };
        (0..=u8::from(twice)).all(|_| self.send(&message, &descriptors))
    }

    /// All of a connection.
    fn run(mut self) {
        self.fill();
        // Some get through the handshake, others do not.
        let seldom = [4, 20, 1000][self.numbers.below(3)];
        let steps = handshake();
        let count = if self.numbers.below(4) == 0 {
            self.numbers.below(steps.len())
        } else {
            steps.len()
        };
        if !steps.iter().take(count).all(|step| self.step(step, seldom)) {
            return;
        }
        for _ in 0..self.numbers.below(6) {
            // It is nonblocking, and its counter is far from full.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
            self.fill();
            let step = &steps[self.numbers.below(steps.len())];
            if self.numbers.below(2) == 0 && !self.step(step, 3) {
                break;
            }
        }
        // What was answered does not matter, and half a message may be left.
        let _ = self.stream.read(&mut [0; 4096]);
        if self.numbers.below(3) == 0 {
            let bytes = self.numbers.bytes(11);
            self.send(&bytes, &[]);
        }
    }
}

#[test]
fn monitors_that_mean_harm_leave_the_process_serving() {
    let mut server = Server::start();
    let mut numbers = Numbers(setting("HOSTILE_SEED", 1));
    for round in 0..setting("HOSTILE_ROUNDS", ROUNDS) {
        Monitor::connect(&mut numbers, &server.socket).run();
        if round % 50 == 49 {
            server.serves();
        }
    }
    server.serves();
}

#[test]
fn guests_that_mean_harm_leave_the_process_serving() {
    let mut server = Server::start();
    let mut numbers = Numbers(setting("HOSTILE_SEED", 1));
    let frontend = server.attach();
    for round in 0..setting("HOSTILE_ROUNDS", ROUNDS) {
        for _ in 0..60 {
            let page = numbers.below(6) as u64 * layout::PAGE as u64;
            let offset = page + [numbers.below(0x90), numbers.below(0x1000)][numbers.below(2)] as u64;
            let value = [1, 2, 4, 0, numbers.below(1 << 31) as u64][numbers.below(5)];
            frontend.write(offset, &value.to_le_bytes()[..1 + numbers.below(8)]);
            frontend.read(offset, &mut vec![0; numbers.below(16)]);
        }
        if round % 50 == 49 {
            frontend.reset().unwrap();
            assert_eq!(code_of(&frontend, &STARTUP_CLEAR), 0);
            assert_eq!(code_of(&frontend, &GET_RANDOM), 0);
        }
    }
    drop(frontend);
    server.serves();
}

/// A monitor that never takes the daemon's signals, and whose descriptor makes writers wait when it is full.
#[test]
fn a_signal_that_would_block_holds_nothing_up() {
    let mut server = Server::start();
    let full = EventFd::new(0).unwrap();
    full.write(u64::MAX - 1).unwrap();
    let mut driver = Driver::attach_with(&server.socket, &full);
    assert_eq!(driver.run(&STARTUP_CLEAR), SUCCESS);
    for _ in 0..3 {
        assert_eq!(driver.run(&GET_RANDOM).len(), 20);
    }
    drop(driver);
    server.serves();
}

/// An available ring that claims more than the queue has room for: there is always a command, and never one to take.
#[test]
fn a_broken_ring_keeps_nobody() {
    let mut server = Server::start();
    let driver = Driver::attach(&server.socket);
    driver.claim(1000);
    driver.kick();
    drop(driver);
    server.serves();
    // Nor does it keep a monitor that stops the queue.
    let mut driver = Driver::attach(&server.socket);
    driver.claim(1000);
    driver.kick();
    assert_eq!(driver.stop(), 0);
}

/// Commands that keep coming do not keep a connection that has ended.
#[test]
fn a_ring_that_is_never_empty_keeps_nobody() {
    let mut server = Server::start();
    let mut driver = Driver::attach(&server.socket);
    assert_eq!(driver.run(&STARTUP_CLEAR), SUCCESS);
    let (memory, test) = (driver.memory(), Arc::new(()));
    let goes_on = Arc::downgrade(&test);
    std::thread::spawn(move || {
        // Whoever has the memory needs no monitor for it.
        let mut index = 1u16;
        while goes_on.strong_count() > 0 {
            index = index.wrapping_add(1);
            virtio::claim(&memory, index);
            std::thread::sleep(Duration::from_micros(20));
        }
    });
    driver.kick();
    std::thread::sleep(Duration::from_millis(20));
    drop(driver);
    server.serves();
    drop(test);
}

/// A process that has the window's memory says without end that there is a command in it, and that localities want the
/// TPM. Neither a monitor that leaves nor one that asks for something is kept by that.
#[test]
fn a_window_that_always_has_a_command_keeps_nobody() {
    const OWNER: usize = 0x5000;
    const RESPONSE_LEN: usize = 0x5088;
    const MAGIC: usize = 0x50C0;
    const EXECUTING_AND_POLLED: u32 = 3 << 30;
    /// Nothing, locality 2 has seized, the active locality has relinquished.
    const NOTES: [u32; 3] = [0, 1 << 10, 1 << 16];
    // Long enough that the process does not sleep when the thread that writes the word does not run.
    let mut server = Server::start_with(&["--poll-us", "20000"]);
    let asked: [fn(&Step) -> bool; 5] = [
        |_| false,
        |step| step.0 == 5,
        |step| step.0 == 11,
        |step| step.0 == 25,
        |step| matches!(step.0, 5 | 11 | 25),
    ];
    for asked in asked {
        let mut numbers = Numbers(1);
        let window = Arc::new(SharedMemory::create().unwrap());
        window.copy_in(layout::DATA_BUFFER as usize, &GET_RANDOM);
        window.store(MAGIC, u32::from_be_bytes(*b"CRB2"));
        let goes_on = Arc::new(());
        let test = Arc::downgrade(&goes_on);
        let hammered = Arc::clone(&window);
        let hammer = std::thread::spawn(move || {
            while test.strong_count() > 0 {
                for note in NOTES {
                    hammered.store(OWNER, EXECUTING_AND_POLLED | note);
                }
            }
        });
        let file = window.file().try_clone().unwrap();
        let mut monitor = Monitor::with_memory(&mut numbers, &server.socket, file);
        let mut steps = handshake();
        assert!(steps.iter().all(|step| monitor.step(step, NEVER)));
        for _ in 0..3 {
            window.store(RESPONSE_LEN, 0);
            wait_until("commands are executed", || {
                rustix::io::write(&monitor.event, &1u64.to_ne_bytes()).unwrap();
                window.load(RESPONSE_LEN) != 0
            });
        }
        // GET_VRING_BASE.
        steps.push(Step(11, pair(0, 0), Extra::Nothing));
        for step in steps.iter().filter(|step| asked(step)) {
            assert!(monitor.step(step, NEVER));
        }
        drop(monitor);
        server.serves();
        drop(goes_on);
        hammer.join().unwrap();
    }
}

#[test]
fn a_guest_does_not_fill_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("tpm.sock");
    let daemon = Daemon::start(&directory, &["--socket-path", socket.to_str().unwrap()]);
    let driver = Driver::attach(&socket);
    // More commands than the queue has room for: each kick is a complaint.
    driver.claim(1000);
    for _ in 0..2000 {
        driver.kick();
        std::thread::sleep(Duration::from_micros(100));
    }
    daemon.signal(Signal::TERM);
    let (_, log) = daemon.end();
    let lines = log.lines().count();
    assert!((1..100).contains(&lines), "{lines} lines: {log}");
}
