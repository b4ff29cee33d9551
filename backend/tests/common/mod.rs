//! A daemon under test, and clients that speak its sockets' protocols as bytes.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test program uses a part, and a test may panic"
)]

pub(crate) mod scene;
pub(crate) mod virtio;
pub(crate) mod window;

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, kill_process, prlimit, waitpid};
use tempfile::TempDir;

/// How long anything may take on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const STARTUP_CLEAR: [u8; 12] = *b"\x80\x01\0\0\0\x0c\0\0\x01\x44\0\0";
pub(crate) const STARTUP_STATE: [u8; 12] = *b"\x80\x01\0\0\0\x0c\0\0\x01\x44\0\x01";
pub(crate) const SHUTDOWN_STATE: [u8; 12] = *b"\x80\x01\0\0\0\x0c\0\0\x01\x45\0\x01";
/// TPM2_GetRandom of 8 bytes; its response has 20.
pub(crate) const GET_RANDOM: [u8; 12] = *b"\x80\x01\0\0\0\x0c\0\0\x01\x7b\0\x08";
/// TPM2_PCR_Read of PCR 16 of the SHA-256 bank; its response ends with the value.
pub(crate) const PCR_READ: [u8; 20] = *b"\x80\x01\0\0\0\x14\0\0\x01\x7e\0\0\0\x01\0\x0b\x03\0\0\x01";
/// TPM_RC_CANCELED.
pub(crate) const CANCELED: [u8; 10] = *b"\x80\x01\0\0\0\x0a\0\0\x09\x09";
pub(crate) const SUCCESS: [u8; 10] = *b"\x80\x01\0\0\0\x0a\0\0\0\0";
/// TPM_RC_FAILURE: what a TPM without power answers.
pub(crate) const NO_POWER: [u8; 10] = *b"\x80\x01\0\0\0\x0a\0\0\x01\x01";
/// TPM_RC_INITIALIZE: TPM2_Startup is missing.
pub(crate) const NOT_STARTED: [u8; 10] = *b"\x80\x01\0\0\0\x0a\0\0\x01\0";

/// A command of which one handle is authorized, with an empty password.
pub(crate) fn authorized(code: u32, handles: &[u32], params: &[u8]) -> Vec<u8> {
    let handles = handles.iter().flat_map(|handle| handle.to_be_bytes());
    let mut body: Vec<u8> = handles.collect();
    body.extend_from_slice(b"\0\0\0\x09\x40\0\0\x09\0\0\0\0\0");
    body.extend_from_slice(params);
    let size = body.len() as u32 + 10;
    [b"\x80\x02", &size.to_be_bytes()[..], &code.to_be_bytes(), &body].concat()
}

/// TPM2_PCR_Extend of a PCR of the SHA-256 bank.
pub(crate) fn pcr_extend(pcr: u32, digest: [u8; 32]) -> Vec<u8> {
    authorized(0x182, &[pcr], &[b"\0\0\0\x01\0\x0b".as_slice(), &digest].concat())
}

/// TPM2_PCR_Reset.
pub(crate) fn pcr_reset(pcr: u32) -> Vec<u8> {
    authorized(0x13D, &[pcr], &[])
}

const COUNTER: u32 = 0x0180_0001;

/// Makes a counter (TPMA_NV: TPM_NT 1, NO_DA, AUTHREAD, AUTHWRITE) of the owner, and gives it its first value.
pub(crate) fn define_counter(data: &mut Data<UnixStream>) {
    let public = [&COUNTER.to_be_bytes()[..], b"\0\x0b\x02\x04\0\x14\0\0\0\x08"].concat();
    let define = authorized(0x12A, &[0x4000_0001], &[b"\0\0\0\x0e", &public[..]].concat());
    assert_eq!(data.run(&define)[6..10], [0; 4]);
    assert_eq!(data.run(&increment())[6..10], [0; 4]);
}

/// TPM2_NV_Increment of the counter.
pub(crate) fn increment() -> Vec<u8> {
    authorized(0x134, &[COUNTER, COUNTER], &[])
}

/// The counter's value.
pub(crate) fn counter(data: &mut Data<UnixStream>) -> u64 {
    let response = data.run(&authorized(0x14E, &[COUNTER, COUNTER], &[0, 8, 0, 0]));
    let mut value = [0; 8];
    value.copy_from_slice(&response[16..24]);
    u64::from_be_bytes(value)
}

/// In how long nobody finds an RSA-3072 key.
pub(crate) const SOON: Duration = Duration::from_millis(2);

/// TPM2_CreatePrimary of an RSA-3072 storage key in the owner hierarchy; other numbers are other keys. What is never
/// found within [`SOON`], and ends when it is cancelled.
pub(crate) fn slow_primary(number: u32) -> Vec<u8> {
    let symmetric_and_scheme = b"\0\x06\0\x80\0\x43\0\x10";
    let public = [
        b"\0\x01\0\x0b\0\x03\x04\x72\0\0".as_slice(),
        symmetric_and_scheme,
        b"\x0c\0\0\0\0\0\0\x04",
        &number.to_be_bytes(),
    ]
    .concat();
    let size = (public.len() as u16).to_be_bytes();
    let params = [b"\0\x04\0\0\0\0".as_slice(), &size, &public, &[0; 6]].concat();
    authorized(0x131, &[0x4000_0001], &params)
}

/// TPM2_FlushContext of the object that a response made.
pub(crate) fn flush(response: &[u8]) -> Vec<u8> {
    [b"\x80\x01\0\0\0\x0e\0\0\x01\x65", &response[10..14]].concat()
}

/// A control request of this number.
pub(crate) fn request(number: u32, body: &[u8]) -> Vec<u8> {
    [&number.to_be_bytes(), body].concat()
}

/// A daemon; killed when the test is over.
pub(crate) struct Daemon {
    child: Child,
    log: Receiver<String>,
    pub(crate) lines: Vec<String>,
    control: PathBuf,
}

/// What [`Daemon::spawn`] starts with.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vhost-device-tpm"));
    command
        .arg("serve")
        .args(args)
        .stdin(Stdio::null())
        // Not that of the tests: whoever reads it to its end would wait for a daemon that was left behind.
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

impl Daemon {
    /// A daemon on this directory's TPM and control socket, ready.
    pub(crate) fn start(directory: &TempDir, args: &[&str]) -> Self {
        let mut daemon = Self::spawn(directory, args, |_| {});
        daemon.wait_for("READY");
        daemon
    }

    /// A daemon that may not get ready.
    pub(crate) fn spawn(directory: &TempDir, args: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let control = directory.path().join("control.sock");
        let state = directory.path().join("tpm");
        let mut command = program(args);
        command
            .arg("--state-dir")
            .arg(&state)
            .arg("--swtpm-socket")
            .arg(&control);
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            log,
            lines: Vec::new(),
            control,
        }
    }

    /// Reads the log up to a line that contains this, which it returns.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait_patiently_for(text, PATIENCE)
    }

    /// The same where much time may pass from one line to the next.
    pub(crate) fn wait_patiently_for(&mut self, text: &str, patience: Duration) -> String {
        loop {
            let line = self
                .log
                .recv_timeout(patience)
                .unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.lines));
            self.lines.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The addresses of the data and the control port, from the log.
    pub(crate) fn ports(&self) -> (SocketAddr, SocketAddr) {
        let line = self
            .lines
            .iter()
            .find(|line| line.contains("data channel on "))
            .unwrap();
        let address = |what: &str| {
            let rest = line.split(what).nth(1).unwrap();
            rest.split(',').next().unwrap().trim().parse().unwrap()
        };
        (address("data channel on "), address("control channel on "))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops all of the daemon's threads where they are, as if it hung; SIGCONT lets it go on.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
        // The signal is sent at once, and takes effect when it does.
        waitpid(Some(Pid::from_child(&self.child)), WaitOptions::UNTRACED).unwrap();
    }

    /// Lets no file of the daemon grow beyond this.
    pub(crate) fn limit_file_size(&self, bytes: Option<u64>) {
        let limit = Rlimit {
            current: bytes,
            maximum: None,
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Fsize, limit).unwrap();
    }

    /// What was logged and not read yet.
    pub(crate) fn said(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The exit status and the whole log.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        self.lines.extend(self.log.iter());
        (status, self.lines.join("\n"))
    }

    pub(crate) fn control(&self) -> Control {
        Control::connect(&self.control)
    }

    /// A control and a data channel to a TPM that CMD_INIT has powered on.
    pub(crate) fn attach(&self) -> (Control, Data<UnixStream>) {
        let mut control = self.control();
        let data = control.attach();
        assert_eq!(control.ask(&request(0x02, &[0; 4]), 4), [0; 4]);
        (control, data)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of the control channel.
pub(crate) struct Control(pub(crate) UnixStream);

impl Control {
    pub(crate) fn connect(path: &Path) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// Sends a request and reads a response of this size, its result first as VMMs do.
    pub(crate) fn ask(&mut self, request: &[u8], size: usize) -> Vec<u8> {
        self.0.write_all(request).unwrap();
        read_result_first(&mut self.0, size)
    }

    /// Sends a request with a descriptor.
    pub(crate) fn ask_with(&mut self, request: &[u8], descriptor: BorrowedFd<'_>, size: usize) -> Vec<u8> {
        let descriptors = [descriptor];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let sent = sendmsg(&self.0, &[IoSlice::new(request)], &mut control, SendFlags::empty()).unwrap();
        assert_eq!(sent, request.len());
        read_result_first(&mut self.0, size)
    }

    /// Hands over one end of a new socket pair; the other is the data channel.
    pub(crate) fn attach(&mut self) -> Data<UnixStream> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert_eq!(self.ask_with(&request(0x10, &[]), theirs.as_fd(), 4), [0; 4]);
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        Data(ours)
    }
}

fn read_result_first(socket: &mut impl Read, size: usize) -> Vec<u8> {
    let mut response = vec![0; size];
    socket.read_exact(&mut response[..4]).unwrap();
    socket.read_exact(&mut response[4..]).unwrap();
    response
}

/// A client of a data channel.
pub(crate) struct Data<S>(pub(crate) S);

impl Data<TcpStream> {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }
}

impl<S: Read + Write> Data<S> {
    /// Sends a command; returns the whole response.
    pub(crate) fn run(&mut self, command: &[u8]) -> Vec<u8> {
        self.0.write_all(command).unwrap();
        self.response()
    }

    pub(crate) fn response(&mut self) -> Vec<u8> {
        let mut response = vec![0; 10];
        self.0.read_exact(&mut response).unwrap();
        let size = u32::from_be_bytes(response[2..6].try_into().unwrap());
        response.resize(size as usize, 0);
        self.0.read_exact(&mut response[10..]).unwrap();
        response
    }

    /// Sends a command behind the simulator's header; returns the response without its frame, which is checked.
    pub(crate) fn run_framed(&mut self, locality: u8, command: &[u8]) -> Vec<u8> {
        self.0.write_all(&framed(locality, command)).unwrap();
        let mut size = [0; 4];
        self.0.read_exact(&mut size).unwrap();
        let mut rest = vec![0; u32::from_be_bytes(size) as usize + 4];
        self.0.read_exact(&mut rest).unwrap();
        assert_eq!(rest.split_off(rest.len() - 4), [0; 4]);
        rest
    }
}

/// A command behind the simulator's header: TPM_SEND_COMMAND, locality, size.
pub(crate) fn framed(locality: u8, command: &[u8]) -> Vec<u8> {
    let size = (command.len() as u32).to_be_bytes();
    [&[0, 0, 0, 8, locality], size.as_slice(), command].concat()
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}
