//! How long the slowest command holds a vCPU, and how soon it ends when it is cancelled.

use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Context, Result};
use crb_interface::frontend::FrontendConfig;
use integration::held::{self, Held};
use integration::verdict::Verdict;

use super::paths::{Path, Route};
use super::targets::Line;

/// How soon a command is to end when it is cancelled.
const CANCELLED_IN: Duration = Duration::from_millis(10);

/// Prints how CreatePrimary of RSA-3072 keys behaves over our frontend; returns whether that is what is wanted.
pub(crate) fn measure(ours: &FilePath, rounds: u32) -> Result<Line> {
    let mut path = Path::start(Route::VhostUser, ours)?;
    let window = path.window().context("a frontend without a window")?;
    let Held {
        start,
        whole,
        cancelled,
        found,
    } = held::measure(window, rounds)?;
    let budget = FrontendConfig::new("").budget;
    println!(
        "\nCreatePrimary RSA-3072, {rounds} times to its end and {rounds} times with a cancel\n  \
         the write to START holds the vCPU: median {:.0} µs, max {:.0} µs, with a budget of {} µs\n  \
         the right answer is there: median {:.1} ms, max {:.1} ms\n  \
         after a cancel: TPM_RC_CANCELED {} times, median {:.2} ms, max {:.2} ms; {} had their key before",
        start.percentile(50),
        start.max(),
        budget.as_micros(),
        whole.percentile(50) / 1e3,
        whole.max() / 1e3,
        cancelled.count(),
        cancelled.percentile(50) / 1e3,
        cancelled.max() / 1e3,
        found.count(),
    );
    // A key that was found all the same must have been there as soon as an end without one.
    let ended = cancelled.max().max(found.max());
    let [budget, soon] = [budget, CANCELLED_IN].map(|limit| limit.as_secs_f64() * 1e3);
    let verdicts = vec![
        Verdict::at_most("the longest write to START", start.max() / 1e3, budget, "ms"),
        Verdict::at_most("the longest from a cancel to its answer", ended / 1e3, soon, "ms"),
    ];
    Ok(Line::new("CreatePrimary RSA-3072", verdicts))
}
