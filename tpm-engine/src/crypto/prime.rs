//! RSA primes out of a stream of random bytes: derivation 1.
//!
//! A primary key is derived anew from its seed whenever a guest asks for it, and what guests have sealed under it is
//! lost if the derivation ever gives another key. So what follows is the definition, and the only one, of which primes a
//! stream yields. It may be made faster in any way that leaves it true; golden vectors pin it.
//!
//! For a modulus of `2k` bits and a public exponent `e`, p and then q are each the first acceptable candidate of the
//! stream (FIPS 186-5, A.1.3). A candidate takes one request of exactly `k / 8` bytes, read as a big-endian number whose
//! highest and lowest bits are then set; no request is made for anything else. A candidate `c` is acceptable if
//!
//! 1. `c > √2·2^(k-1)`, which is to say that `c²` has `2k` bits, so that the modulus has them too;
//! 2. `c - 1` and `e` have no common factor;
//! 3. for q only: `|p - c| > 2^(k-100)`;
//! 4. `c` is a prime number.
//!
//! Primality is a property of the number: how it is found out has no say in the result. Here, from cheap to dear: trial
//! division, a Fermat test to the base 2, and for the few that are left the Miller-Rabin rounds of FIPS 186-5, B.3, whose
//! bases are drawn from the candidate itself. The probability that a composite passes
//! all of this, so that the implementation would have a say after all, is below 2^-128.
//!
//! FIPS 186-5 also has the generation start over when the private exponent is at most `2^k`; that happens once in
//! about `2^k` keys, and is left out.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{CtSelect, Limb, NonZero, Odd, Reciprocal, U512, U1024, U1536, U2048, Uint, Word};
use crypto_primes::Flavor;
use crypto_primes::fips::{self, FipsOptions};
use zeroize::Zeroizing;

use crate::bytes::Bytes;
use crate::crypto::CryptoError;
use crate::crypto::drbg::HmacDrbg;

/// Largest prime in bytes.
pub(crate) const MAX_PRIME: usize = 256;

/// A prime factor, big-endian, of half the modulus' size.
pub(crate) type Prime = Zeroizing<Bytes<MAX_PRIME>>;

/// The two primes that `stream` yields for a modulus of `bits` bits and the public exponent.
///
/// # Errors
/// [`CryptoError::Key`] for a size that RSA keys do not have, or an exponent that is even or below 3;
/// [`CryptoError::Cancelled`] if the flag was set before the primes were found.
pub(crate) fn derive(
    bits: u16,
    exponent: u32,
    stream: &mut HmacDrbg,
    cancel: &AtomicBool,
) -> Result<(Prime, Prime), CryptoError> {
    // With an even exponent no candidate would ever be acceptable.
    if exponent < 3 || exponent.is_multiple_of(2) {
        return Err(CryptoError::Key);
    }
    match bits {
        1024 => pair::<{ U512::LIMBS }>(exponent, stream, cancel),
        2048 => pair::<{ U1024::LIMBS }>(exponent, stream, cancel),
        3072 => pair::<{ U1536::LIMBS }>(exponent, stream, cancel),
        4096 => pair::<{ U2048::LIMBS }>(exponent, stream, cancel),
        _ => Err(CryptoError::Key),
    }
}

fn pair<const LIMBS: usize>(
    exponent: u32,
    stream: &mut HmacDrbg,
    cancel: &AtomicBool,
) -> Result<(Prime, Prime), CryptoError> {
    let p = prime::<LIMBS>(exponent, None, stream, cancel)?;
    let q = prime::<LIMBS>(exponent, Some(&p), stream, cancel)?;
    let bytes = |prime: &Uint<LIMBS>| Zeroizing::new(Bytes::truncated(prime.to_be_bytes().as_ref()));
    Ok((bytes(&p), bytes(&q)))
}

/// The first acceptable candidate; `other` is the prime that was found before it.
fn prime<const LIMBS: usize>(
    exponent: u32,
    other: Option<&Uint<LIMBS>>,
    stream: &mut HmacDrbg,
    cancel: &AtomicBool,
) -> Result<Zeroizing<Uint<LIMBS>>, CryptoError> {
    loop {
        if cancel.load(Ordering::Relaxed) {
            return Err(CryptoError::Cancelled);
        }
        let candidate = draw(stream);
        if is_large(&candidate)
            && other.is_none_or(|other| is_far(&candidate, other))
            && is_coprime(&candidate, exponent)
            && is_prime(&candidate)
        {
            return Ok(candidate);
        }
    }
}

fn draw<const LIMBS: usize>(stream: &mut HmacDrbg) -> Zeroizing<Uint<LIMBS>> {
    let mut bytes = Zeroizing::new([0; MAX_PRIME]);
    let size = Limb::BYTES.saturating_mul(LIMBS);
    let (bytes, _) = bytes.split_at_mut(size.min(MAX_PRIME));
    stream.generate(&[], bytes);
    if let Some(first) = bytes.first_mut() {
        *first |= 0x80;
    }
    if let Some(last) = bytes.last_mut() {
        *last |= 1;
    }
    Zeroizing::new(Uint::from_be_slice(bytes))
}

/// Condition 1.
fn is_large<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
    let (_, high) = candidate.widening_square();
    high.bit_vartime(Uint::<LIMBS>::BITS.saturating_sub(1))
}

/// Condition 3.
fn is_far<const LIMBS: usize>(candidate: &Uint<LIMBS>, other: &Uint<LIMBS>) -> bool {
    let (larger, smaller) = if candidate > other {
        (candidate, other)
    } else {
        (other, candidate)
    };
    let limit = Uint::<LIMBS>::ONE.shl_vartime(Uint::<LIMBS>::BITS.saturating_sub(100));
    larger.wrapping_sub(smaller) > limit
}

/// Condition 2.
fn is_coprime<const LIMBS: usize>(candidate: &Uint<LIMBS>, exponent: u32) -> bool {
    let Some(divisor) = NonZero::new(Limb::from(exponent)).into_option() else {
        return false;
    };
    let mut a = Word::from(exponent);
    let mut b = candidate.wrapping_sub(&Uint::ONE).rem_limb(divisor).0;
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a == 1
}

/// Condition 4.
fn is_prime<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
    !has_small_factor(candidate) && passes_base_two(candidate) && is_confirmed(candidate)
}

/// Trial division goes up to here: about where one more prime costs as much as the base 2 tests that it saves.
const TRIAL_LIMIT: Word = 1 << 12;

/// Odd primes whose product fits a word, so that one long division serves them all.
struct Batch {
    product: Reciprocal,
    primes: Vec<Word>,
}

static BATCHES: LazyLock<Vec<Batch>> = LazyLock::new(|| {
    let mut batches = Vec::new();
    let mut primes: Vec<Word> = Vec::new();
    let mut product: Word = 1;
    let mut close = |product, primes: Vec<Word>| {
        if let Some(product) = NonZero::new(Limb(product)).into_option() {
            batches.push(Batch {
                product: Reciprocal::new(product),
                primes,
            });
        }
    };
    for prime in (3..TRIAL_LIMIT).step_by(2).filter(|n| is_small_prime(*n)) {
        match product.checked_mul(prime) {
            Some(larger) => product = larger,
            None => {
                close(product, std::mem::take(&mut primes));
                product = prime;
            }
        }
        primes.push(prime);
    }
    close(product, primes);
    batches
});

fn is_small_prime(n: Word) -> bool {
    (3..)
        .step_by(2)
        .take_while(|d: &Word| d.saturating_mul(*d) <= n)
        .all(|d| !n.is_multiple_of(d))
}

fn has_small_factor<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
    BATCHES.iter().any(|batch| {
        let rest = candidate.rem_limb_with_reciprocal(&batch.product).0;
        batch.primes.iter().any(|prime| rest.is_multiple_of(*prime))
    })
}

/// Whether `2^(c-1) mod c` is 1, in time that depends on the size of `c` alone: it may turn out to be a secret.
fn passes_base_two<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
    let Some(modulus) = Odd::new(*candidate).into_option() else {
        return false;
    };
    let params = FixedMontyParams::new_vartime(modulus);
    let one = FixedMontyForm::one(&params);
    // c is odd: its bits but the lowest are those of c - 1, whose lowest is 0.
    let mut power = one;
    for bit in (1..Uint::<LIMBS>::BITS).rev() {
        power = power.square();
        let single = *power.as_montgomery();
        let double = single.double_mod(modulus.as_nz_ref());
        *power.as_montgomery_mut() = single.ct_select(&double, candidate.bit(bit));
    }
    power.square() == one
}

/// Miller-Rabin rounds that leave an error probability of at most 2^-128 (FIPS 186-5, C.1).
const fn rounds(bits: u32) -> usize {
    match bits {
        ..1024 => 12,
        1024..1536 => 6,
        1536..2048 => 4,
        2048.. => 3,
    }
}

fn is_confirmed<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
    // The bases need not be secret from those who know the candidate, and the stream must not be drawn from.
    let seed = Zeroizing::new(candidate.to_be_bytes());
    let mut bases = HmacDrbg::new(seed.as_ref(), &[], b"Miller-Rabin bases");
    let options = FipsOptions::with_mr_iterations(rounds(Uint::<LIMBS>::BITS));
    fips::is_prime(&mut bases, Flavor::Any, candidate, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alg::HashAlg;
    use crate::crypto::hash::hash;
    use crate::crypto::testing::to_hex;

    fn derived(bits: u16) -> (Prime, Prime) {
        let mut stream = HmacDrbg::new(b"seed of a primary key", b"its template", b"derivation 1");
        derive(bits, 65537, &mut stream, &AtomicBool::new(false)).unwrap()
    }

    /// A failure here means that every RSA primary key of every TPM becomes another one. The vectors were made by another
    /// program, from the definition.
    #[test]
    fn a_stream_yields_the_same_primes_for_ever() {
        for (bits, expected) in [
            (1024, "ee3323444dfd1f5d01adf3ec035ac9150baede6ce8b0a923a86f7a5fb2014dc3"),
            (2048, "505e06a6c9426e13e65c60dcba5721fa994a18d24cfcf6cd82c4ec634268bba8"),
            (3072, "0b7187182d9c5ab2f6e57f80c3217d36f23633c090625ad34901372bde50d774"),
            (4096, "2df8a5624bf13ca261d1fb40dda4f8deed45ffd7333ace3f82d012a8699e902b"),
        ] {
            let (p, q) = derived(bits);
            assert_eq!(
                to_hex(&hash(HashAlg::Sha256, &[&p, &q])),
                expected,
                "derivation 1 gave other {bits}-bit primes: guests would lose every disk key, credential and blob that is \
                 sealed under a primary key derived from a seed. Do not change the vector: restore the derivation, or \
                 add a new one with a new number and keep this one for the TPMs that have it"
            );
        }
    }

    /// The definition once more, word for word and slowly.
    #[test]
    fn the_definition_gives_the_same_primes() {
        let mut stream = HmacDrbg::new(b"seed of a primary key", b"its template", b"derivation 1");
        let mut found: Vec<U512> = Vec::new();
        while found.len() < 2 {
            let mut bytes = [0; 64];
            stream.generate(&[], &mut bytes);
            bytes[0] |= 0x80;
            bytes[63] |= 1;
            let c = U512::from_be_slice(&bytes);
            let large = c.concatenating_square().bit_width() == 1024;
            let coprime = c
                .wrapping_sub(&U512::ONE)
                .rem_vartime(&NonZero::new(U512::from(65537u32)).unwrap());
            let far = found.first().is_none_or(|p| {
                let distance = if *p > c { p.wrapping_sub(&c) } else { c.wrapping_sub(p) };
                distance > U512::ONE.shl_vartime(412)
            });
            if large && far && coprime != U512::ZERO && crypto_primes::is_prime(Flavor::Any, &c) {
                found.push(c);
            }
        }
        let (p, q) = derived(1024);
        assert_eq!(**p, *found[0].to_be_bytes().as_ref());
        assert_eq!(**q, *found[1].to_be_bytes().as_ref());
    }

    #[test]
    fn there_are_enough_rounds() {
        for bits in [512, 1024, 1536, 2048] {
            let least = crypto_primes::hazmat::minimum_mr_iterations(bits, 128).unwrap();
            assert_eq!(rounds(bits), least, "{bits} bits");
        }
    }

    #[test]
    fn small_primes_are_all_there() {
        let all: Vec<Word> = BATCHES.iter().flat_map(|batch| batch.primes.iter().copied()).collect();
        // π(2^12) is 564; 2 is not among them.
        assert_eq!(all.len(), 563);
        assert!(all.is_sorted() && all.starts_with(&[3, 5, 7, 11, 13]));
        for batch in BATCHES.iter() {
            for prime in &batch.primes {
                assert!(has_small_factor(
                    &U512::from(*prime).wrapping_mul(&U512::from(0x1_0001u32))
                ));
            }
        }
    }

    #[test]
    fn primes_pass_and_composites_do_not() {
        // 2^521 - 1 and 2^607 - 1 are prime, 2^523 - 1 is not; 2^1024 - 105 is the largest 1024-bit prime.
        let mersenne = |bits| U1024::ONE.shl_vartime(bits).wrapping_sub(&U1024::ONE);
        assert!(is_prime(&mersenne(521)) && is_prime(&mersenne(607)));
        assert!(!passes_base_two(&mersenne(520)));
        let largest = U1024::MAX.wrapping_sub(&U1024::from(104u32));
        assert!(is_prime(&largest));
        assert!(!is_prime(&largest.wrapping_sub(&U1024::from(2u32))));
        assert!(!is_prime(&U1024::from(561u32 * 17)));
        // 2047 = 23 · 89 is a strong pseudoprime to the base 2, which Mersenne numbers of prime exponent all are.
        assert!(passes_base_two(&mersenne(523)) && !is_confirmed(&mersenne(523)));
    }

    #[test]
    fn the_conditions_on_candidates_are_sharp() {
        // floor(√2 · 2^511) and the next number.
        let limit = U1024::ONE
            .shl_vartime(1023)
            .floor_sqrt_vartime()
            .resize::<{ U512::LIMBS }>();
        assert!(!is_large(&limit));
        assert!(is_large(&limit.wrapping_add(&U512::ONE)));
        let far = U512::ONE.shl_vartime(412);
        let (a, b) = (limit, limit.wrapping_add(&far));
        assert!(!is_far(&a, &b) && !is_far(&b, &a));
        let b = b.wrapping_add(&U512::ONE);
        assert!(is_far(&a, &b) && is_far(&b, &a));
        let multiple = U512::from(65537u32).shl_vartime(300).wrapping_add(&U512::ONE);
        assert!(!is_coprime(&multiple, 65537) && is_coprime(&multiple, 65539));
        assert!(!is_coprime(&U512::from(31u32), 15));
    }
}
