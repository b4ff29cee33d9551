//! Our daemon behind its vhost-user socket.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crb_interface::frontend::{Frontend, FrontendConfig};
use tempfile::TempDir;

use crate::peer;

/// How long it may take until it serves: on a new state directory it makes the TPM first.
const START: Duration = Duration::from_secs(20);

/// A daemon that serves monitors. It ends with this value.
#[derive(Debug)]
pub struct Daemon {
    program: PathBuf,
    arguments: Vec<String>,
    folder: TempDir,
    child: Child,
}

impl Daemon {
    /// Starts this program on a new TPM, with these arguments beside those that say where it serves; returns when it is
    /// ready.
    ///
    /// # Errors
    /// It does not serve; the message has its log.
    pub fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let folder = peer::folder()?;
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let child = spawn(program, &arguments, folder.path())?;
        let mut daemon = Self {
            program: program.to_owned(),
            arguments,
            folder,
            child,
        };
        daemon.ready()?;
        Ok(daemon)
    }

    /// Kills the process without warning.
    pub fn kill(&mut self) {
        peer::stop(&mut self.child);
    }

    /// Kills the process if it is there, and starts it again on its TPM.
    ///
    /// # Errors
    /// It does not serve; the message has its log.
    pub fn restart(&mut self) -> Result<()> {
        self.kill();
        self.child = spawn(&self.program, &self.arguments, self.folder.path())?;
        self.ready()
    }

    fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while !self.log().lines().any(|line| line == "READY") {
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended ({status}) before it served\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("the daemon does not serve\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// A frontend with a window of its own.
    ///
    /// # Errors
    /// The daemon refuses.
    pub fn attach(&self) -> Result<Frontend> {
        Frontend::connect(FrontendConfig::new(self.socket())).context("attaching the daemon")
    }

    /// The vhost-user socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// The process' number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is there.
    ///
    /// # Errors
    /// The system does not say.
    pub fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// What the process wrote since it was started.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("tpm.sock")
}

fn spawn(program: &Path, arguments: &[String], folder: &Path) -> Result<Child> {
    let mut command = peer::serve(program, &folder.join("state"));
    command.arg("--socket-path").arg(socket(folder)).args(arguments);
    peer::launch(command, folder)
}
