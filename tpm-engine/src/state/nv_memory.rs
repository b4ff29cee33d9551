//! NV memory: persistent state with staged changes, committed as one before a command answers.
//!
//! A command changes the working copy. [`NvMemory::commit`] finds the records that differ from the committed copy,
//! hands exactly these to the store as one atomic change, and only then lets the command succeed. When the store
//! cannot, the working copy goes back to the committed one: nothing has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::persistent::Persistent;
use crate::handle::Handle;
use crate::keys::kept::KeptPrimaries;
use crate::marshal::{Marshal, Reader, Unmarshal};
use crate::platform::{Change, NvStore, Record, StoreError};
use crate::profile::Profile;
use crate::rc::{Rc, RcResult};

/// Version of the records' form.
const FORMAT: u16 = 1;

/// Names of records: one byte for what there is one of, a byte and a handle for the rest.
mod key {
    /// Form version and profile name. Its presence says that the TPM was manufactured.
    pub(super) const MANUFACTURED: u8 = b'M';
    pub(super) const HIERARCHIES: u8 = b'H';
    pub(super) const DICTIONARY_ATTACK: u8 = b'D';
    pub(super) const COUNTERS: u8 = b'C';
    pub(super) const PCR: u8 = b'P';
    pub(super) const AUDIT: u8 = b'A';
    pub(super) const MANAGEMENT: u8 = b'Y';
    pub(super) const SAVED: u8 = b'S';
    pub(super) const VOLATILE: u8 = b'V';
    pub(super) const CLOCK: u8 = b'T';
    /// A cache: see [`crate::keys::kept`].
    pub(super) const KEPT_PRIMARIES: u8 = b'K';
    pub(super) const NV_INDEX: u8 = b'n';
    pub(super) const OBJECT: u8 = b'o';

    pub(super) fn of(kind: u8, handle: super::Handle) -> Vec<u8> {
        let [a, b, c, d] = handle.0.to_be_bytes();
        vec![kind, a, b, c, d]
    }
}

/// Why stored state could not be understood: the record and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store holds no TPM")]
    Empty,
    #[error("record {0:02x?} {1}")]
    Record(Vec<u8>, String),
}

/// Persistent state and the store behind it.
pub(crate) struct NvMemory {
    store: Box<dyn NvStore>,
    committed: Persistent,
    working: Persistent,
    dirty: bool,
    kept: KeptPrimaries,
}

impl NvMemory {
    /// Writes the state of a new TPM as one change, in a store that must be empty.
    pub(crate) fn create(
        mut store: Box<dyn NvStore>,
        profile: &'static Profile,
        state: Persistent,
    ) -> Result<Self, StoreError> {
        store.commit(&all(profile, &state))?;
        Ok(Self {
            store,
            committed: state.clone(),
            working: state,
            dirty: false,
            kept: KeptPrimaries::default(),
        })
    }

    /// Reads the state that the store holds.
    pub(crate) fn load(mut store: Box<dyn NvStore>) -> Result<(Self, &'static Profile), LoadError> {
        let records = store.load()?;
        let kept = records.iter().find(|(key, _)| *key == [key::KEPT_PRIMARIES]);
        let kept = kept.map(|(_, record)| Zeroizing::new(record.clone()));
        let (state, profile) = from_records(records)?;
        Ok((
            Self {
                store,
                committed: state.clone(),
                working: state,
                dirty: false,
                kept: kept.map_or_else(KeptPrimaries::default, |record| KeptPrimaries::read(&record, profile)),
            },
            profile,
        ))
    }

    /// All records as the store has them, but for caches and for what was stored of volatile state.
    pub(crate) fn records(&self, profile: &'static Profile) -> Vec<Record> {
        let state = Persistent {
            volatile: None,
            ..self.committed.clone()
        };
        records_of(profile, &state)
    }

    /// Whether these records, but for caches, are what was committed last, in whatever order they come. What was stored
    /// of volatile state counts: whoever has used it up went on from here.
    pub(crate) fn is_stored_as(&self, profile: &'static Profile, records: Vec<Record>) -> bool {
        let wiped = |records: Vec<Record>| records.into_iter().map(|(name, value)| (name, Zeroizing::new(value)));
        let mut stored: BTreeMap<_, _> = wiped(records).collect();
        stored.remove([key::KEPT_PRIMARIES].as_slice());
        stored == wiped(records_of(profile, &self.committed)).collect()
    }

    /// Puts another TPM into the place of this one, as one change.
    pub(crate) fn replace(&mut self, profile: &'static Profile, state: Persistent) -> Result<(), StoreError> {
        let mut changes = all(profile, &state);
        let names = |changes: &[Change]| {
            changes
                .iter()
                .map(|change| change.key().to_vec())
                .collect::<BTreeSet<_>>()
        };
        let stays = names(&changes);
        let gone = names(&difference(None, &self.committed)).into_iter();
        changes.extend(
            gone.filter(|key| !stays.contains(key))
                .map(|key| Change::Delete { key }),
        );
        changes.push(Change::Delete {
            key: vec![key::KEPT_PRIMARIES],
        });
        self.store.commit(&changes)?;
        self.kept = KeptPrimaries::default();
        self.committed = state.clone();
        self.working = state;
        self.dirty = false;
        Ok(())
    }

    /// Write access to the working copy.
    pub(crate) fn change(&mut self) -> &mut Persistent {
        self.dirty = true;
        &mut self.working
    }

    /// Makes all staged changes durable, or none: then they are undone and the answer is TPM_RC_NV_UNAVAILABLE.
    #[inline]
    pub(crate) fn commit(&mut self) -> RcResult<()> {
        if self.dirty { self.commit_staged() } else { Ok(()) }
    }

    fn commit_staged(&mut self) -> RcResult<()> {
        let changes = difference(Some(&self.committed), &self.working);
        if !changes.is_empty() {
            self.write(changes)?;
        }
        catch_up(&mut self.committed, &self.working);
        self.dirty = false;
        Ok(())
    }

    /// As [`Self::commit`], and writes what waits for another change to be written with.
    pub(crate) fn write_all(&mut self) -> RcResult<()> {
        self.commit()?;
        if self.kept.unwritten().is_some() {
            self.write(Vec::new())?;
        }
        Ok(())
    }

    /// Makes changes durable, and with them the primary keys that are kept.
    fn write(&mut self, mut changes: Vec<Change>) -> RcResult<()> {
        self.kept
            .drop_stale(&self.committed.hierarchies, &self.working.hierarchies);
        let kept = self.kept.unwritten();
        changes.extend(kept.map(|record| put(vec![key::KEPT_PRIMARIES], record)));
        if self.store.commit(&changes).is_err() {
            self.roll_back();
            return Err(Rc::NV_UNAVAILABLE);
        }
        self.kept.set_written();
        Ok(())
    }

    /// The primary keys that are kept.
    pub(crate) const fn kept(&self) -> &KeptPrimaries {
        &self.kept
    }

    /// The primary keys that are kept, which are no part of what a command changes and undoes.
    pub(crate) const fn kept_mut(&mut self) -> &mut KeptPrimaries {
        &mut self.kept
    }

    /// Undoes all staged changes.
    pub(crate) fn roll_back(&mut self) {
        if self.dirty {
            catch_up(&mut self.working, &self.committed);
            self.dirty = false;
        }
    }
}

impl std::ops::Deref for NvMemory {
    type Target = Persistent;
    fn deref(&self) -> &Persistent {
        &self.working
    }
}

fn put(key: Vec<u8>, mut value: Zeroizing<Vec<u8>>) -> Change {
    Change::Put {
        key,
        value: std::mem::take(&mut value),
    }
}

/// Makes `old` the same as `new`, with which it has most records in common.
fn catch_up(old: &mut Persistent, new: &Persistent) {
    // Taken apart exhaustively, so that a record that is left behind does not compile.
    let Persistent {
        hierarchies,
        da,
        counters,
        pcr,
        audit,
        management,
        saved,
        volatile,
        clock,
        nv,
        objects,
    } = new;
    share(&mut old.hierarchies, hierarchies);
    share(&mut old.da, da);
    share(&mut old.counters, counters);
    share(&mut old.pcr, pcr);
    share(&mut old.audit, audit);
    share(&mut old.management, management);
    share(&mut old.clock, clock);
    old.saved.clone_from(saved);
    old.volatile.clone_from(volatile);
    share_all(&mut old.nv, nv);
    share_all(&mut old.objects, objects);
}

fn share<T>(old: &mut Arc<T>, new: &Arc<T>) {
    if !Arc::ptr_eq(old, new) {
        *old = Arc::clone(new);
    }
}

fn share_all<T>(old: &mut BTreeMap<Handle, Arc<T>>, new: &BTreeMap<Handle, Arc<T>>) {
    if old.len() == new.len() && old.keys().eq(new.keys()) {
        for (old, new) in old.values_mut().zip(new.values()) {
            share(old, new);
        }
    } else {
        old.clone_from(new);
    }
}

/// The changes that make a TPM in an empty store.
fn all(profile: &'static Profile, state: &Persistent) -> Vec<Change> {
    let mut changes = difference(None, state);
    let mut marker = FORMAT.to_be_bytes().to_vec();
    marker.extend_from_slice(profile.name.as_bytes());
    changes.push(put(vec![key::MANUFACTURED], marker));
    changes
}

/// The records of a state, as the store has them.
fn records_of(profile: &'static Profile, state: &Persistent) -> Vec<Record> {
    let puts = all(profile, state).into_iter().filter_map(|change| match change {
        Change::Put { key, value } => Some((key, value)),
        Change::Delete { .. } => None,
    });
    puts.collect()
}

/// The state that records make, and the profile under which it was made.
pub(crate) fn from_records(records: Vec<Record>) -> Result<(Persistent, &'static Profile), LoadError> {
    let mut records: BTreeMap<Vec<u8>, Vec<u8>> = records.into_iter().collect();
    if records.is_empty() {
        return Err(LoadError::Empty);
    }
    let profile = profile_of(records.remove([key::MANUFACTURED].as_slice()))?;
    records.remove([key::KEPT_PRIMARIES].as_slice());
    Ok((decode(records, profile)?, profile))
}

/// The changes that turn `old` into `new`. Records are compared by pointer: whoever changes one makes it anew.
fn difference(old: Option<&Persistent>, new: &Persistent) -> Vec<Change> {
    // Taken apart exhaustively, so that a record that is never written does not compile.
    let Persistent {
        hierarchies,
        da,
        counters,
        pcr,
        audit,
        management,
        saved,
        volatile,
        clock,
        nv,
        objects,
    } = new;
    let mut changes = Vec::new();
    single(
        &mut changes,
        key::HIERARCHIES,
        old.map(|old| &old.hierarchies),
        hierarchies,
    );
    single(&mut changes, key::DICTIONARY_ATTACK, old.map(|old| &old.da), da);
    single(&mut changes, key::COUNTERS, old.map(|old| &old.counters), counters);
    single(&mut changes, key::PCR, old.map(|old| &old.pcr), pcr);
    single(&mut changes, key::AUDIT, old.map(|old| &old.audit), audit);
    single(
        &mut changes,
        key::MANAGEMENT,
        old.map(|old| &old.management),
        management,
    );
    single(&mut changes, key::CLOCK, old.map(|old| &old.clock), clock);
    optional(&mut changes, key::SAVED, old.map(|old| &old.saved), saved);
    optional(&mut changes, key::VOLATILE, old.map(|old| &old.volatile), volatile);
    keyed(&mut changes, key::NV_INDEX, old.map(|old| &old.nv), nv);
    keyed(&mut changes, key::OBJECT, old.map(|old| &old.objects), objects);
    changes
}

fn single<T: Marshal>(changes: &mut Vec<Change>, name: u8, old: Option<&Arc<T>>, new: &Arc<T>) {
    if !old.is_some_and(|old| Arc::ptr_eq(old, new)) {
        changes.push(put(vec![name], new.to_vec()));
    }
}

/// A record that need not be there.
fn optional<T: Marshal>(changes: &mut Vec<Change>, name: u8, old: Option<&Option<Arc<T>>>, new: &Option<Arc<T>>) {
    match (old.and_then(Option::as_ref), new) {
        (old, Some(new)) => single(changes, name, old, new),
        (Some(_), None) => changes.push(Change::Delete { key: vec![name] }),
        (None, None) => {}
    }
}

fn keyed<T: Marshal>(
    changes: &mut Vec<Change>,
    kind: u8,
    old: Option<&BTreeMap<Handle, Arc<T>>>,
    new: &BTreeMap<Handle, Arc<T>>,
) {
    for (handle, value) in new {
        let before = old.and_then(|old| old.get(handle));
        if !before.is_some_and(|before| Arc::ptr_eq(before, value)) {
            changes.push(put(key::of(kind, *handle), value.to_vec()));
        }
    }
    for handle in old
        .into_iter()
        .flat_map(BTreeMap::keys)
        .filter(|handle| !new.contains_key(handle))
    {
        changes.push(Change::Delete {
            key: key::of(kind, *handle),
        });
    }
}

fn profile_of(marker: Option<Vec<u8>>) -> Result<&'static Profile, LoadError> {
    let wrong = |what: &str| LoadError::Record(vec![key::MANUFACTURED], what.to_owned());
    let marker = marker.ok_or_else(|| wrong("is missing: the manufacture of this TPM was never finished"))?;
    let (version, name) = marker.split_first_chunk().ok_or_else(|| wrong("is cut short"))?;
    let version = u16::from_be_bytes(*version);
    if version != FORMAT {
        return Err(wrong(&format!(
            "is of version {version}; this program reads version {FORMAT}"
        )));
    }
    std::str::from_utf8(name)
        .ok()
        .and_then(Profile::by_name)
        .ok_or_else(|| {
            wrong(&format!(
                "names the profile {:?}, which this program does not have",
                name.escape_ascii()
            ))
        })
}

fn decode(mut records: BTreeMap<Vec<u8>, Vec<u8>>, profile: &'static Profile) -> Result<Persistent, LoadError> {
    let mut one = |name: u8| (vec![name], records.remove([name].as_slice()));
    let (hierarchies, da, counters) = (one(key::HIERARCHIES), one(key::DICTIONARY_ATTACK), one(key::COUNTERS));
    let (pcr, audit, clock, saved) = (one(key::PCR), one(key::AUDIT), one(key::CLOCK), one(key::SAVED));
    let (management, volatile) = (one(key::MANAGEMENT), one(key::VOLATILE));
    let mut state = Persistent {
        hierarchies: required(hierarchies, profile)?,
        da: required(da, profile)?,
        counters: required(counters, profile)?,
        pcr: required(pcr, profile)?,
        audit: required(audit, profile)?,
        management: required(management, profile)?,
        clock: required(clock, profile)?,
        saved: if_present(saved, profile)?,
        volatile: if_present(volatile, profile)?,
        nv: BTreeMap::new(),
        objects: BTreeMap::new(),
    };
    for (name, value) in records {
        let handle = match name.split_first() {
            Some((kind, handle)) => handle
                .try_into()
                .ok()
                .map(|raw| (*kind, Handle(u32::from_be_bytes(raw)))),
            None => None,
        };
        match handle {
            Some((key::NV_INDEX, handle)) => {
                state.nv.insert(handle, required((name, Some(value)), profile)?);
            }
            Some((key::OBJECT, handle)) => {
                state.objects.insert(handle, required((name, Some(value)), profile)?);
            }
            _ => return Err(LoadError::Record(name, "is of no known kind".to_owned())),
        }
    }
    Ok(state)
}

fn if_present<T: for<'a> Unmarshal<'a>>(
    record: (Vec<u8>, Option<Vec<u8>>),
    profile: &'static Profile,
) -> Result<Option<Arc<T>>, LoadError> {
    match record {
        (_, None) => Ok(None),
        present => required(present, profile).map(Some),
    }
}

fn required<T: for<'a> Unmarshal<'a>>(
    (name, value): (Vec<u8>, Option<Vec<u8>>),
    profile: &'static Profile,
) -> Result<Arc<T>, LoadError> {
    let Some(value) = value.map(Zeroizing::new) else {
        return Err(LoadError::Record(name, "is missing".to_owned()));
    };
    let mut reader = Reader::new(&value, profile);
    match T::unmarshal(&mut reader).and_then(|record| reader.finish().map(|()| record)) {
        Ok(record) => Ok(Arc::new(record)),
        Err(code) => Err(LoadError::Record(name, format!("cannot be read: {code}"))),
    }
}
