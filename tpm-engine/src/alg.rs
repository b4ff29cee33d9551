//! Algorithm identifiers (Part 2, 6.3 and 6.4; TCG Algorithm Registry) as closed sets by use.
//!
//! Each enum is the set of algorithms that can stand in one kind of place; which of them a given TPM accepts is
//! decided by its profile.

macro_rules! identifiers {
    ($(#[$meta:meta])* $vis:vis enum $name:ident : $repr:ident { $($(#[$vmeta:meta])* $variant:ident = $value:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr($repr)]
        $vis enum $name { $($(#[$vmeta])* $variant = $value),* }

        impl $name {
            /// Every member, in ascending order of its identifier.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The identifier as it is marshalled.
            #[must_use]
            pub const fn id(self) -> $repr {
                self as $repr
            }

            /// The member with this identifier.
            #[must_use]
            pub const fn from_id(id: $repr) -> Option<Self> {
                match id {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

identifiers! {
    /// Hash algorithms (TPMI_ALG_HASH).
    pub enum HashAlg: u16 {
        /// TPM_ALG_SHA1.
        Sha1 = 0x0004,
        /// TPM_ALG_SHA256.
        Sha256 = 0x000B,
        /// TPM_ALG_SHA384.
        Sha384 = 0x000C,
        /// TPM_ALG_SHA512.
        Sha512 = 0x000D,
        /// TPM_ALG_SM3_256.
        Sm3 = 0x0012,
        /// TPM_ALG_SHA3_256.
        Sha3_256 = 0x0027,
        /// TPM_ALG_SHA3_384.
        Sha3_384 = 0x0028,
        /// TPM_ALG_SHA3_512.
        Sha3_512 = 0x0029,
    }
}

impl HashAlg {
    /// Size of a digest in bytes.
    #[must_use]
    pub const fn digest_size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 | Self::Sm3 | Self::Sha3_256 => 32,
            Self::Sha384 | Self::Sha3_384 => 48,
            Self::Sha512 | Self::Sha3_512 => 64,
        }
    }

    /// Size of the block that the algorithm works on, in bytes: the size of an HMAC key that is used as it is.
    #[must_use]
    pub const fn block_size(self) -> usize {
        match self {
            Self::Sha1 | Self::Sha256 | Self::Sm3 => 64,
            Self::Sha384 | Self::Sha512 => 128,
            Self::Sha3_256 => 136,
            Self::Sha3_384 => 104,
            Self::Sha3_512 => 72,
        }
    }
}

identifiers! {
    /// Block ciphers (TPMI_ALG_SYM_OBJECT).
    pub enum BlockCipher: u16 {
        /// TPM_ALG_TDES.
        Tdes = 0x0003,
        /// TPM_ALG_AES.
        Aes = 0x0006,
        /// TPM_ALG_SM4.
        Sm4 = 0x0013,
        /// TPM_ALG_CAMELLIA.
        Camellia = 0x0026,
    }
}

impl BlockCipher {
    /// Size of a block in bytes: also of an initialization vector.
    #[must_use]
    pub const fn block_size(self) -> usize {
        match self {
            Self::Tdes => 8,
            Self::Aes | Self::Sm4 | Self::Camellia => 16,
        }
    }
}

identifiers! {
    /// Modes of a block cipher (TPMI_ALG_CIPHER_MODE).
    pub enum CipherMode: u16 {
        /// TPM_ALG_CMAC: not a mode of encryption, but what a symmetric key may be for in place of one.
        Cmac = 0x003F,
        /// TPM_ALG_CTR.
        Ctr = 0x0040,
        /// TPM_ALG_OFB.
        Ofb = 0x0041,
        /// TPM_ALG_CBC.
        Cbc = 0x0042,
        /// TPM_ALG_CFB.
        Cfb = 0x0043,
        /// TPM_ALG_ECB.
        Ecb = 0x0044,
    }
}

identifiers! {
    /// Elliptic curves (TPM_ECC_CURVE).
    pub enum Curve: u16 {
        /// TPM_ECC_NIST_P192.
        P192 = 0x0001,
        /// TPM_ECC_NIST_P224.
        P224 = 0x0002,
        /// TPM_ECC_NIST_P256.
        P256 = 0x0003,
        /// TPM_ECC_NIST_P384.
        P384 = 0x0004,
        /// TPM_ECC_NIST_P521.
        P521 = 0x0005,
        /// TPM_ECC_BN_P256.
        BnP256 = 0x0010,
        /// TPM_ECC_BN_P638.
        BnP638 = 0x0011,
        /// TPM_ECC_SM2_P256.
        Sm2P256 = 0x0020,
    }
}

impl Curve {
    /// Bits of the curve's field and order; the sizes agree for every curve listed.
    #[must_use]
    pub const fn bits(self) -> u16 {
        match self {
            Self::P192 => 192,
            Self::P224 => 224,
            Self::P256 | Self::BnP256 | Self::Sm2P256 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
            Self::BnP638 => 638,
        }
    }

    /// Size in bytes of a coordinate or scalar.
    #[must_use]
    pub const fn size(self) -> usize {
        self.bits().div_ceil(8) as usize
    }
}
