//! vhost-device-tpm: a TPM 2.0 for one virtual machine, as a process of its own.

mod args;
mod device;
#[cfg_attr(not(test), expect(dead_code, reason = "nothing is encrypted yet"))]
mod keys;
mod platform;
mod process;
mod socket;
mod store;
mod swtpm;
mod vhost_user;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tracing::info;

use args::{Arguments, Command, Config, ConfigError};
use device::{Device, DeviceError};
use process::ProcessError;
use swtpm::server::{Server, ServerError};
use vhost_user::VhostUserError;

/// Why the daemon cannot start or cannot go on.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the command line cannot be used")]
    Config(#[from] ConfigError),
    #[error("the process cannot be set up")]
    Process(#[from] ProcessError),
    #[error("the TPM cannot be started")]
    Device(#[from] DeviceError),
    #[error("the TPM cannot be served")]
    Server(#[from] ServerError),
    #[error("the TPM cannot be served")]
    VhostUser(#[from] VhostUserError),
}

fn serve(config: &Config) -> Result<(), Error> {
    process::harden()?;
    process::survive_file_size_limit()?;
    let device = Arc::new(Device::open(config)?);
    process::abort_on_panic();
    let stop = process::stop_signals()?;
    let server = Server::bind(config, Arc::clone(&device), stop)?;
    device.start(config.startup)?;
    if let Some(path) = &config.socket_path {
        vhost_user::spawn(path, Arc::clone(&device), config.poll)?;
    }
    process::ready();
    let served = server.run();
    process::stopping();
    device.stop()?;
    served?;
    info!("stopped; all state is on disk");
    Ok(())
}

fn main() -> ExitCode {
    let Command::Serve(serve_args) = Arguments::parse().command;
    process::log_to_stderr(serve_args.log_level);
    match Config::try_from(serve_args)
        .map_err(Error::from)
        .and_then(|config| serve(&config))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::report(&error);
            ExitCode::FAILURE
        }
    }
}
