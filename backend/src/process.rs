//! What the daemon does as a process: signals, readiness, and keeping its memory to itself.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, getpid, kill_process, set_dumpable_behavior, setrlimit, umask,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use tracing::{debug, error, warn};

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    #[error("core dumps, which would hold keys, cannot be turned off")]
    CoreDumps(#[source] io::Error),
    #[error("the signals that the daemon acts on cannot be caught")]
    Signals(#[source] io::Error),
}

/// Keeps keys out of core dumps and from debuggers of the same user, and what the process makes from other users.
pub(crate) fn harden() -> Result<(), ProcessError> {
    umask(Mode::RWXG | Mode::RWXO);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(|error| ProcessError::CoreDumps(error.into()))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| ProcessError::CoreDumps(error.into()))
}

/// A file that may not grow is an error for the store to report (EFBIG), not the end of the process.
pub(crate) fn survive_file_size_limit() -> Result<(), ProcessError> {
    signal_hook::flag::register(SIGXFSZ, Arc::default())
        .map(|_| ())
        .map_err(ProcessError::Signals)
}

/// SIGUSR1 is the operator's hand on the machine: it sets the flag.
pub(crate) fn assert_presence_on_signal(presence: Arc<AtomicBool>) -> Result<(), ProcessError> {
    signal_hook::flag::register(SIGUSR1, presence)
        .map(drop)
        .map_err(ProcessError::Signals)
}

thread_local! {
    /// A panic of this thread is an error like any other at the moment.
    static IS_TRYING: Cell<bool> = const { Cell::new(false) };
}

/// A thread that died in the middle of a command must not leave a half-changed TPM to the next command. What was
/// answered is on disk, so ending the process loses nothing.
pub(crate) fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if IS_TRYING.get() {
            debug!("{info}");
            return;
        }
        print(info);
        std::process::abort();
    }));
}

/// Calls what may panic on damaged data and leaves nothing behind then; gives `None` when it does.
pub(crate) fn try_to<T>(call: impl FnOnce() -> T) -> Option<T> {
    let before = IS_TRYING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    IS_TRYING.set(before);
    result.ok()
}

/// A descriptor that becomes readable when the process is asked to stop.
pub(crate) fn stop_signals() -> Result<OwnedFd, ProcessError> {
    let (read, write) = UnixStream::pair().map_err(ProcessError::Signals)?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let write = write.try_clone().map_err(ProcessError::Signals)?;
        signal_hook::low_level::pipe::register(signal, write).map_err(ProcessError::Signals)?;
    }
    Ok(read.into())
}

/// Asks the process to stop, as its operator does.
pub(crate) fn stop() {
    if let Err(error) = kill_process(getpid(), Signal::TERM) {
        // Nobody can be asked to go on without what has failed.
        error!("the process cannot be stopped: {error}");
        std::process::abort();
    }
}

/// Says that the sockets accept and the TPM answers.
pub(crate) fn ready() {
    eprintln!("READY");
    notify("READY=1");
}

/// Says that the daemon is about to end.
pub(crate) fn stopping() {
    notify("STOPPING=1");
}

/// sd_notify(3): one datagram to the socket that the service manager names, if there is one.
fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let send = || -> io::Result<usize> {
        let address = match path.as_encoded_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&path)?,
        };
        UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)
    };
    if let Err(error) = send() {
        warn!(
            "the service manager at {} was not told {state}: {error}",
            path.display()
        );
    }
}

/// Logs an error and what led to it.
pub(crate) fn report(error: &dyn Error) {
    error!("{}", chain(error));
}

/// An error and what led to it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    message
}
