//! Making objects (Part 1, 27; Part 3, 12.1 and 24.1): keys and sealed data, and the proof of their creation.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use zeroize::Zeroizing;

use super::checks::{is_public_exponent, symmetric_unique};
use super::derive::Stream;
use super::protect::trimmed;
use crate::alg::{BlockCipher, HashAlg};
use crate::bytes::{Bytes, Digest};
use crate::crypto::hash::hash;
use crate::crypto::symmetric::{is_weak_tdes, set_parity};
use crate::handle::{Handle, Hierarchy, Name};
use crate::marshal::Marshal;
use crate::object::{MaybeSensitive, Object, RsaCache};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::creation::CreationData;
use crate::types::pcr::PcrSelections;
use crate::types::public::{AnyPublic, ObjectType, Public, PublicParms, Unique};
use crate::types::scheme::KeyedHashScheme;
use crate::types::sensitive::{Sensitive, SensitiveCreate};
use crate::types::ticket::{Ticket, TicketTag};
use crate::types::{Data, SensitiveData};

/// An object that was just made.
pub(crate) struct Created {
    /// The template with its unique field filled in.
    pub(crate) public: Public,
    pub(crate) sensitive: Sensitive,
    /// The private key, if it is an RSA key.
    pub(crate) prepared: RsaCache,
}

/// Makes the object that `template` describes out of `stream`. The template has been checked. `binding` is additional
/// input of the request for the seed. Codes come without a number.
pub(crate) fn create(
    template: Public,
    create: &SensitiveCreate,
    mut stream: Stream<'_>,
    binding: &[u8],
    cancel: &AtomicBool,
) -> RcResult<Created> {
    let mut public = template;
    let name_alg = public.name_alg.ok_or(Rc::HASH)?;
    let given: &[u8] = if public.attributes.has(A::SENSITIVE_DATA_ORIGIN) {
        &[]
    } else {
        &create.data
    };
    let mut prepared = RsaCache::default();
    let secret: Zeroizing<SensitiveData> = match &public.parms {
        PublicParms::Rsa(parms) => {
            if !is_public_exponent(parms.exponent) {
                return Err(Rc::RANGE);
            }
            let key = stream.rsa_key(parms.key_bits.0, parms.exponent, cancel)?;
            public.unique = Unique::Rsa(key.modulus());
            let prime = key.prime();
            prepared = RsaCache::from(key);
            prime
        }
        PublicParms::Ecc(parms) => {
            let (scalar, point) = stream.key_pair(parms.curve)?;
            public.unique = Unique::Ecc(point.into());
            Zeroizing::new(Bytes::truncated(&scalar))
        }
        PublicParms::SymCipher(cipher) => {
            if !given.is_empty() && given.len() != cipher.key_size() {
                return Err(Rc::KEY_SIZE);
            }
            let mut secret = given_or_drawn(given, cipher.key_size(), &mut stream)?;
            if cipher.cipher == BlockCipher::Tdes {
                if given.is_empty() {
                    make_tdes_key(&mut secret, &mut stream)?;
                } else if is_weak_tdes(&secret) {
                    return Err(Rc::KEY);
                }
            }
            secret
        }
        PublicParms::KeyedHash(scheme) => {
            let hash = match scheme {
                KeyedHashScheme::Null => name_alg,
                KeyedHashScheme::Hmac(hash) | KeyedHashScheme::Xor(hash, _) => *hash,
            };
            // A longer key than a block would be hashed, which only loses strength (FIPS 198-1).
            if public.attributes.any(A::SIGN.with(A::DECRYPT)) && given.len() > hash.block_size() {
                return Err(Rc::SIZE);
            }
            given_or_drawn(given, hash.digest_size(), &mut stream)?
        }
    };
    let mut sensitive = Sensitive {
        object_type: public.object_type(),
        auth: trimmed(&create.user_auth),
        seed: Zeroizing::new(Digest::EMPTY),
        secret,
    };
    if !public.object_type().is_asymmetric() || public.is_parent() {
        let mut seed = Zeroizing::new(Digest::zeroed(name_alg.digest_size()).ok_or(Rc::FAILURE)?);
        stream.fill(binding, &mut seed)?;
        sensitive.seed = seed;
    }
    if matches!(public.object_type(), ObjectType::KeyedHash | ObjectType::SymCipher) {
        public.unique = Unique::Digest(symmetric_unique(&public, name_alg, &sensitive));
    }
    Ok(Created {
        public,
        sensitive,
        prepared,
    })
}

fn given_or_drawn(given: &[u8], size: usize, stream: &mut Stream<'_>) -> RcResult<Zeroizing<SensitiveData>> {
    if !given.is_empty() {
        return Ok(Zeroizing::new(SensitiveData::new(given).ok_or(Rc::SIZE)?));
    }
    let mut secret = Zeroizing::new(SensitiveData::zeroed(size).ok_or(Rc::FAILURE)?);
    stream.fill(&[], &mut secret)?;
    Ok(secret)
}

/// Makes a key for TDES out of random bytes, which are drawn again while they are a weak one.
fn make_tdes_key(key: &mut [u8], stream: &mut Stream<'_>) -> RcResult<()> {
    while is_weak_tdes(key) {
        stream.fill(&[], key)?;
    }
    set_parity(key);
    Ok(())
}

/// Checks that an authorization value, without the zeros at its end, is not longer than a digest of the Name algorithm
/// (Part 3, 12.1): a bare TPM_RC_SIZE.
pub(crate) fn check_auth_size(auth: &Digest, name_alg: Option<HashAlg>) -> RcResult<()> {
    let limit = name_alg.map_or(usize::MAX, HashAlg::digest_size);
    if auth.without_trailing_zeros().len() > limit {
        Err(Rc::SIZE)
    } else {
        Ok(())
    }
}

impl Tpm {
    /// A new object. The template has been checked. Codes come without a number.
    pub(crate) fn create_random(&mut self, template: Public, sensitive: &SensitiveCreate) -> RcResult<Created> {
        let stream = Stream::Random {
            rng: &mut self.rng,
            pool: &mut self.pool,
        };
        create(template, sensitive, stream, &[], &self.cancel)
    }

    /// An object in its place below `parent`: an object, or a hierarchy for a primary object.
    pub(crate) fn placed(
        &self,
        parent: Handle,
        public: Public,
        sensitive: Option<Sensitive>,
        prepared: RsaCache,
    ) -> RcResult<Object> {
        let name = public.name();
        let (hierarchy, primary, parent_clears) = match self.object(parent) {
            Some(parent) => (parent.hierarchy, false, parent.st_clear),
            None => (Hierarchy::from_handle(parent).ok_or(Rc::FAILURE)?, true, false),
        };
        let (_, parent_qualified) = self.parent_names(parent);
        Ok(Object {
            hierarchy,
            external: false,
            primary,
            st_clear: parent_clears || public.attributes.has(A::ST_CLEAR),
            qualified_name: qualified_name(public.name_alg, &parent_qualified, &name),
            public: AnyPublic(public),
            sensitive: MaybeSensitive(sensitive),
            name,
            prepared,
        })
    }

    /// The Name and the Qualified Name of a parent; a hierarchy has its handle for both.
    fn parent_names(&self, parent: Handle) -> (Name, Name) {
        match self.object(parent) {
            Some(object) => (object.name.clone(), object.qualified_name.clone()),
            None => (self.name(parent), self.name(parent)),
        }
    }

    /// The circumstances in which an object is created under `parent` (Part 2, 15.1).
    pub(crate) fn creation_data(
        &self,
        parent: Handle,
        public: &Public,
        selections: &PcrSelections,
        outside_info: Data,
    ) -> RcResult<CreationData> {
        let name_alg = public.name_alg.ok_or(Rc::HASH)?;
        let pcr_select = self.pcrs.filter(selections);
        let (parent_name, parent_qualified_name) = self.parent_names(parent);
        let locality = self.current.locality;
        Ok(CreationData {
            pcr_digest: self.pcrs.digest(name_alg, &pcr_select),
            pcr_select,
            locality: if locality.bit() == 0 {
                locality.number()
            } else {
                locality.bit()
            },
            parent_name_alg: self.object(parent).and_then(|parent| parent.public.0.name_alg),
            parent_name,
            parent_qualified_name,
            outside_info,
        })
    }

    /// The digest of creation data, and the ticket that says that this TPM made the object so.
    pub(crate) fn creation_proof(
        &self,
        hierarchy: Hierarchy,
        public: &Public,
        data: &CreationData,
    ) -> RcResult<(Digest, Ticket)> {
        let digest = hash(public.name_alg.ok_or(Rc::HASH)?, &[&data.to_vec()]);
        let ticket = self.ticket(TicketTag::Creation, hierarchy, &[&public.name(), &digest]);
        Ok((digest, ticket))
    }

    /// The storage parent under a handle; `None` for what is none.
    pub(crate) fn storage_parent(&self, handle: Handle) -> Option<Arc<Object>> {
        let object = self.object(handle)?;
        object.public.0.is_storage_parent().then(|| Arc::clone(object))
    }
}

/// The Qualified Name (Part 1, 26.5): a digest over the parent's and the object's own Name; empty without an algorithm.
pub(crate) fn qualified_name(alg: Option<HashAlg>, parent: &Name, name: &Name) -> Name {
    let Some(alg) = alg else {
        return Name::EMPTY;
    };
    let mut out = Name::truncated(&alg.id().to_be_bytes());
    // A digest always fits behind its algorithm.
    let _ = out.extend(&hash(alg, &[parent, name]));
    out
}
