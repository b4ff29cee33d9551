//! The TPM's state, split as Part 1, clause 12 splits it: what persists, what an orderly shutdown saves, and what a
//! reset, restart or resume keeps.

pub(crate) mod nv_memory;
pub(crate) mod orderly;
pub(crate) mod pcr;
pub(crate) mod persistent;
pub(crate) mod snapshot;
pub(crate) mod time;

use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::RcResult;

/// State that TPM2_Shutdown saves. Changing it after a shutdown makes that shutdown void, so changes are noticed.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: T,
    changed: bool,
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value, changed: true }
    }

    /// A copy that counts as changed if this does.
    pub(crate) fn duplicate(&self) -> Self
    where
        T: Clone,
    {
        Self {
            value: self.value.clone(),
            changed: self.changed,
        }
    }

    /// Write access; the value counts as changed from now on.
    pub(crate) fn change(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }

    /// Whether the value was changed since this was last asked.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }
}

impl<T> std::ops::Deref for Watched<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Marshal> Marshal for Watched<T> {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let Self { value, changed } = self;
        changed.marshal(sink);
        value.marshal(sink);
    }
}

impl<'a, T: Unmarshal<'a>> Unmarshal<'a> for Watched<T> {
    fn unmarshal(reader: &mut Reader<'a>) -> RcResult<Self> {
        let changed = reader.read()?;
        Ok(Self {
            value: reader.read()?,
            changed,
        })
    }
}
