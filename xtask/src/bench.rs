//! `cargo xtask bench`.

mod boot;
mod start;

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::process::{self, cargo};
use crate::tpm::Build;
use crate::{machine, tpm};

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Benchmark {
    /// How long a command takes the guest, by several ways from a CRB window to a TPM, swtpm's among them. `--help`
    /// tells what can be chosen; `--quick` takes a minute.
    #[command(disable_help_flag = true)]
    Latency {
        /// What the benchmark is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// How long a command that changes NV takes until it is durable, and how much it writes, beside swtpm.
    #[command(disable_help_flag = true)]
    Durability {
        /// What the benchmark is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// How long commands take the engine alone, beside libtpms in the same process. `--help` tells what can be chosen;
    /// `--quick` takes a minute, `--instructions` counts those as well.
    #[command(disable_help_flag = true)]
    Engine {
        /// What the benchmark is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// How soon the TPM's process answers, what it holds, and many of them on one machine, beside swtpm.
    Start(start::Args),
}

/// Builds for release and measures.
///
/// # Errors
/// Something cannot be installed, built or measured.
pub(crate) fn run(benchmark: &Benchmark) -> Result<ExitCode> {
    match benchmark {
        Benchmark::Latency { arguments } => measure("latency", arguments),
        Benchmark::Durability { arguments } => measure("durability", arguments),
        Benchmark::Engine { arguments } => {
            machine::require(&[machine::LIBTPMS, machine::VALGRIND])?;
            process::run(benchmark_program("engine").args(arguments))?;
            Ok(ExitCode::SUCCESS)
        }
        Benchmark::Start(args) => {
            machine::require(&[machine::SWTPM, machine::SIZE])?;
            start::run(args, tpm::build(Build::Release)?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn measure(program: &str, arguments: &[String]) -> Result<ExitCode> {
    machine::require(&[machine::SWTPM])?;
    let ours = tpm::build(Build::Release)?;
    process::run(benchmark_program(program).arg("--ours").arg(ours).args(arguments))?;
    Ok(ExitCode::SUCCESS)
}

/// The program of a benchmark; what is added are its arguments.
fn benchmark_program(name: &str) -> Command {
    cargo(&[
        "run",
        "--quiet",
        "--locked",
        "--release",
        "--package",
        "integration",
        "--bin",
        name,
        "--",
    ])
}
