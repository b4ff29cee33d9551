//! UNIX sockets that the daemon listens on.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Why the daemon cannot listen on a path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocketError {
    #[error("the socket {} cannot be opened", .0.display())]
    Open(PathBuf, #[source] io::Error),
    #[error("another process serves on the socket {}; stop it or choose another path", .0.display())]
    InUse(PathBuf),
    #[error("{} is in the way of a socket and is none; move it or choose another path", .0.display())]
    NoSocket(PathBuf),
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
