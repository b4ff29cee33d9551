//! NV indices in use: their start-up rules, and what the commands that read and write them share (Part 1, 37).

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::commands::startup::startup::StartKind;
use crate::handle::Handle;
use crate::rc::{Rc, RcResult};
use crate::state::Watched;
use crate::state::orderly::{OrderlyIndex, OrderlyNv};
use crate::state::persistent::{Counters, NvData, NvIndex};
use crate::tpm::Tpm;
use crate::types::attributes::NvAttributes as A;
use crate::types::nv::{NvKind, NvPublic};

/// NV indices that can be defined at once.
pub(crate) const MAX_NV_INDICES: usize = 256;
/// Bytes of all indices' contents together.
const NV_CAPACITY: usize = 64 * 1024;
/// Bytes of all orderly indices' contents together: they are saved as one record.
const ORDERLY_CAPACITY: usize = 8 * 1024;
/// How many increments of an orderly counter go by between two writes to NV, less one (TPM_PT_ORDERLY_COUNT).
pub(crate) const MAX_ORDERLY_COUNT: u64 = 0xFF;
/// What the bytes of an index hold that were never written: in RAM they are zero. So is what is left out of a PIN, which
/// thus allows no try.
fn erased(attributes: A) -> u8 {
    let pin = matches!(attributes.kind(), Some(NvKind::PinFail | NvKind::PinPass));
    if pin || attributes.has(A::ORDERLY) { 0 } else { 0xFF }
}

/// TPMS_NV_PIN_COUNTER_PARAMETERS (Part 2, 13.3): the contents of a PIN index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PinCounter {
    count: u32,
    limit: u32,
}

impl PinCounter {
    const fn from_u64(value: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = value.to_be_bytes();
        Self {
            count: u32::from_be_bytes([a, b, c, d]),
            limit: u32::from_be_bytes([e, f, g, h]),
        }
    }

    const fn with_count(self, count: u32) -> u64 {
        let ([a, b, c, d], [e, f, g, h]) = (count.to_be_bytes(), self.limit.to_be_bytes());
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Tpm {
    /// The public area of an index with the attributes as they are now.
    pub(crate) fn nv_public(&self, index: Handle) -> RcResult<NvPublic> {
        let mut public = self.nv.nv.get(&index).ok_or(Rc::HANDLE)?.public.clone();
        public.attributes = self.nv_attributes(index).ok_or(Rc::HANDLE)?;
        Ok(public)
    }

    /// The contents of an index as they are now, written or not.
    pub(crate) fn nv_data(&self, index: Handle) -> RcResult<&Zeroizing<NvData>> {
        let stored = self.nv.nv.get(&index).ok_or(Rc::HANDLE)?;
        Ok(match self.orderly_nv.0.get(&index) {
            Some(orderly) if stored.public.attributes.has(A::ORDERLY) => &orderly.data,
            _ => &stored.data,
        })
    }

    /// The contents of a counter, bit field or PIN index as a number.
    pub(crate) fn nv_number(&self, index: Handle) -> RcResult<u64> {
        let data = self.nv_data(index)?;
        data.first_chunk()
            .map(|raw| u64::from_be_bytes(*raw))
            .ok_or(Rc::FAILURE)
    }

    /// Whether the index may be read with this authorization, which has been given (Part 3, 31.3): TPM_RC_NV_LOCKED,
    /// TPM_RC_NV_AUTHORIZATION or TPM_RC_NV_UNINITIALIZED, in this order.
    pub(crate) fn check_nv_read(&self, auth: Handle, index: Handle) -> RcResult<()> {
        let attributes = self.nv_attributes(index).ok_or(Rc::HANDLE)?;
        if attributes.has(A::READLOCKED) {
            return Err(Rc::NV_LOCKED);
        }
        let allowed = match auth {
            Handle::OWNER => attributes.has(A::OWNERREAD),
            Handle::PLATFORM => attributes.has(A::PPREAD),
            // Whether the index' own authorization may be used was settled when it was checked.
            other => other == index,
        };
        if !allowed {
            return Err(Rc::NV_AUTHORIZATION);
        }
        if !attributes.has(A::WRITTEN) {
            return Err(Rc::NV_UNINITIALIZED);
        }
        Ok(())
    }

    /// Whether the index may be written with this authorization, which has been given (Part 3, 31.3): TPM_RC_NV_LOCKED
    /// or TPM_RC_NV_AUTHORIZATION, in this order.
    pub(crate) fn check_nv_write(&self, auth: Handle, index: Handle) -> RcResult<()> {
        let attributes = self.nv_attributes(index).ok_or(Rc::HANDLE)?;
        if attributes.has(A::WRITELOCKED) {
            return Err(Rc::NV_LOCKED);
        }
        let allowed = match auth {
            Handle::OWNER => attributes.has(A::OWNERWRITE),
            Handle::PLATFORM => attributes.has(A::PPWRITE),
            other => other == index,
        };
        if allowed { Ok(()) } else { Err(Rc::NV_AUTHORIZATION) }
    }

    /// The `size` bytes of an index from `offset` on: TPM_RC_NV_RANGE when they are not all there.
    pub(crate) fn nv_range(&self, index: Handle, offset: u16, size: u16) -> RcResult<&[u8]> {
        let start = usize::from(offset);
        self.nv_data(index)?
            .get(start..start.saturating_add(usize::from(size)))
            .ok_or(Rc::NV_RANGE)
    }

    /// Writes a range that must lie in the index, and SETs TPMA_NV_WRITTEN.
    pub(crate) fn nv_write(&mut self, index: Handle, offset: usize, bytes: &[u8]) -> RcResult<()> {
        let attributes = self.nv_attributes(index).ok_or(Rc::HANDLE)?;
        let mut data = self.nv_data(index)?.clone();
        if !attributes.has(A::WRITTEN) {
            // What an index held before it became unwritten is not to be seen again.
            data.fill(erased(attributes));
        }
        data.get_mut(offset..offset.saturating_add(bytes.len()))
            .ok_or(Rc::NV_RANGE)?
            .copy_from_slice(bytes);
        self.nv_update(index, attributes.with(A::WRITTEN), data)
    }

    /// Changes the attributes of an index.
    pub(crate) fn nv_set_attributes(&mut self, index: Handle, attributes: A) -> RcResult<()> {
        let data = self.nv_data(index)?.clone();
        self.nv_update(index, attributes, data)
    }

    /// Replaces attributes and contents of an index. Those of an orderly index live in RAM; of an orderly counter NV
    /// keeps a value that a start after a power failure can go on from (Part 1, 37.2.3).
    fn nv_update(&mut self, index: Handle, attributes: A, data: Zeroizing<NvData>) -> RcResult<()> {
        let stored = self.nv.nv.get(&index).ok_or(Rc::HANDLE)?;
        let orderly = attributes.has(A::ORDERLY);
        let counter = attributes.kind() == Some(NvKind::Counter);
        let persists = !orderly
            || counter && (attributes != stored.public.attributes || interval(&data) != interval(&stored.data));
        let in_ram = orderly.then(|| data.clone());
        if persists {
            let changed = NvIndex {
                public: NvPublic {
                    attributes,
                    ..stored.public.clone()
                },
                auth: stored.auth.clone(),
                data,
            };
            self.nv.change().nv.insert(index, Arc::new(changed));
        }
        if let Some(data) = in_ram {
            self.settle()?;
            let entry = OrderlyIndex { attributes, data };
            self.orderly_nv.change().0.insert(index, entry);
        }
        Ok(())
    }

    /// Makes durable what a command has staged so far, and that an earlier TPM2_Shutdown no longer holds. Volatile
    /// state that goes with it may be changed after this, when nothing can fail any more.
    pub(crate) fn settle(&mut self) -> RcResult<()> {
        if self.nv.saved.is_some() {
            self.nv.change().saved = None;
        }
        self.nv.commit()
    }

    /// Bytes of the contents of all indices, or of the orderly ones.
    fn nv_used(&self, orderly: bool) -> usize {
        self.nv
            .nv
            .values()
            .filter(|index| !orderly || index.public.attributes.has(A::ORDERLY))
            .map(|index| index.data.len())
            .sum()
    }

    /// How many more counters there is room for (TPM_PT_NV_COUNTERS_AVAIL).
    pub(crate) fn nv_counters_available(&self) -> usize {
        // Eight bytes a counter.
        let bytes = NV_CAPACITY.saturating_sub(self.nv_used(false));
        MAX_NV_INDICES.saturating_sub(self.nv.nv.len()).min(bytes >> 3)
    }

    /// Adds an index: TPM_RC_NV_DEFINED when it is there, TPM_RC_NV_SPACE when there is no room for it.
    pub(crate) fn nv_define(&mut self, public: NvPublic, auth: Zeroizing<crate::bytes::Digest>) -> RcResult<()> {
        let index = public.index.0;
        if self.nv.nv.contains_key(&index) {
            return Err(Rc::NV_DEFINED);
        }
        let orderly = public.attributes.has(A::ORDERLY);
        let size = usize::from(public.data_size.0);
        if self.nv.nv.len() >= MAX_NV_INDICES
            || self.nv_used(false).saturating_add(size) > NV_CAPACITY
            || orderly && self.nv_used(true).saturating_add(size) > ORDERLY_CAPACITY
        {
            return Err(Rc::NV_SPACE);
        }
        let mut data = Zeroizing::new(NvData::zeroed(size).ok_or(Rc::SIZE)?);
        data.fill(erased(public.attributes));
        let entry = OrderlyIndex {
            attributes: public.attributes,
            data: data.clone(),
        };
        self.nv
            .change()
            .nv
            .insert(index, Arc::new(NvIndex { public, auth, data }));
        if orderly {
            self.settle()?;
            self.orderly_nv.change().0.insert(index, entry);
        }
        Ok(())
    }

    /// Stages the removal of the indices that `gone` names. When it has become durable, [`Self::forget_orderly_nv`]
    /// removes what of them lives in RAM.
    pub(crate) fn nv_stage_delete(&mut self, gone: impl Fn(&NvIndex) -> bool) {
        let mut highest = self.nv.counters.max_nv_counter;
        let mut kept = BTreeMap::new();
        for (handle, index) in &self.nv.nv {
            if !gone(index) {
                kept.insert(*handle, Arc::clone(index));
                continue;
            }
            let attributes = self.nv_attributes(*handle).unwrap_or_default();
            if attributes.kind() == Some(NvKind::Counter) && attributes.has(A::WRITTEN) {
                // A counter that is defined later goes on from here, whatever its handle (Part 1, 37.2.3).
                highest = highest.max(self.nv_number(*handle).unwrap_or_default());
            }
        }
        if highest != self.nv.counters.max_nv_counter {
            let mut counters = Counters::clone(&self.nv.counters);
            counters.max_nv_counter = highest;
            self.nv.change().counters = Arc::new(counters);
        }
        self.nv.change().nv = kept;
    }

    /// Removes from RAM what belongs to indices that are no longer there.
    pub(crate) fn forget_orderly_nv(&mut self) {
        let known = &self.nv.nv;
        if self.orderly_nv.0.keys().any(|index| !known.contains_key(index)) {
            self.orderly_nv.change().0.retain(|index, _| known.contains_key(index));
        }
    }

    /// Removes one index.
    pub(crate) fn nv_delete(&mut self, index: Handle) -> RcResult<()> {
        self.nv_stage_delete(|other| other.public.index.0 == index);
        self.settle()?;
        self.forget_orderly_nv();
        Ok(())
    }

    /// Whether the authorization value of a PIN index may be used: the index is written and its count is below its
    /// limit (Part 1, 37.2.8). `None` for other indices.
    pub(crate) fn pin_available(&self, index: Handle) -> Option<bool> {
        let attributes = self.nv_attributes(index)?;
        if !matches!(attributes.kind(), Some(NvKind::PinFail | NvKind::PinPass)) {
            return None;
        }
        let pin = PinCounter::from_u64(self.nv_number(index).ok()?);
        Some(attributes.has(A::WRITTEN) && pin.count < pin.limit)
    }

    /// Counts a use of the authorization value of a PIN index, durably, before anything depends on it: a PIN fail
    /// index counts failures in a row, a PIN pass index successes (Part 1, 37.2.8). Nothing for other indices.
    pub(crate) fn count_pin_use(&mut self, index: Handle, succeeded: bool) -> RcResult<()> {
        let Some(attributes) = self.nv_attributes(index).filter(|a| a.has(A::WRITTEN)) else {
            return Ok(());
        };
        let pin = match attributes.kind() {
            Some(NvKind::PinFail | NvKind::PinPass) => PinCounter::from_u64(self.nv_number(index)?),
            _ => return Ok(()),
        };
        let count = match (attributes.kind(), succeeded) {
            (Some(NvKind::PinFail), true) => 0,
            (Some(NvKind::PinFail), false) | (Some(NvKind::PinPass), true) => pin.count.saturating_add(1),
            _ => return Ok(()),
        };
        if count != pin.count {
            self.nv_write(index, 0, &pin.with_count(count).to_be_bytes())?;
        }
        self.nv.commit()
    }

    /// What a start-up does to NV indices (Part 3, 9.3): locks and contents that last until then end, and what of
    /// orderly indices lives in RAM comes back. `orderly`: TPM2_Shutdown came before.
    pub(crate) fn start_nv(&mut self, kind: StartKind, orderly: bool) -> RcResult<()> {
        let mut ram = OrderlyNv::default();
        for (handle, index) in self.nv.nv.clone() {
            let (attributes, data) = match self.orderly_nv.0.get(&handle) {
                Some(saved) if index.public.attributes.has(A::ORDERLY) => (saved.attributes, &saved.data),
                _ => (index.public.attributes, &index.data),
            };
            let started = attributes_at_start(attributes, kind);
            if started.has(A::ORDERLY) {
                let mut data = data.clone();
                if !orderly && started.kind() == Some(NvKind::Counter) && started.has(A::WRITTEN) {
                    // The last increments are lost: beyond all that can have been reported.
                    let value = data.first_chunk_mut::<8>().ok_or(Rc::FAILURE)?;
                    *value = (u64::from_be_bytes(*value) | MAX_ORDERLY_COUNT).to_be_bytes();
                }
                let entry = OrderlyIndex {
                    attributes: started,
                    data,
                };
                ram.0.insert(handle, entry);
            } else if started != attributes {
                let mut changed = NvIndex::clone(&index);
                changed.public.attributes = started;
                self.nv.change().nv.insert(handle, Arc::new(changed));
            }
        }
        self.orderly_nv = Watched::new(ram);
        Ok(())
    }
}

/// The part of a counter's value that is written to NV as soon as it changes.
fn interval(data: &NvData) -> Option<u64> {
    data.first_chunk()
        .map(|raw| u64::from_be_bytes(*raw) | MAX_ORDERLY_COUNT)
}

/// The attributes of an index after a start-up (Part 3, 9.3).
fn attributes_at_start(before: A, kind: StartKind) -> A {
    if kind == StartKind::Resume {
        return before;
    }
    let mut after = before.without(A::READLOCKED);
    let orderly_lost = kind == StartKind::Reset && before.has(A::ORDERLY);
    if before.kind() != Some(NvKind::Counter) && (before.has(A::CLEAR_STCLEAR) || orderly_lost) {
        after = after.without(A::WRITTEN);
    }
    if !after.has(A::WRITTEN) || !after.has(A::WRITEDEFINE) {
        after = after.without(A::WRITELOCKED);
    }
    after
}
