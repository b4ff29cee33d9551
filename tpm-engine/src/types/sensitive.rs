//! The sensitive area of an object (Part 2, 12.3).

use zeroize::Zeroizing;

use super::SensitiveData;
use super::public::ObjectType;
use crate::bytes::{Bytes, Digest};
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

/// Most bytes of sealed data (MAX_SYM_DATA).
pub(crate) const MAX_SEALED: usize = 128;

/// TPMT_SENSITIVE (Part 2, 12.3.2.4). All secrets are wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Sensitive {
    pub(crate) object_type: ObjectType,
    pub(crate) auth: Zeroizing<Digest>,
    /// For a parent the seed of its children's protection, for a keyed hash or symmetric key the obfuscation value.
    pub(crate) seed: Zeroizing<Digest>,
    /// One prime of an RSA key, the private scalar, the symmetric key, the HMAC key or the sealed data.
    pub(crate) secret: Zeroizing<SensitiveData>,
}

impl Unmarshal<'_> for Sensitive {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let object_type = reader.read()?;
        let (auth, seed) = (reader.read()?, reader.read()?);
        let limit = match object_type {
            ObjectType::Rsa => 256,
            ObjectType::KeyedHash => MAX_SEALED,
            ObjectType::Ecc => 80,
            ObjectType::SymCipher => 32,
        };
        let secret = SensitiveData::new(reader.sized(limit)?).ok_or(Rc::SIZE)?;
        Ok(Self {
            object_type,
            auth,
            seed,
            secret: Zeroizing::new(secret),
        })
    }
}

impl Marshal for Sensitive {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let Self {
            object_type,
            auth,
            seed,
            secret,
        } = self;
        object_type.marshal(sink);
        auth.marshal(sink);
        seed.marshal(sink);
        secret.marshal(sink);
    }
}

crate::marshal::structure! {
    /// TPMS_SENSITIVE_CREATE (Part 2, 11.1.15).
    #[derive(Clone, Default)]
    pub(crate) struct SensitiveCreate {
        pub(crate) user_auth: Zeroizing<Digest>,
        pub(crate) data: Zeroizing<Bytes<MAX_SEALED>>,
    }
}

impl std::fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sensitive({:?}, redacted)", self.object_type)
    }
}

impl std::fmt::Debug for SensitiveCreate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SensitiveCreate(redacted)")
    }
}
