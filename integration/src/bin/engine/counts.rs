//! How many instructions a command takes, as callgrind counts them: a number that a busy machine does not change.
//!
//! Valgrind has no SHA and no AVX-512 instructions, and says so: both TPMs take the paths of an older processor.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::cases::{CASES, Case};
use super::tpms::{Kind, Tpm};

/// Rounds of the two runs of which the difference is taken.
const ROUNDS: [u32; 2] = [50, 250];

/// Prepares the one command of this name and runs it so often.
pub(crate) fn repeat(kind: Kind, name: &str, times: u32) -> Result<()> {
    let case = CASES.iter().find(|case| case.name == name).context("no such command")?;
    let mut tpm = Tpm::start(kind)?;
    let handles = (case.prepare)(&mut tpm)?;
    for round in 0..times {
        case.run(&mut tpm, &handles, round)?;
    }
    Ok(())
}

/// A table of the instructions of the quick commands.
pub(crate) fn table(cases: &[&Case]) -> Result<String> {
    let mut text = format!("{:<40}", "instructions");
    for kind in Kind::ALL {
        text += &format!("{:>12}", kind.name());
    }
    text += &format!("{:>10}\n", "libtpms / ours");
    for case in cases.iter().filter(|case| case.is_quick()) {
        let counts = [count(case, Kind::Ours)?, count(case, Kind::Libtpms)?];
        text += &format!("{:<40}", case.name);
        for count in counts {
            text += &format!("{count:>12}");
        }
        let [ours, libtpms] = counts.map(|count| count as f64);
        text += &format!("{:>10.2}\n", libtpms / ours);
    }
    Ok(text)
}

/// Instructions of one round.
fn count(case: &Case, kind: Kind) -> Result<u64> {
    let [few, many] = ROUNDS;
    let difference = total(case, kind, many)?.saturating_sub(total(case, kind, few)?);
    Ok(difference / u64::from(many - few))
}

/// Instructions of a process that runs the command so often.
fn total(case: &Case, kind: Kind, rounds: u32) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([
            "--only",
            case.name,
            "--kind",
            kind.name(),
            "--repeat",
            &rounds.to_string(),
        ])
        .output()
        .context("valgrind cannot be started; install Debian's valgrind")?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{} of {} under valgrind: {log}", case.name, kind.name());
    }
    // ==123== Collected : 4567
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    let collected = collected.context("valgrind does not tell what it collected")?.1;
    Ok(collected.trim().parse()?)
}
