//! How long the slowest command holds a vCPU, and how soon it ends when it is cancelled.

use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use crb_interface::layout::CTRL_CANCEL;
use integration::build;
use integration::times::Times;
use integration::window::{Driver, Window};

use super::commands::{check, code, made, rsa_primary};
use super::paths::{Path, Route};

/// TPM_RC_CANCELED.
const CANCELED: u32 = 0x909;

/// Prints how CreatePrimary of RSA-3072 keys behaves over our frontend.
pub(crate) fn measure(ours: &FilePath, rounds: u32) -> Result<()> {
    let mut path = Path::start(Route::VhostUser, ours)?;
    let window = path.window().context("a frontend without a window")?;
    let (mut held, mut whole, mut cancelled) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let (start, response) = run(window, round, None)?;
        check("CreatePrimary RSA-3072", &response.bytes)?;
        held.push(start);
        whole.push(response.after);
        let mut answer = Vec::new();
        window.transact(&build::flush_context(made(&response.bytes)?).bytes(), &mut answer)?;
        check("FlushContext", &answer)?;
    }
    let mut in_time = 0;
    for round in 0..rounds {
        // Early, late, and before the daemon has looked at the command.
        let pause = Duration::from_millis(u64::from(round % 5) * 7);
        let (_, response) = run(window, rounds + round, Some(pause))?;
        match code(&response.bytes) {
            CANCELED => cancelled.push(response.after),
            0 => {
                in_time += 1;
                let mut answer = Vec::new();
                window.transact(&build::flush_context(made(&response.bytes)?).bytes(), &mut answer)?;
            }
            other => bail!("a cancelled CreatePrimary answered {other:#x}"),
        }
    }
    let (held, whole, cancelled) = (Times::new(held), Times::new(whole), Times::new(cancelled));
    println!(
        "\nCreatePrimary RSA-3072, {rounds} times\n  \
         the write to START holds the vCPU: median {:.0} µs, max {:.0} µs\n  \
         the answer is there: median {:.1} ms, max {:.1} ms\n  \
         with a cancel: TPM_RC_CANCELED {} times, median {:.2} ms and at most {:.2} ms after it; {in_time} were done before",
        held.percentile(50),
        held.max(),
        whole.percentile(50) / 1e3,
        whole.max() / 1e3,
        cancelled.micros().count(),
        cancelled.percentile(50) / 1e3,
        cancelled.max() / 1e3,
    );
    Ok(())
}

struct Response {
    bytes: Vec<u8>,
    /// From the write to START, or from the cancel.
    after: Duration,
}

/// Runs CreatePrimary; cancels it after a pause. Returns how long the write to START held us, and the response.
fn run(window: &mut dyn Window, template: u32, cancel: Option<Duration>) -> Result<(Duration, Response)> {
    let command = rsa_primary(3072, &template.to_be_bytes()).bytes();
    window.begin()?;
    let mut begun = Instant::now();
    window.send(&command)?;
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
