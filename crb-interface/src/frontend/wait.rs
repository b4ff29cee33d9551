//! Waiting, never for ever, for descriptors and for answers.

use std::net::Shutdown;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long the TPM process may take for a message. It answers in microseconds unless it hangs.
const ANSWER: Duration = Duration::from_secs(5);

/// Exchanges messages with the TPM process. A process that does not answer loses the connection, which ends the wait;
/// the exchange fails then.
pub(super) fn bounded<T>(stream: &UnixStream, exchange: impl FnOnce() -> T) -> T {
    let (done, waits) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if waits.recv_timeout(ANSWER) == Err(RecvTimeoutError::Timeout) {
                // It can fail only when the connection has ended by itself.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        let result = exchange();
        drop(done);
        result
    })
}

/// Whether a short message fits the socket's buffer, so that sending it takes no time. A process that does not read
/// fills it.
pub(super) fn takes_message(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec::default())) == Ok(1) && fds.iter().all(|fd| fd.revents() == PollFlags::OUT)
}

/// What a wait ended with, for the first and the second descriptor.
pub(super) type Ready = [bool; 2];

/// Waits until the first descriptor is readable, the peer of the second has closed it, or the time is over.
#[expect(
    unsafe_code,
    reason = "the crates that own the descriptors lend them as numbers only"
)]
pub(super) fn wait(first: RawFd, second: Option<RawFd>, limit: Option<Duration>) -> Ready {
    let second = second.unwrap_or(first);
    // SAFETY: the callers own what the descriptors belong to for the whole of the call.
    let (first, second) = unsafe { (BorrowedFd::borrow_raw(first), BorrowedFd::borrow_raw(second)) };
    let mut fds = [
        PollFd::new(&first, PollFlags::IN),
        PollFd::new(&second, PollFlags::RDHUP),
    ];
    let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
    // An interrupted wait is one that ended early; callers look at what they wait for again.
    let _ = poll(&mut fds, limit.as_ref());
    fds.map(|fd| !fd.revents().is_empty())
}
