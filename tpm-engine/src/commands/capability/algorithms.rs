//! The algorithms of a TPM and what they are (Part 2, 6.3 and 8.2).

use crate::alg::{BlockCipher, CipherMode, HashAlg};
use crate::commands::asymmetric::ecc_encrypt::EccEncrypt;
use crate::commands::{Command as _, find};
use crate::profile::Profile;
use crate::types::public::ObjectType;
use crate::types::scheme::{Kdf, SchemeId};

crate::marshal::structure! {
    /// TPMS_ALG_PROPERTY (Part 2, 10.8.1).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct AlgorithmProperty {
        pub(crate) alg: u16,
        pub(crate) attributes: u32,
    }
}

/// TPMA_ALGORITHM (Part 2, 8.2).
mod attribute {
    pub(super) const ASYMMETRIC: u32 = 1;
    pub(super) const SYMMETRIC: u32 = 1 << 1;
    pub(super) const HASH: u32 = 1 << 2;
    pub(super) const OBJECT: u32 = 1 << 3;
    pub(super) const SIGNING: u32 = 1 << 8;
    pub(super) const ENCRYPTING: u32 = 1 << 9;
    pub(super) const METHOD: u32 = 1 << 10;
}

use attribute::{ASYMMETRIC, ENCRYPTING, HASH, METHOD, OBJECT, SIGNING, SYMMETRIC};

/// Greater than the identifier of any algorithm.
const END: usize = 0x60;

/// All algorithms that the profile has, in ascending order of their identifiers.
pub(crate) fn list(profile: &Profile) -> impl Iterator<Item = AlgorithmProperty> + Clone {
    let rsa = !profile.rsa_bits.is_empty();
    let ecc = !profile.curves.is_empty();
    let ciphers = !profile.ciphers.is_empty();
    let kdfs = [
        (Kdf::Mgf1, rsa),
        (Kdf::Kdf1Sp80056a, ecc),
        (Kdf::Kdf2, ecc && find(profile, EccEncrypt::INFO.code).is_ok()),
        (Kdf::Kdf1Sp800108, true),
    ];
    let types = [
        (ObjectType::Rsa, ASYMMETRIC | OBJECT, rsa),
        (ObjectType::KeyedHash, HASH | OBJECT | SIGNING | ENCRYPTING, true),
        (ObjectType::Ecc, ASYMMETRIC | OBJECT, ecc),
        (ObjectType::SymCipher, OBJECT, ciphers),
    ];
    let hashes = profile.hashes.iter().map(|alg| (HashAlg::id(*alg), HASH));
    let block_ciphers = profile
        .ciphers
        .iter()
        .map(|(cipher, _)| (BlockCipher::id(*cipher), SYMMETRIC));
    let modes = profile.modes.iter().map(|mode| (CipherMode::id(*mode), of_mode(*mode)));
    let schemes = profile.schemes.iter().map(|scheme| (scheme.id(), of_scheme(*scheme)));
    let kdfs = kdfs
        .iter()
        .filter(|(_, there)| *there)
        .map(|(kdf, _)| (*kdf as u16, HASH | METHOD));
    let types = types
        .iter()
        .filter(|(.., there)| *there)
        .map(|(object, attributes, _)| (*object as u16, *attributes));
    // Each at the place of its identifier, which takes less time than to sort them.
    let mut all = [0; END];
    hashes
        .chain(block_ciphers)
        .chain(modes)
        .chain(schemes)
        .chain(kdfs)
        .chain(types)
        .for_each(|(alg, attributes)| {
            if let Some(place) = all.get_mut(usize::from(alg)) {
                *place = attributes;
            }
        });
    (0..)
        .zip(all)
        .filter(|(_, attributes)| *attributes != 0)
        .map(|(alg, attributes)| AlgorithmProperty { alg, attributes })
}

const fn of_mode(mode: CipherMode) -> u32 {
    match mode {
        CipherMode::Cmac => SYMMETRIC | SIGNING,
        CipherMode::Ctr | CipherMode::Ofb | CipherMode::Cbc | CipherMode::Cfb | CipherMode::Ecb => {
            SYMMETRIC | ENCRYPTING
        }
    }
}

const fn of_scheme(scheme: SchemeId) -> u32 {
    match scheme {
        SchemeId::Hmac => HASH | SIGNING,
        SchemeId::Xor => HASH | SYMMETRIC,
        SchemeId::Rsassa | SchemeId::Rsapss | SchemeId::Ecdsa | SchemeId::Ecdaa | SchemeId::EcSchnorr => {
            ASYMMETRIC | SIGNING
        }
        SchemeId::Rsaes | SchemeId::Oaep => ASYMMETRIC | ENCRYPTING,
        SchemeId::Ecdh | SchemeId::Ecmqv => ASYMMETRIC | METHOD,
        SchemeId::Sm2 => ASYMMETRIC | SIGNING | METHOD,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libtpms 0.9 reports for each algorithm that it has: a second source for the table.
    const LIBTPMS: &[(u16, u32)] = &[
        (0x0001, 0x009),
        (0x0003, 0x002),
        (0x0004, 0x004),
        (0x0005, 0x104),
        (0x0006, 0x002),
        (0x0007, 0x404),
        (0x0008, 0x30C),
        (0x000A, 0x006),
        (0x000B, 0x004),
        (0x000C, 0x004),
        (0x000D, 0x004),
        (0x0014, 0x101),
        (0x0015, 0x201),
        (0x0016, 0x101),
        (0x0017, 0x201),
        (0x0018, 0x101),
        (0x0019, 0x401),
        (0x001A, 0x101),
        (0x001B, 0x501),
        (0x001C, 0x101),
        (0x001D, 0x401),
        (0x0020, 0x404),
        (0x0021, 0x404),
        (0x0022, 0x404),
        (0x0023, 0x009),
        (0x0025, 0x008),
        (0x0026, 0x002),
        (0x003F, 0x102),
        (0x0040, 0x202),
        (0x0041, 0x202),
        (0x0042, 0x202),
        (0x0043, 0x202),
        (0x0044, 0x202),
    ];

    #[test]
    fn attributes_agree_with_another_implementation() {
        for AlgorithmProperty { alg, attributes } in list(crate::profile::ProfileName::Compat.newest()) {
            match LIBTPMS.iter().find(|(known, _)| *known == alg) {
                Some((_, expected)) => assert_eq!(attributes, *expected, "{alg:#06x}"),
                None => assert!(
                    [HASH, SYMMETRIC].contains(&attributes),
                    "{alg:#06x} is a newer hash or cipher"
                ),
            }
        }
    }

    #[test]
    fn there_is_a_place_for_every_algorithm() {
        for name in crate::profile::ProfileName::ALL {
            let profile = name.newest();
            let listed: Vec<u16> = list(profile).map(|property| property.alg).collect();
            assert!(listed.is_sorted(), "{name:?}");
            let hashes = profile.hashes.iter().map(|alg| HashAlg::id(*alg));
            let ciphers = profile.ciphers.iter().map(|(cipher, _)| BlockCipher::id(*cipher));
            let modes = profile.modes.iter().map(|mode| CipherMode::id(*mode));
            let schemes = profile.schemes.iter().map(|scheme| scheme.id());
            for alg in hashes.chain(ciphers).chain(modes).chain(schemes) {
                assert!(listed.contains(&alg), "{name:?} {alg:#06x}");
            }
        }
    }
}
