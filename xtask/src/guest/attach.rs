//! How a guest's TPM is attached to its machine.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::vm::MEMORY;
use crate::process;
use crate::tpm::Endpoint;

/// By which protocol, and whose registers the guest meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Interface {
    /// swtpm's protocol; QEMU's own CRB device.
    Swtpm,
    /// vhost-user; our CRB registers, in a process to which QEMU forwards the guest's accesses.
    VhostUser,
}

impl Interface {
    /// Where the TPM of a guest that keeps its files in a folder is served.
    pub(crate) fn endpoint(self, folder: &Path) -> Endpoint {
        let socket = folder.join("control.sock");
        match self {
            Self::Swtpm => Endpoint::Unix(socket),
            Self::VhostUser => Endpoint::VhostUser(socket),
        }
    }

    /// What belongs to this one of the two.
    pub(crate) const fn choose<T: Copy>(self, swtpm: T, vhost_user: T) -> T {
        match self {
            Self::Swtpm => swtpm,
            Self::VhostUser => vhost_user,
        }
    }

    /// Adds the TPM to QEMU's command line; what it needs beside QEMU has to be kept as long as QEMU runs.
    pub(super) fn attach(self, folder: &Path, qemu: &mut Command) -> Result<Option<Window>> {
        match self {
            Self::Swtpm => {
                qemu.stdin(Stdio::null());
                qemu.arg("-chardev").arg(format!(
                    "socket,id=chrtpm,path={}",
                    folder.join("control.sock").display()
                ));
                qemu.args([
                    "-tpmdev",
                    "emulator,id=tpm0,chardev=chrtpm",
                    "-device",
                    "tpm-crb,tpmdev=tpm0",
                ]);
                Ok(None)
            }
            Self::VhostUser => Window::open(folder, qemu).map(Some),
        }
    }
}

/// The process that has our registers: `integration`'s `qemu-window`. It ends with QEMU, or with this value.
#[derive(Debug)]
pub(super) struct Window(Child);

impl Window {
    fn open(folder: &Path, qemu: &mut Command) -> Result<Self> {
        // Each has its end of the pair as stdin: no other descriptor gets through to a new program by itself.
        let (ours, theirs) = UnixStream::pair()?;
        let monitor = folder.join("monitor.sock");
        if monitor.exists() {
            std::fs::remove_file(&monitor)?;
        }
        let mut command = Command::new(process::build("integration", "qemu-window")?);
        command.arg("--socket-path").arg(folder.join("control.sock"));
        command.arg("--monitor").arg(&monitor).arg("--tables").arg(folder);
        command.stdin(OwnedFd::from(ours)).stdout(Stdio::piped());
        command.stderr(File::create(folder.join("window.log"))?);
        let mut window = Self(command.spawn().context("cannot start qemu-window")?);
        let output = window.0.stdout.take().context("qemu-window has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(
            line.trim_end() == "READY",
            "qemu-window does not serve\n{}",
            std::fs::read_to_string(folder.join("window.log")).unwrap_or_default()
        );
        qemu.stdin(OwnedFd::from(theirs));
        // QEMU offers the guest's memory to the device, and complains of one without a descriptor.
        qemu.args(["-machine", "memory-backend=ram", "-object"]);
        qemu.arg(format!("memory-backend-memfd,id=ram,share=on,size={MEMORY}M"));
        // After a reset, too, the guest waits until its TPM is where the tables say.
        qemu.args(["-S", "-action", "reboot=shutdown,shutdown=pause"]);
        qemu.args([
            "-device",
            "x-pci-proxy-dev,addr=10,fd=0",
            "-mon",
            "chardev=monitor,mode=control",
        ]);
        qemu.arg("-chardev")
            .arg(format!("socket,id=monitor,path={}", monitor.display()));
        for table in ["tpm2.aml", "ssdt.aml"] {
            qemu.arg("-acpitable")
                .arg(format!("file={}", folder.join(table).display()));
        }
        Ok(window)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // It may have ended already; nothing else can be done about either failure.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
