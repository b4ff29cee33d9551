//! `cargo xtask demo`.

use std::fs;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::guest::{self, Interface, Stage, Story, Vm};
use crate::report::{Counts, Progress, Style};
use crate::tpm::{Build, Peer, Power, Program, Tpm};
use crate::{attest, machine, process, tpm};

/// How to run the demonstration.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program that plays the TPM.
    #[arg(long, value_enum, default_value_t = Peer::Ours)]
    peer: Peer,
    /// How it is attached.
    #[arg(long, value_enum, default_value_t = Interface::Swtpm)]
    interface: Interface,
    /// QEMU's accelerator: tcg works everywhere, kvm where the machine has it.
    #[arg(long, default_value = "tcg")]
    accel: String,
}

/// Boots a guest on a TPM and shows what it is good for.
///
/// # Errors
/// Something cannot be installed, built or started.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let style = Style::of_stdout();
    let started = Instant::now();
    println!("{}\n", style.bold("A stock Linux guest with a TPM 2.0 of its own"));

    let mut progress = Progress::begin(style, "what the demonstration needs is there");
    let images = guest::prepare()?;
    progress.ok("QEMU, OVMF, Debian's cloud kernel, tpm2-tools");

    let program = match args.peer {
        Peer::Ours => {
            let mut progress = Progress::begin(style, "the daemon is built");
            let program = tpm::build(Build::Release)?;
            progress.ok("release build");
            Program::Ours(program)
        }
        Peer::Swtpm => {
            machine::require(&[machine::SWTPM])?;
            Program::Swtpm
        }
    };

    let folder = process::root().join("target/demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let mut progress = Progress::begin(style, "the TPM's process serves");
    let running = Tpm::start(&program, &folder, &args.interface.endpoint(&folder), Power::Client)?;
    let protocol = args.interface.choose("swtpm's protocol", "vhost-user");
    progress.ok(&format!("a new TPM, {protocol} on a UNIX socket"));

    let nonce = attest::nonce()?;
    let mut vm = Vm::start(
        &images,
        args.interface,
        &folder,
        "demo",
        &format!("quiet nonce={nonce}"),
        &args.accel,
    )?;
    let mut story = Story::default();
    let stage = guest::play(&mut vm, &mut story)?;
    ensure!(stage == Stage::Off, "the demonstration does not kill the TPM");

    let mut measured = String::new();
    if story.counts.failed == 0 {
        let mut progress = Progress::begin(style, "outside of the guest, without the TPM, the quote is verified");
        match attest::verify(&story.files, &nonce, &folder.join("attestation")) {
            Ok(verdict) => {
                progress.ok(&format!("{} PCRs, signature and nonce are good", verdict.quoted));
                Progress::begin(style, "and the event log leads to the quoted PCR 0-7")
                    .ok(&format!("{} events replayed", verdict.events));
                measured = format!("{} events of the firmware lead to PCR 0-7", verdict.events);
                story.counts += Counts::PASSED;
                story.counts += Counts::PASSED;
            }
            Err(error) => {
                progress.failed(&format!("{error:#}"));
                story.counts += Counts::FAILED;
            }
        }
    }

    let mut progress = Progress::begin(style, "the TPM's process stops on SIGTERM");
    match running.stop() {
        Ok(()) => {
            progress.ok("its state is on disk");
            story.counts += Counts::PASSED;
        }
        Err(error) => {
            progress.failed(&format!("{error:#}"));
            story.counts += Counts::FAILED;
        }
    }
    summary(args, &story, &measured, style, started);
    Ok(if story.counts.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn summary(args: &Args, story: &Story, measured: &str, style: Style, started: Instant) {
    let good = story.counts.failed == 0;
    let tpm = match args.peer {
        Peer::Ours => concat!(
            "vhost-device-tpm ",
            env!("CARGO_PKG_VERSION"),
            ", release build, a process of its own"
        ),
        Peer::Swtpm => "swtpm, for comparison",
    };
    let qemu = process::output(Command::new("qemu-system-x86_64").arg("--version")).unwrap_or_default();
    let qemu = qemu.lines().next().unwrap_or("QEMU").replace("emulator ", "");
    let qemu = qemu.split(" (").next().unwrap_or("QEMU");
    let result = format!("{} in {:.0} s", story.counts, started.elapsed().as_secs_f64());
    let result = if good { style.good(&result) } else { style.bad(&result) };
    println!("\n{}", style.bold("Summary"));
    println!("  TPM            {tpm}");
    let device = args
        .interface
        .choose("-device tpm-crb", "our CRB registers by -device x-pci-proxy-dev");
    println!(
        "  Machine        {qemu}, q35, {}, OVMF, unmodified; {device}",
        args.accel
    );
    println!(
        "  Guest          Debian's Linux {}, its own tpm_crb driver and tpm2-tools",
        story.kernel
    );
    if good {
        println!("  Measured boot  {measured}");
        println!("  Identity       endorsement key, storage root key, attestation key, credential activated");
        println!("  Quote          verified in the guest, and again on the host");
        println!("  Sealed secret  released with PCR 7 as booted; refused once PCR 7 was extended");
        println!("  Files          target/demo: the quote, the event log, the console, the TPM's state and log");
    }
    println!("  Steps          {result}");
}
