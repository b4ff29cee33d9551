//! Waiting for descriptors.

use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
