//! How long a TPM command takes the guest, by several ways from a CRB window to a TPM, in one run and in turn.
//!
//! The accesses are exactly those of Linux' driver `tpm_crb`; what is not counted is the exit from the guest, which is
//! the same on all ways.

mod commands;
mod floors;
mod held;
mod histogram;
mod paths;
mod placement;
mod polling;
mod summary;
mod targets;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use integration::answer;

use commands::Operation;
use floors::Floor;
use paths::{Path, Route};
use placement::{Machine, Placement};
use summary::Results;

/// Commands of a path that follow each other before the next path has its turn.
const BLOCK: u32 = 100;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench latency",
    about = "How long a TPM command takes, by several ways from a CRB window to a TPM"
)]
struct Args {
    /// The daemon to measure: a release build.
    #[arg(long, value_name = "FILE", default_value = "target/release/vhost-device-tpm")]
    ours: PathBuf,
    /// Where the numbers go (latency.json), what is wanted of them (latency-targets.json) and the
    /// picture (latency.svg).
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    out: PathBuf,
    /// How often a quick command is measured; slow ones take a fraction.
    #[arg(long, default_value_t = 2000)]
    rounds: u32,
    /// A tenth of the rounds.
    #[arg(long)]
    quick: bool,
    /// Only these placements.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PLACEMENT")]
    placement: Vec<Placement>,
    /// Only these ways.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WAY")]
    path: Vec<Route>,
    /// Only these commands.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "COMMAND")]
    command: Vec<Operation>,
    /// Measures only the commands: not what polling costs and how long RSA-3072 holds a vCPU.
    #[arg(long)]
    commands_only: bool,
    /// Measures only how long RSA-3072 holds a vCPU, and how soon it is cancelled.
    #[arg(long, conflicts_with = "commands_only")]
    held_only: bool,
    /// Plays the other process of a floor, over this file; for this program itself.
    #[arg(long, hide = true, requires = "floor", value_name = "FILE")]
    answer: Option<PathBuf>,
    #[arg(long, hide = true, value_enum)]
    floor: Option<Floor>,
}

/// What was asked for, or all there is.
fn chosen<T: ValueEnum + Copy>(wanted: &[T]) -> Vec<T> {
    if wanted.is_empty() {
        T::value_variants().to_vec()
    } else {
        wanted.to_vec()
    }
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let (Some(file), Some(floor)) = (&args.answer, args.floor) {
        floors::answer(floor, file)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rounds = if args.quick { args.rounds / 10 } else { args.rounds };
    if args.held_only {
        let line = held::measure(&args.ours, held_rounds(rounds))?;
        println!("{}", targets::table(&[line]));
        return Ok(ExitCode::SUCCESS);
    }
    let machine = Machine::new()?;
    let (operations, routes) = (chosen(&args.command), chosen(&args.path));
    let mut placements = chosen(&args.placement);
    placements.retain(|placement| {
        let can = machine.can(*placement);
        if !can {
            println!("{} is left out: there is one processor", placement.name());
        }
        can
    });
    let mut results = Results::default();
    let mut paths = routes
        .iter()
        .map(|route| Path::start(*route, &args.ours))
        .collect::<Result<Vec<_>>>()?;
    for path in &mut paths {
        path.settle()?;
    }
    for placement in &placements {
        measure(&machine, &mut paths, *placement, &operations, rounds, &mut results)?;
        for floor in Floor::value_variants() {
            let times = floor.measure(&machine, *placement, rounds_at(*placement, rounds))?;
            results.add_floor(*placement, floor.name(), times);
        }
        println!("{}", results.table(*placement, &operations, &routes));
    }
    machine.unpin()?;
    drop(paths);
    let mut lines = targets::of_commands(&results, &placements, &operations);
    if !args.commands_only {
        let placement = placements.iter().find(|placement| placement.needs_two());
        let placement = placement.copied().unwrap_or(Placement::Same);
        lines.push(polling::measure(&machine, &args.ours, placement, rounds / 2)?);
        machine.unpin()?;
        lines.push(held::measure(&args.ours, held_rounds(rounds))?);
    }
    fs::create_dir_all(&args.out)?;
    let (json, svg) = (args.out.join("latency.json"), args.out.join("latency.svg"));
    fs::write(&json, results.json()).with_context(|| format!("cannot write {}", json.display()))?;
    let pictured: Vec<Operation> = operations
        .iter()
        .copied()
        .filter(|operation| operation.is_cheap() || *operation == Operation::EcdsaSign)
        .collect();
    if !pictured.is_empty() {
        histogram::draw(&svg, &results, &placements, &pictured)?;
        println!("\nas a picture: {}", svg.display());
    }
    println!("as JSON: {}", json.display());
    if !lines.is_empty() {
        let file = args.out.join("latency-targets.json");
        fs::write(&file, targets::json(&lines)).with_context(|| format!("cannot write {}", file.display()))?;
        println!("as JSON, what is wanted: {}", file.display());
        println!("{}", targets::table(&lines));
    }
    Ok(ExitCode::SUCCESS)
}

/// How often the slowest command is executed.
fn held_rounds(rounds: u32) -> u32 {
    (rounds / 50).max(5)
}

/// Pauses take their time, but a median of a few says nothing: how soon a processor wakes is different each time.
fn rounds_at(placement: Placement, rounds: u32) -> u32 {
    const FEW: u32 = 40;
    match placement.pause() {
        Some(_) => (rounds / 20).max(FEW).min(rounds),
        None => rounds,
    }
}

/// Measures commands at a placement, path by path in turn.
fn measure(
    machine: &Machine,
    paths: &mut [Path],
    placement: Placement,
    operations: &[Operation],
    rounds: u32,
    results: &mut Results,
) -> Result<()> {
    for operation in operations {
        let mut runs = Vec::new();
        for path in paths.iter_mut() {
            let left = rounds_at(placement, path.route.rounds(operation.rounds(rounds)));
            runs.push(Run {
                handle: operation.prepare(path)?,
                left,
                times: Vec::new(),
            });
        }
        // No path always has the machine after the same other.
        for turn in 0.. {
            let mut busy = false;
            for place in 0..paths.len() {
                let at = (place + turn) % paths.len();
                if let (Some(path), Some(run)) = (paths.get_mut(at), runs.get_mut(at)) {
                    run.block(machine, path, placement, *operation)?;
                    busy |= run.left > 0;
                }
            }
            if !busy {
                break;
            }
        }
        for (path, run) in paths.iter_mut().zip(runs) {
            operation.clean(path, run.handle)?;
            results.add(placement, *operation, path.route, run.times);
        }
    }
    Ok(())
}

/// The measurement of one command on one path.
struct Run {
    handle: u32,
    left: u32,
    times: Vec<Duration>,
}

impl Run {
    /// The next commands.
    fn block(&mut self, machine: &Machine, path: &mut Path, placement: Placement, operation: Operation) -> Result<()> {
        match path.process() {
            Some(process) => machine.place(placement, process)?,
            None => machine.place(placement, std::process::id())?,
        }
        for _ in 0..self.left.min(BLOCK) {
            let command = operation.call(self.handle, path.count).bytes();
            if let Some(pause) = placement.pause() {
                std::thread::sleep(pause);
            }
            let (time, response) = path.run(&command)?;
            answer::check(operation.name(), response)?;
            if let Some(object) = operation.made(response)? {
                path.ok(&integration::build::flush_context(object))?;
            }
            self.times.push(time);
            self.left -= 1;
        }
        Ok(())
    }
}
