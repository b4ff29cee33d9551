//! The command line of the tiny monitor.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use crb_interface::frontend::{Frontend, FrontendConfig};
use crb_interface::layout::PC_BASE;
use tiny_vmm::devices::End;
use tiny_vmm::machine::{Config, Machine};
use tiny_vmm::{boot, kvm, sandbox, tables};

/// Boots a Linux kernel with a TPM that lives in another process.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// vhost-user socket of the TPM: vhost-device-tpm serve --socket-path
    #[arg(long, value_name = "SOCK")]
    tpm: PathBuf,
    /// The kernel, a bzImage
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// The initial file system
    #[arg(long, value_name = "FILE")]
    initrd: Option<PathBuf>,
    /// The kernel's command line
    #[arg(long, default_value = "console=ttyS0")]
    append: String,
    /// Memory in MiB
    #[arg(long, default_value_t = 512)]
    memory: usize,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    if let Some(obstacle) = kvm::obstacle() {
        anyhow::bail!(obstacle);
    }
    let tpm = Frontend::connect(FrontendConfig::new(&args.tpm))?;
    let config = Config {
        memory: args.memory << 20,
        platform: true,
        map_window: true,
    };
    loop {
        let mut machine = Machine::new(config, tpm.clone())?;
        let root = tables::write(machine.memory(), u32::try_from(PC_BASE)?)?;
        let entry = boot::load(
            machine.memory(),
            &args.kernel,
            args.initrd.as_deref(),
            &args.append,
            root,
        )?;
        machine.start_at(entry.address, entry.parameters)?;
        let end = std::thread::scope(|scope| {
            let vcpu = scope.spawn(|| {
                sandbox::enter()?;
                machine.run()
            });
            vcpu.join().map_err(|_| anyhow::anyhow!("the vCPU's thread panicked"))?
        });
        match end? {
            End::Off | End::Halted => return Ok(ExitCode::SUCCESS),
            // A new machine is the simplest reset; the TPM is told, and stays.
            End::Reset => {
                if let Err(error) = tpm.reset() {
                    tracing::warn!(%error, "the TPM is told of the reset when its process is back");
                }
            }
        }
    }
}
