//! Symmetric definitions (Part 2, 11.1).

use super::ALG_NULL;
use crate::alg::{BlockCipher, CipherMode, HashAlg};
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

/// A block cipher with a key size and, unless any may be chosen at use, a mode: TPMT_SYM_DEF_OBJECT without NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CipherDef {
    pub(crate) cipher: BlockCipher,
    /// 128, 192 or 256 for AES.
    pub(crate) key_bits: u16,
    /// `None` is TPM_ALG_NULL.
    pub(crate) mode: Option<CipherMode>,
}

impl CipherDef {
    /// Size of the key in bytes.
    pub(crate) const fn key_size(self) -> usize {
        self.key_bits as usize / 8
    }

    /// Reads key size and mode, when the cipher has been read.
    fn read_details(reader: &mut Reader<'_>, cipher: BlockCipher) -> RcResult<Self> {
        let key_bits = reader.read()?;
        match reader.profile.cipher_key(cipher, key_bits) {
            None => return Err(Rc::SYMMETRIC),
            // TPMI_AES_KEY_BITS and its like answer TPM_RC_VALUE.
            Some(false) => return Err(Rc::VALUE),
            Some(true) => {}
        }
        Ok(Self {
            cipher,
            key_bits,
            mode: super::optional(reader)?,
        })
    }

    fn marshal_details<S: Sink>(self, sink: &mut S) {
        self.cipher.id().marshal(sink);
        self.key_bits.marshal(sink);
        self.mode.map_or(ALG_NULL, CipherMode::id).marshal(sink);
    }
}

/// TPMI_ALG_CIPHER_MODE: TPM_RC_MODE for what this TPM does not have.
impl Unmarshal<'_> for CipherMode {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let mode = Self::from_id(reader.read()?).ok_or(Rc::MODE)?;
        if reader.profile.modes.contains(&mode) {
            Ok(mode)
        } else {
            Err(Rc::MODE)
        }
    }
}

fn known_cipher(reader: &Reader<'_>, raw: u16) -> RcResult<BlockCipher> {
    BlockCipher::from_id(raw)
        .filter(|cipher| reader.profile.ciphers.iter().any(|(known, _)| known == cipher))
        .ok_or(Rc::SYMMETRIC)
}

/// TPMT_SYM_DEF_OBJECT+ (Part 2, 11.1.7): `None` is TPM_ALG_NULL.
impl Unmarshal<'_> for Option<CipherDef> {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        match reader.read::<u16>()? {
            ALG_NULL => Ok(None),
            raw => {
                let cipher = known_cipher(reader, raw)?;
                CipherDef::read_details(reader, cipher).map(Some)
            }
        }
    }
}

impl Marshal for Option<CipherDef> {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        match self {
            None => ALG_NULL.marshal(sink),
            Some(def) => def.marshal_details(sink),
        }
    }
}

/// TPMT_SYM_DEF_OBJECT (Part 2, 11.1.7), where TPM_ALG_NULL may not stand.
impl Unmarshal<'_> for CipherDef {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        Option::<Self>::unmarshal(reader)?.ok_or(Rc::SYMMETRIC)
    }
}

impl Marshal for CipherDef {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.marshal_details(sink);
    }
}

/// TPMT_SYM_DEF+ (Part 2, 11.1.6): how a session encrypts parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SymDef {
    /// The session cannot encrypt.
    Null,
    /// XOR obfuscation with a mask made by KDFa of this hash.
    Xor(HashAlg),
    /// A block cipher; the mode is CFB for parameter encryption.
    Cipher(CipherDef),
}

impl Unmarshal<'_> for SymDef {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        const XOR: u16 = super::scheme::SchemeId::Xor.id();
        match reader.read::<u16>()? {
            ALG_NULL => Ok(Self::Null),
            XOR => reader.read().map(Self::Xor),
            raw => {
                let cipher = known_cipher(reader, raw)?;
                CipherDef::read_details(reader, cipher).map(Self::Cipher)
            }
        }
    }
}

impl Marshal for SymDef {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Null => ALG_NULL.marshal(sink),
            Self::Xor(hash) => {
                super::scheme::SchemeId::Xor.id().marshal(sink);
                hash.marshal(sink);
            }
            Self::Cipher(def) => def.marshal_details(sink),
        }
    }
}
