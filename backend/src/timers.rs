//! Authenticated countdown timers (TPM2_ACT_SetTimeout) that signal. What is to happen to the machine then is not for this
//! process to decide: it says so in its log and, if the operator wants it, as a line in a file or pipe.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::fs::OFlags;
use tracing::warn;

use crate::device::Device;

#[derive(Debug, thiserror::Error)]
pub(crate) enum TimersError {
    #[error("{} cannot be opened for the signals of timers; --timer-events takes a file or a FIFO", .0.display())]
    Open(PathBuf, #[source] io::Error),
    #[error("the thread that watches the timers cannot be started")]
    Thread(#[source] io::Error),
}

/// Where the operator reads which timers have signaled.
#[derive(Debug)]
pub(crate) struct Events(File);

impl Events {
    /// Opens a file, a FIFO or a descriptor of this process (`/dev/fd/N`). A FIFO need not have a reader yet, and one that
    /// does not read never holds the TPM up.
    pub(crate) fn open(path: &Path) -> Result<Self, TimersError> {
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .custom_flags(flags)
            .open(path)
            .map(Self)
            .map_err(|error| TimersError::Open(path.to_owned(), error))
    }

    fn write(&mut self, timer: &str) {
        if let Err(error) = self.0.write_all(format!("{timer}\n").as_bytes()) {
            warn!("that {timer} has signaled could not be told to the reader of --timer-events: {error}");
        }
    }
}

/// Watches the timers for as long as the process lives.
pub(crate) fn watch(device: Arc<Device>, mut events: Option<Events>) -> Result<(), TimersError> {
    let run = move || {
        let mut seen = 0;
        loop {
            let signaled = device.wait_for_timers(seen);
            for number in (0..u16::BITS).filter(|number| (signaled & !seen) >> number & 1 != 0) {
                let timer = format!("TPM_RH_ACT_{number:X}");
                if let Some(events) = &mut events {
                    events.write(&timer);
                }
                warn!("{timer} has signaled: nobody set this countdown timer again in time");
            }
            seen = signaled;
        }
    };
    thread::Builder::new()
        .name("timers".to_owned())
        .spawn(run)
        .map(drop)
        .map_err(TimersError::Thread)
}
