//! `cargo xtask bench`.

mod boot;
mod start;

use std::fs;
use std::path::PathBuf;
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
    /// How long commands take the engine alone, by default and on AWS-LC, beside libtpms. `--help` tells what can be
    /// chosen; `--quick` takes a minute, `--instructions` counts those as well.
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
            let aws_lc = engine_on_aws_lc()?;
            let mut program = benchmark_program("engine");
            process::run(program.arg("--aws-lc").arg(aws_lc).args(arguments))?;
            Ok(ExitCode::SUCCESS)
        }
        Benchmark::Start(args) => {
            machine::require(&[machine::SWTPM, machine::SIZE])?;
            start::run(args, tpm::build(Build::Release)?, &mut benchmark_program("idle"))?;
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

/// The benchmark of the engine with the engine on AWS-LC. Cargo gives both builds one name, so this one is copied.
fn engine_on_aws_lc() -> Result<PathBuf> {
    let package = ["--package", "integration", "--bin", "engine", "--features", "aws-lc"];
    process::run(cargo(&["build", "--quiet", "--locked", "--release"]).args(package))?;
    let folder = process::target().join("bench");
    fs::create_dir_all(&folder)?;
    let copy = folder.join("engine-aws-lc");
    fs::copy(process::target().join("release/engine"), &copy)?;
    Ok(copy)
}
