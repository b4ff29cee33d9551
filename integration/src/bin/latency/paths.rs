//! The ways by which a command gets to a TPM.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crb_interface::frontend::Frontend;
use crb_interface::layout::{CONFIG_CONTROL, STAGING_SIZE};
use crb_interface::{Action, Control, Crb, SharedMemory};
use integration::answer;
use integration::build::{self, Call};
use integration::daemon::Daemon;
use integration::engine::Engine;
use integration::peer::{Kind, Peer};
use integration::processor;
use integration::window::{Driver, Window};
use vhost::VhostBackend;
use vhost::vhost_user::message::{
    VhostUserConfigFlags, VhostUserHeaderFlag, VhostUserProtocolFeatures, VhostUserVirtioFeatures,
};
use vhost::vhost_user::{Frontend as Connection, VhostUserFrontend};

/// A way that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Route {
    /// No window and no process: the engine alone.
    Engine,
    /// Our frontend and our daemon.
    VhostUser,
    /// The same, and the daemon never polls.
    VhostUserPoll0,
    /// Each access a message.
    VhostUserConfig,
    /// Registers in the monitor, commands over a socket to swtpm.
    SwtpmSocket,
    /// The same to our daemon.
    OursSocket,
}

impl Route {
    /// The name reports use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::VhostUser => "vhost-user",
            Self::VhostUserPoll0 => "vhost-user-poll0",
            Self::VhostUserConfig => "vhost-user-config",
            Self::SwtpmSocket => "swtpm-socket",
            Self::OursSocket => "ours-socket",
        }
    }

    /// A message an access takes a thousand times as long: it is measured less often.
    pub(crate) fn rounds(self, rounds: u32) -> u32 {
        match self {
            Self::VhostUserConfig => (rounds / 20).max(3),
            _ => rounds,
        }
    }
}

/// What takes the driver's accesses.
enum Target {
    Engine(Box<Engine>),
    Frontend(Frontend, Daemon),
    Config(ConfigWindow, Daemon),
    Socket(SocketWindow),
}

/// A TPM that is reached by a route, started up.
pub(crate) struct Path {
    pub(crate) route: Route,
    target: Target,
    response: Vec<u8>,
    /// Commands so far.
    pub(crate) count: u32,
}

impl Path {
    /// Starts what the route needs; `ours` is our daemon.
    pub(crate) fn start(route: Route, ours: &std::path::Path) -> Result<Self> {
        let frontend = |arguments: &[&str]| -> Result<Target> {
            let daemon = Daemon::start(ours, arguments)?;
            Ok(Target::Frontend(daemon.attach()?, daemon))
        };
        let target = match route {
            Route::Engine => Target::Engine(Box::new(Engine::start()?)),
            Route::VhostUser => frontend(&[])?,
            Route::VhostUserPoll0 => frontend(&["--poll-us", "0"])?,
            Route::VhostUserConfig => {
                let daemon = Daemon::start(ours, &[])?;
                Target::Config(ConfigWindow::connect(&daemon)?, daemon)
            }
            Route::SwtpmSocket => Target::Socket(SocketWindow::start(&Kind::Swtpm)?),
            Route::OursSocket => Target::Socket(SocketWindow::start(&Kind::Ours(ours.to_owned()))?),
        };
        Self::over(route, target)
    }

    /// Our frontend before a daemon whose polling is bounded so.
    pub(crate) fn polling(ours: &std::path::Path, microseconds: u32) -> Result<Self> {
        let daemon = Daemon::start(ours, &["--poll-us", &microseconds.to_string()])?;
        Self::over(Route::VhostUser, Target::Frontend(daemon.attach()?, daemon))
    }

    fn over(route: Route, target: Target) -> Result<Self> {
        let mut path = Self {
            route,
            target,
            response: Vec::new(),
            count: 0,
        };
        path.ok(&build::startup(0))?;
        Ok(path)
    }

    /// Waits until the TPM has prepared what it prepares while it is idle: that is no part of any command.
    pub(crate) fn settle(&mut self) -> Result<()> {
        const PATIENCE: Duration = Duration::from_secs(30);
        if let Target::Engine(engine) = &mut self.target {
            engine.idle();
        }
        if let Some(process) = self.process()
            && !processor::settle(process, PATIENCE)?
        {
            println!(
                "{} still works in the background, which its figures show: the machine is too busy",
                self.route.name()
            );
        }
        Ok(())
    }

    /// The process of the TPM, where it has one of its own.
    pub(crate) fn process(&self) -> Option<u32> {
        match &self.target {
            Target::Engine(_) => None,
            Target::Frontend(_, daemon) | Target::Config(_, daemon) => Some(daemon.id()),
            Target::Socket(window) => Some(window.peer.id()),
        }
    }

    /// The window, where there is one.
    pub(crate) fn window(&mut self) -> Option<&mut dyn Window> {
        match &mut self.target {
            Target::Engine(_) => None,
            Target::Frontend(frontend, _) => Some(frontend),
            Target::Config(window, _) => Some(window),
            Target::Socket(window) => Some(window),
        }
    }

    /// Runs a command; returns how long the whole of it took and its response.
    pub(crate) fn run(&mut self, command: &[u8]) -> Result<(Duration, &[u8])> {
        self.count += 1;
        let begun = Instant::now();
        match &mut self.target {
            Target::Engine(engine) => engine.execute(command, &mut self.response),
            Target::Frontend(window, _) => window.transact(command, &mut self.response)?,
            Target::Config(window, _) => window.transact(command, &mut self.response)?,
            Target::Socket(window) => window.transact(command, &mut self.response)?,
        }
        Ok((begun.elapsed(), &self.response))
    }

    /// Runs a command that must succeed; returns its response.
    pub(crate) fn ok(&mut self, call: &Call) -> Result<Vec<u8>> {
        let name = self.route.name();
        let (_, response) = self.run(&call.bytes())?;
        answer::check(&format!("command {:#x} over {name}", call.code), response)?;
        Ok(response.to_vec())
    }
}

/// A window of which every access is a message to the daemon.
struct ConfigWindow(Connection);

impl ConfigWindow {
    fn connect(daemon: &Daemon) -> Result<Self> {
        let mut connection = Connection::connect(daemon.socket(), 1).context("connecting to the vhost-user socket")?;
        connection.set_owner()?;
        let features = connection.get_features()? & (1 << 32 | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits());
        connection.set_features(features)?;
        let wanted = VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::REPLY_ACK;
        let offered = connection.get_protocol_features()?;
        connection.set_protocol_features(offered & wanted)?;
        connection.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        let power_on = (Control::PowerOn as u32).to_le_bytes();
        connection.set_config(CONFIG_CONTROL, VhostUserConfigFlags::WRITABLE, &power_on)?;
        Ok(Self(connection))
    }
}

impl Window for ConfigWindow {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Result<()> {
        let (offset, size) = (u32::try_from(offset)?, u32::try_from(data.len())?);
        let (_, bytes) = self.0.get_config(offset, size, VhostUserConfigFlags::empty(), data)?;
        data.copy_from_slice(bytes.get(..data.len()).context("a short answer")?);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        let offset = u32::try_from(offset)?;
        Ok(self.0.set_config(offset, VhostUserConfigFlags::WRITABLE, data)?)
    }
}

/// A window whose registers are the monitor's, as Cloud Hypervisor has it: a command goes over swtpm's data channel
/// while the write to START waits.
struct SocketWindow {
    crb: Crb<SharedMemory>,
    peer: Peer,
    command: Box<[u8; STAGING_SIZE]>,
}

impl SocketWindow {
    fn start(kind: &Kind) -> Result<Self> {
        // The same memory as that of our frontend, so that the registers take no longer.
        let crb = Crb::new(SharedMemory::create()?, crb_interface::Config::default());
        crb.reset();
        Ok(Self {
            crb,
            peer: Peer::start(kind)?,
            command: Box::new([0; STAGING_SIZE]),
        })
    }
}

impl Window for SocketWindow {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Result<()> {
        self.crb.read(offset, data);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        if self.crb.write(offset, data).contains(Action::Start)
            && let Some((_, len)) = self.crb.take_command(&mut self.command)
        {
            let command = self.command.get(..len).unwrap_or_default();
            self.crb.complete(&self.peer.execute(command)?);
        }
        Ok(())
    }
}
