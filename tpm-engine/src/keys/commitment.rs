//! Ephemeral secrets that one command commits to and another uses: TPM2_Commit or TPM2_EC_Ephemeral, then TPM2_Sign or
//! TPM2_ZGen_2Phase (Part 1, C.4.3 and C.7).
//!
//! None of them is stored. Each is derived from a nonce and a counter when it is needed; a bit for each of the last
//! [`PENDING`] counters says whether it may still be used, once.

use zeroize::Zeroizing;

use crate::alg::{Curve, HashAlg};
use crate::crypto::ecc::{self, Coordinate};
use crate::crypto::kdf::kdfa;
use crate::tpm::Tpm;

/// Commitments that can wait for their use.
pub(crate) const PENDING: u64 = u64::BITS as u64;

impl Tpm {
    /// The secret and the counter of the next commitment, which [`Tpm::commit_ephemeral`] makes valid. `name` is that of
    /// the key that it will be used with, empty for any.
    pub(crate) fn next_ephemeral(&self, curve: Curve, name: &[u8]) -> Option<Zeroizing<Coordinate>> {
        self.ephemeral(curve, name, self.reset.commit_counter)
    }

    /// Makes the next commitment valid: the low bits of its counter.
    pub(crate) fn commit_ephemeral(&mut self) -> u16 {
        let reset = self.reset.change();
        let counter = reset.commit_counter;
        reset.commit_pending |= pending_bit(counter);
        reset.commit_counter = counter.wrapping_add(1);
        low_bits(counter)
    }

    /// The secret of a commitment that is still valid.
    pub(crate) fn committed_ephemeral(&self, curve: Curve, name: &[u8], low: u16) -> Option<Zeroizing<Coordinate>> {
        self.ephemeral(curve, name, self.committed(low)?)
    }

    /// Uses a commitment up.
    pub(crate) fn end_ephemeral(&mut self, low: u16) {
        if let Some(counter) = self.committed(low) {
            self.reset.change().commit_pending &= !pending_bit(counter);
        }
    }

    /// The whole counter of a valid commitment.
    fn committed(&self, low: u16) -> Option<u64> {
        let age = low_bits(self.reset.commit_counter).wrapping_sub(low);
        if !(1..=PENDING).contains(&u64::from(age)) {
            return None;
        }
        let counter = self.reset.commit_counter.checked_sub(u64::from(age))?;
        (self.reset.commit_pending & pending_bit(counter) != 0).then_some(counter)
    }

    fn ephemeral(&self, curve: Curve, name: &[u8], counter: u64) -> Option<Zeroizing<Coordinate>> {
        let mut wide = Zeroizing::new([0; 96]);
        let (wide, _) = wide.split_at_mut_checked(ecc::wide_size(curve))?;
        let bits = u32::try_from(wide.len()).ok()?.checked_mul(8)?;
        let nonce = &self.reset.commit_nonce;
        kdfa(
            HashAlg::Sha256,
            nonce,
            b"ECDAA Commit",
            name,
            &counter.to_be_bytes(),
            bits,
            wide,
        );
        ecc::from_wide(curve, wide).map(|(scalar, _)| scalar)
    }
}

const fn pending_bit(counter: u64) -> u64 {
    1u64.rotate_left((counter & (PENDING - 1)) as u32)
}

const fn low_bits(counter: u64) -> u16 {
    (counter & 0xFFFF) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn a_commitment_is_used_once_and_only_while_it_is_young() {
        let mut bench = Bench::started();
        let tpm = &mut bench.tpm;
        let secret = tpm.next_ephemeral(Curve::P256, b"name").unwrap();
        assert_eq!(tpm.committed_ephemeral(Curve::P256, b"name", 0), None);
        assert_eq!(tpm.commit_ephemeral(), 0);
        assert_eq!(tpm.committed_ephemeral(Curve::P256, b"name", 0), Some(secret.clone()));
        assert_ne!(tpm.committed_ephemeral(Curve::P256, b"other", 0), Some(secret.clone()));
        assert_ne!(tpm.next_ephemeral(Curve::P256, b"name"), Some(secret));
        assert_eq!(tpm.commit_ephemeral(), 1);
        tpm.end_ephemeral(0);
        assert_eq!(tpm.committed_ephemeral(Curve::P256, b"name", 0), None);
        assert!(tpm.committed_ephemeral(Curve::P256, b"name", 1).is_some());
        for _ in 2..=64 {
            tpm.commit_ephemeral();
        }
        assert!(tpm.committed_ephemeral(Curve::P256, b"name", 1).is_some());
        assert!(tpm.committed_ephemeral(Curve::P256, b"name", 64).is_some());
        tpm.commit_ephemeral();
        assert_eq!(tpm.committed_ephemeral(Curve::P256, b"name", 1), None);
        assert_eq!(tpm.committed_ephemeral(Curve::P256, b"name", 66), None);
    }

    #[test]
    fn the_counter_is_longer_than_what_is_told_of_it() {
        let mut bench = Bench::started();
        let tpm = &mut bench.tpm;
        tpm.reset.change().commit_counter = 0x1_0000;
        tpm.reset.change().commit_pending = 1 << 63;
        assert!(tpm.committed_ephemeral(Curve::P384, &[], 0xFFFF).is_some());
        assert!(tpm.committed_ephemeral(Curve::P384, &[], 0).is_none());
    }
}
