//! What two processes cannot be quicker than: a word there and a word back.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::event::{EventfdFlags, eventfd};
use tempfile::NamedTempFile;
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

use super::placement::{Machine, Placement};

/// How a process tells the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Floor {
    /// An eventfd each way: the other sleeps.
    Eventfd,
    /// A word of shared memory: the other spins.
    Spin,
}

/// Bytes of the shared memory; of which one word is used.
const SHARED: usize = 4096;
/// The word that ends the other process.
const END: u32 = u32::MAX;

impl Floor {
    /// The name reports use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Eventfd => "floor-eventfd",
            Self::Spin => "floor-spin",
        }
    }

    /// How long it takes there and back, so many times.
    pub(crate) fn measure(self, machine: &Machine, placement: Placement, rounds: u32) -> Result<Vec<Duration>> {
        // Who spins on the processor that the other needs waits for the scheduler's clock.
        let rounds = match (self, placement) {
            (Self::Spin, Placement::Same) => rounds.min(20),
            _ => rounds,
        };
        machine.unpin()?;
        let mut pair = Pair::start(self)?;
        machine.place(placement, pair.child.id())?;
        let mut times = Vec::new();
        for _ in 0..rounds {
            if let Some(pause) = placement.pause() {
                std::thread::sleep(pause);
            }
            let begun = Instant::now();
            pair.exchange()?;
            times.push(begun.elapsed());
        }
        Ok(times)
    }
}

/// This process and the one that answers.
struct Pair {
    floor: Floor,
    child: Child,
    there: OwnedFd,
    back: OwnedFd,
    memory: MmapRegion,
    round: u32,
}

impl Pair {
    fn start(floor: Floor) -> Result<Self> {
        let event = || eventfd(0, EventfdFlags::CLOEXEC);
        let (there, back) = (event()?, event()?);
        let file = NamedTempFile::new_in("/dev/shm")?;
        file.as_file().set_len(SHARED as u64)?;
        let child = Command::new(std::env::current_exe()?)
            .arg("--answer")
            .arg(file.path())
            .arg("--floor")
            .arg(floor.to_possible_value().context("a floor without a name")?.get_name())
            .stdin(Stdio::from(there.try_clone()?))
            .stdout(Stdio::from(back.try_clone()?))
            .spawn()
            .context("starting the process that answers")?;
        let mut pair = Self {
            floor,
            child,
            there,
            back,
            memory: map(file.path())?,
            round: 0,
        };
        // It has opened the file once it answers.
        pair.exchange()?;
        Ok(pair)
    }

    fn exchange(&mut self) -> Result<()> {
        match self.floor {
            Floor::Eventfd => {
                notify(&self.there)?;
                consume(&self.back)?;
            }
            Floor::Spin => {
                self.round = self.round.wrapping_add(2);
                let word = word(&self.memory)?;
                word.store(self.round, Ordering::Release);
                let begun = Instant::now();
                while !(0..1000).any(|_| {
                    std::hint::spin_loop();
                    word.load(Ordering::Acquire) != self.round
                }) {
                    if begun.elapsed() > Duration::from_secs(10) {
                        bail!("the other process does not answer");
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if let Ok(word) = word(&self.memory) {
            word.store(END, Ordering::Release);
        }
        let _ = notify(&self.there);
        let _ = self.child.wait();
    }
}

/// The other process: answers until it is told to end.
pub(crate) fn answer(floor: Floor, file: &Path) -> Result<()> {
    let memory = map(file)?;
    let word = word(&memory)?;
    let mut seen = 0;
    loop {
        match floor {
            Floor::Eventfd => {
                consume(io::stdin())?;
                if word.load(Ordering::Acquire) == END {
                    return Ok(());
                }
                notify(io::stdout())?;
            }
            Floor::Spin => {
                let now = word.load(Ordering::Acquire);
                if now == END {
                    return Ok(());
                }
                if now != seen {
                    seen = now.wrapping_add(1);
                    word.store(seen, Ordering::Release);
                }
                std::hint::spin_loop();
            }
        }
    }
}

fn notify(event: impl AsFd) -> io::Result<()> {
    rustix::io::write(event, &1u64.to_ne_bytes())?;
    Ok(())
}

fn consume(event: impl AsFd) -> io::Result<()> {
    rustix::io::read(event, &mut [0; 8])?;
    Ok(())
}

fn map(file: &Path) -> Result<MmapRegion> {
    let file = OpenOptions::new().read(true).write(true).open(file)?;
    Ok(MmapRegion::from_file(FileOffset::new(file, 0), SHARED)?)
}

fn word(memory: &MmapRegion) -> Result<&AtomicU32> {
    Ok(memory.get_atomic_ref(0)?)
}
