//! `cargo xtask bench start`: how soon a TPM's process answers, what it holds, and many of them on one machine.

use std::fs;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::boot;
use crate::process;
use crate::tpm::{Endpoint, Power, Program, Tpm};

/// How much to measure.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Starts of each kind.
    #[arg(long, default_value_t = 40)]
    rounds: u32,
    /// TPMs that run at once.
    #[arg(long, default_value_t = 200)]
    tpms: u32,
    /// For how many seconds idle TPMs are watched.
    #[arg(long, default_value_t = 10)]
    idle: u64,
    /// Where states are kept while measuring; on the disk that they will be on, as making a TPM waits for it.
    #[arg(long, value_name = "DIR", default_value = "target/bench/start")]
    folder: PathBuf,
}

/// TPM2_GetRandom of 16 bytes: an answer that no start-up state has ready.
const FIRST: [u8; 12] = *b"\x80\x01\0\0\0\x0c\0\0\x01\x7b\0\x10";
/// How long a process may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long all of them may take to prepare what they prepare in the background.
const PREPARATIONS: Duration = Duration::from_secs(600);
/// swtpm's control command that hands the data channel over.
const SET_DATAFD: u32 = 16;

/// One number of one program.
struct Measurement {
    engine: &'static str,
    what: &'static str,
    unit: &'static str,
    value: f64,
}

/// A TPM and a connection to its data channel.
pub(super) struct Attached {
    tpm: Tpm,
    data: UnixStream,
    /// The TPM may end with it.
    _control: UnixStream,
}

impl Attached {
    /// Starts a TPM that powers itself on, connects as soon as it listens, and hands it a data channel, as monitors do.
    fn start(program: &Program, folder: &Path) -> Result<Self> {
        let socket = folder.join("socket");
        if socket.exists() {
            fs::remove_file(&socket)?;
        }
        let endpoint = Endpoint::Unix(socket.clone());
        let tpm = Tpm::spawn(program, folder, &endpoint, Power::On { profile: "default" })?;
        let deadline = Instant::now() + PATIENCE;
        let mut control = loop {
            if let Ok(stream) = UnixStream::connect(&socket) {
                break stream;
            }
            ensure!(Instant::now() < deadline, "no TPM listens\n{}", tpm.log());
            thread::sleep(Duration::from_micros(50));
        };
        let (data, theirs) = UnixStream::pair()?;
        for stream in [&data, &control] {
            stream.set_read_timeout(Some(PATIENCE))?;
        }
        hand_over(&control, &theirs)?;
        let mut result = [0; 4];
        control.read_exact(&mut result)?;
        ensure!(result == [0; 4], "the TPM does not take its data channel: {result:?}");
        Ok(Self {
            tpm,
            data,
            _control: control,
        })
    }

    /// Sends a command, and returns its response, which must be of success.
    pub(super) fn run(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        self.data.write_all(command)?;
        let mut header = [0; 10];
        self.data.read_exact(&mut header)?;
        let [_, _, a, b, c, d, code @ ..] = header;
        let code = u32::from_be_bytes(code);
        ensure!(code == 0, "response code {code:#x} to {command:02x?}");
        let size = usize::try_from(u32::from_be_bytes([a, b, c, d]))?;
        let mut response = header.to_vec();
        response.resize(size.max(header.len()), 0);
        self.data
            .read_exact(response.get_mut(header.len()..).unwrap_or_default())?;
        Ok(response)
    }

    /// The processor's time that the process has used.
    fn processor_time(&self) -> Result<Duration> {
        // In nanoseconds, a file for each thread.
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.tpm.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            total += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(total))
    }

    /// Kibibytes of memory: the proportional set, and what is the process' own.
    fn memory(&self) -> Result<(f64, f64)> {
        let path = format!("/proc/{}/smaps_rollup", self.tpm.id());
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}; it takes root"))?;
        let of = |names: &[&str]| -> f64 {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            let named = lines.filter(|(name, _)| names.contains(name));
            named
                .filter_map(|(_, value)| value.trim().split(' ').next()?.parse::<f64>().ok())
                .sum()
        };
        Ok((of(&["Pss"]), of(&["Private_Clean", "Private_Dirty"])))
    }
}

/// SET_DATAFD.
fn hand_over(control: &UnixStream, data: &UnixStream) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors = [data.as_fd()];
    ensure!(
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)),
        "no room for a descriptor"
    );
    let command = SET_DATAFD.to_be_bytes();
    sendmsg(control, &[IoSlice::new(&command)], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

/// The processor's time that all these use.
fn total(tpms: &[Attached]) -> Result<Duration> {
    tpms.iter().map(Attached::processor_time).sum()
}

/// Waits until nothing is prepared in the background any more; how long that takes.
fn settle(tpms: &[Attached]) -> Result<Duration> {
    const QUIET: Duration = Duration::from_secs(3);
    let begin = Instant::now();
    let mut quiet_since = (begin, total(tpms)?);
    while quiet_since.0.elapsed() < QUIET {
        if begin.elapsed() > PREPARATIONS {
            bail!("TPMs that nobody uses are busy for {} s", PREPARATIONS.as_secs());
        }
        thread::sleep(Duration::from_millis(200));
        let now = total(tpms)?;
        // What else a process does in this time is not worth being called busy.
        if now.saturating_sub(quiet_since.1) > Duration::from_micros(100) * u32::try_from(tpms.len())? {
            quiet_since = (Instant::now(), now);
        }
    }
    Ok(begin.elapsed().saturating_sub(QUIET))
}

/// Measures both programs in turn.
///
/// # Errors
/// Something cannot be started or measured.
pub(super) fn run(args: &Args, ours: PathBuf, idle: &mut Command) -> Result<()> {
    idle.arg("--ours")
        .arg(&ours)
        .args(["--seconds", &args.idle.to_string()]);
    let attached = process::output(idle)?.trim().parse::<f64>()?;
    let programs = [("ours", Program::Ours(ours)), ("swtpm", Program::Swtpm)];
    let folder = process::root().join(&args.folder);
    let mut all = Vec::new();
    let mut starts = vec![(Vec::new(), Vec::new()); programs.len()];
    for round in 0..args.rounds {
        for ((name, program), (new, again)) in programs.iter().zip(&mut starts) {
            let state = empty(&folder.join(format!("{name}-{round}")))?;
            for times in [new, again] {
                let begin = Instant::now();
                let mut tpm = Attached::start(program, &state)?;
                tpm.run(&FIRST)?;
                times.push(begin.elapsed().as_secs_f64() * 1e3);
                tpm.tpm.kill()?;
            }
            fs::remove_dir_all(&state)?;
        }
    }
    for ((engine, program), (new, again)) in programs.iter().zip(starts) {
        let mut note = |what, unit, value| {
            all.push(Measurement {
                engine,
                what,
                unit,
                value,
            });
        };
        note(NEW, "ms", at(&new, 50));
        note("start of a new TPM to its first answer, p95", "ms", at(&new, 95));
        note(AGAIN, "ms", at(&again, 50));
        note("start again to the first answer, p95", "ms", at(&again, 95));
        note("program and its libraries of TPM", "KiB", size(program)?);
        many(args, program, &folder.join(engine), &mut note)?;
    }
    report(&all, programs.map(|(name, _)| name))?;
    println!(
        "\nours, idle, with a monitor attached over vhost-user: {:.3} ms of processor time in {} s",
        attached / 1e6,
        args.idle
    );
    Ok(())
}

/// What is wanted of our value as a share of the other's.
fn wanted(what: &str) -> Option<f64> {
    match what {
        NEW | AGAIN => Some(0.5),
        PSS | PRIVATE => Some(1.0),
        _ => None,
    }
}

const NEW: &str = "start of a new TPM to its first answer, median";
const AGAIN: &str = "start again to the first answer, median";
const PSS: &str = "many idle TPMs: PSS each";
const PRIVATE: &str = "many idle TPMs: private memory each";

/// Starts many TPMs, lets them be idle, and then boots all their machines at once.
fn many(
    args: &Args,
    program: &Program,
    folder: &Path,
    note: &mut impl FnMut(&'static str, &'static str, f64),
) -> Result<()> {
    let folder = empty(folder)?;
    let mut tpms = Vec::new();
    let begin = Instant::now();
    for number in 0..args.tpms {
        let mut tpm = Attached::start(program, &empty(&folder.join(number.to_string()))?)?;
        tpm.run(&FIRST)?;
        if number == 0 {
            let (pss, private) = tpm.memory()?;
            note("one TPM: PSS", "KiB", pss);
            note("one TPM: private memory", "KiB", private);
        }
        tpms.push(tpm);
    }
    note(
        "many TPMs: all started, one after another",
        "ms",
        begin.elapsed().as_secs_f64() * 1e3,
    );
    let busy = settle(&tpms)?;
    note(
        "many TPMs: until all have prepared what they can",
        "ms",
        busy.as_secs_f64() * 1e3,
    );
    let mean = |values: &[f64]| values.iter().sum::<f64>() / f64::from(args.tpms.max(1));
    let memory = |tpms: &[Attached]| -> Result<(Vec<f64>, Vec<f64>)> {
        Ok(tpms
            .iter()
            .map(Attached::memory)
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .unzip())
    };
    let before = total(&tpms)?;
    thread::sleep(Duration::from_secs(args.idle));
    let used = total(&tpms)?.saturating_sub(before);
    note(
        "many idle TPMs: processor time a second, all",
        "ms",
        used.as_secs_f64() * 1e3 / args.idle.max(1) as f64,
    );
    let (pss, private) = memory(&tpms)?;
    note(PSS, "KiB", mean(&pss));
    note(PRIVATE, "KiB", mean(&private));
    let (before, begin) = (total(&tpms)?, Instant::now());
    let threads: Vec<_> = tpms
        .into_iter()
        .map(|mut tpm| thread::spawn(move || boot::run(&mut tpm).map(|times| (tpm, times))))
        .collect();
    let mut booted = Vec::new();
    let mut times = Vec::new();
    for thread in threads {
        let (tpm, of_one) = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        booted.push(tpm);
        times.extend(of_one);
    }
    note(
        "many booting TPMs: until the last is done",
        "ms",
        begin.elapsed().as_secs_f64() * 1e3,
    );
    let used = total(&booted)?.saturating_sub(before);
    note(
        "many booting TPMs: processor time each",
        "ms",
        used.as_secs_f64() * 1e3 / f64::from(args.tpms.max(1)),
    );
    note("many booting TPMs: a command, median", "ms", at(&times, 50));
    note("many booting TPMs: a command, p99", "ms", at(&times, 99));
    let (pss, private) = memory(&booted)?;
    note("many booted TPMs: PSS each", "KiB", mean(&pss));
    note("many booted TPMs: private memory each", "KiB", mean(&private));
    for tpm in booted {
        tpm.tpm.kill()?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// An empty folder.
fn empty(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}

/// The value that so many of a hundred are not above.
fn at(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(place).copied().unwrap_or_default()
}

/// Kibibytes of code and data, as `size` counts them, of a program and of the libraries that only TPMs link.
fn size(program: &Program) -> Result<f64> {
    let program = match program {
        Program::Ours(program) => program.clone(),
        Program::Swtpm => process::find("swtpm").context("swtpm is not on the path")?,
    };
    let linked = process::output(Command::new("ldd").arg(&program))?;
    let libraries = linked.lines().filter(|line| line.contains("tpm")).filter_map(|line| {
        let path = line.split("=> ").nth(1)?.split(' ').next()?;
        Some(PathBuf::from(path))
    });
    let files: Vec<PathBuf> = libraries.chain([program]).collect();
    let table = process::output(Command::new("size").args(&files))?;
    let totals = table.lines().skip(1).filter_map(|line| {
        let total = line.split_whitespace().nth(3)?;
        total.parse::<f64>().ok()
    });
    Ok(totals.sum::<f64>() / 1024.0)
}

/// Prints the table, and writes it as JSON.
fn report(all: &[Measurement], [first, second]: [&str; 2]) -> Result<()> {
    println!("{:<52} {first:>12} {second:>12}  {:>7}", "", "ratio");
    let of = |engine, what| all.iter().find(|row| row.engine == engine && row.what == what);
    for row in all.iter().filter(|row| row.engine == first) {
        if let Some(other) = of(second, row.what) {
            let ratio = if other.value > 0.0 {
                format!("{:.2}", row.value / other.value)
            } else {
                "-".to_owned()
            };
            let (what, unit) = (row.what, row.unit);
            let verdict = wanted(what).map_or_else(String::new, |wanted| {
                let met = row.value <= wanted * other.value;
                format!("  {wanted} wanted: {}", if met { "met" } else { "MISSED" })
            });
            println!(
                "{what:<52} {:>9.2} {unit:<3}{:>9.2} {unit:<3} {ratio:>6}{verdict}",
                row.value, other.value
            );
        }
    }
    let rows: Vec<String> = all
        .iter()
        .map(|row| {
            let Measurement {
                engine,
                what,
                unit,
                value,
            } = row;
            format!("  {{\"engine\": \"{engine}\", \"what\": \"{what}\", \"unit\": \"{unit}\", \"value\": {value:.3}}}")
        })
        .collect();
    let json = process::root().join("target/bench/start.json");
    fs::write(&json, format!("[\n{}\n]\n", rows.join(",\n")))?;
    println!("\nas JSON: {}", json.display());
    Ok(())
}
