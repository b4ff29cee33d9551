//! How long our TPM takes for a command, beside swtpm: same driver, same run, command by command in turn.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use integration::build::{self, Call, Public};
use integration::client::{Entry, Tpm};
use integration::codes::{alg, curve, oa, rh};
use integration::peer::{Kind, Peer};
use integration::wire::Out;

#[derive(Debug, Parser)]
#[command(about = "Latency of commands beside swtpm's")]
struct Args {
    /// The daemon to measure: a release build.
    #[arg(long, default_value = "target/release/vhost-device-tpm")]
    ours: PathBuf,
    /// Where the numbers go, as JSON.
    #[arg(long, value_name = "FILE")]
    json: PathBuf,
    /// Rounds of a quick command; slow ones take a fraction.
    #[arg(long, default_value_t = 2000)]
    rounds: u32,
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Operation {
    GetRandom,
    PcrExtend,
    EcdsaSign,
    /// A template that the TPM has not seen.
    NewRsaPrimary,
    /// The same template again.
    SameRsaPrimary,
}

impl Operation {
    const ALL: [Self; 5] = [
        Self::GetRandom,
        Self::PcrExtend,
        Self::EcdsaSign,
        Self::NewRsaPrimary,
        Self::SameRsaPrimary,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::GetRandom => "GetRandom, 32 bytes",
            Self::PcrExtend => "PCR_Extend, SHA-256",
            Self::EcdsaSign => "Sign, ECDSA P-256",
            Self::NewRsaPrimary => "CreatePrimary, RSA-2048, new template",
            Self::SameRsaPrimary => "CreatePrimary, RSA-2048, same template",
        }
    }

    fn rounds(self, quick: u32) -> u32 {
        let rounds = match self {
            Self::GetRandom | Self::PcrExtend => quick,
            Self::EcdsaSign => quick / 4,
            Self::NewRsaPrimary | Self::SameRsaPrimary => quick / 100,
        };
        rounds.max(2)
    }

    fn call(self, key: u32, round: u32) -> Call {
        match self {
            Self::GetRandom => build::get_random(32),
            Self::PcrExtend => build::pcr_extend(16, &build::digest_values(&[(alg::SHA256, &[7; 32])])),
            Self::EcdsaSign => build::sign(key, &[7; 32], &build::null(), &build::no_hash_check()),
            Self::NewRsaPrimary => rsa_primary(&round.to_be_bytes()),
            Self::SameRsaPrimary => rsa_primary(b"same"),
        }
    }

    fn makes_object(self) -> bool {
        matches!(self, Self::NewRsaPrimary | Self::SameRsaPrimary)
    }
}

fn rsa_primary(unique: &[u8]) -> Call {
    let public = Public::rsa_parent(2048).unique(Out::new().b2(unique).0);
    primary(&public)
}

fn primary(public: &Public) -> Call {
    let none = build::list32(&[]);
    build::create_primary(
        rh::OWNER,
        &build::sensitive_create(&[], &[]),
        &public.bytes(),
        &[],
        &none,
    )
}

/// One of the two TPMs.
struct Side {
    tpm: Tpm,
    key: u32,
    times: Vec<Duration>,
}

impl Side {
    fn start(kind: &Kind) -> Result<Self> {
        let mut tpm = Tpm::new(Peer::start(kind)?, 1);
        tpm.ok(build::startup(0))?;
        let signer = Public::ecc(curve::P256, &[alg::ECDSA, alg::SHA256], oa::SIGN | oa::NO_DA);
        let key = tpm.ok(primary(&signer))?.handle;
        Ok(Self {
            tpm,
            key,
            times: Vec::new(),
        })
    }

    fn measure(&mut self, operation: Operation, round: u32) -> Result<()> {
        // What the client does before and after sending is no part of the time.
        let command = self.tpm.encode(&operation.call(self.key, round))?;
        let start = Instant::now();
        let answer = self.tpm.raw(&command)?;
        self.times.push(start.elapsed());
        if answer.rc != 0 {
            bail!("{} answered {:#x}", operation.name(), answer.rc);
        }
        let response = match self.tpm.transcript.last() {
            Some(Entry::Command { response, .. }) => response.clone(),
            _ => Vec::new(),
        };
        self.tpm.transcript.clear();
        if operation.makes_object() {
            let handle = response.get(10..14).context("a response without its handle")?;
            let handle = u32::from_be_bytes(handle.try_into()?);
            self.tpm.ok(build::flush_context(handle))?;
        }
        Ok(())
    }

    fn summary(&mut self) -> Summary {
        self.times.sort_unstable();
        let at = |percent: usize| {
            let position = self.times.len().saturating_sub(1) * percent / 100;
            self.times.get(position).copied().unwrap_or_default()
        };
        let summary = Summary {
            median: at(50),
            p99: at(99),
        };
        self.times.clear();
        summary
    }
}

/// The times of one operation on one side.
#[derive(Debug, Clone, Copy)]
struct Summary {
    median: Duration,
    p99: Duration,
}

impl Summary {
    fn json(self) -> String {
        let (median, p99) = (self.median.as_nanos(), self.p99.as_nanos());
        format!("{{\"median_ns\": {median}, \"p99_ns\": {p99}}}")
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut ours = Side::start(&Kind::Ours(args.ours.clone()))?;
    let mut theirs = Side::start(&Kind::Swtpm)?;
    let mut rows = Vec::new();
    println!(
        "{:<40}{:>7}{:>12}{:>12}{:>14}{:>12}{:>8}",
        "microseconds", "rounds", "ours median", "ours p99", "swtpm median", "swtpm p99", "ratio"
    );
    for operation in Operation::ALL {
        let rounds = operation.rounds(args.rounds);
        for round in 0..rounds {
            // Neither side always has the warmer machine.
            let (first, second) = if round % 2 == 0 {
                (&mut ours, &mut theirs)
            } else {
                (&mut theirs, &mut ours)
            };
            first.measure(operation, round)?;
            second.measure(operation, round)?;
        }
        let (mine, swtpm) = (ours.summary(), theirs.summary());
        let ratio = mine.median.as_secs_f64() / swtpm.median.as_secs_f64();
        println!(
            "{:<40}{rounds:>7}{:>12.1}{:>12.1}{:>14.1}{:>12.1}{ratio:>8.2}",
            operation.name(),
            micros(mine.median),
            micros(mine.p99),
            micros(swtpm.median),
            micros(swtpm.p99)
        );
        rows.push(format!(
            "  {{\"operation\": \"{}\", \"rounds\": {rounds}, \"ours\": {}, \"swtpm\": {}, \"ratio\": {ratio:.3}}}",
            operation.name(),
            mine.json(),
            swtpm.json()
        ));
    }
    fs::write(&args.json, format!("[\n{}\n]\n", rows.join(",\n")))
        .with_context(|| format!("cannot write {}", args.json.display()))?;
    Ok(ExitCode::SUCCESS)
}
