//! A TPM in a process of its own: Debian's swtpm, or ours.

mod control;

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

pub use control::Control;

/// How long a process may take to listen.
const START: Duration = Duration::from_secs(20);
/// How long a process may take to end.
const END: Duration = Duration::from_secs(5);
/// How long a command may take: RSA key generation on a busy machine.
const COMMAND: Duration = Duration::from_secs(180);
/// More than any response is long.
const RESPONSE_MAX: usize = 16 * 1024;

/// Which program plays the TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// swtpm, from the search path.
    Swtpm,
    /// This file, which takes the command line of `vhost-device-tpm serve`.
    Ours(PathBuf),
}

impl Kind {
    /// The name reports use.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Swtpm => "swtpm",
            Self::Ours(_) => "ours",
        }
    }

    fn command(&self, state: &Path, socket: &Path, arguments: &[String]) -> Command {
        match self {
            Self::Swtpm => {
                let mut command = Command::new("swtpm");
                command.args(["socket", "--tpm2", "--terminate"]);
                // Without this flag swtpm drops SET_LOCALITY.
                command.args(["--locality", "allow-set-locality"]);
                command.arg("--tpmstate").arg(format!("dir={}", state.display()));
                command
                    .arg("--ctrl")
                    .arg(format!("type=unixio,path={}", socket.display()));
                command
            }
            Self::Ours(program) => {
                let mut command = serve(program, state);
                command.arg("--swtpm-socket").arg(socket).args(arguments);
                command
            }
        }
    }
}

/// A running TPM with both of its channels open. It ends with this value.
#[derive(Debug)]
pub struct Peer {
    kind: Kind,
    /// What our program is given beside where it serves.
    arguments: Vec<String>,
    child: Child,
    folder: TempDir,
    /// The control channel.
    pub control: Control,
    data: UnixStream,
}

impl Peer {
    /// Starts a TPM fresh from manufacture, after `_TPM_Init`; TPM2_Startup is the caller's.
    ///
    /// # Errors
    /// The program cannot be run, or does not serve.
    pub fn start(kind: &Kind) -> Result<Self> {
        Self::start_with(kind, &[])
    }

    /// The same, with these arguments for our program.
    ///
    /// # Errors
    /// The program cannot be run, or does not serve.
    pub fn start_with(kind: &Kind, arguments: &[String]) -> Result<Self> {
        Self::start_in(folder()?, kind, arguments)
    }

    /// The same, with its state in this folder.
    ///
    /// # Errors
    /// The program cannot be run, or does not serve.
    pub fn start_in(folder: TempDir, kind: &Kind, arguments: &[String]) -> Result<Self> {
        std::fs::create_dir(folder.path().join("state"))?;
        let mut child = spawn(kind, folder.path(), arguments)?;
        let (control, data) = serving(&mut child, folder.path())?;
        Ok(Self {
            kind: kind.clone(),
            arguments: arguments.to_vec(),
            child,
            folder,
            control,
            data,
        })
    }

    /// Kills the process without warning, if it is there, and starts it again on its state.
    ///
    /// # Errors
    /// It does not serve; the message has its log.
    pub fn restart(&mut self) -> Result<()> {
        self.respawn()?;
        (self.control, self.data) = serving(&mut self.child, self.folder.path())?;
        Ok(())
    }

    /// The same, but does not wait until it serves.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn respawn(&mut self) -> Result<()> {
        stop(&mut self.child);
        self.child = spawn(&self.kind, self.folder.path(), &self.arguments)?;
        Ok(())
    }

    fn attach(child: &mut Child, socket: &Path) -> Result<(Control, UnixStream)> {
        let deadline = Instant::now() + START;
        let stream = loop {
            if let Ok(stream) = UnixStream::connect(socket) {
                break stream;
            }
            if let Some(status) = child.try_wait()? {
                bail!("it ended ({status}) before it served");
            }
            if Instant::now() > deadline {
                bail!("it does not listen on its control socket");
            }
            sleep(Duration::from_millis(2));
        };
        let mut control = Control::new(stream, COMMAND)?;
        let (data, theirs) = UnixStream::pair()?;
        data.set_read_timeout(Some(COMMAND))?;
        data.set_write_timeout(Some(COMMAND))?;
        control.set_data_fd(&theirs)?;
        control.init(false)?;
        Ok((control, data))
    }

    /// Which program this is.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Sends a command and waits for its response.
    ///
    /// # Errors
    /// The process is gone or does not answer in time; the message has the end of its log.
    pub fn execute(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        self.exchange(command)
            .with_context(|| format!("{} does not answer; its log ends:\n{}", self.kind.name(), self.log()))
    }

    fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        self.data.write_all(command)?;
        let mut response = vec![0; 4096];
        let mut have = 0;
        loop {
            let count = self.data.read(response.get_mut(have..).unwrap_or_default())?;
            if count == 0 {
                bail!("the data channel was closed");
            }
            have += count;
            let size = response
                .get(2..6)
                .and_then(|size| size.try_into().ok())
                .map(u32::from_be_bytes);
            let size = usize::try_from(size.unwrap_or(0))?;
            if have >= 6 && have >= size {
                response.truncate(have);
                return Ok(response);
            }
            if size > RESPONSE_MAX {
                bail!("a response of {size} bytes");
            }
            response.resize(size.max(4096), 0);
        }
    }

    /// The end of what the process has written.
    #[must_use]
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let start = text.char_indices().rev().nth(2000).map_or(0, |(position, _)| position);
        text.get(start..).unwrap_or_default().to_owned()
    }

    /// The process' number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Bytes that the process has had written to the disk, rounded up to pages.
    ///
    /// # Errors
    /// The system does not say.
    pub fn written(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(line.context("no write_bytes")?.parse()?)
    }

    /// The memory that the process holds, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // In order, which is part of what is tested; by force when that does not help.
        if self.control.shutdown().is_ok() {
            let deadline = Instant::now() + END;
            while Instant::now() < deadline {
                if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                    return;
                }
                sleep(Duration::from_millis(1));
            }
        }
        stop(&mut self.child);
    }
}

fn spawn(kind: &Kind, folder: &Path, arguments: &[String]) -> Result<Child> {
    let command = kind.command(&folder.join("state"), &folder.join("control"), arguments);
    launch(command, folder)
}

/// Starts a process that writes its log into a folder.
pub(crate) fn launch(mut command: Command, folder: &Path) -> Result<Child> {
    let log = File::create(folder.join("log"))?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("starting {command:?}"))
}

/// Our program on a state directory; where it serves is still to be added.
pub(crate) fn serve(program: &Path, state: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--profile", "compat", "--log-level", "warn"]);
    command.arg("--state-dir").arg(state);
    command
}

/// The channels of a process that has just been started; one that does not serve is stopped.
fn serving(child: &mut Child, folder: &Path) -> Result<(Control, UnixStream)> {
    Peer::attach(child, &folder.join("control")).map_err(|error| {
        stop(child);
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        error.context(format!("the process does not serve\n{log}"))
    })
}

/// A folder for a process' state, in memory: what a disk takes is not what is measured or compared.
pub(crate) fn folder() -> std::io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
}

pub(crate) fn stop(child: &mut Child) {
    // It may have ended already; nothing else can be done about either failure.
    let _ = child.kill();
    let _ = child.wait();
}
