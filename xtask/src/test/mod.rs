//! `cargo xtask test`.

mod cargo;

use std::process::ExitCode;

use anyhow::Result;

use crate::machine;
use crate::report::{Counts, Report};

/// A step's name and what it does.
type Step = (&'static str, fn() -> Result<Counts>);

/// Which steps to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only the steps whose name contains this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// Runs the steps, prints the table.
///
/// # Errors
/// None: a step's error is a failed test.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let mut report = Report::new();
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| name.contains(only));
    let steps: [Step; 5] = [
        ("format", cargo::format),
        ("lints", cargo::lints),
        ("licences and sources", cargo::deny),
        ("unit tests", cargo::unit_tests),
        ("differential tests", || {
            machine::require(&[machine::SWTPM])?;
            cargo::integration_tests()
        }),
    ];
    for (name, step) in steps {
        if wanted(name) {
            report.step(name, step);
        }
    }
    Ok(report.finish())
}
