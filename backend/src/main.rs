//! vhost-device-tpm: a TPM 2.0 for one virtual machine, as a process of its own.

mod args;
mod background;
mod cancel;
mod device;
mod inherited;
mod keys;
mod log;
mod manage;
mod platform;
mod process;
mod socket;
mod store;
mod swtpm;
mod timers;
mod vhost_user;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tracing::info;

use args::{Arguments, Command, Config, ConfigError, LogLevel, ServeArgs};
use background::Background;
use device::{Device, DeviceError};
use keys::{KeyError, OperatorKey};
use manage::ManageError;
use process::ProcessError;
use socket::SocketError;
use store::Access;
use swtpm::server::{Server, ServerError};
use timers::{Events, TimersError};
use vhost_user::VhostUserError;

/// Why the daemon cannot start or cannot go on.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the command line cannot be used")]
    Config(#[from] ConfigError),
    #[error("the process cannot be set up")]
    Process(#[from] ProcessError),
    #[error("a key cannot be had")]
    Key(#[from] KeyError),
    #[error(transparent)]
    Manage(#[from] ManageError),
    #[error("the TPM cannot be started")]
    Device(#[from] DeviceError),
    #[error("the vhost-user server has no socket")]
    Socket(#[from] SocketError),
    #[error("the TPM's countdown timers cannot be watched")]
    Timers(#[from] TimersError),
    #[error("the TPM cannot be served")]
    Server(#[from] ServerError),
    #[error("the TPM cannot be served")]
    VhostUser(#[from] VhostUserError),
}

fn serve(args: ServeArgs) -> Result<(), Error> {
    let config = &Config::try_from(args)?;
    process::survive_file_size_limit()?;
    let access = Access {
        key: config.key.as_ref().map(OperatorKey::load).transpose()?,
        instance: config.instance.clone(),
        anchor: config.anchor.clone(),
    };
    let migration_key = config.migration_key.as_ref().map(OperatorKey::load).transpose()?;
    let inherited = config.socket_fd.map(socket::inherit).transpose()?;
    let device = Arc::new(Device::open(config, access, migration_key)?);
    process::assert_presence_on_signal(device.presence())?;
    let events = config.timer_events.as_deref().map(Events::open).transpose()?;
    timers::watch(Arc::clone(&device), events)?;
    let stop = process::stop_signals()?;
    let server = Server::bind(config, Arc::clone(&device), stop)?;
    device.start(config.startup)?;
    let made = config.socket_path.as_deref().map(socket::listen).transpose()?;
    if let Some(listener) = made.or(inherited) {
        vhost_user::spawn(listener, Arc::clone(&device), config.poll)?;
    }
    process::ready();
    let background = Background::start(&device);
    if background.is_none() {
        device.settle()?;
    }
    let served = server.run();
    process::stopping();
    if let Some(background) = background {
        background.stop(&device)?;
    }
    let here = device.stop()?;
    served?;
    match here {
        true => info!("stopped; all state is on disk"),
        false => info!("stopped; the TPM was handed over and lives elsewhere"),
    }
    Ok(())
}

fn run(command: Command) -> Result<(), Error> {
    process::harden()?;
    process::abort_on_panic();
    let managed = match command {
        Command::Serve(args) => return serve(args),
        Command::Info(args) => manage::info(args),
        Command::Rekey(args) => manage::rekey(args),
        Command::Restore(args) => manage::restore(args),
        Command::Clone(args) => manage::clone(args),
        Command::Export(args) => manage::export(args),
        Command::Import(args) => manage::import(args),
    };
    Ok(managed?)
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    log::to_stderr(match &command {
        Command::Serve(args) => args.log_level,
        _ => LogLevel::Info,
    });
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // From a place of its own: a flood of other errors must not leave it out.
            tracing::error!("{}", process::chain(&error));
            ExitCode::FAILURE
        }
    }
}
