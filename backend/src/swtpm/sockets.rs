//! The sockets that the server listens on.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use tracing::{debug, info, warn};

use super::server::ServerError;
use crate::socket::{self, SocketError};

/// How often a pair of neighbouring ports is tried where any will do (port 0).
const PORT_TRIES: usize = 32;

/// The control socket in the file system, gone with its server.
pub(super) struct UnixControl {
    pub(super) listener: OwnedFd,
    path: PathBuf,
}

impl Drop for UnixControl {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            debug!(
                "the control socket {} could not be removed: {error}",
                self.path.display()
            );
        }
    }
}

/// The listeners of the data and the control port.
pub(super) struct TcpPorts {
    pub(super) data: OwnedFd,
    pub(super) control: OwnedFd,
}

/// Accepts one connection. A client that has left again is nothing to stop for.
pub(super) fn accept(listener: &OwnedFd) -> Option<OwnedFd> {
    match accept_with(listener, SocketFlags::CLOEXEC) {
        Ok(socket) => Some(socket),
        Err(error) => {
            if error != Errno::AGAIN && error != Errno::INTR {
                warn!("a connection could not be accepted: {error}");
            }
            None
        }
    }
}

pub(super) fn bind_unix(path: &Path) -> Result<UnixControl, ServerError> {
    let listener = socket::listen(path)?;
    listener
        .set_nonblocking(true)
        .map_err(|error| SocketError::Open(path.to_owned(), error))?;
    info!("control channel on {}", path.display());
    Ok(UnixControl {
        listener: listener.into(),
        path: path.to_owned(),
    })
}

pub(super) fn bind_tcp(address: SocketAddr) -> Result<TcpPorts, ServerError> {
    if !address.ip().is_loopback() {
        warn!("{address} can be reached from other machines, and the protocol knows no authentication");
    }
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries = tries.saturating_sub(1);
        match bind_ports(address) {
            Ok((data, control)) => {
                info!("data channel on {}, control channel on {}", data.1, control.1);
                return Ok(TcpPorts {
                    data: data.0,
                    control: control.0,
                });
            }
            Err(_) if tries > 0 => {}
            Err((address, error)) => return Err(ServerError::Tcp(address, error)),
        }
    }
}

type Bound = (OwnedFd, SocketAddr);

fn bind_ports(address: SocketAddr) -> Result<(Bound, Bound), (SocketAddr, io::Error)> {
    let bind = |address: SocketAddr| {
        let bound = || -> io::Result<Bound> {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener.into(), address))
        };
        bound().map_err(|error| (address, error))
    };
    let data = bind(address)?;
    let mut next = data.1;
    next.set_port(next.port().wrapping_add(1));
    Ok((data, bind(next)?))
}
