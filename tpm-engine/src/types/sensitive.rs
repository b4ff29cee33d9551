//! The sensitive area of an object (Part 2, 12.3).

use zeroize::Zeroizing;

use super::SensitiveData;
use super::public::ObjectType;
use crate::bytes::Digest;

crate::marshal::structure! {
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

    /// TPMS_SENSITIVE_CREATE (Part 2, 11.1.15).
    #[derive(Clone)]
    pub(crate) struct SensitiveCreate {
        pub(crate) user_auth: Zeroizing<Digest>,
        pub(crate) data: Zeroizing<SensitiveData>,
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
