//! The steps that cargo runs.

use std::fs::File;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::machine;
use crate::process::{self, cargo};
use crate::report::Counts;
use crate::tpm::{self, Build};

pub(super) fn format() -> Result<Counts> {
    process::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    Ok(Counts::PASSED)
}

/// Every feature but those by which a library in C does the engine's cryptography.
const FEATURES: &[&str] = &["--workspace", "--features", "crb-interface/acpi,crb-interface/frontend"];
/// The engine on AWS-LC.
const AWS_LC: &[&str] = &[
    "--package",
    "tpm-engine",
    "--package",
    "tpm-engine-aws-lc",
    "--features",
    "tpm-engine/aws-lc",
];

pub(super) fn lints() -> Result<Counts> {
    for selection in [FEATURES, AWS_LC] {
        let mut clippy = cargo(&["clippy", "--quiet", "--locked", "--all-targets"]);
        process::run(clippy.args(selection).args(["--", "-D", "warnings"]))?;
    }
    Ok(Counts::PASSED)
}

/// Licences, bans and sources; not advisories, whose database has to be fetched from a place CI cannot reach.
pub(super) fn deny() -> Result<Counts> {
    let deny = machine::cargo_deny()?;
    let arguments = ["--log-level", "error", "check", "licenses", "bans", "sources"];
    process::run(
        Command::new(deny)
            .args(arguments)
            .current_dir(process::root())
            .stdin(Stdio::null()),
    )?;
    Ok(Counts::PASSED)
}

/// Tests beside the code of all crates, and their documentation's examples.
pub(super) fn unit_tests() -> Result<Counts> {
    machine::require(&[machine::IASL])?;
    let others = ["--exclude", "integration", "--exclude", "tiny-vmm"];
    test(&[FEATURES, &others[..]].concat())
}

/// The engine's tests, the same golden vectors among them, with AWS-LC; and that its FIPS module builds and does the same,
/// where there is what it takes.
pub(super) fn aws_lc_tests() -> Result<Counts> {
    let mut counts = test(AWS_LC)?;
    if process::exists("cmake") && process::exists("go") {
        counts += test(&["--package", "tpm-engine", "--features", "aws-lc-fips"])?;
    } else {
        // Not a test that cannot run, but a choice at build time that only those make who have its tools.
        println!("    the FIPS module is left out: it takes cmake and go to build");
    }
    Ok(counts)
}

pub(super) fn integration_tests() -> Result<Counts> {
    tpm::build(Build::Debug)?;
    test(&["--package", "integration"])
}

/// A bare-metal guest on a vCPU of this machine's.
pub(super) fn monitor_tests() -> Result<Counts> {
    if let Err(error) = File::options().read(true).write(true).open("/dev/kvm") {
        println!("    /dev/kvm: {error}; it takes a host with KVM, and a user in the group kvm");
        return Ok(Counts::SKIPPED);
    }
    tpm::build(Build::Debug)?;
    test(&["--package", "tiny-vmm"])
}

/// Runs `cargo test`, shows what is not a success, sums up the `test result:` lines.
fn test(selection: &[&str]) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut command = cargo(&["test", "--quiet", "--locked", "--no-fail-fast"]);
    command.args(selection).args(["--", "--format", "pretty"]);
    let success = process::lines(&mut command, |line| {
        if let Some(result) = line.strip_prefix("test result: ") {
            counts += parse_result(result);
        }
        let noise = line.is_empty() || line.ends_with(" ... ok") || line.starts_with("running ");
        if !noise {
            println!("    {line}");
        }
    })?;
    if !success && counts.failed == 0 {
        bail!("{} did not run to its end", process::display(&command));
    }
    Ok(counts)
}

/// `ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s`
fn parse_result(text: &str) -> Counts {
    let mut counts = Counts::default();
    let words: Vec<&str> = text.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
    for pair in words.windows(2) {
        if let [number, what] = pair
            && let Ok(number) = number.parse()
        {
            match *what {
                "passed" => counts.passed = number,
                "failed" => counts.failed = number,
                "ignored" => counts.skipped = number,
                _ => {}
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_line_is_counted() {
        let line = "FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 5 filtered out; finished in 0.02s";
        assert_eq!(
            parse_result(line),
            Counts {
                passed: 12,
                failed: 1,
                skipped: 2
            }
        );
    }
}
