//! The vhost-user server: one monitor after another, each with the same TPM.

mod chain;
mod device;
mod memory;
mod requests;
mod transfer;
mod vring;
mod waiting;
mod worker;

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use vhost::vhost_user::{Error, Listener};
use vhost_user_backend::VhostUserDaemon;
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};

use self::device::Endpoint;
use crate::device::Device;

/// Why the vhost-user socket could not be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VhostUserError {
    /// No thread, event or memory for a connection.
    #[error("no resources to serve a monitor")]
    Resources(#[source] io::Error),
    /// The connection could not be set up.
    #[error("cannot serve a monitor: {0}")]
    Daemon(vhost_user_backend::Error),
}

/// Serves the monitors that connect to a socket from a thread of its own, until the process ends.
///
/// # Errors
/// When there are no resources for it.
pub(crate) fn spawn(
    listener: UnixListener,
    tpm: Arc<Device>,
    most_poll: Duration,
) -> Result<JoinHandle<()>, VhostUserError> {
    let address = listener.local_addr().map_err(VhostUserError::Resources)?;
    match address.as_pathname() {
        Some(path) => tracing::info!("vhost-user on {}", path.display()),
        None => tracing::info!("vhost-user on {address:?}"),
    }
    let mut listener = Listener::from(listener);
    std::thread::Builder::new()
        .name("vhost-user".to_owned())
        .spawn(move || {
            loop {
                match serve_one(&mut listener, Arc::clone(&tpm), most_poll) {
                    Ok(()) => tracing::info!("the monitor has left"),
                    Err(error) => {
                        tracing::warn!("a monitor was dropped: {error}");
                        // Whoever connects again and again must not fill the log.
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            }
        })
        .map_err(VhostUserError::Resources)
}

/// Serves one connection from its beginning to its end.
fn serve_one(listener: &mut Listener, tpm: Arc<Device>, most_poll: Duration) -> Result<(), VhostUserError> {
    let endpoint = Arc::new(Endpoint::new(tpm, most_poll).map_err(VhostUserError::Resources)?);
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let mut daemon = VhostUserDaemon::new("vhost-user-tpm".to_owned(), Arc::clone(&endpoint), memory)
        .map_err(VhostUserError::Daemon)?;
    daemon.start(listener).map_err(VhostUserError::Daemon)?;
    let result = daemon.wait();
    endpoint.end();
    match result {
        // A monitor that ends, however it does, is nothing to worry about.
        Err(vhost_user_backend::Error::HandleRequest(Error::Disconnected | Error::PartialMessage)) => Ok(()),
        result => result.map_err(VhostUserError::Daemon),
    }
}
