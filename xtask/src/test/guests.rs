//! Guests: what a user sees in one boot, and what outlives resets and crashes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::guest::{self, Images, Interface, Stage, Story, Vm};
use crate::report::{Counts, Progress, Style};
use crate::tpm::{Power, Program, Tpm};
use crate::{attest, process};

/// The demonstration's scenario, and the verifier's part of it.
pub(super) fn demo(program: &Program, interface: Interface) -> Result<Counts> {
    let images = guest::prepare()?;
    let folder = folder(interface.choose("guest-demo", "guest-demo-vhost-user"))?;
    let tpm = Tpm::start(program, &folder, &interface.endpoint(&folder), Power::Client)?;
    let nonce = attest::nonce()?;
    let mut story = Story::default();
    let arguments = format!("quiet nonce={nonce}");
    let mut vm = Vm::start(&images, interface, &folder, "demo", &arguments, "tcg")?;
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
pub(super) fn survive(program: &Program, interface: Interface) -> Result<Counts> {
    let images = guest::prepare()?;
    let folder = folder(interface.choose("guest-survive", "guest-survive-vhost-user"))?;
    let mut story = Story::default();
    let (tpm, stage) = boot(program, interface, &images, &folder, &mut story)?;
    if stage != Stage::Kill {
        return Ok(story.counts);
    }
    tpm.kill()?;
    let (tpm, stage) = boot(program, interface, &images, &folder, &mut story)?;
    ensure!(stage == Stage::Off, "the TPM forgot the boot before");
    tpm.stop()?;
    Ok(story.counts)
}

fn boot(
    program: &Program,
    interface: Interface,
    images: &Images,
    folder: &Path,
    story: &mut Story,
) -> Result<(Tpm, Stage)> {
    let tpm = Tpm::start(program, folder, &interface.endpoint(folder), Power::Client)?;
    let mut vm = Vm::start(images, interface, folder, "survive", "quiet", "tcg")?;
    let stage = guest::play(&mut vm, story)?;
    Ok((tpm, stage))
}

/// A machine that is saved and goes on, then moves with its TPM to another QEMU and another TPM process, each with a state
/// directory of its own.
pub(super) fn migrate(program: &Program) -> Result<Counts> {
    let images = guest::prepare()?;
    let here = folder("guest-migrate")?;
    let there = here.join("there");
    let saved = here.join("machine");
    let mut story = Story::default();
    let endpoint = |folder: &Path| Interface::Swtpm.endpoint(folder);
    let source = Tpm::start(program, &here, &endpoint(&here), Power::Client)?;
    let mut vm = Vm::start_movable(&images, &here, "migrate", "quiet", None)?;
    if guest::play(&mut vm, &mut story)? != Stage::Save {
        return Ok(story.counts);
    }
    vm.save(&saved)?;
    vm.go_on()?;
    if guest::go_on(&mut vm, &mut story)? != Stage::Migrate {
        return Ok(story.counts);
    }
    vm.save(&saved)?;
    let destination = Tpm::start(program, &there, &endpoint(&there), Power::Incoming)?;
    let mut moved = Vm::start_movable(&images, &there, "migrate", "quiet", Some(&saved))?;
    ensure!(
        guest::go_on(&mut moved, &mut story)? == Stage::Off,
        "the scenario moves once"
    );
    drop(vm);
    destination.stop()?;
    source.stop()?;
    fs::remove_file(saved)?;
    Ok(story.counts)
}

/// The same over our own registers.
pub(super) fn vhost_user(program: &Program) -> Result<Counts> {
    if matches!(program, Program::Swtpm) {
        println!("    swtpm does not speak vhost-user");
        return Ok(Counts::SKIPPED);
    }
    let mut counts = demo(program, Interface::VhostUser)?;
    counts += survive(program, Interface::VhostUser)?;
    Ok(counts)
}

/// The demonstration's scenario under the tiny monitor, which KVM here may be unable to boot a kernel with: in a
/// machine that QEMU plays there is one that can.
pub(super) fn tiny_vmm() -> Result<Counts> {
    let images = guest::prepare_host()?;
    let folder = folder("guest-tiny-vmm")?;
    let nonce = attest::nonce()?;
    let mut story = Story::default();
    let mut vm = Vm::start_host(&images, &folder, "demo", &format!("quiet nonce={nonce}"))?;
    guest::play(&mut vm, &mut story)?;
    if story.counts.failed == 0 {
        let mut progress = Progress::begin(Style::of_stdout(), "the quote is verified on the host");
        let count = attest::verify_quote(&story.files, &nonce, &folder.join("attestation"))?;
        progress.ok(&format!("{count} PCRs"));
        story.counts += Counts::PASSED;
    }
    Ok(story.counts)
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
