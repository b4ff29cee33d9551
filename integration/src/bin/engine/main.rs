//! How long commands take the engine by itself, beside libtpms in the same process: no socket, no window, no disk.

mod cases;
mod contestants;
mod counts;
mod picture;
mod summary;
mod targets;
mod tpms;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use integration::times::Times;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use cases::{CASES, Case};
use contestants::{Contestant, There};
use summary::Results;
use tpms::Kind;

/// Commands of one TPM that follow each other before the next has its turn.
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
    /// This program, built with its feature aws-lc, for the rows of `ours-aws-lc`.
    #[arg(long, value_name = "PROGRAM")]
    aws_lc: Option<PathBuf>,
    /// Does what the lines of its input ask for; for this program itself.
    #[arg(long, hide = true)]
    serve: bool,
    /// Has the quick commands of this TPM counted by callgrind; for this program itself.
    #[arg(long, hide = true, value_enum)]
    count: Option<Kind>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let cases: Vec<&'static Case> = CASES.iter().filter(|case| case.name.contains(&args.only)).collect();
    if let Some(kind) = args.count {
        counts::run(kind, &args.only)?;
        return Ok(ExitCode::SUCCESS);
    }
    pin()?;
    if args.serve {
        contestants::serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    let rounds = if args.quick { args.rounds / 10 } else { args.rounds };
    let mut tpms = vec![Contestant::here(Kind::BUILT)?];
    if let Some(program) = &args.aws_lc {
        tpms.push(Contestant::There(There::start(program, Kind::OursAwsLc)?));
    }
    tpms.push(Contestant::here(Kind::Libtpms)?);
    let mut results = Results::default();
    let mut heading = "";
    for case in &cases {
        if case.target.heading != heading {
            heading = case.target.heading;
            println!("{}", summary::head(heading));
        }
        for (kind, times) in measure(&mut tpms, case, case.rounds(rounds))? {
            results.add(case.name, kind, times);
        }
        print!("{}", results.line(case));
    }
    println!("{}", summary::LEGEND);
    if args.instructions {
        println!("{}", counts::table(&args.only, args.aws_lc.as_deref())?);
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
fn measure(tpms: &mut [Contestant], case: &'static Case, rounds: u32) -> Result<Vec<(Kind, Times)>> {
    let mut times = vec![Vec::new(); tpms.len()];
    for tpm in tpms.iter_mut() {
        tpm.prepare(case)?;
    }
    let block = BLOCK.min(rounds.div_ceil(4));
    let mut round = 0;
    while round < rounds {
        let end = (round + block).min(rounds);
        for (tpm, times) in tpms.iter_mut().zip(&mut times) {
            times.extend(tpm.run(round..end)?);
        }
        round = end;
    }
    let of_kinds = tpms.iter_mut().zip(times);
    of_kinds
        .map(|(tpm, times)| tpm.forget().map(|()| (tpm.kind(), Times::new(times))))
        .collect()
}
