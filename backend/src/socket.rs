//! UNIX sockets that the daemon listens on.

use std::io;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};

use crate::inherited;

/// Why the daemon cannot listen on a path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("the socket {} cannot be opened", .0.display())]
    Open(PathBuf, #[source] io::Error),
    #[error("another process serves on the socket {}; stop it or choose another path", .0.display())]
    InUse(PathBuf),
    #[error("{} is in the way of a socket and is none; move it or choose another path", .0.display())]
    NoSocket(PathBuf),
    #[error("the descriptor {0} was not handed over to the process")]
    NotInherited(RawFd, #[source] io::Error),
    #[error(
        "the descriptor {0} is no UNIX stream socket that listens; a connection does not do either, as monitors come and go"
    )]
    NotListening(RawFd),
}

/// Listens on a path. A socket that a daemon left there when it was killed is replaced; one that is served is not.
pub(crate) fn listen(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |error| SocketError::Open(path.to_owned(), error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => return Err(SocketError::NoSocket(path.to_owned())),
        // One that lives answers.
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => return Err(SocketError::InUse(path.to_owned())),
            Err(_) => std::fs::remove_file(path).map_err(failed)?,
        },
    }
    UnixListener::bind(path).map_err(failed)
}

/// A socket that the process was started with and that listens already.
pub(crate) fn inherit(number: RawFd) -> Result<UnixListener, SocketError> {
    let failed = |error| SocketError::NotInherited(number, error);
    let socket = inherited::take(number).map_err(failed)?;
    if !listens(&socket) {
        return Err(SocketError::NotListening(number));
    }
    let listener = UnixListener::from(socket);
    // Whoever made it may have polled it.
    listener.set_nonblocking(false).map_err(failed)?;
    Ok(listener)
}

fn listens(socket: impl AsFd) -> bool {
    let socket = socket.as_fd();
    // What is no socket at all fails.
    socket_domain(socket) == Ok(AddressFamily::UNIX)
        && socket_type(socket) == Ok(SocketType::STREAM)
        && socket_acceptconn(socket) == Ok(true)
}
