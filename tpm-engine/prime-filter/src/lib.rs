//! Trial division, and a base 2 Fermat test over several candidates at once: what tells composites from probable primes
//! when RSA keys are made.
//!
//! [`Filter`] finds out at run time what the processor can do. On x86-64 with AVX-512 IFMA eight candidates take as long
//! as one does elsewhere; every other processor takes the portable path. Both give the same answers.
//!
//! **A filter confirms nothing.** Composites pass it that are pseudoprimes to the base 2, and a mistake in it must cost
//! time only: whoever takes a candidate that passed for a prime has it tested by other code first.
//!
//! A candidate may become a secret, unless it does not pass. Which instructions run for one that passes and which memory
//! they touch depends on its size alone, and copies of it are wiped.

#[cfg(target_arch = "x86_64")]
mod ifma;
mod portable;
#[cfg(test)]
mod tests;
mod trial;

use crypto_bigint::{Odd, Uint, Word};

/// The most candidates that one call tests.
pub const LANES: usize = 8;

/// A way of testing that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter(Path);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Portable,
    /// Made by [`Filter::fastest`] alone, after it has asked the processor.
    #[cfg(target_arch = "x86_64")]
    Ifma,
}

impl Filter {
    /// The fastest filter of this processor.
    #[must_use]
    pub fn fastest() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma") {
            return Self(Path::Ifma);
        }
        Self::portable()
    }

    /// The filter that every processor has.
    #[must_use]
    pub const fn portable() -> Self {
        Self(Path::Portable)
    }

    /// Whether an odd prime below 2^15 divides the candidate. How long that takes tells which, roughly.
    #[must_use]
    pub fn has_small_factor<const LIMBS: usize>(self, candidate: &Uint<LIMBS>) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Path::Ifma if ifma::has_size(Uint::<LIMBS>::BITS) => ifma::trial::has_small_factor(candidate),
            _ => trial::has_small_factor(candidate),
        }
    }

    /// How many candidates of `bits` bits are best tested together, at most [`LANES`].
    #[must_use]
    pub const fn batch(self, bits: u32) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Path::Ifma if ifma::has_size(bits) => LANES,
            _ => 1,
        }
    }

    /// Whether `2^(c-1) mod c` is 1, for each candidate `c` in its place. Candidates after the first [`LANES`] are not
    /// tested and do not pass.
    #[must_use]
    pub fn pass<const LIMBS: usize>(self, candidates: &[Odd<Uint<LIMBS>>]) -> [bool; LANES] {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Path::Ifma => ifma::pass(candidates).unwrap_or_else(|| portable::pass(candidates)),
            Path::Portable => portable::pass(candidates),
        }
    }
}

/// `1/number` modulo the word, for an odd number.
const fn inverse(number: Word) -> Word {
    // Newton's iteration: three bits are right to begin with, and each round doubles them.
    let mut inverse = number;
    let mut bits = 3;
    while bits < Word::BITS {
        inverse = inverse.wrapping_mul(Word::wrapping_sub(2, number.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}
