//! On which processors the driver and the TPM's process run.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where the driver and the TPM's process run, and how the commands follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Placement {
    /// On a processor each, command after command.
    Split,
    /// On a processor each, 10 ms between the commands: everything sleeps.
    SplitCold,
    /// On one processor, command after command.
    Same,
    /// Where the system likes, command after command.
    Unpinned,
}

impl Placement {
    /// The name reports use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::SplitCold => "split-cold",
            Self::Same => "same",
            Self::Unpinned => "unpinned",
        }
    }

    /// The pause before a command.
    pub(crate) fn pause(self) -> Option<Duration> {
        (self == Self::SplitCold).then_some(Duration::from_millis(10))
    }

    /// Whether it takes two processors.
    pub(crate) fn needs_two(self) -> bool {
        matches!(self, Self::Split | Self::SplitCold)
    }
}

/// The processors that we may use.
pub(crate) struct Machine {
    all: CpuSet,
    first: usize,
    second: Option<usize>,
}

impl Machine {
    pub(crate) fn new() -> Result<Self> {
        let all = sched_getaffinity(None).context("which processors there are")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|processor| all.is_set(*processor));
        let first = usable.next().context("no processor")?;
        let second = usable.next();
        Ok(Self { all, first, second })
    }

    /// Whether the placement is possible here.
    pub(crate) fn can(&self, placement: Placement) -> bool {
        self.second.is_some() || !placement.needs_two()
    }

    /// Puts this thread, which drives, and the threads of a process where the placement says.
    pub(crate) fn place(&self, placement: Placement, process: u32) -> Result<()> {
        let one = |processor: usize| {
            let mut set = CpuSet::new();
            set.set(processor);
            set
        };
        let (driver, tpm) = match (placement, self.second) {
            (Placement::Unpinned, _) => (self.all, self.all),
            (Placement::Same, _) => (one(self.first), one(self.first)),
            (Placement::Split | Placement::SplitCold, Some(second)) => (one(self.first), one(second)),
            (Placement::Split | Placement::SplitCold, None) => bail!("{} takes two processors", placement.name()),
        };
        sched_setaffinity(None, &driver).context("pinning the driver")?;
        for thread in threads(process)? {
            sched_setaffinity(Some(thread), &tpm).context("pinning the TPM's process")?;
        }
        Ok(())
    }

    /// Lets this thread run anywhere: what it starts inherits that.
    pub(crate) fn unpin(&self) -> Result<()> {
        Ok(sched_setaffinity(None, &self.all)?)
    }
}

/// The threads of a process.
fn threads(process: u32) -> Result<Vec<Pid>> {
    let mut threads = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let name = entry?.file_name();
        let number = name.to_str().context("a thread without a number")?.parse()?;
        threads.push(Pid::from_raw(number).context("a thread without a number")?);
    }
    Ok(threads)
}
