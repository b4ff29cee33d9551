//! Descriptors that the process was started with.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes a descriptor over that the operator named. To be called before the process opens anything that it keeps.
pub(crate) fn take(number: RawFd) -> io::Result<OwnedFd> {
    // Before it is owned: what does not exist must not be closed, either.
    std::fs::symlink_metadata(format!("/proc/self/fd/{number}"))?;
    // SAFETY: the descriptor exists. The operator passed it for this purpose, and as the process has not opened anything
    // yet that it keeps, nothing else owns it; what was taken before and closed does not exist any more.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
