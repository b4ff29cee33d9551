//! The process that plays the TPM: ours, or swtpm for comparison.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{self, cargo};

/// How long a process may take to serve: on a new state directory it makes the TPM first.
const START: Duration = Duration::from_secs(60);
/// How long an orderly stop may take.
const STOP: Duration = Duration::from_secs(10);

/// Which program plays the TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// This project's daemon.
    Ours,
    /// Debian's swtpm.
    Swtpm,
}

/// How the daemon is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    Debug,
    Release,
}

/// Where a TPM is served.
#[derive(Debug, Clone)]
pub(crate) enum Endpoint {
    /// The control socket; the data channel is handed over by SET_DATAFD.
    Unix(PathBuf),
    /// The data channel's port; the control channel is on the next.
    Tcp(u16),
    /// The socket of our own protocol for monitors, which swtpm lacks.
    VhostUser(PathBuf),
}

impl Endpoint {
    /// The first of two neighbouring ports that nobody uses.
    ///
    /// # Errors
    /// There are none.
    pub(crate) fn free_ports() -> Result<u16> {
        for _ in 0..100 {
            let data = TcpListener::bind(("127.0.0.1", 0))?;
            let port = data.local_addr()?.port();
            if let Some(next) = port.checked_add(1)
                && TcpListener::bind(("127.0.0.1", next)).is_ok()
            {
                return Ok(port);
            }
        }
        bail!("no two free TCP ports")
    }
}

/// Builds the daemon.
///
/// # Errors
/// It does not compile.
pub(crate) fn build(kind: Build) -> Result<PathBuf> {
    let mut command = cargo(&["build", "--quiet", "--locked", "--package", "vhost-device-tpm"]);
    let folder = match kind {
        Build::Debug => "debug",
        Build::Release => {
            command.arg("--release");
            "release"
        }
    };
    process::run(&mut command)?;
    Ok(process::target().join(folder).join("vhost-device-tpm"))
}

/// A program that plays a TPM.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    Ours(PathBuf),
    Swtpm,
}

/// Who powers the TPM on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Power {
    /// The client, as a monitor does.
    Client,
    /// The client, with a TPM that comes from another process.
    Incoming,
    /// The process itself; the profile to make it with, where there is a choice.
    On { profile: &'static str },
}

/// A running TPM. It is killed with this value.
#[derive(Debug)]
pub(crate) struct Tpm {
    child: Child,
    log: PathBuf,
}

impl Tpm {
    /// Starts a TPM whose state and log are in a folder, and waits until it serves.
    ///
    /// # Errors
    /// It does not serve; the message has its log.
    pub(crate) fn start(program: &Program, folder: &Path, endpoint: &Endpoint, power: Power) -> Result<Self> {
        let mut tpm = Self::spawn(program, folder, endpoint, power)?;
        let deadline = Instant::now() + START;
        while !tpm.serves(program, endpoint) {
            if let Some(status) = tpm.child.try_wait()? {
                bail!("the TPM's process: {status}\n{}", tpm.log());
            }
            if Instant::now() > deadline {
                bail!("the TPM's process does not serve\n{}", tpm.log());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(tpm)
    }

    /// Starts a TPM whose state and log are in a folder, and waits for nothing.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn spawn(program: &Program, folder: &Path, endpoint: &Endpoint, power: Power) -> Result<Self> {
        let state = folder.join("state");
        fs::create_dir_all(&state)?;
        let log = folder.join("tpm.log");
        let mut command = match program {
            Program::Ours(program) => ours(program, &state, endpoint, power),
            Program::Swtpm => swtpm(&state, endpoint, power)?,
        };
        let name = process::display(&command);
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, log })
    }

    /// The process' number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn serves(&self, program: &Program, endpoint: &Endpoint) -> bool {
        match (program, endpoint) {
            (Program::Ours(_), _) => self.log().lines().any(|line| line == "READY"),
            (Program::Swtpm, Endpoint::Unix(socket)) => UnixStream::connect(socket).is_ok(),
            (Program::Swtpm, Endpoint::Tcp(port)) => port
                .checked_add(1)
                .is_some_and(|control| TcpStream::connect(("127.0.0.1", control)).is_ok()),
            (Program::Swtpm, Endpoint::VhostUser(_)) => false,
        }
    }

    /// What the process has written.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// SIGKILL: the process has no time for anything.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGTERM, and waits. A process that ended with its client is as good.
    ///
    /// # Errors
    /// It does not end in time, or ends with a failure.
    pub(crate) fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return self.check(status);
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + STOP;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return self.check(status);
            }
            if Instant::now() > deadline {
                bail!("the TPM's process does not stop on SIGTERM\n{}", self.log());
            }
            sleep(Duration::from_millis(10));
        }
    }

    fn check(&self, status: ExitStatus) -> Result<()> {
        if !status.success() {
            bail!("the TPM's process: {status}\n{}", self.log());
        }
        Ok(())
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        // It may have ended already; nothing else can be done about either failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ours(program: &Path, state: &Path, endpoint: &Endpoint, power: Power) -> Command {
    let mut command = Command::new(program);
    command.arg("serve").arg("--state-dir").arg(state);
    match endpoint {
        Endpoint::Unix(socket) => command.arg("--swtpm-socket").arg(socket),
        Endpoint::Tcp(port) => command.arg("--swtpm-tcp").arg(format!("127.0.0.1:{port}")),
        Endpoint::VhostUser(socket) => command.arg("--socket-path").arg(socket),
    };
    match power {
        Power::Client => {}
        Power::Incoming => {
            command.args(["--migration", "incoming"]);
        }
        Power::On { profile } => {
            command.args(["--startup", "clear", "--profile", profile]);
        }
    }
    command
}

fn swtpm(state: &Path, endpoint: &Endpoint, power: Power) -> Result<Command> {
    let mut command = Command::new("swtpm");
    command.args(["socket", "--tpm2"]);
    command.arg("--tpmstate").arg(format!("dir={}", state.display()));
    match endpoint {
        Endpoint::Unix(socket) => {
            command
                .arg("--ctrl")
                .arg(format!("type=unixio,path={}", socket.display()));
        }
        Endpoint::Tcp(port) => {
            command.arg("--server").arg(format!("type=tcp,port={port}"));
            command
                .arg("--ctrl")
                .arg(format!("type=tcp,port={}", port.saturating_add(1)));
        }
        Endpoint::VhostUser(_) => bail!("swtpm does not speak vhost-user"),
    }
    if let Power::On { .. } = power {
        command.args(["--flags", "not-need-init,startup-clear"]);
    }
    Ok(command)
}
