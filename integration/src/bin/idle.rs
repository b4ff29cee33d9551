//! What a daemon costs while the guest of its monitor, which is attached over vhost-user, asks nothing of it.
//!
//! Prints nanoseconds of processor time that all its threads used meanwhile.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use integration::build;
use integration::daemon::Daemon;
use integration::window::Driver;

/// How long what is prepared in the background may take.
const PATIENCE: u32 = 120;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
struct Args {
    /// Our daemon.
    #[arg(long, value_name = "PROGRAM")]
    ours: PathBuf,
    /// For how many seconds it is watched.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let daemon = Daemon::start(&args.ours, &[])?;
    let mut frontend = daemon.attach()?;
    let mut response = Vec::new();
    for command in [build::startup(0), build::get_random(16)] {
        frontend.transact(&command.bytes(), &mut response)?;
    }
    let mut before = processor_time(daemon.id())?;
    for _ in 0..PATIENCE {
        sleep(SECOND);
        let now = processor_time(daemon.id())?;
        if now == before {
            sleep(SECOND * u32::try_from(args.seconds)?);
            println!("{}", processor_time(daemon.id())? - now);
            return Ok(());
        }
        before = now;
    }
    bail!("the daemon is still busy after {PATIENCE} s")
}

/// Nanoseconds that a process' threads have run.
fn processor_time(process: u32) -> Result<u64> {
    let mut total = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        total += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(total)
}
