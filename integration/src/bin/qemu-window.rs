//! Gives a guest of an unmodified QEMU the CRB window of a TPM process: see [`integration::proxy`].

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use crb_interface::frontend::{Frontend, FrontendConfig};
use crb_interface::{acpi, layout};
use integration::proxy;

#[derive(Debug, Parser)]
#[command(about = "A TPM's CRB window for QEMU's x-pci-proxy-dev, whose socket is stdin")]
struct Args {
    /// The vhost-user socket of the TPM process.
    #[arg(long, value_name = "SOCK")]
    socket_path: PathBuf,
    /// Where QEMU's monitor connects (`-mon mode=control`).
    #[arg(long, value_name = "SOCK")]
    monitor: PathBuf,
    /// The folder that gets the ACPI tables, tpm2.aml and ssdt.aml.
    #[arg(long, value_name = "DIR")]
    tables: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let base = u32::try_from(layout::PC_BASE)?;
    let (oem, table) = (*b"RSTVMM", *b"VHOSTTPM");
    for (name, content) in [
        ("tpm2.aml", acpi::tpm2_table(base.into(), oem, table, None)),
        ("ssdt.aml", acpi::ssdt(base.into(), oem, table)),
    ] {
        let file = args.tables.join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let monitor =
        UnixListener::bind(&args.monitor).with_context(|| format!("cannot listen on {}", args.monitor.display()))?;
    let mut frontend = Frontend::connect(FrontendConfig::new(args.socket_path))?;
    let qemu = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    println!("READY");
    let mut connection = None;
    proxy::serve(qemu, &mut frontend, base.into(), || {
        let stream = match &mut connection {
            Some(stream) => stream,
            empty => empty.insert(accept(&monitor)?),
        };
        stream
            .write_all(proxy::map_and_run(base).as_bytes())
            .context("QEMU's monitor")
    })
}

/// QEMU's monitor. What it says goes to stderr, and is answered where it asks for it.
fn accept(listener: &UnixListener) -> Result<UnixStream> {
    let (mut stream, _) = listener.accept()?;
    stream.write_all(proxy::OPEN_MONITOR.as_bytes())?;
    let (replies, mut answers) = (BufReader::new(stream.try_clone()?), stream.try_clone()?);
    std::thread::spawn(move || {
        for line in replies.lines().map_while(Result::ok) {
            eprintln!("{line}");
            if let Some(answer) = proxy::react(&line)
                && answers.write_all(answer.as_bytes()).is_err()
            {
                break;
            }
        }
    });
    Ok(stream)
}
