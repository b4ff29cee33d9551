//! Trial division of random candidates, which are composite for the most part and have a small factor more often than not.

use std::sync::LazyLock;

use crypto_bigint::{Uint, Word};

/// Trial division goes up to here: about where one more prime costs as much as the base 2 tests that it saves.
const LIMIT: usize = 1 << 14;

/// Products that are divided by side by side: a division is a chain of multiplications, each of which waits for the one
/// before.
const WIDTH: usize = 4;

/// Odd primes whose product fits a word, so that one long division serves them all.
#[derive(Default)]
struct Product {
    product: Word,
    /// `1/product` modulo the word.
    inverse: Word,
    divisors: Vec<Divisor>,
}

impl Product {
    fn new(product: Word, primes: &[Word]) -> Self {
        Self {
            product,
            inverse: inverse(product),
            divisors: primes.iter().copied().map(Divisor::new).collect(),
        }
    }
}

/// An odd divisor `d`, by which division takes one multiplication: multiples of it, and they alone, times `1/d` modulo
/// the word are small.
struct Divisor {
    inverse: Word,
    largest: Word,
}

impl Divisor {
    fn new(divisor: Word) -> Self {
        Self {
            inverse: inverse(divisor),
            largest: Word::MAX.checked_div(divisor).unwrap_or_default(),
        }
    }

    const fn divides(&self, number: Word) -> bool {
        number.wrapping_mul(self.inverse) <= self.largest
    }
}

/// The inverse of an odd number modulo the word.
fn inverse(number: Word) -> Word {
    // Newton's iteration: three bits are right to begin with, 96 after five rounds.
    (0..5).fold(number, |inverse, _| {
        inverse.wrapping_mul(Word::wrapping_sub(2, number.wrapping_mul(inverse)))
    })
}

static PRODUCTS: LazyLock<Vec<[Product; WIDTH]>> = LazyLock::new(|| {
    let mut products = Vec::new();
    let mut factors: Vec<Word> = Vec::new();
    let mut product: Word = 1;
    for prime in primes() {
        product = product.checked_mul(prime).unwrap_or_else(|| {
            products.push(Product::new(product, &factors));
            factors.clear();
            prime
        });
        factors.push(prime);
    }
    products.push(Product::new(product, &factors));
    let mut products = products.into_iter();
    let mut rows = Vec::new();
    while products.len() > 0 {
        // What is missing of the last row divides nothing.
        rows.push(std::array::from_fn(|_| products.next().unwrap_or_default()));
    }
    rows
});

/// The odd primes below [`LIMIT`].
fn primes() -> impl Iterator<Item = Word> {
    let mut composite = vec![false; LIMIT];
    for factor in (3..LIMIT)
        .step_by(2)
        .take_while(|factor| factor.saturating_mul(*factor) < LIMIT)
    {
        for multiple in composite.iter_mut().step_by(factor).skip(factor) {
            *multiple = true;
        }
    }
    let numbers = (0..).zip(composite).skip(3).step_by(2);
    numbers.filter_map(|(number, composite)| (!composite).then_some(number))
}

/// Whether an odd prime below [`LIMIT`] divides the candidate.
pub(super) fn has_small_factor<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
    PRODUCTS.iter().any(|products| {
        let rests = rests(candidate, products);
        let mut all = products.iter().zip(rests);
        all.any(|(product, rest)| product.divisors.iter().any(|divisor| divisor.divides(rest)))
    })
}

/// For each product a word that those of its factors divide that divide the candidate, and they alone: the candidate times
/// a power of two, modulo the product. It is divided from its lowest word on, which takes no quotients to be guessed.
fn rests<const LIMBS: usize>(candidate: &Uint<LIMBS>, products: &[Product; WIDTH]) -> [Word; WIDTH] {
    let products = products.each_ref().map(|product| (product.product, product.inverse));
    let mut rests = [0; WIDTH];
    for limb in candidate.as_limbs() {
        for (rest, (product, inverse)) in rests.iter_mut().zip(products) {
            // The multiple of the product that leaves this word 0, and what it takes from the words above.
            let (word, borrow) = limb.0.overflowing_sub(*rest);
            let (_, taken) = word.wrapping_mul(inverse).carrying_mul(product, 0);
            *rest = taken.wrapping_add(Word::from(borrow));
        }
    }
    rests
}

#[cfg(test)]
mod tests {
    use crypto_bigint::{Limb, NonZero, U512};
    use zeroize::Zeroizing;

    use super::super::draw;
    use super::*;
    use crate::crypto::drbg::HmacDrbg;

    #[test]
    fn small_primes_are_all_there() {
        let primes: Vec<Word> = primes().collect();
        // π(2^14) is 1900; 2 is not among them.
        assert_eq!(primes.len(), 1899);
        assert!(primes.starts_with(&[3, 5, 7, 11, 13]));
        assert!(
            primes
                .iter()
                .all(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
        );
        let divisors = PRODUCTS.iter().flatten().map(|product| product.divisors.len());
        assert_eq!(divisors.sum::<usize>(), 1899);
        // A prime that is larger than the limit.
        let other = U512::from(0x1_0001u32);
        assert!(!has_small_factor(&other) && !has_small_factor(&other.wrapping_mul(&other)));
        for prime in primes {
            assert!(has_small_factor(&other.wrapping_mul(&U512::from(prime))), "{prime}");
        }
    }

    #[test]
    fn candidates_are_divided_as_by_long_division() {
        let mut stream = HmacDrbg::new(b"trial division", &[], &[]);
        let primes: Vec<_> = primes().map(|prime| NonZero::new(Limb(prime)).unwrap()).collect();
        let mut without = 0;
        for candidate in (0..300)
            .map(|_| draw::<{ U512::LIMBS }>(&mut stream))
            .chain([Zeroizing::new(U512::MAX)])
        {
            let divided = primes.iter().any(|prime| candidate.rem_limb(*prime) == Limb::ZERO);
            assert_eq!(has_small_factor(&candidate), divided, "{:x}", *candidate);
            without += u32::from(!divided);
        }
        assert!(
            (20..60).contains(&without),
            "an eighth of them has no small factor, not {without} of 300"
        );
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
