//! `cargo xtask bench`.

use std::process::ExitCode;

use anyhow::Result;

use crate::process::{self, cargo};
use crate::tpm::Build;
use crate::{machine, tpm};

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Benchmark {
    /// How long commands take, beside swtpm.
    Latency {
        /// Rounds of a quick command; slow ones take a fraction.
        #[arg(long, default_value_t = 2000)]
        rounds: u32,
    },
}

/// Builds for release and measures.
///
/// # Errors
/// Something cannot be installed, built or measured.
pub(crate) fn run(benchmark: &Benchmark) -> Result<ExitCode> {
    match benchmark {
        Benchmark::Latency { rounds } => latency(*rounds),
    }
}

fn latency(rounds: u32) -> Result<ExitCode> {
    machine::require(&[machine::SWTPM])?;
    let program = tpm::build(Build::Release)?;
    let folder = process::root().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let json = folder.join("latency.json");
    let mut command = cargo(&[
        "run",
        "--quiet",
        "--locked",
        "--release",
        "--package",
        "integration",
        "--bin",
        "latency",
    ]);
    command.arg("--").arg("--ours").arg(program).arg("--json").arg(&json);
    process::run(command.args(["--rounds", &rounds.to_string()]))?;
    println!("\nas JSON: {}", json.display());
    Ok(ExitCode::SUCCESS)
}
