//! Kills the daemon at random moments and checks that no change that was answered is lost.

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use integration::kills::{self, Options};

#[derive(Debug, Parser)]
#[command(about = "Kill the daemon at random moments under a load of changes; no change that was answered may be lost")]
struct Args {
    /// The daemon.
    #[arg(long, value_name = "FILE", default_value = "target/debug/vhost-device-tpm")]
    ours: PathBuf,
    /// How often it is killed.
    #[arg(long, default_value_t = 2000)]
    kills: u32,
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
        kills,
        seed,
        arguments,
    } = Args::parse();
    let summary = kills::run(&Options {
        program,
        arguments,
        kills,
        seed,
    })?;
    println!("{summary}");
    Ok(())
}
