//! The TPM's random numbers: those of its DRBG, drawn ahead for those who want few of them.

use std::ops::{Deref, DerefMut};

use zeroize::{Zeroize, Zeroizing};

use super::drbg::HmacDrbg;

/// Bytes that are drawn at once. A request to the DRBG takes the time of 96 bytes beside that of its own.
const AHEAD: usize = 512;
/// Bytes of a request that is too large for them.
const LARGE: usize = 128;

/// A DRBG, and what is left of what was drawn of it last. To whoever makes keys it is the DRBG.
///
/// What was drawn ahead is as secret as the DRBG's working state, from which it could be computed as long as it is here; what is
/// handed out is wiped. So whoever sees all of this learns nothing of what was handed out before (SP 800-90A, 8.8).
pub(crate) struct Random {
    drbg: HmacDrbg,
    ahead: Zeroizing<[u8; AHEAD]>,
    /// How many of them were not handed out yet: the first ones.
    left: usize,
}

impl Random {
    /// The random numbers of this DRBG.
    pub(crate) fn new(drbg: HmacDrbg) -> Self {
        Self {
            drbg,
            ahead: Zeroizing::new([0; AHEAD]),
            left: 0,
        }
    }

    /// Fills `out`.
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        if out.len() > LARGE {
            return self.drbg.generate(&[], out);
        }
        if out.len() > self.left {
            self.drbg.generate(&[], &mut *self.ahead);
            self.left = AHEAD;
        }
        let rest = self.left.saturating_sub(out.len());
        if let Some(drawn) = self.ahead.get_mut(rest..self.left) {
            out.copy_from_slice(drawn);
            drawn.zeroize();
        }
        self.left = rest;
    }

    /// [`HmacDrbg::reseed`]. All that comes afterwards depends on it.
    pub(crate) fn reseed(&mut self, entropy: &[u8], additional: &[u8]) {
        self.drbg.reseed(entropy, additional);
        self.ahead.zeroize();
        self.left = 0;
    }
}

impl Deref for Random {
    type Target = HmacDrbg;
    fn deref(&self) -> &HmacDrbg {
        &self.drbg
    }
}

impl DerefMut for Random {
    fn deref_mut(&mut self) -> &mut HmacDrbg {
        &mut self.drbg
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn random() -> Random {
        Random::new(HmacDrbg::new(b"random numbers", &[], &[]))
    }

    #[test]
    fn nothing_is_handed_out_twice_or_kept() {
        let mut random = random();
        let mut seen = BTreeSet::new();
        for len in (8..200).chain(8..200) {
            let mut out = vec![0; len];
            random.fill(&mut out);
            for part in out.chunks_exact(8) {
                assert!(seen.insert(part.to_vec()), "{len} bytes");
            }
            assert!(random.ahead[random.left..].iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn they_are_the_drbgs() {
        let mut drawn = [0; AHEAD];
        random().drbg.generate(&[], &mut drawn);
        let mut random = random();
        let mut all = Vec::new();
        for len in [0, 1, 32, 128, 128, 128, 95] {
            let mut out = vec![0; len];
            random.fill(&mut out);
            all.splice(0..0, out);
        }
        assert_eq!(all, drawn);
    }

    #[test]
    fn a_reseed_is_felt_at_once() {
        let (mut stirred, mut other) = (random(), random());
        let (mut first, mut second) = ([0; 16], [0; 16]);
        stirred.fill(&mut first);
        other.fill(&mut second);
        assert_eq!(first, second);
        stirred.reseed(b"entropy", b"data");
        stirred.fill(&mut first);
        other.fill(&mut second);
        assert_ne!(first, second);
    }
}
