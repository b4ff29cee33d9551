//! Kills the daemon and starts it again under a guest that keeps its TPM busy, and checks what the guest sees.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use integration::restarts::{self, Options};

#[derive(Debug, Parser)]
#[command(
    about = "Kill and restart the daemon under a busy guest; every answer that the guest gets must be the right one"
)]
struct Args {
    /// The daemon.
    #[arg(long, value_name = "FILE", default_value = "target/debug/vhost-device-tpm")]
    ours: PathBuf,
    /// How often it is killed.
    #[arg(long, default_value_t = 1000)]
    restarts: u32,
    /// Where chance begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the daemon is given beside where it serves, such as --key-file.
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

fn main() -> Result<()> {
    let Args {
        ours: program,
        restarts,
        seed,
        arguments,
    } = Args::parse();
    let summary = restarts::run(&Options {
        program,
        arguments,
        restarts,
        seed,
    })?;
    println!("{summary}");
    Ok(())
}
