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
use integration::{run, scenarios};

#[derive(Debug, Parser)]
#[command(about = "The same commands to our TPM and to another; prints where they differ")]
struct Args {
    /// Run the hand-written scenarios.
    #[arg(long)]
    scenarios: bool,
    /// Only scenarios whose name has this in it.
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
    println!("{}", report.table());
    println!("{}", report.details(args.show));
    Ok(if report.unexplained.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
