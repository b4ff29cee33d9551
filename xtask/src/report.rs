//! Progress lines, and the table that closes a run.

use std::fmt;
use std::io::{IsTerminal, Write, stdout};
use std::ops::AddAssign;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Results of one kind of test.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Counts {
    pub(crate) const PASSED: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };
    pub(crate) const FAILED: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };
    pub(crate) const SKIPPED: Self = Self {
        passed: 0,
        failed: 0,
        skipped: 1,
    };
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
        self.skipped = self.skipped.saturating_add(other.skipped);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[derive(Debug)]
struct Row {
    kind: String,
    counts: Counts,
    time: Duration,
}

/// Colours for a terminal, nothing for a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    pub(crate) fn of_stdout() -> Self {
        Self {
            colour: stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(crate) fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// `ok`, `FAILED` or `SKIPPED`.
    pub(crate) fn verdict(self, counts: Counts) -> String {
        if counts.failed > 0 {
            self.bad("FAILED")
        } else if counts.skipped > 0 {
            self.warn("SKIPPED")
        } else {
            self.good("ok")
        }
    }
}

/// A line that grows: what is done, then what came of it. Its notes stand below it.
#[derive(Debug)]
pub(crate) struct Progress {
    style: Style,
    text: String,
    notes: Vec<String>,
    started: Instant,
    open: bool,
}

impl Progress {
    pub(crate) fn begin(style: Style, text: &str) -> Self {
        if style.colour {
            print!("  {} {text} ...", style.warn("…"));
            // Only how soon it is seen depends on it.
            let _ = stdout().flush();
        }
        Self {
            style,
            text: text.to_owned(),
            notes: Vec::new(),
            started: Instant::now(),
            open: true,
        }
    }

    pub(crate) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    pub(crate) fn ok(&mut self, result: &str) {
        self.end(&self.style.good("✔"), result);
    }

    pub(crate) fn failed(&mut self, result: &str) {
        self.end(&self.style.bad("✘ FAILED"), result);
    }

    fn end(&mut self, mark: &str, result: &str) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let start = if self.style.colour { "\r\x1b[K" } else { "" };
        let seconds = self
            .style
            .dim(&format!("({:.1} s)", self.started.elapsed().as_secs_f64()));
        println!("{start}  {mark} {}: {} {seconds}", self.text, self.style.bold(result));
        for note in self.notes.drain(..) {
            println!("      {}", self.style.dim(&note));
        }
    }
}

/// The steps of a run and what came of them.
#[derive(Debug)]
pub(crate) struct Report {
    style: Style,
    started: Instant,
    rows: Vec<Row>,
    /// A skipped test fails the run.
    skips_fail: bool,
}

impl Report {
    pub(crate) fn new() -> Self {
        let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
        Self {
            style: Style::of_stdout(),
            started: Instant::now(),
            rows: Vec::new(),
            skips_fail: ci,
        }
    }

    /// Runs a step between a heading and a line with its result. An error counts as one failed test.
    pub(crate) fn step(&mut self, kind: &str, body: impl FnOnce() -> Result<Counts>) {
        println!("{}", self.style.bold(&format!("==> {kind}")));
        let started = Instant::now();
        let counts = body().unwrap_or_else(|error| {
            println!("{}: {error:#}", self.style.bad(kind));
            Counts::FAILED
        });
        let time = started.elapsed();
        println!(
            "    {} in {:.1} s: {counts}\n",
            self.style.verdict(counts),
            time.as_secs_f64()
        );
        self.rows.push(Row {
            kind: kind.to_owned(),
            counts,
            time,
        });
    }

    /// Prints the table; its last line is the sum alone.
    pub(crate) fn finish(self) -> ExitCode {
        let mut total = Counts::default();
        println!(
            "{}",
            self.style
                .bold("Tests by kind                     passed  failed  skipped     time")
        );
        for Row { kind, counts, time } in &self.rows {
            let Counts {
                passed,
                failed,
                skipped,
            } = counts;
            let seconds = time.as_secs_f64();
            let verdict = self.style.verdict(*counts);
            println!("{kind:<32}{passed:>8}{failed:>8}{skipped:>9}{seconds:>7.1} s  {verdict}");
            total += *counts;
        }
        let failed = total.failed > 0 || (self.skips_fail && total.skipped > 0);
        println!("{:<57}{:>7.1} s", "", self.started.elapsed().as_secs_f64());
        if total.skipped > 0 {
            let meaning = if self.skips_fail {
                "which fails the run here"
            } else {
                "which fails the run in CI"
            };
            println!("{}", self.style.warn(&format!("{} skipped, {meaning}", total.skipped)));
        }
        println!("{total}");
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}
