//! QEMU's monitor for people, by which a machine is stopped, saved and let go on.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long saving or loading a machine's memory may take.
const PATIENCE: Duration = Duration::from_secs(240);
/// What the monitor says when it waits for a command.
const PROMPT: &str = "\n(qemu) ";

/// A connection to the monitor.
#[derive(Debug)]
pub(super) struct Monitor(UnixStream);

impl Monitor {
    /// Connects to a QEMU that is starting.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => return Err(error).context("QEMU has no monitor"),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut monitor = Self(stream);
        monitor.answer()?;
        Ok(monitor)
    }

    /// Has a command carried out; what the monitor says to it.
    pub(super) fn ask(&mut self, command: &str) -> Result<String> {
        self.0.write_all(format!("{command}\n").as_bytes())?;
        self.answer()
    }

    /// Asks for the machine's status until it is this. A machine that is still being loaded has none.
    pub(super) fn wait_for(&mut self, status: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask("info status")?;
            if answer.contains(status) && !answer.contains("inmigrate") {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the machine is not {status}: {answer}");
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn answer(&mut self) -> Result<String> {
        let mut text = String::new();
        let mut chunk = [0; 4096];
        while !text.ends_with(PROMPT) {
            let len = self.0.read(&mut chunk).context("QEMU's monitor is silent")?;
            if len == 0 {
                bail!("QEMU has ended: {text}");
            }
            text.push_str(&String::from_utf8_lossy(chunk.get(..len).unwrap_or_default()));
        }
        Ok(text)
    }
}
