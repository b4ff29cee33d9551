//! `cargo xtask test`.

mod cargo;
mod flows;
mod guests;

use std::process::ExitCode;

use anyhow::Result;

use crate::guest::Interface;
use crate::machine;
use crate::report::{Counts, Report};
use crate::tpm::{self, Build, Peer, Program};

/// A step's name and what it does with the program that plays the TPM.
type Step = (&'static str, fn(Peer) -> Result<Counts>);

const STEPS: &[Step] = &[
    ("format", |_| cargo::format()),
    ("lints", |_| cargo::lints()),
    ("licences and sources", |_| cargo::deny()),
    ("unit tests", |_| cargo::unit_tests()),
    ("engine on AWS-LC", |_| cargo::aws_lc_tests()),
    ("differential tests", |_| {
        machine::require(&[machine::SWTPM])?;
        cargo::integration_tests()
    }),
    ("guest: bare metal under KVM", |_| cargo::monitor_tests()),
    ("tpm2-tools", |peer| flows::run(&flows::TPM2_TOOLS, &program(peer)?)),
    ("IBM TSS", |peer| flows::run(&flows::IBM_TSS, &program(peer)?)),
    ("guest: demonstration", |peer| {
        guests::demo(&program(peer)?, Interface::Swtpm)
    }),
    ("guest: reset and crash", |peer| {
        guests::survive(&program(peer)?, Interface::Swtpm)
    }),
    ("guest: migration", |peer| guests::migrate(&program(peer)?)),
    ("guest: tiny monitor", |_| guests::tiny_vmm()),
    ("guest: vhost-user", |peer| guests::vhost_user(&program(peer)?)),
];

/// Which steps to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only the steps whose name contains this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// The program that plays the TPM for tools and guests: swtpm shows whether the tests themselves are right.
    #[arg(long, value_enum, default_value_t = Peer::Ours)]
    peer: Peer,
}

/// Runs the steps, prints the table.
///
/// # Errors
/// None: a step's error is a failed test.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut report = Report::new();
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| name.contains(only));
    for (name, step) in STEPS.iter().filter(|(name, _)| wanted(name)) {
        report.step(name, || step(args.peer));
    }
    Ok(report.finish())
}

fn program(peer: Peer) -> Result<Program> {
    match peer {
        Peer::Ours => Ok(Program::Ours(tpm::build(Build::Debug)?)),
        Peer::Swtpm => {
            machine::require(&[machine::SWTPM])?;
            Ok(Program::Swtpm)
        }
    }
}
