//! How many instructions a command takes, as callgrind counts them: a number that a busy machine does not change.
//!
//! Valgrind has no SHA and no AVX-512 instructions, and says so: all TPMs take the paths of an older processor. Each
//! runs all commands in one process; callgrind counts within [`super::tpms`]' `execute` only, and writes what it has
//! counted at each call of [`note`].

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::cases::{CASES, Case};
use super::contestants::Here;
use super::tpms::Kind;

/// Rounds that are counted, after as many that fill what is filled once.
const ROUNDS: u32 = 50;

/// The cases whose instructions are worth counting, of those that are chosen.
fn quick(only: &str) -> impl Iterator<Item = &'static Case> {
    CASES
        .iter()
        .filter(move |case| case.name.contains(only) && case.is_quick())
}

/// Runs the quick commands of these in a process that callgrind watches.
pub(crate) fn run(kind: Kind, only: &str) -> Result<()> {
    let mut here = Here::start(kind, false)?;
    for case in quick(only) {
        here.prepare(case)?;
        here.run(0..ROUNDS)?;
        note(case);
        here.run(ROUNDS..2 * ROUNDS)?;
        note(case);
        here.forget()?;
    }
    Ok(())
}

/// Has callgrind write a part of its output, with what it has counted since the last.
#[inline(never)]
fn note(case: &Case) {
    black_box(case);
}

/// A table of the instructions of the quick commands.
pub(crate) fn table(only: &str, aws_lc: Option<&Path>) -> Result<String> {
    let this = std::env::current_exe()?;
    let programs = [
        (Kind::BUILT, Some(this.as_path())),
        (Kind::OursAwsLc, aws_lc),
        (Kind::Libtpms, Some(this.as_path())),
    ];
    let mut text = format!("{:<40}", "instructions");
    let mut columns = Vec::new();
    for (kind, program) in programs {
        if let Some(program) = program {
            text += &format!("{:>14}", kind.name());
            columns.push(count(program, kind, only)?);
        }
    }
    text += "   libtpms / ours\n";
    for (row, case) in quick(only).enumerate() {
        text += &format!("{:<40}", case.name);
        let counts: Vec<u64> = columns.iter().filter_map(|column| column.get(row).copied()).collect();
        for count in &counts {
            text += &format!("{count:>14}");
        }
        if let [ours, .., libtpms] = *counts {
            text += &format!("{:>17.2}\n", libtpms as f64 / ours as f64);
        }
    }
    Ok(text)
}

/// Instructions of one round of each quick command.
fn count(program: &Path, kind: Kind, only: &str) -> Result<Vec<u64>> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("callgrind");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*Target*execute*"])
        .arg("--dump-before=*counts*note*")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["--only", only, "--count", kind.name()])
        .output()
        .context("valgrind cannot be started; install Debian's valgrind")?;
    if !output.status.success() {
        bail!(
            "{} under valgrind: {}",
            kind.name(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    // Two parts a case, of which the second counts.
    let parts = (1..=quick(only).count()).map(|case| folder.path().join(format!("callgrind.{}", 2 * case)));
    let counts = parts.map(|part| total(&part));
    let counts: Vec<u64> = counts.collect::<Result<_>>()?;
    ensure!(
        counts.iter().all(|count| *count > 0),
        "callgrind has not found the functions whose instructions it was to count"
    );
    Ok(counts.into_iter().map(|count| count / u64::from(ROUNDS)).collect())
}

/// What a part of callgrind's output says that it counted.
fn total(part: &PathBuf) -> Result<u64> {
    let text = fs::read_to_string(part).with_context(|| format!("cannot read {}", part.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total
        .context("callgrind does not tell what it counted")?
        .trim()
        .parse()?)
}
