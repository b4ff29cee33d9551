//! What a daemon costs while the guest of its monitor, which is attached over vhost-user, asks nothing of it.
//!
//! Prints nanoseconds of processor time that all its threads used meanwhile.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use integration::daemon::Daemon;
use integration::window::Driver;
use integration::{build, processor};

/// How long what is prepared in the background may take.
const PATIENCE: Duration = Duration::from_secs(120);

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
    ensure!(
        processor::settle(daemon.id(), PATIENCE)?,
        "the daemon is still busy after {PATIENCE:?}"
    );
    let before = processor::time(daemon.id())?;
    sleep(Duration::from_secs(args.seconds));
    println!("{}", (processor::time(daemon.id())? - before).as_nanos());
    Ok(())
}
