//! Profiles: which algorithms, sizes and curves a TPM has.
//!
//! A profile is fixed when a TPM is manufactured and its name is stored with the state, so that a newer program never
//! changes a TPM under its guest. A profile that was ever released is never edited; a new one gets a new name.

use crate::alg::{BlockCipher, CipherMode, Curve, HashAlg};
use crate::types::scheme::SchemeId;

/// What one TPM implements.
#[derive(Debug)]
pub(crate) struct Profile {
    /// The name under which it is stored and chosen.
    pub(crate) name: &'static str,
    pub(crate) hashes: &'static [HashAlg],
    pub(crate) curves: &'static [Curve],
    /// Sizes of RSA moduli in bits.
    pub(crate) rsa_bits: &'static [u16],
    /// Block ciphers with their key sizes in bits.
    pub(crate) ciphers: &'static [(BlockCipher, &'static [u16])],
    pub(crate) modes: &'static [CipherMode],
    pub(crate) schemes: &'static [SchemeId],
    /// Codes of commands that this TPM does not have though the program does.
    pub(crate) commands_off: &'static [u32],
    /// The hashes of which there can be a PCR bank.
    pub(crate) bank_hashes: &'static [HashAlg],
    /// The PCR banks that are allocated when the TPM is manufactured.
    pub(crate) pcr_banks: &'static [HashAlg],
}

/// The profile of a TPM for which nothing else was asked.
pub(crate) static DEFAULT: Profile = Profile {
    name: "default-v1",
    hashes: &[HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512],
    curves: &[Curve::P256, Curve::P384],
    rsa_bits: &[2048, 3072],
    ciphers: &[(BlockCipher::Aes, &[128, 192, 256])],
    modes: &[CipherMode::Cfb],
    schemes: &[
        SchemeId::Hmac,
        SchemeId::Xor,
        SchemeId::Rsassa,
        SchemeId::Rsaes,
        SchemeId::Rsapss,
        SchemeId::Oaep,
        SchemeId::Ecdsa,
        SchemeId::Ecdh,
    ],
    commands_off: &[],
    bank_hashes: &[HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512],
    pcr_banks: &[HashAlg::Sha256, HashAlg::Sha384],
};

impl Profile {
    /// The profile of this name, as stored with a TPM's state.
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        [&DEFAULT].into_iter().find(|profile| profile.name == name)
    }

    /// Whether the cipher exists with keys of this many bits; `None` when the cipher does not exist at all.
    pub(crate) fn cipher_key(&self, cipher: BlockCipher, bits: u16) -> Option<bool> {
        self.ciphers
            .iter()
            .find(|(known, _)| *known == cipher)
            .map(|(_, sizes)| sizes.contains(&bits))
    }
}
