//! How long commands take the engine by itself, beside libtpms in the same process: no socket, no window, no disk.

mod cases;
mod counts;
mod picture;
mod summary;
mod tpms;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use integration::times::Times;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use cases::{CASES, Case};
use summary::Results;
use tpms::{Kind, Tpm};

/// Commands of one TPM that follow each other before the other has its turn.
const BLOCK: u32 = 50;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench engine",
    about = "How long commands take our engine and libtpms, both in one process"
)]
struct Args {
    /// Where the numbers go (engine.json) and the picture (engine.svg).
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
    /// How often a quick command is measured; slow ones take a fraction.
    #[arg(long, default_value_t = 4000)]
    rounds: u32,
    /// A tenth of the rounds.
    #[arg(long)]
    quick: bool,
    /// Only commands whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Counts the instructions of the quick commands as well; takes valgrind, and a minute or two.
    #[arg(long)]
    instructions: bool,
    /// Runs a command so often and nothing else; for this program itself.
    #[arg(long, hide = true, requires = "kind", value_name = "TIMES")]
    repeat: Option<u32>,
    #[arg(long, hide = true, value_enum)]
    kind: Option<Kind>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let (Some(times), Some(kind)) = (args.repeat, args.kind) {
        counts::repeat(kind, &args.only, times)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rounds = if args.quick { args.rounds / 10 } else { args.rounds };
    pin()?;
    let mut tpms = [Tpm::start(Kind::Ours)?, Tpm::start(Kind::Libtpms)?];
    let mut results = Results::default();
    let cases: Vec<&Case> = CASES.iter().filter(|case| case.name.contains(&args.only)).collect();
    for case in &cases {
        for (kind, times) in measure(&mut tpms, case, case.rounds(rounds))? {
            results.add(case.name, kind, times);
        }
        print!("{}", results.line(case.name));
    }
    println!("{}", summary::LEGEND);
    if args.instructions {
        println!("{}", counts::table(&cases)?);
    }
    fs::create_dir_all(&args.out)?;
    let (json, svg) = (args.out.join("engine.json"), args.out.join("engine.svg"));
    fs::write(&json, results.json()).with_context(|| format!("cannot write {}", json.display()))?;
    picture::draw(&svg, &results)?;
    println!("as JSON: {}\nas a picture: {}", json.display(), svg.display());
    Ok(ExitCode::SUCCESS)
}

/// Keeps this thread on one processor.
fn pin() -> Result<()> {
    let all = sched_getaffinity(None).context("which processors there are")?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|processor| all.is_set(*processor));
    let mut one = CpuSet::new();
    one.set(last.context("no processor")?);
    sched_setaffinity(None, &one).context("cannot stay on one processor")
}

/// Measures a command on all TPMs, block by block in turn.
fn measure(tpms: &mut [Tpm], case: &Case, rounds: u32) -> Result<Vec<(Kind, Times)>> {
    let mut runs = Vec::new();
    for tpm in tpms.iter_mut() {
        let handles = (case.prepare)(tpm).with_context(|| format!("preparing {}", case.name))?;
        // What is computed once in a process is not the command's.
        case.run(tpm, &handles, u32::MAX)?;
        runs.push((handles, Vec::new()));
    }
    let block = BLOCK.min(rounds.div_ceil(4));
    let mut round = 0;
    while round < rounds {
        let end = (round + block).min(rounds);
        for (tpm, (handles, times)) in tpms.iter_mut().zip(&mut runs) {
            for number in round..end {
                times.push(case.run(tpm, handles, number)?);
            }
        }
        round = end;
    }
    let mut results = Vec::new();
    for (tpm, (handles, times)) in tpms.iter_mut().zip(runs) {
        for handle in handles {
            tpm.forget(handle)?;
        }
        results.push((tpm.kind, Times::new(times)));
    }
    Ok(results)
}
