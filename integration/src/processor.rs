//! What processes take of the processors.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// For how long a process that has nothing left to do takes no time. Longer than our daemon waits for quiet before it
/// begins to prepare anything.
const QUIET: Duration = Duration::from_secs(1);

/// The time that all threads of a process have run.
///
/// # Errors
/// There is no such process, or it cannot be watched.
pub fn time(process: u32) -> Result<Duration> {
    let mut total = Duration::ZERO;
    let folder = format!("/proc/{process}/task");
    for thread in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
        let file = thread?.path().join("schedstat");
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        total += Duration::from_nanos(text.split(' ').next().unwrap_or_default().trim().parse()?);
    }
    Ok(total)
}

/// The time that the calling thread has run.
#[must_use]
pub fn time_of_this_thread() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.cast_unsigned(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

/// Waits until a process does nothing of its own accord any more; false when it still does after `patience`.
///
/// # Errors
/// As [`time`].
pub fn settle(process: u32, patience: Duration) -> Result<bool> {
    let begun = Instant::now();
    let mut before = time(process)?;
    while begun.elapsed() < patience {
        sleep(QUIET);
        let now = time(process)?;
        if now == before {
            return Ok(true);
        }
        before = now;
    }
    Ok(false)
}
