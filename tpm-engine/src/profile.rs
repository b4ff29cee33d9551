//! Profiles: which algorithms, sizes and curves a TPM has.
//!
//! A profile is fixed when a TPM is manufactured and its name is stored with the state, so that a newer program never
//! changes a TPM under its guest. A profile that was ever released is never edited; a new one gets a new name.

use crate::alg::{BlockCipher, CipherMode, Curve, HashAlg};
use crate::types::scheme::SchemeId;

/// Which TPM to make: the newest profile of each name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProfileName {
    /// What today's guests use, without what is known to be weak.
    #[default]
    Default,
    /// All that libtpms has in its own default, the weak included: for guests that cannot do without.
    Compat,
    /// Algorithms and key sizes that FIPS 140-3 approves of, and no others.
    Fips,
}

/// A name that is no profile's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no profile {0:?}: the profiles are {names}", names = ProfileName::ALL.map(ProfileName::as_str).join(", "))]
pub struct UnknownProfile(pub String);

impl ProfileName {
    /// All profiles.
    pub const ALL: [Self; 3] = [Self::Default, Self::Compat, Self::Fips];

    /// The name by which it is chosen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Compat => "compat",
            Self::Fips => "fips",
        }
    }

    /// The name of the profile that a TPM says it was made under ([`crate::Tpm::profile_name`]), whatever its edition.
    #[must_use]
    pub fn of_edition(edition: &str) -> Option<Self> {
        edition.rsplit_once("-v")?.0.parse().ok()
    }

    /// What a new TPM of this profile has.
    pub(crate) const fn newest(self) -> &'static Profile {
        match self {
            Self::Default => &DEFAULT,
            Self::Compat => &COMPAT,
            Self::Fips => &FIPS,
        }
    }
}

impl std::fmt::Display for ProfileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ProfileName {
    type Err = UnknownProfile;

    fn from_str(name: &str) -> Result<Self, UnknownProfile> {
        let known = Self::ALL.into_iter().find(|profile| profile.as_str() == name);
        known.ok_or_else(|| UnknownProfile(name.to_owned()))
    }
}

/// What one TPM implements.
#[derive(Debug)]
pub(crate) struct Profile {
    /// The name under which it is stored, with the number of its edition.
    pub(crate) name: &'static str,
    pub(crate) hashes: &'static [HashAlg],
    /// The hashes that may be signed: those of signatures that the TPM makes.
    pub(crate) signature_hashes: &'static [HashAlg],
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

/// SHA-1 and SHA-2 as libtpms has them.
const SHA: &[HashAlg] = &[HashAlg::Sha1, HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512];
/// SHA-2, of which a bank can be.
const SHA2: &[HashAlg] = &[HashAlg::Sha256, HashAlg::Sha384, HashAlg::Sha512];
/// Every hash.
const HASHES: &[HashAlg] = &[
    HashAlg::Sha1,
    HashAlg::Sha256,
    HashAlg::Sha384,
    HashAlg::Sha512,
    HashAlg::Sm3,
    HashAlg::Sha3_256,
    HashAlg::Sha3_384,
    HashAlg::Sha3_512,
];
/// What may still be signed (SP 800-131A Rev. 2, 9).
const STRONG_HASHES: &[HashAlg] = &[
    HashAlg::Sha256,
    HashAlg::Sha384,
    HashAlg::Sha512,
    HashAlg::Sm3,
    HashAlg::Sha3_256,
    HashAlg::Sha3_384,
    HashAlg::Sha3_512,
];
const APPROVED_HASHES: &[HashAlg] = &[
    HashAlg::Sha256,
    HashAlg::Sha384,
    HashAlg::Sha512,
    HashAlg::Sha3_256,
    HashAlg::Sha3_384,
    HashAlg::Sha3_512,
];
/// Every mode of operation.
const MODES: &[CipherMode] = &[
    CipherMode::Cmac,
    CipherMode::Ctr,
    CipherMode::Ofb,
    CipherMode::Cbc,
    CipherMode::Cfb,
    CipherMode::Ecb,
];
/// The PCR banks that measured boot uses.
const BANKS: &[HashAlg] = &[HashAlg::Sha256, HashAlg::Sha384];
const AES: &[u16] = &[128, 192, 256];

static DEFAULT: Profile = Profile {
    name: "default-v1",
    // SHA-1 is there for what is no signature: PCR banks that can be allocated, Names and sessions of old software.
    hashes: HASHES,
    signature_hashes: STRONG_HASHES,
    curves: &[
        Curve::P224,
        Curve::P256,
        Curve::P384,
        Curve::P521,
        Curve::BnP256,
        Curve::BnP638,
        Curve::Sm2P256,
    ],
    rsa_bits: &[2048, 3072, 4096],
    ciphers: &[
        (BlockCipher::Aes, AES),
        (BlockCipher::Sm4, &[128]),
        (BlockCipher::Camellia, &[128, 192, 256]),
    ],
    modes: MODES,
    schemes: &[
        SchemeId::Hmac,
        SchemeId::Xor,
        SchemeId::Rsassa,
        SchemeId::Rsaes,
        SchemeId::Rsapss,
        SchemeId::Oaep,
        SchemeId::Ecdsa,
        SchemeId::Ecdh,
        SchemeId::Ecdaa,
        SchemeId::Sm2,
        SchemeId::EcSchnorr,
        SchemeId::Ecmqv,
    ],
    commands_off: &[],
    bank_hashes: SHA,
    pcr_banks: BANKS,
};

static COMPAT: Profile = Profile {
    name: "compat-v1",
    hashes: HASHES,
    signature_hashes: HASHES,
    curves: &[
        Curve::P192,
        Curve::P224,
        Curve::P256,
        Curve::P384,
        Curve::P521,
        Curve::BnP256,
        Curve::BnP638,
        Curve::Sm2P256,
    ],
    rsa_bits: &[1024, 2048, 3072, 4096],
    ciphers: &[
        (BlockCipher::Tdes, &[128, 192]),
        (BlockCipher::Aes, AES),
        (BlockCipher::Sm4, &[128]),
        (BlockCipher::Camellia, &[128, 192, 256]),
    ],
    modes: MODES,
    schemes: &[
        SchemeId::Hmac,
        SchemeId::Xor,
        SchemeId::Rsassa,
        SchemeId::Rsaes,
        SchemeId::Rsapss,
        SchemeId::Oaep,
        SchemeId::Ecdsa,
        SchemeId::Ecdh,
        SchemeId::Ecdaa,
        SchemeId::Sm2,
        SchemeId::EcSchnorr,
        SchemeId::Ecmqv,
    ],
    commands_off: &[],
    bank_hashes: SHA,
    pcr_banks: SHA,
};

static FIPS: Profile = Profile {
    name: "fips-v1",
    hashes: APPROVED_HASHES,
    signature_hashes: APPROVED_HASHES,
    curves: &[Curve::P224, Curve::P256, Curve::P384, Curve::P521],
    rsa_bits: &[2048, 3072, 4096],
    ciphers: &[(BlockCipher::Aes, AES)],
    modes: MODES,
    // Not XOR obfuscation, and not encryption with PKCS #1 padding (SP 800-131A Rev. 2, 6).
    schemes: &[
        SchemeId::Hmac,
        SchemeId::Rsassa,
        SchemeId::Rsapss,
        SchemeId::Oaep,
        SchemeId::Ecdsa,
        SchemeId::Ecdh,
    ],
    // TPM2_ECC_Encrypt and TPM2_ECC_Decrypt: a mask that XORs is not an approved way to encrypt.
    commands_off: &[0x199, 0x19A],
    bank_hashes: SHA2,
    pcr_banks: BANKS,
};

impl Profile {
    /// Every profile that a stored TPM can have.
    const ALL: [&'static Self; 3] = [&DEFAULT, &COMPAT, &FIPS];

    /// The profile of this name, as stored with a TPM's state.
    pub(crate) fn by_name(name: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// Whether the cipher exists with keys of this many bits; `None` when the cipher does not exist at all.
    pub(crate) fn cipher_key(&self, cipher: BlockCipher, bits: u16) -> Option<bool> {
        self.ciphers
            .iter()
            .find(|(known, _)| *known == cipher)
            .map(|(_, sizes)| sizes.contains(&bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hash::hash;
    use crate::testing::{Bench, hex};

    /// A TPM keeps the profile of its manufacture. What is pinned here was released: an edited table would change TPMs
    /// under their guests, whose keys and policies count on what they were made with. Do not edit a profile, and do
    /// not correct the digest: add a new edition (`default-v2`) beside the old one, and let `newest` name it.
    #[test]
    fn a_released_profile_is_never_edited() {
        let released = [
            ("default-v1", "a6c9ef1a09b3be2e"),
            ("compat-v1", "cd457104ed12670e"),
            ("fips-v1", "59b67484c49b10bc"),
        ];
        for (name, pinned) in released {
            let profile = Profile::by_name(name).expect("a released profile is never removed");
            let table = format!("{profile:?}");
            let digest: String = hash(HashAlg::Sha256, &[table.as_bytes()])[..8]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            assert_eq!(digest, pinned, "{name} was edited: read what stands above this test");
        }
        assert_eq!(Profile::ALL.len(), released.len());
    }

    #[test]
    fn lists_are_in_the_order_in_which_they_are_reported() {
        for profile in Profile::ALL {
            assert!(profile.hashes.is_sorted() && profile.curves.is_sorted() && profile.schemes.is_sorted());
            assert!(profile.ciphers.is_sorted() && profile.bank_hashes.is_sorted());
            assert!(profile.modes.is_sorted() && profile.rsa_bits.is_sorted());
            assert!(profile.pcr_banks.iter().all(|bank| profile.bank_hashes.contains(bank)));
            assert!(profile.bank_hashes.iter().all(|bank| profile.hashes.contains(bank)));
            assert!(profile.signature_hashes.iter().all(|alg| profile.hashes.contains(alg)));
        }
    }

    #[test]
    fn profiles_are_chosen_by_name() {
        for profile in ProfileName::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
            assert!(profile.newest().name.starts_with(profile.as_str()));
        }
        let unknown = "libtpms".parse::<ProfileName>().unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "there is no profile \"libtpms\": the profiles are default, compat, fips"
        );
    }

    #[test]
    fn the_profile_of_the_manufacture_is_kept() {
        for profile in ProfileName::ALL {
            let tpm = Bench::made(profile);
            assert_eq!(tpm.tpm.profile_name(), profile.newest().name);
            assert_eq!(Bench::on(tpm.memory.clone()).tpm.profile_name(), profile.newest().name);
        }
    }

    #[test]
    fn capabilities_and_parameters_follow_the_profile() {
        // RSA of 1024 bits, RSAES, a signature of SHA-1.
        let weak = [
            "8001 00000016 0000018a 0001 0010 0010 0400 00000000",
            "8001 00000016 0000018a 0001 0010 0015 0800 00000000",
            "8001 00000018 0000018a 0001 0010 0014 0004 0800 00000000",
        ];
        for (profile, codes, banks) in [
            (
                ProfileName::Default,
                [0x1C4, 0, 0x1C3],
                "000403000000 000b03ffffff 000c03ffffff 000d03000000",
            ),
            (
                ProfileName::Compat,
                [0, 0, 0],
                "000403ffffff 000b03ffffff 000c03ffffff 000d03ffffff",
            ),
            (
                ProfileName::Fips,
                [0x1C4, 0x1C4, 0x1C3],
                "000b03ffffff 000c03ffffff 000d03000000",
            ),
        ] {
            let mut tpm = Bench::made(profile);
            tpm.run_ok("8001 0000000c 00000144 0000");
            for (command, code) in weak.iter().zip(codes) {
                assert_eq!(tpm.code(command), code, "{profile}: {command}");
            }
            let list = tpm.run_ok("8001 00000016 0000017a 00000005 00000000 00000001");
            assert_eq!(list[9..], hex(banks), "{profile}");
        }
    }
}
