//! Trial division of random candidates, which are composite for the most part and have a small factor more often than not.

use std::sync::LazyLock;

use crypto_bigint::{Limb, NonZero, Reciprocal, Uint, Word};

/// Trial division goes up to here: about where one more prime costs as much as the base 2 tests that it saves.
const LIMIT: Word = 1 << 12;

/// Odd primes whose product fits a word, so that one long division serves them all.
struct Batch {
    product: Reciprocal,
    divisors: Vec<Divisor>,
}

/// An odd divisor `d`, by which division takes one multiplication: multiples of it, and they alone, times `1/d` modulo
/// the word are small.
struct Divisor {
    inverse: Word,
    largest: Word,
}

impl Divisor {
    fn new(divisor: Word) -> Self {
        // Newton's iteration: three bits are right to begin with, 96 after five rounds.
        let inverse = (0..5).fold(divisor, |inverse, _| {
            inverse.wrapping_mul(Word::wrapping_sub(2, divisor.wrapping_mul(inverse)))
        });
        Self {
            inverse,
            largest: Word::MAX.checked_div(divisor).unwrap_or_default(),
        }
    }

    const fn divides(&self, number: Word) -> bool {
        number.wrapping_mul(self.inverse) <= self.largest
    }
}

static BATCHES: LazyLock<Vec<Batch>> = LazyLock::new(|| {
    let mut batches = Vec::new();
    let mut primes: Vec<Word> = Vec::new();
    let mut product: Word = 1;
    let mut close = |product, primes: Vec<Word>| {
        if let Some(product) = NonZero::new(Limb(product)).into_option() {
            batches.push(Batch {
                product: Reciprocal::new(product),
                divisors: primes.into_iter().map(Divisor::new).collect(),
            });
        }
    };
    for prime in (3..LIMIT).step_by(2).filter(|n| is_prime(*n)) {
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

fn is_prime(n: Word) -> bool {
    (3..)
        .step_by(2)
        .take_while(|d: &Word| d.saturating_mul(*d) <= n)
        .all(|d| !n.is_multiple_of(d))
}

/// Whether an odd prime below [`LIMIT`] divides the candidate.
pub(super) fn has_small_factor<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
    BATCHES.iter().any(|batch| {
        let rest = candidate.rem_limb_with_reciprocal(&batch.product).0;
        batch.divisors.iter().any(|divisor| divisor.divides(rest))
    })
}

#[cfg(test)]
mod tests {
    use crypto_bigint::U512;

    use super::*;

    #[test]
    fn small_primes_are_all_there() {
        let primes: Vec<Word> = (3..LIMIT).step_by(2).filter(|n| is_prime(*n)).collect();
        // π(2^12) is 564; 2 is not among them.
        assert_eq!(primes.len(), 563);
        assert!(primes.starts_with(&[3, 5, 7, 11, 13]));
        assert_eq!(BATCHES.iter().map(|batch| batch.divisors.len()).sum::<usize>(), 563);
        // A prime that is larger than the limit.
        let other = U512::from(0x1_0001u32);
        assert!(!has_small_factor(&other) && !has_small_factor(&other.wrapping_mul(&other)));
        for prime in primes {
            assert!(has_small_factor(&other.wrapping_mul(&U512::from(prime))), "{prime}");
        }
    }

    #[test]
    fn a_divisor_divides_its_multiples_alone() {
        for divisor in [3, 5, 4093] {
            let known = Divisor::new(divisor);
            let last = Word::MAX - Word::MAX % divisor;
            for number in (0..10_000).chain(last - 5000..=last).chain([Word::MAX]) {
                assert_eq!(known.divides(number), number % divisor == 0, "{number} by {divisor}");
            }
        }
    }
}
