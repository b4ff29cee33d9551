//! Where the bits of a new object come from: the random number generator, a primary seed, or a derivation parent.
//!
//! **Derivation 1** of primary objects ([`PrimarySeed::derivation`]). Everything below is part of it; a change needs a new
//! number, as guests' disks are sealed under these keys.
//!
//! - The stream is an HMAC_DRBG (SHA-256) whose entropy input is the hierarchy's primary seed, whose nonce is
//!   `"Primary Object"` and whose personalization string is the template as a TPM2B_PUBLIC, then the caller's sensitive
//!   data as a TPM2B.
//! - First comes the secret: an RSA key by `crypto::prime` or an ECC scalar by `crypto::ecc::generate`; one request of the
//!   key's size for a symmetric key, or of a digest's for a keyed hash, unless the caller gave the data.
//! - Then, for parents and for symmetric objects, one request for the seed or obfuscation value, of the size of a digest
//!   of the Name algorithm. In the endorsement hierarchy the owner's proof is its additional input, so that what was
//!   created under an endorsement key does not outlive TPM2_Clear (Part 1, 14.4).

use zeroize::Zeroizing;

use crate::alg::{Curve, HashAlg};
use crate::bytes::Bytes;
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::ecc::{self, Point};
use crate::crypto::kdf;
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
    /// The TPM's random number generator.
    Random(&'a mut HmacDrbg),
    /// A generator that a primary seed and a template determine.
    Primary(HmacDrbg),
    /// The output of KDFa under a derivation parent's secret.
    Derived(KdfStream),
}

impl Stream<'_> {
    /// The generator that RSA keys need; TPM_RC_TYPE in a derivation, which has none.
    pub(crate) fn generator(&mut self) -> RcResult<&mut HmacDrbg> {
        match self {
            Self::Random(drbg) => Ok(drbg),
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
    let mut personalization = Sized2B(template.clone()).to_vec();
    put_sized(&mut *personalization, data);
    HmacDrbg::new(seed, b"Primary Object", &personalization)
}
