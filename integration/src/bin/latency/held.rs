//! How long the slowest command holds a vCPU, and how soon it ends when it is cancelled.

use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use crb_interface::frontend::FrontendConfig;
use crb_interface::layout::CTRL_CANCEL;
use integration::answer::{self, Primary};
use integration::build;
use integration::codes::rc;
use integration::times::Times;
use integration::verdict::Verdict;
use integration::window::{Driver, Window};
use integration::wire::In;

use super::paths::{Path, Route};
use super::targets::Line;

/// Bits of the keys.
const BITS: u16 = 3072;
/// How soon a command is to end when it is cancelled.
const CANCELLED_IN: Duration = Duration::from_millis(10);

/// Prints how CreatePrimary of RSA-3072 keys behaves over our frontend; returns whether that is what is wanted.
///
/// # Errors
/// The guest sees another key than the one that the TPM has, or a cancelled command answers with anything but
/// TPM_RC_CANCELED or its key.
pub(crate) fn measure(ours: &FilePath, rounds: u32) -> Result<Line> {
    let mut path = Path::start(Route::VhostUser, ours)?;
    let window = path.window().context("a frontend without a window")?;
    let (mut held, mut whole) = (Vec::new(), Vec::new());
    let (mut cancelled, mut before) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let (start, response) = run(window, round, None)?;
        answer::check("CreatePrimary RSA-3072", &response.bytes)?;
        held.push(start);
        whole.push(response.after);
        check_and_flush(window, &response.bytes)?;
    }
    for round in 0..rounds {
        // Early, late, and before the daemon has looked at the command.
        let pause = Duration::from_millis(u64::from(round % 5) * 7);
        let (start, response) = run(window, rounds + round, Some(pause))?;
        held.push(start);
        match answer::code(&response.bytes) {
            rc::CANCELED => cancelled.push(response.after),
            rc::SUCCESS => {
                before.push(response.after);
                check_and_flush(window, &response.bytes)?;
            }
            other => bail!("a cancelled CreatePrimary answered {other:#x}"),
        }
    }
    let budget = FrontendConfig::new("").budget;
    // A key that was found all the same must have been there as soon as an end without one.
    let ended = Times::new([&cancelled[..], &before[..]].concat());
    let (held, whole, cancelled) = (Times::new(held), Times::new(whole), Times::new(cancelled));
    println!(
        "\nCreatePrimary RSA-3072, {rounds} times to its end and {rounds} times with a cancel\n  \
         the write to START holds the vCPU: median {:.0} µs, max {:.0} µs, with a budget of {} µs\n  \
         the right answer is there: median {:.1} ms, max {:.1} ms\n  \
         after a cancel: TPM_RC_CANCELED {} times, median {:.2} ms, max {:.2} ms; {} had their key before",
        held.percentile(50),
        held.max(),
        budget.as_micros(),
        whole.percentile(50) / 1e3,
        whole.max() / 1e3,
        cancelled.count(),
        cancelled.percentile(50) / 1e3,
        cancelled.max() / 1e3,
        before.len(),
    );
    let [budget, soon] = [budget, CANCELLED_IN].map(|limit| limit.as_secs_f64() * 1e3);
    let verdicts = vec![
        Verdict::at_most("the longest write to START", held.max() / 1e3, budget, "ms"),
        Verdict::at_most("the longest from a cancel to its answer", ended.max() / 1e3, soon, "ms"),
    ];
    Ok(Line::new("CreatePrimary RSA-3072", verdicts))
}

/// Checks that the key is the one that the TPM has, and takes it out of the TPM.
fn check_and_flush(window: &mut dyn Window, response: &[u8]) -> Result<()> {
    let Primary { handle, public } = answer::primary(response)?;
    let modulus = public.len().checked_sub(usize::from(BITS / 8));
    ensure!(
        modulus
            .and_then(|at| public.get(at))
            .is_some_and(|byte| byte & 0x80 != 0),
        "no key of {BITS} bits: {public:x?}"
    );
    let mut found = Vec::new();
    window.transact(&build::read_public(handle).bytes(), &mut found)?;
    answer::check("ReadPublic", &found)?;
    let found = In(found.get(10..).unwrap_or_default()).b2()?;
    ensure!(found == public, "the TPM has another key: {found:x?} for {public:x?}");
    let mut flushed = Vec::new();
    window.transact(&build::flush_context(handle).bytes(), &mut flushed)?;
    answer::check("FlushContext", &flushed)
}

struct Response {
    bytes: Vec<u8>,
    /// From the write to START, or from the cancel.
    after: Duration,
}

/// Runs CreatePrimary; cancels it after a pause. Returns how long the write to START held us, and the response.
fn run(window: &mut dyn Window, template: u32, cancel: Option<Duration>) -> Result<(Duration, Response)> {
    let command = build::rsa_primary(BITS, &template.to_be_bytes()).bytes();
    window.begin()?;
    window.fill(&command)?;
    let mut begun = Instant::now();
    window.start()?;
    let held = begun.elapsed();
    if let Some(pause) = cancel {
        std::thread::sleep(pause);
        begun = Instant::now();
        window.set_register(CTRL_CANCEL, 1)?;
    }
    while !window.is_done()? {
        std::thread::sleep(Duration::from_micros(100));
    }
    let after = begun.elapsed();
    let mut bytes = Vec::new();
    window.receive(&mut bytes)?;
    window.end()?;
    Ok((held, Response { bytes, after }))
}
