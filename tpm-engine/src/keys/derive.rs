//! Where the bits of a new object come from: the random number generator, a primary seed, or a derivation parent.
//!
//! **Derivation 1** of primary objects ([`PrimarySeed::derivation`]). Everything below is part of it; a change needs a new
//! number, as guests' disks are sealed under these keys.
//!
//! - The stream is an HMAC_DRBG (SHA-256) whose entropy input is the hierarchy's primary seed, whose nonce is
//!   `"Primary Object"` and whose personalization string is the template as a TPM2B_PUBLIC, then the caller's sensitive
//!   data as a TPM2B.
//! - First comes the secret: an RSA key by `crypto::prime` or an ECC scalar by `crypto::ecc::generate`; one request of the
//!   key's size for a symmetric key, or of a digest's for a keyed hash, unless the caller gave the data. A key for TDES is
//!   drawn again while it is weak, and then given odd parity.
//! - Then, for parents and for symmetric objects, one request for the seed or obfuscation value, of the size of a digest
//!   of the Name algorithm. In the endorsement hierarchy the owner's proof is its additional input, so that what was
//!   created under an endorsement key does not outlive TPM2_Clear (Part 1, 14.4).

use std::sync::atomic::AtomicBool;

use zeroize::Zeroizing;

use super::pool::KeyPool;
use crate::alg::{Curve, HashAlg};
use crate::bytes::Bytes;
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::ecc::{self, Point};
use crate::crypto::rsa::RsaPrivate;
use crate::crypto::{CryptoError, kdf};
use crate::handle::Hierarchy;
use crate::marshal::{Marshal, Sized2B, put_sized, structure};
use crate::rc::{Rc, RcResult};
use crate::state::persistent::{CURRENT_DERIVATION, SEED_SIZE};
use crate::tpm::Tpm;
use crate::types::public::Public;

/// Bits that one derived object may draw (Part 1, 28.2: TPM_MAX_DERIVATION_BITS).
const DERIVATION_BITS: u32 = 8192;
const DERIVATION_BYTES: usize = DERIVATION_BITS as usize / 8;

/// Bytes for a new object.
pub(crate) enum Stream<'a> {
    /// The TPM's random number generator, and the key pairs that were made with it beforehand.
    Random {
        rng: &'a mut HmacDrbg,
        pool: &'a mut KeyPool,
    },
    /// A generator that a primary seed and a template determine.
    Primary(HmacDrbg),
    /// The output of KDFa under a derivation parent's secret.
    Derived(KdfStream),
}

impl Stream<'_> {
    /// The generator; TPM_RC_TYPE in a derivation, which has none.
    fn generator(&mut self) -> RcResult<&mut HmacDrbg> {
        match self {
            Self::Random { rng, .. } => Ok(rng),
            Self::Primary(drbg) => Ok(drbg),
            Self::Derived(_) => Err(Rc::TYPE),
        }
    }

    /// The next bytes, with additional input for a generator.
    pub(crate) fn fill(&mut self, additional: &[u8], out: &mut [u8]) -> RcResult<()> {
        match self {
            Self::Derived(kdf) => kdf.fill(out),
            _ => {
                self.generator()?.generate(additional, out);
                Ok(())
            }
        }
    }

    /// An RSA key; TPM_RC_TYPE in a derivation, of which there are none.
    pub(crate) fn rsa_key(&mut self, bits: u16, exponent: u32, cancel: &AtomicBool) -> RcResult<RsaPrivate> {
        if let Self::Random { pool, .. } = self
            && let Some(ready) = pool.take(bits, exponent)
        {
            return Ok(ready);
        }
        RsaPrivate::generate(bits, exponent, self.generator()?, cancel).map_err(|error| match error {
            CryptoError::Cancelled => Rc::CANCELED,
            _ => Rc::RANGE,
        })
    }

    /// A key pair of a curve.
    pub(crate) fn key_pair(&mut self, curve: Curve) -> RcResult<(Zeroizing<ecc::Coordinate>, Point)> {
        match self {
            Self::Derived(kdf) => {
                let mut wide = Zeroizing::new(Bytes::<96>::zeroed(ecc::wide_size(curve)).ok_or(Rc::FAILURE)?);
                kdf.fill(&mut wide)?;
                ecc::from_wide(curve, &wide).ok_or(Rc::NO_RESULT)
            }
            _ => Ok(ecc::generate(curve, self.generator()?)),
        }
    }
}

/// The bytes that KDFa gives for a derivation (Part 1, 28.2), in order.
pub(crate) struct KdfStream {
    bytes: Zeroizing<[u8; DERIVATION_BYTES]>,
    used: usize,
}

impl KdfStream {
    pub(crate) fn new(hash: HashAlg, secret: &[u8], derive: &Derive) -> Self {
        let mut bytes = Zeroizing::new([0; DERIVATION_BYTES]);
        // KDFa adds the octet that ends a label; one that is there already is not doubled.
        let label = derive.label.strip_suffix(&[0]).unwrap_or(&derive.label);
        kdf::kdfa(hash, secret, label, &derive.context, &[], DERIVATION_BITS, &mut *bytes);
        Self { bytes, used: 0 }
    }

    fn fill(&mut self, out: &mut [u8]) -> RcResult<()> {
        let end = self.used.saturating_add(out.len());
        let next = self.bytes.get(self.used..end).ok_or(Rc::NO_RESULT)?;
        out.copy_from_slice(next);
        self.used = end;
        Ok(())
    }
}

structure! {
    /// TPMS_DERIVE (Part 2, 11.1.11): what tells derived objects apart.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub(crate) struct Derive {
        pub(crate) label: Bytes<32>,
        pub(crate) context: Bytes<32>,
    }
}

impl Tpm {
    /// The generator of a primary object's bytes.
    pub(crate) fn primary_stream(&self, hierarchy: Hierarchy, template: &Public, data: &[u8]) -> RcResult<HmacDrbg> {
        let (derivation, seed) = match self.nv.hierarchies.get(hierarchy) {
            Some(record) => (record.seed.derivation, &record.seed.seed),
            // The null seed never outlives the program that made it.
            None => (CURRENT_DERIVATION, &self.reset.null_seed),
        };
        match derivation {
            1 => Ok(derivation_1(seed, template, data)),
            _ => Err(Rc::FAILURE),
        }
    }

    /// The additional input of the request for a primary object's seed.
    pub(crate) fn seed_binding(&self, hierarchy: Hierarchy) -> Zeroizing<Bytes<SEED_SIZE>> {
        Zeroizing::new(match hierarchy {
            Hierarchy::Endorsement => self.proof(Hierarchy::Owner).clone(),
            _ => Bytes::EMPTY,
        })
    }
}

fn derivation_1(seed: &[u8], template: &Public, data: &[u8]) -> HmacDrbg {
    HmacDrbg::new(seed, b"Primary Object", &personalization(template, data))
}

/// What tells the primary objects of a seed apart: the template and the caller's sensitive data.
pub(crate) fn personalization(template: &Public, data: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut personalization = Sized2B(template.clone()).to_vec();
    put_sized(&mut *personalization, data);
    personalization
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::creation::create;
    use crate::marshal::{Reader, Unmarshal};
    use crate::profile::ProfileName;
    use crate::testing::keys::{Template, attr, sha256};
    use crate::types::sensitive::SensitiveCreate;

    const SEALED_UNDER: &str =
        "derivation 1 has changed: guests' disks are sealed under keys that could not be made again";

    fn public(bytes: &[u8]) -> Public {
        Public::unmarshal(&mut Reader::new(bytes, ProfileName::Compat.newest())).unwrap()
    }

    /// The Name of the object that a seed of 0, 1, 2 … and the template give, and the SHA-256 of its sensitive area.
    fn derived(template: &Template, data: &[u8], binding: &[u8]) -> (String, String) {
        let seed: Vec<u8> = (0..64).collect();
        let template = public(&template.bytes());
        let stream = Stream::Primary(derivation_1(&seed, &template, data));
        let sensitive = SensitiveCreate {
            user_auth: Zeroizing::default(),
            data: Zeroizing::new(Bytes::truncated(data)),
        };
        let created = create(template, &sensitive, stream, binding, &AtomicBool::new(false)).unwrap();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        (
            hex(&created.public.name()),
            hex(&sha256(&[&created.sensitive.to_vec()])),
        )
    }

    #[test]
    fn golden_storage_root_keys() {
        let storage = attr::OWN | attr::STORAGE;
        let rsa = Template::rsa(storage).with_unique(&[&[1, 0][..], &[0; 256]].concat());
        let p256 = Template::ecc(storage).with_unique(&[&[0, 32][..], &[0; 32], &[0, 32], &[0; 32]].concat());
        let p384 = Template {
            name_alg: 0x000C,
            ..Template::ecc(storage).with_parms("0006 0100 0043  0010  0004  0010")
        };
        let aes = Template::aes(storage);
        for (template, name, sensitive) in [
            (
                rsa,
                "000ba2d62a4b2119f929fd0702664575696200757e8badd1f66286cd9695cdb33c19",
                "576ac9f3ab7992ceadd896173070031ed8f194907ac2aba7c5f83be951aab907",
            ),
            (
                p256,
                "000b18dac3c74c200971ad1ab7ae34662b11f13ce3ae1679f280ffea33865a8c952c",
                "8b5ece9ddac03d17a3754ee4698be45c4bbf0ace1b52df0f13b1a6efce8578c5",
            ),
            (
                p384,
                "000ccbdef52a92141e91a7ea23569440ab8d9ba26c11ee572da4598c94003448eb791479901dec4c296adc811b4bc97aea8c",
                "41976ce59271d7be9ed30ddd848ecd353e78149d48c68f87d93203403e28df47",
            ),
            (
                aes,
                "000b81970c60c2631db14ffd6080b278e94da1baa63d2311490204f21e94416e68fa",
                "7c761168b5dc1b145c4491ca7f537f6db06333c6f01042eeeb02123953c66af2",
            ),
        ] {
            let (found_name, found_sensitive) = derived(&template, b"", b"");
            assert_eq!((&*found_name, &*found_sensitive), (name, sensitive), "{SEALED_UNDER}");
        }
    }

    #[test]
    fn golden_keys_for_other_uses() {
        let hmac = Template::keyed_hash(attr::OWN | attr::SIGN).with_parms("0005 000b");
        let sealed = Template::keyed_hash(attr::OWN & !attr::ORIGIN);
        let cipher = Template::aes(attr::OWN | attr::SIGN | attr::DECRYPT);
        for (template, data, name, sensitive) in [
            (
                Template::attestation_key(),
                &b""[..],
                "000bd1dc4edf2c1ef0eed004c07429411971754ce9a34d79920c7b66c43c6e96af85",
                "4b4f4d912ab405c7737db5cdb37655226ca8d552363f130512a794ec29a56265",
            ),
            (
                hmac,
                b"",
                "000b5a22b255febdd9b98ce52f9f53e903dbf723b368849a2ff7c2ed6c87f882f451",
                "f2ec811459c1f283ae8e2574368307bc2c0c00e2fde35c7c29eb1471ecbc6b33",
            ),
            (
                sealed,
                b"data",
                "000b923d3b07a3702b08e74d6c6ecca6f7d47ad4f00db23f390b35b4db6ab7de5e63",
                "160a3cf676ea1202e7e21aefed8612947afb08153250cf0296113f557ce61f7c",
            ),
            (
                cipher,
                b"",
                "000b75f4c62d8632d3fdaa11dc498d7750436b3f95ecb1b544ad7e53cacde9436d05",
                "cedd49ba6236a68f7b3c3bc93b2babf407e980567b381261a70e57a286fb7438",
            ),
        ] {
            let (found_name, found_sensitive) = derived(&template, data, b"");
            assert_eq!((&*found_name, &*found_sensitive), (name, sensitive), "{SEALED_UNDER}");
        }
    }

    #[test]
    fn golden_tdes_key() {
        let template = Template::aes(attr::OWN | attr::SIGN | attr::DECRYPT).with_parms("0003 0080 0043");
        let (name, sensitive) = derived(&template, b"", b"");
        assert_eq!(
            (&*name, &*sensitive),
            (
                "000b05fa2af77d50ac3381853e65522986f3346275976ed09b1ac640c74c70c6fcf5",
                "6bf3772269666fe614d54fed45641ac56caf5d8ab51f1b0b41b8a8412bf6e379",
            ),
            "{SEALED_UNDER}"
        );
    }

    #[test]
    fn the_binding_changes_the_seed_and_not_the_key() {
        let template = Template::srk();
        let (name, sensitive) = derived(&template, b"", b"");
        let (bound_name, bound_sensitive) = derived(&template, b"", b"proof");
        assert_eq!(name, bound_name);
        assert_ne!(sensitive, bound_sensitive);
    }

    #[test]
    fn a_derivation_has_an_end() {
        let mut stream = KdfStream::new(HashAlg::Sha256, b"secret", &Derive::default());
        let mut bytes = vec![0; DERIVATION_BYTES];
        assert_eq!(stream.fill(&mut bytes), Ok(()));
        assert_eq!(stream.fill(&mut [0]), Err(Rc::NO_RESULT));
    }
}
