//! Who takes part in a run: TPMs of this process, and one of another, since a program has one build of the engine.
//!
//! The other process is this program, built with the feature `aws-lc`. It is told by lines what to do, and measures by
//! itself: nothing of the pipe is in its times. While one works the other waits, on the same processor.

use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::cases::{CASES, Case};
use super::tpms::{Kind, Tpm};

/// A TPM that runs a case's commands.
pub(crate) enum Contestant {
    Here(Box<Here>),
    There(There),
}

impl Contestant {
    /// A TPM in this process.
    pub(crate) fn here(kind: Kind) -> Result<Self> {
        Ok(Self::Here(Box::new(Here::start(kind, true)?)))
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Here(here) => here.tpm.kind,
            Self::There(there) => there.kind,
        }
    }

    /// Makes what a case needs.
    pub(crate) fn prepare(&mut self, case: &'static Case) -> Result<()> {
        match self {
            Self::Here(here) => here.prepare(case),
            Self::There(there) => there.ask(&format!("prepare {}", case.name)).map(drop),
        }
    }

    /// Runs the command of the case so often; how long each took.
    pub(crate) fn run(&mut self, rounds: Range<u32>) -> Result<Vec<Duration>> {
        match self {
            Self::Here(here) => here.run(rounds),
            Self::There(there) => {
                let answer = there.ask(&format!("run {} {}", rounds.start, rounds.end))?;
                let times = answer
                    .split_whitespace()
                    .map(str::parse)
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(times.into_iter().map(Duration::from_nanos).collect())
            }
        }
    }

    /// Removes what the case needed.
    pub(crate) fn forget(&mut self) -> Result<()> {
        match self {
            Self::Here(here) => here.forget(),
            Self::There(there) => there.ask("forget").map(drop),
        }
    }
}

/// A TPM in this process, and the case that it runs.
pub(crate) struct Here {
    tpm: Tpm,
    case: Option<&'static Case>,
    handles: Vec<u32>,
}

impl Here {
    pub(crate) fn start(kind: Kind, has_processor_time: bool) -> Result<Self> {
        Ok(Self {
            tpm: Tpm::start(kind, has_processor_time)?,
            case: None,
            handles: Vec::new(),
        })
    }

    pub(crate) fn prepare(&mut self, case: &'static Case) -> Result<()> {
        self.handles = (case.prepare)(&mut self.tpm).with_context(|| format!("preparing {}", case.name))?;
        self.case = Some(case);
        // What is computed once in a process is not the command's.
        case.run(&mut self.tpm, &self.handles, u32::MAX).map(drop)
    }

    pub(crate) fn run(&mut self, rounds: Range<u32>) -> Result<Vec<Duration>> {
        let case = self.case.context("no case is prepared")?;
        rounds
            .map(|round| case.run(&mut self.tpm, &self.handles, round))
            .collect()
    }

    pub(crate) fn forget(&mut self) -> Result<()> {
        self.case = None;
        std::mem::take(&mut self.handles)
            .into_iter()
            .try_for_each(|handle| self.tpm.forget(handle))
    }
}

/// A process that has a TPM, and the pipes to it.
pub(crate) struct There {
    kind: Kind,
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl There {
    /// Starts the program, whose engine must be of this kind.
    pub(crate) fn start(program: &Path, kind: Kind) -> Result<Self> {
        let mut process = Command::new(program)
            .arg("--serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let requests = process.stdin.take().context("a process without its input")?;
        let answers = process.stdout.take().context("a process without its output")?;
        let mut there = Self {
            kind,
            process,
            requests,
            answers: BufReader::new(answers),
        };
        let built = there.answer()?;
        ensure!(
            built == kind.name(),
            "{} is built for {built}, not for {}",
            program.display(),
            kind.name()
        );
        Ok(there)
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        writeln!(self.requests, "{request}")?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        match line.trim_end_matches('\n').split_once(' ') {
            Some(("done", answer)) => Ok(answer.to_owned()),
            Some(("failed", error)) => bail!("{}: {error}", self.kind.name()),
            _ => bail!("the process of {} has ended", self.kind.name()),
        }
    }
}

impl Drop for There {
    fn drop(&mut self) {
        // It may have ended already; nothing else can be done about either failure.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Does what the lines of the input ask for, until it ends.
pub(crate) fn serve() -> Result<()> {
    let mut here = Here::start(Kind::BUILT, true)?;
    println!("done {}", Kind::BUILT.name());
    for request in std::io::stdin().lines() {
        match serve_one(&mut here, &request?) {
            Ok(answer) => println!("done {answer}"),
            Err(error) => println!("failed {error:#}"),
        }
    }
    Ok(())
}

fn serve_one(here: &mut Here, request: &str) -> Result<String> {
    let (what, rest) = request.split_once(' ').unwrap_or((request, ""));
    match what {
        "prepare" => {
            let case = CASES.iter().find(|case| case.name == rest).context("no such command")?;
            here.prepare(case).map(|()| String::new())
        }
        "run" => {
            let (first, end) = rest.split_once(' ').context("rounds from where to where")?;
            let times = here.run(first.parse()?..end.parse()?)?;
            Ok(times.iter().map(|time| format!("{} ", time.as_nanos())).collect())
        }
        "forget" => here.forget().map(|()| String::new()),
        _ => bail!("no such request"),
    }
}
