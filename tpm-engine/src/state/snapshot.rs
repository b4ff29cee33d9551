//! Snapshots: a TPM as bytes, to go on elsewhere or later as if nothing had happened.
//!
//! A TPM is two blobs. The permanent one holds the records of NV memory as the store has them. The volatile one holds
//! everything else that commands can see or change, and names the permanent one that it belongs to by its digest: states
//! of different moments are never put together. Both have the same frame, all numbers big-endian:
//!
//! | Bytes | What |
//! |---|---|
//! | 8 | `TPM-SNAP` |
//! | 2 | version, 1 |
//! | 2 | 1: permanent, 2: volatile |
//! | 4 | bytes of the contents |
//! | | the contents |
//! | 32 | SHA-256 of all of the above |
//!
//! The digest tells damage, not forgery: a snapshot holds seeds and private keys, and whoever may read or change it owns
//! the TPM. The host protects it as it protects the state.
//!
//! What stays behind: the random number generator, so that no two TPMs ever draw from one stream; the host's clock; and
//! what belongs to the host's interface, as the size of its buffer.

mod live;

use zeroize::Zeroizing;

use self::live::Live;
use super::Watched;
use super::nv_memory::{NvMemory, from_records};
use super::orderly::{ClearState, OrderlyNv, ResetState, StartOrigin};
use super::persistent::{Persistent, StoredVolatile};
use crate::alg::HashAlg;
use crate::countdown::Countdowns;
use crate::crypto::hash::hash;
use crate::marshal::{Marshal, Reader, Sink};
use crate::platform::{Platform, Record, StoreError};
use crate::profile::Profile;
use crate::rc::Rc;
use crate::tpm::{Phase, StartError, Tpm, seeded_rng};

/// The largest snapshot blob, in bytes: whoever receives one need not hold more.
pub const MAX_SNAPSHOT_SIZE: usize = 1 << 20;

const MAGIC: &[u8; 8] = b"TPM-SNAP";
/// Version of the contents. Whoever changes them raises it, reads the older ones still and adds a fixture.
const VERSION: u16 = 1;
const HEADER_SIZE: usize = 16;
const DIGEST_SIZE: usize = 32;

/// Which half of a TPM a blob holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum Kind {
    Permanent = 1,
    Volatile = 2,
}

/// Why a snapshot is refused.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It does not begin as a snapshot does.
    #[error("this is no snapshot of a TPM of ours")]
    Foreign,
    /// A newer program wrote it.
    #[error("the snapshot is of version {0}; this program reads version {VERSION}: use a newer one")]
    Version(u16),
    /// Permanent state where volatile state is expected, or the other way round.
    #[error("the snapshot holds the other half of a TPM's state than it was given for")]
    Kind,
    /// Bytes are missing, or too many.
    #[error("the snapshot has {0} bytes, which its header contradicts: it was cut short, or something was added")]
    Size(usize),
    /// The checksum is wrong.
    #[error("the snapshot is damaged: its checksum does not match")]
    Checksum,
    /// The permanent state cannot be understood.
    #[error("the snapshot's permanent state cannot be read: {0}")]
    Permanent(String),
    /// The volatile state cannot be understood.
    #[error("the snapshot's volatile state cannot be read: response code {0:#x} while reading it")]
    Volatile(u32),
    /// The two halves are of different moments or TPMs.
    #[error("the volatile state does not belong to the permanent state that it came with")]
    Mismatch,
}

/// A TPM that was saved, checked and ready to go on.
pub struct Snapshot {
    profile: &'static Profile,
    permanent: Persistent,
    volatile: Option<Live>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let volatile = if self.volatile.is_some() { "with" } else { "without" };
        write!(f, "Snapshot({}, {volatile} volatile state)", self.profile.name)
    }
}

impl Snapshot {
    /// Reads and checks a snapshot; without volatile state the TPM has no power.
    ///
    /// # Errors
    /// What is wrong with it. Nothing of it is to be used then.
    pub fn decode(permanent: &[u8], volatile: Option<&[u8]>) -> Result<Self, SnapshotError> {
        let contents = open(Kind::Permanent, permanent)?;
        let (state, profile) = permanent_state(contents)?;
        let digest = hash(HashAlg::Sha256, &[contents]);
        let volatile = match volatile {
            Some(volatile) => Some(live(volatile, &digest, profile)?),
            None => None,
        };
        Ok(Self {
            profile,
            permanent: state,
            volatile,
        })
    }

    /// Whether a blob is sound permanent state by itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_permanent(permanent: &[u8]) -> Result<(), SnapshotError> {
        permanent_state(open(Kind::Permanent, permanent)?).map(|_| ())
    }

    /// Whether a blob is whole and volatile state; whether it can be read shows only with its permanent state.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_volatile(volatile: &[u8]) -> Result<(), SnapshotError> {
        open(Kind::Volatile, volatile).map(|_| ())
    }

    /// The name and edition of the profile under which the TPM was made.
    #[must_use]
    pub fn profile_name(&self) -> &'static str {
        self.profile.name
    }

    /// Whether the TPM had power when it was saved, so that it can go on at once.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.volatile.is_some()
    }
}

fn permanent_state(contents: &[u8]) -> Result<(Persistent, &'static Profile), SnapshotError> {
    let unreadable = |error: &dyn std::fmt::Display| SnapshotError::Permanent(error.to_string());
    let records = unpack(contents).map_err(|error| unreadable(&error))?;
    from_records(records).map_err(|error| unreadable(&error))
}

fn live(volatile: &[u8], permanent: &[u8], profile: &'static Profile) -> Result<Live, SnapshotError> {
    let (belongs_to, contents) = open(Kind::Volatile, volatile)?
        .split_first_chunk::<DIGEST_SIZE>()
        .ok_or(SnapshotError::Volatile(Rc::INSUFFICIENT.get()))?;
    if belongs_to != permanent {
        return Err(SnapshotError::Mismatch);
    }
    let mut reader = Reader::new(contents, profile);
    reader
        .read()
        .and_then(|live| reader.finish().map(|()| live))
        .map_err(|code| SnapshotError::Volatile(code.get()))
}

impl Tpm {
    /// The permanent state as a blob.
    #[must_use]
    pub fn save_permanent(&self) -> Zeroizing<Vec<u8>> {
        close(Kind::Permanent, &self.packed())
    }

    /// The volatile state as a blob that goes with the permanent one of the same moment; `None` for a TPM without power,
    /// which has none.
    pub fn save_volatile(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        if self.phase == Phase::Off {
            return None;
        }
        self.timer.advance(self.platform_clock.as_mut());
        // Room enough from the start: a vector that grows leaves copies of its bytes behind.
        let mut contents = Zeroizing::new(Vec::with_capacity(1 << 16));
        contents.put(&hash(HashAlg::Sha256, &[&self.packed()]));
        Live::of(self).marshal(&mut *contents);
        Some(close(Kind::Volatile, &contents))
    }

    fn packed(&self) -> Zeroizing<Vec<u8>> {
        pack(self.nv.records(self.profile))
    }

    /// Whether these records, in whatever order, are this TPM's permanent state as it is now: nobody has changed it
    /// meanwhile.
    #[must_use]
    pub fn is_stored_as(&self, records: Vec<Record>) -> bool {
        self.nv.is_stored_as(self.profile, records)
    }

    /// Makes the TPM of a snapshot in an empty store.
    ///
    /// # Errors
    /// When the store is not empty, or store or entropy fail. Then nothing was made.
    pub fn adopt(mut platform: Platform, snapshot: Snapshot) -> Result<Self, StartError> {
        if !platform.store.load()?.is_empty() {
            return Err(StartError::AlreadyManufactured);
        }
        let rng = seeded_rng(platform.entropy.as_mut())?;
        let Snapshot {
            profile,
            permanent,
            volatile,
        } = snapshot;
        let mut tpm = Self::assemble(platform, rng, |store| {
            Ok((NvMemory::create(store, profile, permanent)?, profile))
        })?;
        if let Some(live) = volatile {
            live.install(&mut tpm);
        }
        Ok(tpm)
    }

    /// Puts the TPM of a snapshot into the place of this one, which is gone then.
    ///
    /// # Errors
    /// When the store cannot commit. Then this one stays, as it is.
    pub fn replace(&mut self, snapshot: Snapshot) -> Result<(), StoreError> {
        let Snapshot {
            profile,
            permanent,
            volatile,
        } = snapshot;
        self.nv.replace(profile, permanent)?;
        self.profile = profile;
        self.phase = Phase::Off;
        self.origin = StartOrigin::default();
        self.reset = Watched::new(ResetState::new(&mut self.rng));
        self.clear = Watched::new(ClearState::default());
        self.orderly_nv = Watched::new(OrderlyNv::default());
        self.countdowns = Watched::new(Countdowns::default());
        self.da_heal_since = 0;
        self.da_lockout_since = 0;
        self.established = false;
        self.orderly = false;
        self.forget();
        if let Some(live) = volatile {
            live.install(self);
        }
        Ok(())
    }

    /// Stores the volatile state beside the permanent one, so that another process can [`Tpm::resume`] from it. It is void
    /// as soon as this one executes another command.
    ///
    /// # Errors
    /// When the store cannot commit.
    pub fn store_volatile(&mut self) -> Result<(), StoreError> {
        let blob = self.save_volatile().map(StoredVolatile);
        self.nv.change().volatile = blob.map(std::sync::Arc::new);
        self.nv
            .commit()
            .map_err(|_| StoreError("the volatile state could not be written".to_owned()))
    }

    /// Goes on from the volatile state that was stored, which is used up by that. False when there is none.
    ///
    /// # Errors
    /// What is wrong with the volatile state, as a [`StartError::State`], or that the store failed. It stays in the store.
    pub fn resume(&mut self) -> Result<bool, StartError> {
        let Some(stored) = self.nv.volatile.clone() else {
            return Ok(false);
        };
        let permanent = hash(HashAlg::Sha256, &[&self.packed()]);
        let live = live(&stored.0, &permanent, self.profile).map_err(|error| StartError::State(error.to_string()))?;
        self.nv.change().volatile = None;
        self.nv
            .commit()
            .map_err(|_| StoreError("the volatile state could not be taken out of the store".to_owned()))?;
        live.install(self);
        Ok(true)
    }
}

/// A blob around its contents.
fn close(kind: Kind, contents: &[u8]) -> Zeroizing<Vec<u8>> {
    let size = HEADER_SIZE.saturating_add(contents.len()).saturating_add(DIGEST_SIZE);
    let mut blob = Zeroizing::new(Vec::with_capacity(size));
    blob.put(MAGIC);
    VERSION.marshal(&mut *blob);
    (kind as u16).marshal(&mut *blob);
    u32::try_from(contents.len()).unwrap_or(u32::MAX).marshal(&mut *blob);
    blob.put(contents);
    let digest = hash(HashAlg::Sha256, &[&blob]);
    blob.put(&digest);
    blob
}

/// The contents of a blob.
fn open(kind: Kind, blob: &[u8]) -> Result<&[u8], SnapshotError> {
    let size = SnapshotError::Size(blob.len());
    let rest = blob.strip_prefix(MAGIC).ok_or(SnapshotError::Foreign)?;
    let Some(([v0, v1, k0, k1, l0, l1, l2, l3], rest)) = rest.split_first_chunk() else {
        return Err(size);
    };
    let version = u16::from_be_bytes([*v0, *v1]);
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let Some((contents, digest)) = rest.split_last_chunk::<DIGEST_SIZE>() else {
        return Err(size);
    };
    if u32::try_from(contents.len()) != Ok(u32::from_be_bytes([*l0, *l1, *l2, *l3])) || blob.len() > MAX_SNAPSHOT_SIZE {
        return Err(size);
    }
    let covered = blob.len().saturating_sub(DIGEST_SIZE);
    if *hash(HashAlg::Sha256, &[blob.get(..covered).unwrap_or_default()]) != *digest {
        return Err(SnapshotError::Checksum);
    }
    if u16::from_be_bytes([*k0, *k1]) != kind as u16 {
        return Err(SnapshotError::Kind);
    }
    Ok(contents)
}

/// Records in the permanent blob: each with the sizes of its name and its value before them.
fn pack(records: Vec<Record>) -> Zeroizing<Vec<u8>> {
    let sizes = records
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()).saturating_add(8));
    let mut packed = Zeroizing::new(Vec::with_capacity(sizes.fold(0, usize::saturating_add)));
    for (name, value) in records {
        let value = Zeroizing::new(value);
        for part in [&name, &*value] {
            u32::try_from(part.len()).unwrap_or(u32::MAX).marshal(&mut *packed);
            packed.put(part);
        }
    }
    packed
}

fn unpack(mut packed: &[u8]) -> Result<Vec<Record>, CutShort> {
    let mut part = || -> Option<Vec<u8>> {
        let (size, rest) = packed.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
        packed = rest;
        Some(part.to_vec())
    };
    let mut records = Vec::new();
    while let Some(name) = part() {
        records.push((name, part().ok_or(CutShort)?));
    }
    if packed.is_empty() { Ok(records) } else { Err(CutShort) }
}

#[derive(Debug, thiserror::Error)]
#[error("a record is cut short")]
struct CutShort;

#[cfg(test)]
mod tests;
