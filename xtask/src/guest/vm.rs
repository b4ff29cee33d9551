//! The virtual machine.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::attach::Window;
use super::monitor::Monitor;
use super::{Event, Images, Interface};

/// The firmware without Secure Boot: it measures all the same, and needs no system management mode.
pub(super) const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS.fd";

/// MiB of memory.
pub(super) const MEMORY: &str = "512";
const HOST_MEMORY: &str = "1024";

/// How long a guest may be silent. A boot on a loaded machine is the longest silence.
const SILENCE: Duration = Duration::from_secs(240);

/// A running QEMU. It ends with this value.
#[derive(Debug)]
pub(crate) struct Vm {
    child: Child,
    lines: Receiver<String>,
    folder: PathBuf,
    /// Of a machine that can be moved.
    monitor: Option<Monitor>,
    /// Ends after QEMU has.
    _window: Option<Window>,
}

impl Vm {
    /// Boots a guest that runs a scenario.
    ///
    /// Its TPM is served at the interface's endpoint in `folder`, which also takes the firmware's variables and the
    /// console's log; `arguments` go to the scenario by the kernel's command line.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub(crate) fn start(
        images: &Images,
        interface: Interface,
        folder: &Path,
        scenario: &str,
        arguments: &str,
        accelerator: &str,
    ) -> Result<Self> {
        let mut command = guest(folder, accelerator)?;
        let window = interface.attach(folder, &mut command)?;
        Self::launch(
            command,
            images,
            folder,
            &format!("scenario={scenario} {arguments}"),
            window,
        )
    }

    /// Boots a guest that can be saved and moved, with a TPM of swtpm's protocol; or has one go on that was saved into a
    /// file, by the same arguments.
    ///
    /// # Errors
    /// QEMU cannot be started, or does not take the machine.
    pub(crate) fn start_movable(
        images: &Images,
        folder: &Path,
        scenario: &str,
        arguments: &str,
        saved: Option<&Path>,
    ) -> Result<Self> {
        let mut command = guest(folder, "tcg")?;
        let window = Interface::Swtpm.attach(folder, &mut command)?;
        let monitor = folder.join("hmp.sock");
        command
            .arg("-monitor")
            .arg(format!("unix:{},server=on,wait=off", monitor.display()));
        if let Some(saved) = saved {
            command.arg("-incoming").arg(format!("exec:cat {}", saved.display()));
        }
        let arguments = format!("scenario={scenario} {arguments}");
        let mut vm = Self::launch(command, images, folder, &arguments, window)?;
        let mut monitor = Monitor::connect(&monitor).with_context(|| vm.log())?;
        if saved.is_some() {
            let go_on = monitor.wait_for("paused").and_then(|()| monitor.ask("cont"));
            go_on.with_context(|| vm.log())?;
        }
        vm.monitor = Some(monitor);
        Ok(vm)
    }

    /// Stops the machine and saves it into a file. It stays stopped.
    ///
    /// # Errors
    /// QEMU does not do it; or the machine went on before it was stopped.
    pub(crate) fn save(&mut self, file: &Path) -> Result<()> {
        let monitor = self.monitor.as_mut().context("the machine cannot be moved")?;
        monitor.ask("stop")?;
        if let Ok(line) = self.lines.recv_timeout(Duration::from_millis(200)) {
            bail!("the machine went on before it could be stopped: {line}");
        }
        let said = monitor.ask(&format!("migrate \"exec:cat > {}\"", file.display()))?;
        let state = monitor.ask("info migrate")?;
        if !state.contains("completed") {
            bail!("the machine was not saved: {said}{state}\n{}", self.log());
        }
        Ok(())
    }

    /// The machine goes on here after it was saved.
    ///
    /// # Errors
    /// QEMU does not do it.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        let monitor = self.monitor.as_mut().context("the machine cannot be moved")?;
        monitor.ask("cont")?;
        monitor.wait_for("running")
    }

    /// Boots a host that runs a scenario in a guest of its own. QEMU has no KVM for it, but plays a processor with SVM.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub(crate) fn start_host(images: &Images, folder: &Path, scenario: &str, arguments: &str) -> Result<Self> {
        let mut command = qemu("tcg", HOST_MEMORY);
        command.args(["-cpu", "max,svm=on,npt=on"]).stdin(Stdio::null());
        let arguments = format!("scenario={scenario} firmware=none {arguments}");
        Self::launch(command, images, folder, &arguments, None)
    }

    fn launch(
        mut command: Command,
        images: &Images,
        folder: &Path,
        arguments: &str,
        window: Option<Window>,
    ) -> Result<Self> {
        command
            .arg("-serial")
            .arg(format!("file:{}", folder.join("console.log").display()));
        command.args(["-serial", "file:/dev/stdout"]);
        command
            .arg("-kernel")
            .arg(&images.kernel)
            .arg("-initrd")
            .arg(&images.initramfs);
        command.arg("-append").arg(format!("console=ttyS0 {arguments}"));
        command
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("qemu.log"))?);
        let mut child = command.spawn().context("cannot start qemu-system-x86_64")?;
        let stdout = child.stdout.take().context("QEMU has no output")?;
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        Ok(Self {
            child,
            lines,
            folder: folder.to_owned(),
            monitor: None,
            _window: window,
        })
    }

    /// What the guest says next; `None` when it has powered off.
    ///
    /// # Errors
    /// The guest hangs, or says what nobody understands. The message has the end of its console.
    pub(crate) fn next(&mut self) -> Result<Option<Event>> {
        let deadline = Instant::now() + SILENCE;
        loop {
            match self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(line) => {
                    if let Some(event) = Event::parse(&line)? {
                        return Ok(Some(event));
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait()?;
                    if !status.success() {
                        bail!("QEMU: {status}\n{}", self.log());
                    }
                    return Ok(None);
                }
                Err(RecvTimeoutError::Timeout) => bail!("the guest hangs\n{}", self.log()),
            }
        }
    }

    /// What QEMU and our registers' process complained about, and the end of the guest's console.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        for name in ["qemu.log", "window.log", "console.log"] {
            let content = fs::read(self.folder.join(name)).unwrap_or_default();
            let content = String::from_utf8_lossy(&content).into_owned();
            let lines: Vec<&str> = content.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(25)) {
                text.push_str("      | ");
                text.extend(line.chars().filter(|c| !c.is_control()));
                text.push('\n');
            }
        }
        text
    }
}

/// A machine with firmware, whose variables are in a folder.
fn guest(folder: &Path, accelerator: &str) -> Result<Command> {
    fs::create_dir_all(folder)?;
    let variables = folder.join("firmware-variables.fd");
    fs::copy(VARIABLES, &variables).with_context(|| format!("cannot copy {VARIABLES}"))?;
    let mut command = qemu(accelerator, MEMORY);
    command.args(["-cpu", "max"]);
    command
        .arg("-drive")
        .arg(format!("if=pflash,format=raw,readonly=on,file={FIRMWARE}"));
    command
        .arg("-drive")
        .arg(format!("if=pflash,format=raw,file={}", variables.display()));
    Ok(command)
}

/// A machine with nothing but processor and memory.
fn qemu(accelerator: &str, memory: &str) -> Command {
    let mut command = Command::new("qemu-system-x86_64");
    command.args(["-machine", "q35", "-accel", accelerator, "-m", memory]);
    command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
    command
}

impl Drop for Vm {
    fn drop(&mut self) {
        // It may have ended already; nothing else can be done about either failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
