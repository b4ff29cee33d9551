//! `cargo xtask coverage`: which lines of the engine unit and differential tests run.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::machine;
use crate::process::{self, cargo};

/// Where the instrumented build goes, so that it does not displace the other.
fn folder() -> PathBuf {
    process::target().join("coverage")
}

/// What may be asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fail below this many percent of the engine's lines.
    #[arg(long, default_value_t = 90.0)]
    minimum: f64,
    /// How many generated commands the differential tests send.
    #[arg(long, default_value_t = 9600)]
    generate: usize,
}

/// Builds engine and daemon with counters, runs the tests, prints the report. Lines that never ran are in
/// `target/coverage/uncovered.txt`.
///
/// # Errors
/// A build or a test fails, or LLVM's tools are not installed.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    machine::require(&[machine::SWTPM])?;
    let (profdata, cov) = (tool("llvm-profdata")?, tool("llvm-cov")?);
    let profiles = folder().join("profiles");
    if profiles.is_dir() {
        std::fs::remove_dir_all(&profiles).context("removing the profiles of the last run")?;
    }
    std::fs::create_dir_all(&profiles).with_context(|| format!("making {}", profiles.display()))?;
    let counters = profiles.join("%p-%m.profraw");
    let instrumented = |arguments: &[&str]| {
        let mut command = cargo(arguments);
        command
            .env("RUSTFLAGS", "-C instrument-coverage")
            .env("CARGO_TARGET_DIR", folder())
            .env("LLVM_PROFILE_FILE", &counters);
        command
    };
    process::run(&mut instrumented(&[
        "build",
        "--locked",
        "--package",
        "vhost-device-tpm",
    ]))?;
    let tests = ["test", "--locked", "--package", "tpm-engine", "--lib"];
    let listed = process::output(&mut instrumented(
        &[&tests[..], &["--no-run", "--message-format", "json"]].concat(),
    ))?;
    let program = executable(&listed).context("cargo names no test program of the engine")?;
    process::run(&mut instrumented(&tests))?;
    let daemon = folder().join("debug").join("vhost-device-tpm");
    process::run(
        cargo(&[
            "run",
            "--locked",
            "--package",
            "integration",
            "--bin",
            "differential",
            "--",
        ])
        .args(["--scenarios", "--crossings", "--generate"])
        .arg(args.generate.to_string())
        .arg("--ours")
        .arg(&daemon)
        .env("LLVM_PROFILE_FILE", &counters),
    )?;
    let merged = folder().join("all.profdata");
    process::run(
        Command::new(profdata)
            .args(["merge", "--sparse", "--output"])
            .arg(&merged)
            .arg(&profiles),
    )?;
    let report = |command: &str| {
        let mut report = Command::new(&cov);
        report.arg(command).arg(program).arg("--object").arg(&daemon);
        report.arg("--instr-profile").arg(&merged);
        // The engine without its tests.
        report
            .arg("--sources")
            .arg(process::root().join("tpm-engine").join("src"));
        report.arg(r"--ignore-filename-regex=/tests/|/tests\.rs$|/testing(/|\.rs$)");
        report
    };
    let lines = process::output(report("show").arg("--show-instantiations=false"))?;
    let uncovered = folder().join("uncovered.txt");
    std::fs::write(&uncovered, never_run(&lines)).with_context(|| format!("writing {}", uncovered.display()))?;
    let table = process::output(&mut report("report"))?;
    println!("{table}\nLines that never ran: {}", uncovered.display());
    let percent = line_coverage(&table).context("llvm-cov printed no total")?;
    if percent < args.minimum {
        bail!("{percent} % of the engine's lines are covered, not {} %", args.minimum);
    }
    Ok(ExitCode::SUCCESS)
}

/// A program of the toolchain's component llvm-tools: the format of profiles goes with the compiler.
fn tool(name: &str) -> Result<PathBuf> {
    let sysroot = process::output(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(process::root()),
    )?;
    let libraries = Path::new(sysroot.trim()).join("lib").join("rustlib");
    let targets = std::fs::read_dir(&libraries).with_context(|| format!("reading {}", libraries.display()))?;
    targets
        .filter_map(|target| Some(target.ok()?.path().join("bin").join(name)))
        .find(|program| program.is_file())
        .with_context(|| format!("no {name}; rustup component add llvm-tools"))
}

/// The test program that cargo's messages name.
fn executable(messages: &str) -> Option<&str> {
    messages
        .split("\"executable\":\"")
        .skip(1)
        .find_map(|rest| rest.split('"').next())
}

/// Of what `llvm-cov show` prints, the names of files and the lines whose count is zero.
fn never_run(shown: &str) -> String {
    let wanted = |line: &&str| {
        let count = line.split('|').nth(1);
        line.ends_with(".rs:") || count.is_some_and(|count| count.trim() == "0")
    };
    shown.lines().filter(wanted).map(|line| format!("{line}\n")).collect()
}

/// The percentage of lines in the last row of `llvm-cov report`.
fn line_coverage(table: &str) -> Option<f64> {
    let total = table.lines().find(|line| line.starts_with("TOTAL"))?;
    // Regions, functions, lines: each a number, how many were missed, and the percentage.
    total.split_whitespace().nth(9)?.strip_suffix('%')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_the_tools_is_understood() {
        let total = "TOTAL  28365  1019  96.41%  1760  48  97.27%  13518  306  97.74%  0  0  -";
        assert_eq!(line_coverage(total), Some(97.74));
        let shown = "/a/b.rs:\n    1|      3|fn f() {\n    2|      0|    gone();\n    3|       |\n";
        assert_eq!(never_run(shown), "/a/b.rs:\n    2|      0|    gone();\n");
        let messages = "{\"executable\":null}\n{\"executable\":\"/a/deps/tpm_engine-1\",\"fresh\":true}\n";
        assert_eq!(executable(messages), Some("/a/deps/tpm_engine-1"));
    }
}
