//! How long a command that changes NV takes until it is durable, and how much is written for it, beside swtpm: all TPMs
//! in one run, in turn, with their states in one directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Parser;
use integration::build::{self, Call, nv_public};
use integration::codes::{alg, na, rh};
use integration::peer::{Kind, Peer};
use integration::times::Times;

/// Commands that a TPM is given before the next has its turn.
const BLOCK: u32 = 10;
const DATA: u32 = 0x0180_0001;
const COUNTER: u32 = 0x0180_0002;

#[derive(Debug, Parser)]
#[command(about = "How long a durable change takes, and how much it writes, beside swtpm")]
struct Args {
    /// The daemon to measure: a release build.
    #[arg(long, value_name = "FILE", default_value = "target/release/vhost-device-tpm")]
    ours: PathBuf,
    /// Where the states are: on the disk that is of interest.
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    folder: PathBuf,
    /// How often each command is measured.
    #[arg(long, default_value_t = 500)]
    rounds: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Write,
    Increment,
    Extend,
}

impl Operation {
    const ALL: [Self; 3] = [Self::Write, Self::Increment, Self::Extend];

    fn name(self) -> &'static str {
        match self {
            Self::Write => "TPM2_NV_Write, 64 bytes",
            Self::Increment => "TPM2_NV_Increment",
            Self::Extend => "TPM2_PCR_Extend",
        }
    }

    fn call(self, round: u32) -> Call {
        let [.., byte] = round.to_be_bytes();
        match self {
            Self::Write => build::nv_write(DATA, DATA, &[byte; 64], 0),
            Self::Increment => build::nv_increment(COUNTER, COUNTER),
            Self::Extend => build::pcr_extend(16, &build::digest_values(&[(alg::SHA256, &[byte; 32])])),
        }
    }
}

/// A TPM that is measured.
struct Side {
    name: &'static str,
    peer: Peer,
    /// Times and bytes of each operation.
    results: [(Vec<Duration>, u64); Operation::ALL.len()],
}

impl Side {
    fn start(name: &'static str, folder: &Path, kind: &Kind, arguments: &[String]) -> Result<Self> {
        let folder = tempfile::tempdir_in(folder)?;
        let mut peer = Peer::start_in(folder, kind, arguments)?;
        let plain = na::AUTHREAD | na::AUTHWRITE | na::NO_DA;
        let define = |index, attributes, size| {
            build::nv_define_space(rh::OWNER, &[], &nv_public(index, alg::SHA256, attributes, &[], size))
        };
        execute(&mut peer, &build::startup(0))?;
        execute(&mut peer, &define(DATA, plain, 64))?;
        execute(&mut peer, &define(COUNTER, plain | na::COUNTER, 8))?;
        Ok(Self {
            name,
            peer,
            results: Default::default(),
        })
    }

    fn measure(&mut self, first: u32) -> Result<()> {
        for (operation, (times, bytes)) in Operation::ALL.into_iter().zip(&mut self.results) {
            let before = self.peer.written()?;
            for round in first..first + BLOCK {
                let command = operation.call(round).bytes();
                let start = Instant::now();
                let response = self.peer.execute(&command)?;
                times.push(start.elapsed());
                ensure!(response.get(6..10) == Some(&[0; 4]), "{} was refused", operation.name());
            }
            *bytes += self.peer.written()? - before;
        }
        Ok(())
    }
}

fn execute(peer: &mut Peer, call: &Call) -> Result<()> {
    let response = peer.execute(&call.bytes())?;
    ensure!(
        response.get(6..10) == Some(&[0; 4]),
        "command {:#x} was refused",
        call.code
    );
    Ok(())
}

fn main() -> Result<()> {
    let Args { ours, folder, rounds } = Args::parse();
    let keys = tempfile::tempdir_in(&folder)?;
    let (key, anchor) = (keys.path().join("key"), keys.path().join("anchor"));
    std::fs::write(&key, [7; 32])?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let encrypted = ["--key-file".to_owned(), text(&key)];
    let anchored = [&encrypted[..], &["--anchor".to_owned(), text(&anchor)]].concat();
    let ours = Kind::Ours(ours);
    let mut sides = [
        Side::start("swtpm", &folder, &Kind::Swtpm, &[])?,
        Side::start("ours", &folder, &ours, &[])?,
        Side::start("ours, encrypted", &folder, &ours, &encrypted)?,
        Side::start("ours, with an anchor", &folder, &ours, &anchored)?,
    ];
    for first in (0..rounds).step_by(BLOCK as usize) {
        for side in &mut sides {
            side.measure(first)?;
        }
    }
    println!("microseconds: median (99th percentile); bytes written a command\n");
    for (position, operation) in Operation::ALL.into_iter().enumerate() {
        println!("{}", operation.name());
        for side in &mut sides {
            let Some((times, bytes)) = side.results.get_mut(position) else {
                continue;
            };
            let times = Times::new(std::mem::take(times));
            let count = u64::try_from(times.count())?.max(1);
            println!(
                "  {:<22}{:>10.0} ({:.0}){:>12} B",
                side.name,
                times.percentile(50),
                times.percentile(99),
                *bytes / count
            );
        }
    }
    Ok(())
}
