//! How long the slowest command holds a vCPU, and how soon it ends when it is cancelled.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use crb_interface::registers::CtrlCancel;

use crate::answer::{self, Primary};
use crate::build;
use crate::codes::rc;
use crate::times::Times;
use crate::window::{Driver, Window};
use crate::wire::In;

/// Bits of the keys.
const BITS: u16 = 3072;

/// How CreatePrimary of RSA-3072 keys behaves.
#[derive(Debug)]
pub struct Held {
    /// How long the writes to START held the vCPU.
    pub start: Times,
    /// From START to the key, where nobody cancelled.
    pub whole: Times,
    /// From the cancel to TPM_RC_CANCELED.
    pub cancelled: Times,
    /// From the cancel to a key that was found all the same.
    pub found: Times,
}

/// Has so many keys made in a TPM that is started up, and as many cancelled.
///
/// # Errors
/// The guest sees another key than the one that the TPM has, or a cancelled command answers with anything but
/// TPM_RC_CANCELED or its key.
pub fn measure(window: &mut dyn Window, rounds: u32) -> Result<Held> {
    let (mut starts, mut whole) = (Vec::new(), Vec::new());
    let (mut cancelled, mut found) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let (start, response) = run(window, round, None)?;
        answer::check("CreatePrimary RSA-3072", &response.bytes)?;
        starts.push(start);
        whole.push(response.after);
        check_and_flush(window, &response.bytes)?;
    }
    for round in 0..rounds {
        // Early, late, and before the daemon has looked at the command.
        let pause = Duration::from_millis(u64::from(round % 5) * 7);
        let (start, response) = run(window, rounds + round, Some(pause))?;
        starts.push(start);
        match answer::code(&response.bytes) {
            rc::CANCELED => cancelled.push(response.after),
            rc::SUCCESS => {
                found.push(response.after);
                check_and_flush(window, &response.bytes)?;
            }
            other => bail!("a cancelled CreatePrimary answered {other:#x}"),
        }
    }
    Ok(Held {
        start: Times::new(starts),
        whole: Times::new(whole),
        cancelled: Times::new(cancelled),
        found: Times::new(found),
    })
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
        window.set_register(CtrlCancel::CANCEL)?;
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
