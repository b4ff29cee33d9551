//! Guests: what a user sees in one boot, and what outlives resets and crashes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::guest::{self, Images, Stage, Story, Vm};
use crate::report::{Counts, Progress, Style};
use crate::tpm::{Endpoint, Power, Program, Tpm};
use crate::{attest, process};

/// The demonstration's scenario, and the verifier's part of it.
pub(super) fn demo(program: &Program) -> Result<Counts> {
    let images = guest::prepare()?;
    let folder = folder("guest-demo")?;
    let socket = folder.join("control.sock");
    let tpm = Tpm::start(program, &folder, &Endpoint::Unix(socket.clone()), Power::Client)?;
    let nonce = attest::nonce()?;
    let mut story = Story::default();
    let arguments = format!("quiet nonce={nonce}");
    let mut vm = Vm::start(&images, &socket, &folder, "demo", &arguments, "tcg")?;
    ensure!(
        guest::play(&mut vm, &mut story)? == Stage::Off,
        "the scenario kills no TPM"
    );
    if story.counts.failed == 0 {
        let mut progress = Progress::begin(Style::of_stdout(), "quote and event log are verified on the host");
        let verdict = attest::verify(&story.files, &nonce, &folder.join("attestation"))?;
        progress.ok(&format!("{} PCRs, {} events", verdict.quoted, verdict.events));
        story.counts += Counts::PASSED;
    }
    tpm.stop()?;
    Ok(story.counts)
}

/// A reset of the machine while the TPM's process runs on; SIGKILL to that process while the machine runs.
pub(super) fn survive(program: &Program) -> Result<Counts> {
    let images = guest::prepare()?;
    let folder = folder("guest-survive")?;
    let mut story = Story::default();
    let (tpm, stage) = boot(program, &images, &folder, &mut story)?;
    if stage != Stage::Kill {
        return Ok(story.counts);
    }
    tpm.kill()?;
    let (tpm, stage) = boot(program, &images, &folder, &mut story)?;
    ensure!(stage == Stage::Off, "the TPM forgot the boot before");
    tpm.stop()?;
    Ok(story.counts)
}

fn boot(program: &Program, images: &Images, folder: &Path, story: &mut Story) -> Result<(Tpm, Stage)> {
    let socket = folder.join("control.sock");
    let tpm = Tpm::start(program, folder, &Endpoint::Unix(socket.clone()), Power::Client)?;
    let mut vm = Vm::start(images, &socket, folder, "survive", "quiet", "tcg")?;
    let stage = guest::play(&mut vm, story)?;
    Ok((tpm, stage))
}

/// An empty folder for a test.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = process::root().join("target/test").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
