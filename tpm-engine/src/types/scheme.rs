//! Schemes: how a key signs, encrypts or derives (Part 2, 11.1.17, 11.2.1–11.2.4).

use super::ALG_NULL;
use crate::alg::HashAlg;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

macro_rules! scheme_ids {
    ($($(#[$meta:meta])* $name:ident = $id:literal),* $(,)?) => {
        /// TPM_ALG_ID of a scheme.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub(crate) enum SchemeId { $($(#[$meta])* $name = $id),* }

        impl SchemeId {
            pub(crate) const fn from_id(id: u16) -> Option<Self> {
                match id { $($id => Some(Self::$name),)* _ => None }
            }
        }
    };
}

scheme_ids! {
    Hmac = 0x0005, Xor = 0x000A, Rsassa = 0x0014, Rsaes = 0x0015, Rsapss = 0x0016, Oaep = 0x0017, Ecdsa = 0x0018,
    Ecdh = 0x0019, Ecdaa = 0x001A, Sm2 = 0x001B, EcSchnorr = 0x001C, Ecmqv = 0x001D,
}

impl SchemeId {
    pub(crate) const fn id(self) -> u16 {
        self as u16
    }

    /// Whether the scheme signs (the "ax" and "sx" algorithms of TPMI_ALG_SIG_SCHEME).
    pub(crate) const fn signs(self) -> bool {
        use SchemeId as S;
        matches!(
            self,
            S::Hmac | S::Rsassa | S::Rsapss | S::Ecdsa | S::Ecdaa | S::Sm2 | S::EcSchnorr
        )
    }

    /// Whether the scheme makes signatures: it signs, and others can verify.
    pub(crate) const fn is_signature(self) -> bool {
        self.signs() && !matches!(self, Self::Hmac)
    }

    /// Whether the scheme needs a commitment made by TPM2_Commit.
    pub(crate) const fn is_anonymous(self) -> bool {
        matches!(self, Self::Ecdaa)
    }
}

/// A scheme with its details. `None` in an `Option<Scheme>` is TPM_ALG_NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scheme {
    pub(crate) id: SchemeId,
    /// Every scheme has a hash but RSAES.
    pub(crate) hash: Option<HashAlg>,
    /// The commit counter of ECDAA; 0 for all others.
    pub(crate) count: u16,
}

impl Scheme {
    pub(crate) const fn new(id: SchemeId, hash: HashAlg) -> Self {
        Self {
            id,
            hash: Some(hash),
            count: 0,
        }
    }

    /// Reads a scheme that must be one of `allowed` (TPM_ALG_NULL is `None`); `refused` is the code for any other.
    fn read(reader: &mut Reader<'_>, allowed: &[SchemeId], refused: Rc) -> RcResult<Option<Self>> {
        let raw = reader.read::<u16>()?;
        if raw == ALG_NULL {
            return Ok(None);
        }
        let id = SchemeId::from_id(raw)
            .filter(|id| allowed.contains(id) && reader.profile.schemes.contains(id))
            .ok_or(refused)?;
        let hash = if id == SchemeId::Rsaes {
            None
        } else {
            Some(reader.read()?)
        };
        let signature_hashes = reader.profile.signature_hashes;
        if id.is_signature() && hash.is_some_and(|hash| !signature_hashes.contains(&hash)) {
            return Err(Rc::HASH);
        }
        let count = if id == SchemeId::Ecdaa { reader.read()? } else { 0 };
        Ok(Some(Self { id, hash, count }))
    }
}

impl Marshal for Option<Scheme> {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let Some(Scheme { id, hash, count }) = self else {
            return ALG_NULL.marshal(sink);
        };
        id.id().marshal(sink);
        if let Some(hash) = hash {
            hash.marshal(sink);
        }
        if *id == SchemeId::Ecdaa {
            count.marshal(sink);
        }
    }
}

macro_rules! scheme_types {
    ($($(#[$meta:meta])* $name:ident: $refused:ident, [$($allowed:ident),*]);* $(;)?) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) Option<Scheme>);

        impl Unmarshal<'_> for $name {
            fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
                Scheme::read(reader, &[$(SchemeId::$allowed),*], Rc::$refused).map(Self)
            }
        }

        impl Marshal for $name {
            fn marshal<S: Sink>(&self, sink: &mut S) {
                self.0.marshal(sink);
            }
        }
    )*};
}

scheme_types! {
    /// TPMT_RSA_SCHEME+ (Part 2, 11.2.4.2).
    RsaScheme: VALUE, [Rsassa, Rsapss, Rsaes, Oaep];
    /// TPMT_RSA_DECRYPT+ (Part 2, 11.2.4.4).
    RsaDecrypt: VALUE, [Rsaes, Oaep];
    /// TPMT_ECC_SCHEME+ (Part 2, 11.2.5.6).
    EccScheme: SCHEME, [Ecdsa, Ecdaa, Sm2, EcSchnorr, Ecdh, Ecmqv];
    /// TPMT_SIG_SCHEME+ (Part 2, 11.2.1.5).
    SigScheme: SCHEME, [Hmac, Rsassa, Rsapss, Ecdsa, Ecdaa, Sm2, EcSchnorr];
}

/// Key derivation functions (TPMI_ALG_KDF).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
#[expect(clippy::enum_variant_names, reason = "the names are those of TPM_ALG_ID")]
pub(crate) enum Kdf {
    Mgf1 = 0x0007,
    Kdf1Sp80056a = 0x0020,
    Kdf2 = 0x0021,
    Kdf1Sp800108 = 0x0022,
}

impl Kdf {
    pub(crate) const ALL: &[Self] = &[Self::Mgf1, Self::Kdf1Sp80056a, Self::Kdf2, Self::Kdf1Sp800108];
}

/// TPMI_ALG_KDF (Part 2, 9.32).
impl Unmarshal<'_> for Kdf {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let raw = reader.read::<u16>()?;
        Self::ALL.iter().copied().find(|kdf| *kdf as u16 == raw).ok_or(Rc::KDF)
    }
}

/// TPMT_KDF_SCHEME+ (Part 2, 11.2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KdfScheme(pub(crate) Option<(Kdf, HashAlg)>);

impl Unmarshal<'_> for KdfScheme {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let kdf = super::optional::<Kdf>(reader)?;
        Ok(Self(match kdf {
            None => None,
            Some(kdf) => Some((kdf, reader.read()?)),
        }))
    }
}

impl Marshal for KdfScheme {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        match self.0 {
            None => ALG_NULL.marshal(sink),
            Some((kdf, hash)) => {
                (kdf as u16).marshal(sink);
                hash.marshal(sink);
            }
        }
    }
}

/// TPMT_KEYEDHASH_SCHEME+ (Part 2, 11.1.23).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyedHashScheme {
    Null,
    Hmac(HashAlg),
    /// The KDF that derives from such a key; `None` is TPM_ALG_NULL.
    Xor(HashAlg, Option<Kdf>),
}

impl Unmarshal<'_> for KeyedHashScheme {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let raw = reader.read::<u16>()?;
        if raw == ALG_NULL {
            return Ok(Self::Null);
        }
        let id = SchemeId::from_id(raw)
            .filter(|id| reader.profile.schemes.contains(id))
            .ok_or(Rc::VALUE)?;
        match id {
            SchemeId::Hmac => Ok(Self::Hmac(reader.read()?)),
            SchemeId::Xor => Ok(Self::Xor(reader.read()?, super::optional(reader)?)),
            _ => Err(Rc::VALUE),
        }
    }
}

impl Marshal for KeyedHashScheme {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        match *self {
            Self::Null => ALG_NULL.marshal(sink),
            Self::Hmac(hash) => {
                SchemeId::Hmac.id().marshal(sink);
                hash.marshal(sink);
            }
            Self::Xor(hash, kdf) => {
                SchemeId::Xor.id().marshal(sink);
                hash.marshal(sink);
                kdf.map_or(ALG_NULL, |kdf| kdf as u16).marshal(sink);
            }
        }
    }
}
