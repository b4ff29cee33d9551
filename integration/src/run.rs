//! Running the same on two TPMs.

use anyhow::{Context, Result};

use crate::build;
use crate::client::{Entry, Tpm};
use crate::codes::rh;
use crate::compare::Comparer;
use crate::differences::List;
use crate::generate::Generator;
use crate::peer::{Kind, Peer};
use crate::report::Report;
use crate::scenarios::crossing::Crossing;

/// What one side did.
#[derive(Debug)]
pub struct Side {
    /// All that was said.
    pub transcript: Vec<Entry>,
    /// Why it ended early.
    pub error: Option<anyhow::Error>,
}

/// Runs `scenario` on a TPM fresh from manufacture.
///
/// # Errors
/// The TPM cannot be started.
pub fn one(kind: &Kind, seed: u64, scenario: &dyn Fn(&mut Tpm) -> Result<()>) -> Result<Side> {
    let mut tpm = Tpm::new(Peer::start(kind)?, seed);
    let error = scenario(&mut tpm).err();
    Ok(Side {
        transcript: tpm.transcript,
        error,
    })
}

/// Runs `scenario` on both, at once.
///
/// # Errors
/// One of them cannot be started.
pub fn both(
    theirs: &Kind,
    ours: &Kind,
    seed: u64,
    scenario: &(dyn Fn(&mut Tpm) -> Result<()> + Sync),
) -> Result<(Side, Side)> {
    std::thread::scope(|scope| {
        let peer = scope.spawn(|| one(theirs, seed, scenario));
        let ours = one(ours, seed, scenario).context("ours");
        let theirs = peer
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))?
            .context("the peer");
        Ok((theirs?, ours?))
    })
}

/// Runs a crossing from `maker` to `taker`, both fresh from manufacture.
///
/// # Errors
/// One of them cannot be started, or those of [`Crossing::run`].
pub fn crossed(maker: &Kind, taker: &Kind, crossing: &Crossing) -> Result<()> {
    let mut ends = (Tpm::new(Peer::start(maker)?, 1), Tpm::new(Peer::start(taker)?, 2));
    crossing
        .run(&mut ends.0, &mut ends.1)
        .with_context(|| format!("{} from {} to {}", crossing.name, maker.name(), taker.name()))
}

/// One TPM that many sequences are sent to, one after the other, to see what becomes of its memory.
#[derive(Debug)]
pub struct Endurance {
    tpm: Tpm,
    sequences: usize,
    commands: usize,
    /// KiB after [`Endurance::WARM_UP`] sequences.
    before: Option<u64>,
}

impl Endurance {
    /// After as many sequences the process holds what it needs.
    const WARM_UP: usize = 8;
    /// By how much it may grow after that, in KiB: what an allocator keeps is no leak.
    const GROWTH: u64 = 2048;

    /// A TPM fresh from manufacture.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(kind: &Kind) -> Result<Self> {
        Ok(Self {
            tpm: Tpm::new(Peer::start(kind)?, 1),
            sequences: 0,
            commands: 0,
            before: None,
        })
    }

    /// Sends a generated sequence, then takes from the TPM what it has left there.
    ///
    /// # Errors
    /// The TPM is gone, or the sequence before left it unusable.
    pub fn sequence(&mut self, seed: u64, count: usize) -> Result<()> {
        let tpm = &mut self.tpm;
        Generator::new(seed)
            .run(tpm, count)
            .with_context(|| format!("one TPM for all sequences, at seed {seed}"))?;
        tpm.power_cycle()?;
        tpm.ok(build::startup(0))?;
        tpm.ok(build::clear_control(rh::PLATFORM, 0))?;
        tpm.ok(build::clear(rh::PLATFORM))?;
        for index in 0x0100_0000..0x0100_0010 {
            tpm.run(build::nv_undefine_space(rh::PLATFORM, index))?;
        }
        tpm.power_cycle()?;
        tpm.sessions.clear();
        self.commands += std::mem::take(&mut tpm.transcript).len();
        self.sequences += 1;
        if self.sequences == Self::WARM_UP {
            self.before = tpm.peer().resident_kib();
        }
        Ok(())
    }

    /// What became of its memory, for people.
    ///
    /// # Errors
    /// It grew by more than an allocator explains.
    pub fn memory(&self) -> Result<String> {
        let (Some(before), Some(after)) = (self.before, self.tpm.peer().resident_kib()) else {
            return Ok(format!("memory: not measured in {} sequences", self.sequences));
        };
        let text = format!(
            "memory of one process after {} sequences: {before} KiB, after {} ({} commands): {after} KiB",
            Self::WARM_UP,
            self.sequences,
            self.commands
        );
        anyhow::ensure!(after <= before + Self::GROWTH, "{text}: it grows");
        Ok(text)
    }
}

/// What became of a generated sequence.
#[derive(Debug)]
pub struct Sequence {
    /// The peer's side and ours.
    pub sides: (Side, Side),
    /// Where in the transcripts the first difference is that the list does not explain.
    pub differs_at: Option<usize>,
}

/// Runs a generated sequence on swtpm and ours, and reports the first difference that the list does not explain: those
/// that follow it in the same sequence say nothing new.
///
/// # Errors
/// One of them cannot be started.
pub fn generated(ours: &Kind, seed: u64, count: usize, list: &List, report: &mut Report) -> Result<Sequence> {
    let sequence = |tpm: &mut Tpm| Generator::new(seed).run(tpm, count);
    let sides = both(&Kind::Swtpm, ours, seed, &sequence)?;
    let mut comparer = Comparer::default();
    comparer.until_parted = true;
    let mut outcome = comparer.compare(&format!("seed {seed}"), &sides.0.transcript, &sides.1.transcript);
    let first = outcome
        .differences
        .iter()
        .position(|difference| list.explain(difference).is_none());
    let differs_at = first
        .and_then(|first| outcome.differences.get(first))
        .map(|difference| difference.position);
    if let Some(first) = first {
        outcome.differences.truncate(first + 1);
    }
    report.add(outcome, list);
    Ok(Sequence { sides, differs_at })
}
