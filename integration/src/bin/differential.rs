//! Holds our TPM against another: scenarios, and generated commands.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use integration::compare::{Comparer, annotate};
use integration::differences::List;
use integration::peer::Kind;
use integration::report::Report;
use integration::run::Endurance;
use integration::scenarios::crossing;
use integration::{generate, run, scenarios};

#[derive(Debug, Parser)]
#[command(about = "The same commands to our TPM and to another; prints where they differ")]
struct Args {
    /// Run the hand-written scenarios.
    #[arg(long)]
    scenarios: bool,
    /// Let each TPM take what the other made: keys, duplicates, signatures, credentials.
    #[arg(long)]
    crossings: bool,
    /// Send this many generated commands.
    #[arg(long, default_value_t = 0)]
    generate: usize,
    /// The seed of the first generated sequence; the ones after it count up.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many commands of a sequence that differed to show.
    #[arg(long, default_value_t = 12)]
    last: usize,
    /// Only scenarios and crossings whose name has this in it.
    #[arg(long, default_value = "")]
    only: String,
    /// The program that is held against the peer; `swtpm` for swtpm itself.
    #[arg(long, default_value = "target/debug/vhost-device-tpm")]
    ours: PathBuf,
    /// How many differences to show.
    #[arg(long, default_value_t = 40)]
    show: usize,
    /// Print the whole transcript of each scenario.
    #[arg(long)]
    trace: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let ours = if args.ours.as_os_str() == "swtpm" {
        Kind::Swtpm
    } else {
        Kind::Ours(args.ours.clone())
    };
    let list = List::default();
    let mut report = Report::default();
    if args.scenarios {
        for scenario in scenarios::ALL
            .iter()
            .filter(|scenario| scenario.name.contains(&args.only))
        {
            let start = Instant::now();
            let (theirs, mine) = run::both(&Kind::Swtpm, &ours, 1, &scenario.run)?;
            if args.trace {
                theirs
                    .transcript
                    .iter()
                    .for_each(|entry| println!("{}", annotate(entry)));
            }
            let outcome = Comparer::default().compare(scenario.name, &theirs.transcript, &mine.transcript);
            let commands = theirs.transcript.len();
            println!(
                "{:<40} {commands:>5} commands {:>6} ms",
                scenario.name,
                start.elapsed().as_millis()
            );
            for (side, error) in [("theirs", theirs.error), ("ours", mine.error)] {
                if let Some(error) = error {
                    println!("  {side} ended early: {error:#}");
                }
            }
            report.add(outcome, &list);
        }
        if args.only.is_empty() {
            report.unused = list.unused();
        }
    }
    let mut crossed = true;
    if args.crossings {
        for crossing in crossing::ALL
            .iter()
            .filter(|crossing| crossing.name.contains(&args.only))
        {
            for (maker, taker) in [(&Kind::Swtpm, &ours), (&ours, &Kind::Swtpm)] {
                let result = run::crossed(maker, taker, crossing);
                crossed &= result.is_ok();
                let outcome = result.map_or_else(|error| format!("{error:#}"), |()| "taken".to_owned());
                println!(
                    "{:<24} {:>5} -> {:<5} {outcome}",
                    crossing.name,
                    maker.name(),
                    taker.name()
                );
            }
        }
    }
    let bounded = args.generate == 0 || generate(&args, &ours, &list, &mut report)?;
    println!("{}", report.table());
    println!("{}", report.details(args.show));
    Ok(if report.unexplained.is_empty() && crossed && bounded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn generate(args: &Args, ours: &Kind, list: &List, report: &mut Report) -> Result<bool> {
    let mut endurance = Endurance::start(ours)?;
    let (start, mut done, mut shown, mut seed) = (Instant::now(), 0, 0, args.seed);
    while done < args.generate {
        let count = generate::SEQUENCE.min(args.generate - done);
        let run::Sequence {
            sides: (theirs, mine),
            differs_at,
        } = run::generated(ours, seed, count, list, report)?;
        done += theirs.transcript.len();
        for (side, error) in [("theirs", &theirs.error), ("ours", &mine.error)] {
            if let Some(error) = error {
                println!("seed {seed}: {side} ended early: {error:#}");
            }
        }
        if let Some(position) = differs_at
            && shown < args.show
        {
            shown += 1;
            println!("seed {seed}: different; repeat with --generate {count} --seed {seed}");
            let from = (position + 1).saturating_sub(args.last);
            for entry in theirs.transcript.iter().take(position + 1).skip(from) {
                println!("{}", annotate(entry));
            }
            if let Some(entry) = mine.transcript.get(position) {
                println!("ours:\n{}", annotate(entry));
            }
        }
        endurance.sequence(seed, count)?;
        seed += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "seeds {} to {}: {done} commands in {seconds:.1} s, {:.0} a second",
        args.seed,
        seed - 1,
        done as f64 / seconds
    );
    let memory = endurance.memory();
    let bounded = memory.is_ok();
    println!("{}", memory.unwrap_or_else(|error| format!("{error:#}")));
    Ok(bounded)
}
