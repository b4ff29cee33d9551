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
//! all of this, so that the implementation would have a say after all, is below 2^-100.
//!
//! The Fermat test takes as many candidates at once as the processor likes, which looks ahead in the stream: what was
//! drawn after p is what q is looked for in, and when q is found the stream is set back to where q left it.
//!
//! FIPS 186-5 also has the generation start over when the private exponent is at most `2^k`; that happens once in
//! about `2^k` keys, and is left out.

use std::cmp;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use arrayvec::ArrayVec;
use crypto_bigint::{Limb, NonZero, Odd, U512, U1024, U1536, U2048, Uint, Word};
use crypto_primes::Flavor;
use crypto_primes::fips::{self, FipsOptions};
use prime_filter::{Filter, LANES};
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
    derive_with(Filter::fastest(), bits, exponent, stream, cancel)
}

fn derive_with(
    filter: Filter,
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
        1024 => Candidates::<{ U512::LIMBS }>::new(filter, exponent, stream, cancel).pair(),
        2048 => Candidates::<{ U1024::LIMBS }>::new(filter, exponent, stream, cancel).pair(),
        3072 => Candidates::<{ U1536::LIMBS }>::new(filter, exponent, stream, cancel).pair(),
        4096 => Candidates::<{ U2048::LIMBS }>::new(filter, exponent, stream, cancel).pair(),
        _ => Err(CryptoError::Key),
    }
}

/// The candidates of a stream that are acceptable but for conditions 3 and perhaps 4, in order.
struct Candidates<'a, const LIMBS: usize> {
    filter: Filter,
    exponent: u32,
    stream: &'a mut HmacDrbg,
    cancel: &'a AtomicBool,
    /// Those that passed the filter and were not asked for yet.
    ahead: VecDeque<Drawn<LIMBS>>,
}

/// A candidate, and the stream after it.
struct Drawn<const LIMBS: usize> {
    candidate: Zeroizing<Odd<Uint<LIMBS>>>,
    after: HmacDrbg,
}

impl<'a, const LIMBS: usize> Candidates<'a, LIMBS> {
    fn new(filter: Filter, exponent: u32, stream: &'a mut HmacDrbg, cancel: &'a AtomicBool) -> Self {
        Self {
            filter,
            exponent,
            stream,
            cancel,
            ahead: VecDeque::with_capacity(LANES),
        }
    }

    fn pair(mut self) -> Result<(Prime, Prime), CryptoError> {
        let p = self.prime(|_| true)?.candidate;
        let q = self.prime(|candidate| is_far(candidate, &p))?;
        *self.stream = q.after;
        let bytes = |prime: &Uint<LIMBS>| Zeroizing::new(Bytes::truncated(prime.to_be_bytes().as_ref()));
        Ok((bytes(&p), bytes(&q.candidate)))
    }

    /// The first prime that `accept` takes.
    fn prime(&mut self, accept: impl Fn(&Uint<LIMBS>) -> bool) -> Result<Drawn<LIMBS>, CryptoError> {
        loop {
            match self.ahead.pop_front() {
                Some(drawn) if accept(&drawn.candidate) && is_confirmed(&drawn.candidate, self.cancel)? => {
                    return Ok(drawn);
                }
                Some(_) => {}
                None => self.look_ahead()?,
            }
        }
    }

    /// Draws until there are candidates enough for the filter, and keeps those that pass it.
    fn look_ahead(&mut self) -> Result<(), CryptoError> {
        let wanted = self.filter.batch(Uint::<LIMBS>::BITS);
        let mut batch = Zeroizing::new(Vec::<Odd<Uint<LIMBS>>>::with_capacity(LANES));
        let mut after = ArrayVec::<HmacDrbg, LANES>::new();
        while batch.len() < wanted {
            if self.cancel.load(Ordering::Relaxed) {
                return Err(CryptoError::Cancelled);
            }
            let candidate = draw(self.stream);
            if is_large(&candidate)
                && !self.filter.has_small_factor(&candidate)
                && is_coprime(&candidate, self.exponent)
                && let Some(candidate) = Odd::new(*candidate).into_option()
            {
                batch.push(candidate);
                after.push(self.stream.clone());
            }
        }
        let passed = self.filter.pass(&batch);
        for ((candidate, after), passed) in batch.iter().zip(after).zip(passed) {
            if passed {
                self.ahead.push_back(Drawn {
                    candidate: Zeroizing::new(*candidate),
                    after,
                });
            }
        }
        Ok(())
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

/// Condition 1, which the highest bits nearly always decide.
fn is_large<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
    /// The highest bits of √2·2^(k-1).
    const ROOT: u32 = 0xb504_f333;
    let highest = candidate.as_words().last().map(|word| word >> (Word::BITS - u32::BITS));
    match highest.cmp(&Some(Word::from(ROOT))) {
        cmp::Ordering::Less => false,
        cmp::Ordering::Greater => true,
        cmp::Ordering::Equal => {
            let (_, high) = candidate.widening_square();
            high.bit_vartime(Uint::<LIMBS>::BITS.saturating_sub(1))
        }
    }
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

/// Miller-Rabin rounds after which a number that was drawn at random is composite with a probability of at most 2^-100
/// (FIPS 186-5, C.1).
const fn rounds(bits: u32) -> usize {
    match bits {
        ..1024 => 7,
        1024..1536 => 4,
        1536..2048 => 3,
        2048.. => 2,
    }
}

/// Condition 4. A round takes milliseconds, so each looks whether it is still wanted.
fn is_confirmed<const LIMBS: usize>(candidate: &Uint<LIMBS>, cancel: &AtomicBool) -> Result<bool, CryptoError> {
    // The bases need not be secret from those who know the candidate, and the stream must not be drawn from.
    let seed = Zeroizing::new(candidate.to_be_bytes());
    let mut bases = HmacDrbg::new(seed.as_ref(), &[], b"Miller-Rabin bases");
    for _ in 0..rounds(Uint::<LIMBS>::BITS) {
        if cancel.load(Ordering::Relaxed) {
            return Err(CryptoError::Cancelled);
        }
        if !fips::is_prime(&mut bases, Flavor::Any, candidate, FipsOptions::with_mr_iterations(1)) {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alg::HashAlg;
    use crate::crypto::hash::hash;
    use crate::crypto::testing::to_hex;

    fn stream() -> HmacDrbg {
        HmacDrbg::new(b"seed of a primary key", b"its template", b"derivation 1")
    }

    fn derived(bits: u16) -> (Prime, Prime) {
        derive(bits, 65537, &mut stream(), &AtomicBool::new(false)).unwrap()
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
        let mut stream = stream();
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

    /// A processor that looks eight candidates ahead gives the key, and leaves the stream, as one that looks at one after
    /// the other.
    #[test]
    fn the_filter_has_no_say_in_the_key() {
        let next = |stream: &mut HmacDrbg| {
            let mut next = [0; 32];
            stream.generate(&[], &mut next);
            next
        };
        for (bits, keys) in [(1024, 12), (2048, 3), (3072, 1)] {
            let mut streams = [stream(), stream()];
            for key in 0..keys {
                let [(one, next_one), (other, next_other)] = [Filter::portable(), Filter::fastest()]
                    .into_iter()
                    .zip(&mut streams)
                    .map(|(filter, stream)| {
                        let primes = derive_with(filter, bits, 65537, stream, &AtomicBool::new(false)).unwrap();
                        (primes, next(stream))
                    })
                    .collect::<Vec<_>>()
                    .try_into()
                    .unwrap();
                assert_eq!(one, other, "key {key} of {bits} bits");
                assert_eq!(next_one, next_other, "the stream after key {key} of {bits} bits");
            }
        }
    }

    #[test]
    fn a_key_that_is_cancelled_is_none() {
        let cancelled = derive(2048, 65537, &mut stream(), &AtomicBool::new(true));
        assert_eq!(cancelled, Err(CryptoError::Cancelled));
        // Nor is one whose prime is just being confirmed.
        let prime = U1024::MAX.wrapping_sub(&U1024::from(104u32));
        let cancelled = is_confirmed(&prime, &AtomicBool::new(true));
        assert_eq!(cancelled, Err(CryptoError::Cancelled));
    }

    #[test]
    fn there_are_enough_rounds() {
        for bits in [512, 1024, 1536, 2048] {
            let least = crypto_primes::hazmat::minimum_mr_iterations(bits, 100).unwrap();
            assert_eq!(rounds(bits), least, "{bits} bits");
        }
    }

    #[test]
    fn primes_are_confirmed_and_composites_are_not() {
        let confirmed = |number: &U1024| is_confirmed(number, &AtomicBool::new(false)).unwrap();
        // 2^521 - 1 and 2^607 - 1 are prime, 2^523 - 1 is not; 2^1024 - 105 is the largest 1024-bit prime.
        let mersenne = |bits| U1024::ONE.shl_vartime(bits).wrapping_sub(&U1024::ONE);
        assert!(confirmed(&mersenne(521)) && confirmed(&mersenne(607)));
        let largest = U1024::MAX.wrapping_sub(&U1024::from(104u32));
        assert!(confirmed(&largest));
        assert!(!confirmed(&largest.wrapping_sub(&U1024::from(2u32))));
        // 2047 = 23 · 89 is a strong pseudoprime to the base 2, which Mersenne numbers of prime exponent all are: the
        // filter lets them pass.
        let pseudoprime = mersenne(523);
        assert!(Filter::fastest().pass(&[Odd::new(pseudoprime).unwrap()])[0]);
        assert!(!confirmed(&pseudoprime));
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
        let highest = U512::ONE.shl_vartime(480);
        assert!(!is_large(&limit.wrapping_sub(&highest)) && is_large(&limit.wrapping_add(&highest)));
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
