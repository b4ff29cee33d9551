//! The public area of an object (Part 2, 12.2).

use super::attributes::ObjectAttributes;
use super::scheme::{EccScheme, KdfScheme, KeyedHashScheme, RsaScheme, Scheme};
use super::symmetric::CipherDef;
use super::{EccPoint, RsaBytes};
use crate::alg::{Curve, HashAlg};
use crate::bytes::Digest;
use crate::handle::{Name, name_of};
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

/// TPMI_ALG_PUBLIC (Part 2, 12.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum ObjectType {
    Rsa = 0x0001,
    KeyedHash = 0x0008,
    Ecc = 0x0023,
    SymCipher = 0x0025,
}

impl ObjectType {
    /// Whether keys of this type have a public part that is more than a digest.
    pub(crate) const fn is_asymmetric(self) -> bool {
        matches!(self, Self::Rsa | Self::Ecc)
    }
}

impl Unmarshal<'_> for ObjectType {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        match reader.read::<u16>()? {
            0x0001 => Ok(Self::Rsa),
            0x0008 => Ok(Self::KeyedHash),
            0x0023 => Ok(Self::Ecc),
            0x0025 => Ok(Self::SymCipher),
            _ => Err(Rc::TYPE),
        }
    }
}

impl Marshal for ObjectType {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        (*self as u16).marshal(sink);
    }
}

crate::marshal::structure! {
    /// TPMS_RSA_PARMS (Part 2, 12.2.3.5).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct RsaParms {
        pub(crate) symmetric: Option<CipherDef>,
        pub(crate) scheme: RsaScheme,
        pub(crate) key_bits: RsaKeyBits,
        /// The public exponent; 0 stands for 65537.
        pub(crate) exponent: u32,
    }

    /// TPMS_ECC_PARMS (Part 2, 12.2.3.6).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct EccParms {
        pub(crate) symmetric: Option<CipherDef>,
        pub(crate) scheme: EccScheme,
        pub(crate) curve: Curve,
        pub(crate) kdf: KdfScheme,
    }
}

/// TPMI_RSA_KEY_BITS (Part 2, 11.2.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RsaKeyBits(pub(crate) u16);

impl RsaKeyBits {
    /// Size of the modulus in bytes.
    pub(crate) const fn size(self) -> usize {
        self.0 as usize / 8
    }
}

impl Unmarshal<'_> for RsaKeyBits {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let bits = reader.read()?;
        if reader.profile.rsa_bits.contains(&bits) {
            Ok(Self(bits))
        } else {
            Err(Rc::VALUE)
        }
    }
}

impl Marshal for RsaKeyBits {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.0.marshal(sink);
    }
}

/// TPMT_PUBLIC_PARMS (Part 2, 12.2.3.8): what the key does, by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PublicParms {
    KeyedHash(KeyedHashScheme),
    SymCipher(CipherDef),
    Rsa(RsaParms),
    Ecc(EccParms),
}

impl PublicParms {
    pub(crate) const fn object_type(&self) -> ObjectType {
        match self {
            Self::KeyedHash(_) => ObjectType::KeyedHash,
            Self::SymCipher(_) => ObjectType::SymCipher,
            Self::Rsa(_) => ObjectType::Rsa,
            Self::Ecc(_) => ObjectType::Ecc,
        }
    }

    /// Reads the parameters that follow the type.
    pub(crate) fn read_for(object_type: ObjectType, reader: &mut Reader<'_>) -> RcResult<Self> {
        Ok(match object_type {
            ObjectType::KeyedHash => Self::KeyedHash(reader.read()?),
            ObjectType::SymCipher => Self::SymCipher(reader.read()?),
            ObjectType::Rsa => Self::Rsa(reader.read()?),
            ObjectType::Ecc => Self::Ecc(reader.read()?),
        })
    }

    /// Writes the parameters without the type (TPMU_PUBLIC_PARMS).
    pub(crate) fn marshal_details<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::KeyedHash(scheme) => scheme.marshal(sink),
            Self::SymCipher(cipher) => cipher.marshal(sink),
            Self::Rsa(parms) => parms.marshal(sink),
            Self::Ecc(parms) => parms.marshal(sink),
        }
    }

    /// The symmetric algorithm with which a parent protects its children; `None` when the key names none.
    pub(crate) const fn symmetric(&self) -> Option<CipherDef> {
        match self {
            Self::KeyedHash(_) => None,
            Self::SymCipher(cipher) => Some(*cipher),
            Self::Rsa(parms) => parms.symmetric,
            Self::Ecc(parms) => parms.symmetric,
        }
    }

    /// The scheme of an asymmetric key, or the HMAC scheme of a keyed hash, in one form.
    pub(crate) const fn scheme(&self) -> Option<Scheme> {
        match self {
            Self::KeyedHash(KeyedHashScheme::Hmac(hash)) => Some(Scheme::new(super::scheme::SchemeId::Hmac, *hash)),
            Self::KeyedHash(_) | Self::SymCipher(_) => None,
            Self::Rsa(parms) => parms.scheme.0,
            Self::Ecc(parms) => parms.scheme.0,
        }
    }
}

/// TPMT_PUBLIC_PARMS as a parameter (TPM2_TestParms).
impl Unmarshal<'_> for PublicParms {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let object_type = reader.read()?;
        Self::read_for(object_type, reader)
    }
}

/// TPMU_PUBLIC_ID (Part 2, 12.2.3.2): what identifies the key among those with the same parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unique {
    /// The digest of a keyed hash or symmetric key.
    Digest(Digest),
    /// The modulus.
    Rsa(RsaBytes),
    /// The public point.
    Ecc(EccPoint),
}

impl Unique {
    fn read_for(object_type: ObjectType, reader: &mut Reader<'_>) -> RcResult<Self> {
        Ok(match object_type {
            ObjectType::KeyedHash | ObjectType::SymCipher => Self::Digest(reader.read()?),
            ObjectType::Rsa => Self::Rsa(reader.read()?),
            ObjectType::Ecc => Self::Ecc(reader.read()?),
        })
    }
}

impl Marshal for Unique {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Digest(digest) => digest.marshal(sink),
            Self::Rsa(modulus) => modulus.marshal(sink),
            Self::Ecc(point) => point.marshal(sink),
        }
    }
}

/// TPMT_PUBLIC (Part 2, 12.2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Public {
    /// `None` is TPM_ALG_NULL, allowed only in TPM2_LoadExternal.
    pub(crate) name_alg: Option<HashAlg>,
    pub(crate) attributes: ObjectAttributes,
    pub(crate) auth_policy: Digest,
    pub(crate) parms: PublicParms,
    pub(crate) unique: Unique,
}

impl Public {
    pub(crate) const fn object_type(&self) -> ObjectType {
        self.parms.object_type()
    }

    /// The object's Name: empty when it has no Name algorithm (Part 1, 16).
    pub(crate) fn name(&self) -> Name {
        self.name_alg.map_or(Name::EMPTY, |alg| name_of(alg, self))
    }

    /// Whether children can be created or loaded under an object with these attributes (Part 1, 23.3): a restricted
    /// decryption key that is asymmetric or a block cipher. A derivation parent is [`Self::is_derivation_parent`].
    pub(crate) fn is_storage_parent(&self) -> bool {
        self.is_parent() && self.object_type() != ObjectType::KeyedHash
    }

    /// Whether objects can be derived from it: a restricted decryption keyed hash.
    pub(crate) fn is_derivation_parent(&self) -> bool {
        self.is_parent() && self.object_type() == ObjectType::KeyedHash
    }

    /// Whether it is a key that signs; a block cipher's sign attribute is for encryption.
    pub(crate) fn is_signer(&self) -> bool {
        self.attributes.has(ObjectAttributes::SIGN) && self.object_type() != ObjectType::SymCipher
    }

    /// Whether it is a storage or derivation parent.
    pub(crate) fn is_parent(&self) -> bool {
        use ObjectAttributes as A;
        self.attributes.has(A::RESTRICTED.with(A::DECRYPT)) && !self.attributes.has(A::SIGN)
    }

    fn read(reader: &mut Reader<'_>, null_name_alg: bool) -> RcResult<Self> {
        let object_type: ObjectType = reader.read()?;
        let name_alg = if null_name_alg {
            reader.read()?
        } else {
            Some(reader.read()?)
        };
        let mut public = Self::read_rest(object_type, name_alg, reader)?;
        public.unique = Unique::read_for(object_type, reader)?;
        Ok(public)
    }

    /// Reads the area of a template whose unique field holds something else, up to there.
    pub(crate) fn read_without_unique(reader: &mut Reader<'_>) -> RcResult<Self> {
        let object_type: ObjectType = reader.read()?;
        let name_alg = Some(reader.read()?);
        Self::read_rest(object_type, name_alg, reader)
    }

    fn read_rest(object_type: ObjectType, name_alg: Option<HashAlg>, reader: &mut Reader<'_>) -> RcResult<Self> {
        Ok(Self {
            name_alg,
            attributes: reader.read()?,
            auth_policy: reader.read()?,
            parms: PublicParms::read_for(object_type, reader)?,
            unique: match object_type {
                ObjectType::KeyedHash | ObjectType::SymCipher => Unique::Digest(Digest::EMPTY),
                ObjectType::Rsa => Unique::Rsa(RsaBytes::EMPTY),
                ObjectType::Ecc => Unique::Ecc(EccPoint::default()),
            },
        })
    }
}

/// TPMT_PUBLIC: the Name algorithm may not be TPM_ALG_NULL.
impl Unmarshal<'_> for Public {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        Self::read(reader, false)
    }
}

impl Marshal for Public {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let Self {
            name_alg,
            attributes,
            auth_policy,
            parms,
            unique,
        } = self;
        parms.object_type().marshal(sink);
        name_alg.marshal(sink);
        attributes.marshal(sink);
        auth_policy.marshal(sink);
        parms.marshal_details(sink);
        unique.marshal(sink);
    }
}

/// TPMT_PUBLIC+: the Name algorithm may be TPM_ALG_NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnyPublic(pub(crate) Public);

impl Unmarshal<'_> for AnyPublic {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        Public::read(reader, true).map(Self)
    }
}

impl Marshal for AnyPublic {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.0.marshal(sink);
    }
}
