//! Primary RSA keys that were derived once, and are kept because deriving them takes long.
//!
//! A cache: what it holds is what the derivation gives, so losing it costs time only. That is why it is written when
//! something else is, or at an orderly stop, and never on its own; why a record that cannot be read is dropped; and why
//! snapshots leave it out. What would come out otherwise after a change of a seed or a proof is dropped together with
//! that change.

use zeroize::Zeroizing;

use super::creation::{Created, create};
use super::derive::{Stream, personalization};
use super::protect::trimmed;
use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::crypto::hmac::hmac;
use crate::crypto::rsa::Number;
use crate::handle::Hierarchy;
use crate::marshal::{Reader, put_list, structure};
use crate::object::RsaCache;
use crate::profile::Profile;
use crate::rc::RcResult;
use crate::state::persistent::Hierarchies;
use crate::tpm::Tpm;
use crate::types::SensitiveData;
use crate::types::public::{ObjectType, Public, Unique};
use crate::types::sensitive::{Sensitive, SensitiveCreate};

/// Keys that are kept at once: the least recently used one makes room.
const CAPACITY: usize = 16;

structure! {
    /// What is hard to come by of a primary RSA key.
    #[derive(Clone)]
    pub(crate) struct KeptPrimary {
        hierarchy: Hierarchy,
        id: Digest,
        modulus: Number,
        prime: Zeroizing<SensitiveData>,
        seed: Zeroizing<Digest>,
    }
}

impl KeptPrimary {
    /// What to keep of an object that was derived in `hierarchy`; `None` if it is no RSA key.
    pub(crate) fn of(hierarchy: Hierarchy, id: Digest, created: &Created) -> Option<Self> {
        let Unique::Rsa(modulus) = &created.public.unique else {
            return None;
        };
        Some(Self {
            hierarchy,
            id,
            modulus: modulus.clone(),
            prime: created.sensitive.secret.clone(),
            seed: created.sensitive.seed.clone(),
        })
    }

    /// The object once more, as the derivation makes it of the same template.
    fn created(&self, template: Public, create: &SensitiveCreate) -> Created {
        let mut public = template;
        public.unique = Unique::Rsa(self.modulus.clone());
        Created {
            sensitive: Sensitive {
                object_type: ObjectType::Rsa,
                auth: trimmed(&create.user_auth),
                seed: self.seed.clone(),
                secret: self.prime.clone(),
            },
            public,
            prepared: RsaCache::default(),
        }
    }
}

/// The kept keys, the most recently used one last.
#[derive(Default)]
pub(crate) struct KeptPrimaries {
    keys: Vec<KeptPrimary>,
    /// The stored record is not what it should be.
    unwritten: bool,
}

impl KeptPrimaries {
    /// Those of a stored record; none if it cannot be read.
    pub(crate) fn read(record: &[u8], profile: &'static Profile) -> Self {
        let mut reader = Reader::new(record, profile);
        let keys = reader.read::<arrayvec::ArrayVec<KeptPrimary, CAPACITY>>();
        Self {
            keys: keys
                .and_then(|keys| reader.finish().map(|()| keys.into_iter().collect()))
                .unwrap_or_default(),
            unwritten: false,
        }
    }

    /// The record to be stored, if it is not.
    pub(crate) fn unwritten(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.unwritten.then(|| {
            let mut record = Zeroizing::new(Vec::new());
            put_list(&self.keys, &mut *record);
            record
        })
    }

    /// The record was stored.
    pub(crate) const fn set_written(&mut self) {
        self.unwritten = false;
    }

    pub(crate) fn contains(&self, id: &Digest) -> bool {
        self.keys.iter().any(|key| key.id == *id)
    }

    fn find(&mut self, id: &Digest) -> Option<&KeptPrimary> {
        let place = self.keys.iter().position(|key| key.id == *id)?;
        // Which of them was used last is not worth a write.
        self.keys.get_mut(place..)?.rotate_left(1);
        self.keys.last()
    }

    pub(crate) fn keep(&mut self, key: KeptPrimary) {
        self.keys.retain(|kept| kept.id != key.id);
        if self.keys.len() >= CAPACITY {
            self.keys.remove(0);
        }
        self.keys.push(key);
        self.unwritten = true;
    }

    /// Drops what belongs to seeds and proofs that are no longer the same.
    pub(crate) fn drop_stale(&mut self, old: &Hierarchies, new: &Hierarchies) {
        let before = self.keys.len();
        self.keys.retain(|key| {
            let seed = |all: &Hierarchies| all.get(key.hierarchy).map(|record| record.seed.seed.clone());
            // What a seed under an endorsement key is bound to, see `Tpm::seed_binding`.
            let bound = key.hierarchy == Hierarchy::Endorsement;
            seed(old) == seed(new) && !(bound && old.owner.proof != new.owner.proof)
        });
        self.unwritten |= self.keys.len() != before;
    }
}

impl Tpm {
    /// What a primary RSA key is kept under: it depends on all that goes into the derivation, and tells nothing of it.
    /// `None` for what is not kept: other keys, which are quickly derived, and those of the null hierarchy, whose seed does
    /// not last.
    pub(crate) fn kept_id(&self, hierarchy: Hierarchy, template: &Public, data: &[u8]) -> Option<Digest> {
        if template.object_type() != ObjectType::Rsa {
            return None;
        }
        let seed = &self.nv.hierarchies.get(hierarchy)?.seed;
        let derivation = [seed.derivation];
        let template = personalization(template, data);
        let parts = [
            b"Kept Primary".as_slice(),
            &derivation,
            &template,
            &self.seed_binding(hierarchy),
        ];
        Some(hmac(HashAlg::Sha256, &seed.seed, &parts))
    }

    /// A primary object: derived, or the one that was derived before. The template has been checked. Codes come without a
    /// number.
    pub(crate) fn create_primary(
        &mut self,
        hierarchy: Hierarchy,
        template: Public,
        sensitive: &SensitiveCreate,
    ) -> RcResult<Created> {
        let id = self.kept_id(hierarchy, &template, &sensitive.data);
        if let Some(kept) = id.as_ref().and_then(|id| self.nv.kept_mut().find(id)) {
            return Ok(kept.created(template, sensitive));
        }
        let stream = Stream::Primary(self.primary_stream(hierarchy, &template, &sensitive.data)?);
        let created = create(template, sensitive, stream, &self.seed_binding(hierarchy), &self.cancel)?;
        if let Some(key) = id.and_then(|id| KeptPrimary::of(hierarchy, id, &created)) {
            self.nv.kept_mut().keep(key);
        }
        Ok(created)
    }
}

#[cfg(test)]
mod tests;
