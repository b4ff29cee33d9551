//! The project's tasks: `cargo xtask test`, `cargo xtask demo`, `cargo xtask bench`, `cargo xtask coverage`.

mod attest;
mod bench;
mod coverage;
mod demo;
mod guest;
mod machine;
mod process;
mod report;
mod test;
mod tpm;

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The project's tasks")]
enum Command {
    /// Format, lints, unit tests, differential tests, other people's tools, guests. What CI runs.
    Test(test::Args),
    /// Boot a stock Linux guest on our TPM: measured boot, a quote, a sealed secret.
    Demo(demo::Args),
    /// Which lines of the engine the tests run.
    Coverage(coverage::Args),
    /// Measure.
    #[command(subcommand)]
    Bench(bench::Benchmark),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Test(args) => test::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Coverage(args) => coverage::run(&args),
        Command::Bench(benchmark) => bench::run(&benchmark),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
