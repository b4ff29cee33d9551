//! Running the same on two TPMs.

use anyhow::{Context, Result};

use crate::client::{Entry, Tpm};
use crate::peer::{Kind, Peer};

/// What one side did.
#[derive(Debug)]
pub struct Side {
    /// All that was said.
    pub transcript: Vec<Entry>,
    /// Why it ended early.
    pub error: Option<anyhow::Error>,
    /// The memory that the process held at the end, in KiB.
    pub resident_kib: Option<u64>,
}

/// Runs `scenario` on a TPM fresh from manufacture.
///
/// # Errors
/// The TPM cannot be started.
pub fn one(kind: &Kind, seed: u64, scenario: &dyn Fn(&mut Tpm) -> Result<()>) -> Result<Side> {
    let mut tpm = Tpm::new(Peer::start(kind)?, seed);
    let error = scenario(&mut tpm).err();
    let resident_kib = tpm.peer().resident_kib();
    Ok(Side {
        transcript: tpm.transcript,
        error,
        resident_kib,
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
