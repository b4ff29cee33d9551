//! Loaded objects and where they stand (Part 1, 23 ff.).

use std::sync::{Arc, OnceLock};

use crate::crypto::CryptoError;
use crate::crypto::rsa::{RsaPrivate, RsaPublic};
use crate::handle::{Handle, Hierarchy, Name};
use crate::marshal::{Marshal, Reader, Sink, Unmarshal, optional, put_list, structure};
use crate::rc::{Rc, RcResult};
use crate::sequence::Sequence;
use crate::types::public::{AnyPublic, PublicParms, Unique};
use crate::types::sensitive::Sensitive;

/// Transient objects and sequences that fit at once (TPM_PT_HR_TRANSIENT_MIN).
pub(crate) const MAX_LOADED_OBJECTS: usize = 8;
/// Persistent objects for which there is room (TPM_PT_HR_PERSISTENT_MIN).
pub(crate) const MAX_PERSISTENT_OBJECTS: usize = 64;

structure! {
    /// An object: a key or sealed data, ready for use.
    #[derive(Clone, PartialEq, Eq)]
    pub(crate) struct Object {
        /// The hierarchy it lives in: [`Hierarchy::Null`] also for most external objects.
        pub(crate) hierarchy: Hierarchy,
        /// Loaded by TPM2_LoadExternal.
        pub(crate) external: bool,
        /// Made by TPM2_CreatePrimary, or by TPM2_CreateLoaded under a hierarchy.
        pub(crate) primary: bool,
        /// Its stClear attribute, or that of an ancestor, is SET: its context ends with TPM Reset or Restart.
        pub(crate) st_clear: bool,
        pub(crate) public: AnyPublic,
        pub(crate) sensitive: MaybeSensitive,
        pub(crate) name: Name,
        pub(crate) qualified_name: Name,
        pub(crate) prepared: RsaCache,
    }
}

impl Object {
    /// The sensitive area; TPM_RC_KEY where only the public one is loaded.
    pub(crate) fn sensitive(&self) -> RcResult<&Sensitive> {
        self.sensitive.0.as_ref().ok_or(Rc::KEY)
    }

    /// The private key of an RSA key, prepared when it is first used.
    pub(crate) fn rsa_private(&self) -> RcResult<&RsaPrivate> {
        if let Some(key) = self.prepared.private.get() {
            return Ok(key);
        }
        let public = &self.public.0;
        let (PublicParms::Rsa(parms), Unique::Rsa(modulus)) = (&public.parms, &public.unique) else {
            return Err(Rc::KEY);
        };
        let fresh = RsaCache::prepare(modulus, parms.exponent, &self.sensitive()?.secret)?;
        let key = fresh.private.into_inner().ok_or(Rc::FAILURE)?;
        Ok(self.prepared.private.get_or_init(|| key))
    }

    /// The public key of an RSA key, prepared when it is first used.
    pub(crate) fn rsa_public(&self) -> Result<&RsaPublic, CryptoError> {
        if let Some(key) = self.prepared.public.get() {
            return Ok(key);
        }
        let public = &self.public.0;
        let (PublicParms::Rsa(parms), Unique::Rsa(modulus)) = (&public.parms, &public.unique) else {
            return Err(CryptoError::Key);
        };
        let key = RsaPublic::new(modulus, parms.exponent)?;
        Ok(self.prepared.public.get_or_init(|| key))
    }
}

/// Prepared keys, which can always be had from the areas again: not part of an object's canonical form.
#[derive(Clone, Default)]
pub(crate) struct RsaCache {
    private: OnceLock<RsaPrivate>,
    public: OnceLock<RsaPublic>,
}

impl RsaCache {
    /// Prepares the key with this modulus and prime; TPM_RC_BINDING when they do not belong together.
    pub(crate) fn prepare(modulus: &[u8], exponent: u32, prime: &[u8]) -> RcResult<Self> {
        RsaPrivate::from_prime(modulus, exponent, prime)
            .map(Self::from)
            .map_err(|_| Rc::BINDING)
    }
}

impl From<RsaPrivate> for RsaCache {
    fn from(key: RsaPrivate) -> Self {
        Self {
            private: OnceLock::from(key),
            public: OnceLock::new(),
        }
    }
}

impl PartialEq for RsaCache {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for RsaCache {}

impl Marshal for RsaCache {
    fn marshal<S: Sink>(&self, _: &mut S) {}
}

impl Unmarshal<'_> for RsaCache {
    fn unmarshal(_: &mut Reader<'_>) -> RcResult<Self> {
        Ok(Self::default())
    }
}

/// The sensitive area, if it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MaybeSensitive(pub(crate) Option<Sensitive>);

optional!(Sensitive);

impl Marshal for MaybeSensitive {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.0.marshal(sink);
    }
}

impl Unmarshal<'_> for MaybeSensitive {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        reader.read().map(Self)
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Object({:02x?})", &*self.name)
    }
}

/// What a transient handle can name.
#[derive(Debug, Clone)]
pub(crate) enum Loaded {
    Object(Arc<Object>),
    Sequence(Box<Sequence>),
}

optional!(Loaded);

/// What is loaded, as a snapshot of the TPM holds it.
impl Marshal for Loaded {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Object(object) => {
                0u8.marshal(sink);
                object.marshal(sink);
            }
            Self::Sequence(sequence) => {
                1u8.marshal(sink);
                sequence.marshal(sink);
            }
        }
    }
}

impl Unmarshal<'_> for Loaded {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        Ok(match reader.read::<u8>()? {
            0 => Self::Object(Arc::new(reader.read()?)),
            1 => Self::Sequence(Box::new(reader.read()?)),
            _ => return Err(Rc::VALUE),
        })
    }
}

/// The slots of transient objects and sequences.
#[derive(Debug, Clone, Default)]
pub(crate) struct Objects {
    slots: [Option<Loaded>; MAX_LOADED_OBJECTS],
}

/// Every slot with what is in it: a program with more slots reads what one with fewer wrote.
impl Marshal for Objects {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let Self { slots } = self;
        put_list(slots, sink);
    }
}

impl Unmarshal<'_> for Objects {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let mut objects = Self::default();
        reader.list_into(&mut objects.slots)?;
        Ok(objects)
    }
}

impl Objects {
    fn index(handle: Handle) -> Option<usize> {
        usize::try_from(handle.0.checked_sub(Handle::FIRST_TRANSIENT)?).ok()
    }

    /// What is loaded under a transient handle.
    pub(crate) fn get(&self, handle: Handle) -> Option<&Loaded> {
        self.slots.get(Self::index(handle)?)?.as_ref()
    }

    /// What is loaded under a transient handle, to be changed.
    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut Loaded> {
        self.slots.get_mut(Self::index(handle)?)?.as_mut()
    }

    /// The sequence under a transient handle.
    pub(crate) fn sequence_mut(&mut self, handle: Handle) -> Option<&mut Sequence> {
        match self.get_mut(handle)? {
            Loaded::Sequence(sequence) => Some(sequence),
            Loaded::Object(_) => None,
        }
    }

    /// Whether another object would fit.
    pub(crate) fn has_room(&self) -> bool {
        self.slots.iter().any(Option::is_none)
    }

    /// Puts something into a free slot; TPM_RC_OBJECT_MEMORY when there is none.
    pub(crate) fn insert(&mut self, loaded: Loaded) -> RcResult<Handle> {
        let free = (Handle::FIRST_TRANSIENT..)
            .zip(self.slots.iter_mut())
            .find(|(_, slot)| slot.is_none());
        let (handle, slot) = free.ok_or(Rc::OBJECT_MEMORY)?;
        *slot = Some(loaded);
        Ok(Handle(handle))
    }

    /// Frees the slot; `None` when nothing was in it.
    pub(crate) fn remove(&mut self, handle: Handle) -> Option<Loaded> {
        self.slots.get_mut(Self::index(handle)?)?.take()
    }

    /// Frees every slot.
    pub(crate) fn clear(&mut self) {
        self.slots = Self::default().slots;
    }

    /// Frees the slots of all objects of a hierarchy; sequences stay.
    pub(crate) fn flush_hierarchy(&mut self, hierarchy: Hierarchy) {
        for slot in &mut self.slots {
            if matches!(slot, Some(Loaded::Object(object)) if object.hierarchy == hierarchy) {
                *slot = None;
            }
        }
    }

    /// Everything that is loaded, with its handle.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Handle, &Loaded)> {
        let handles = (Handle::FIRST_TRANSIENT..).map(Handle);
        handles
            .zip(self.slots.iter())
            .filter_map(|(handle, slot)| slot.as_ref().map(|loaded| (handle, loaded)))
    }
}
