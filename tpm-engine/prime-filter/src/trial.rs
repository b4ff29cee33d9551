//! Trial division of random candidates, which are composite for the most part and have a small factor more often than not.

use std::sync::LazyLock;

use crypto_bigint::{Uint, Word};

use crate::inverse;

/// Trial division goes up to here: about where one more prime costs as much as the base 2 tests that it saves.
const LIMIT: usize = 1 << 15;

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
    fn new(primes: &[Word]) -> Self {
        let product = primes.iter().product();
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
            largest: Word::MAX / divisor,
        }
    }

    const fn divides(&self, number: Word) -> bool {
        number.wrapping_mul(self.inverse) <= self.largest
    }
}

static PRODUCTS: LazyLock<Vec<[Product; WIDTH]>> = LazyLock::new(|| {
    let products = groups(Word::MAX);
    let rows = products.chunks(WIDTH).map(|row| {
        // What is missing of the last row divides nothing.
        std::array::from_fn(|at| row.get(at).map(|primes| Product::new(primes)).unwrap_or_default())
    });
    rows.collect()
});

/// The odd primes below [`LIMIT`], as many together as have a product up to `largest`.
pub(crate) fn groups(largest: Word) -> Vec<Vec<Word>> {
    let mut groups = Vec::new();
    let mut group = Vec::new();
    let mut product: Word = 1;
    for prime in primes() {
        product = match product.checked_mul(prime) {
            Some(product) if product <= largest => product,
            _ => {
                groups.push(core::mem::take(&mut group));
                prime
            }
        };
        group.push(prime);
    }
    groups.push(group);
    groups
}

/// The odd primes below [`LIMIT`].
pub(crate) fn primes() -> impl Iterator<Item = Word> {
    let mut composite = vec![false; LIMIT];
    for factor in (3..LIMIT).step_by(2).take_while(|factor| factor * factor < LIMIT) {
        for multiple in composite.iter_mut().step_by(factor).skip(factor) {
            *multiple = true;
        }
    }
    let numbers = (0..).zip(composite).skip(3).step_by(2);
    numbers.filter_map(|(number, composite)| (!composite).then_some(number))
}

/// Whether an odd prime below [`LIMIT`] divides the candidate.
pub(crate) fn has_small_factor<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
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
    use super::*;

    #[test]
    fn small_primes_are_all_there() {
        let primes: Vec<Word> = primes().collect();
        // π(2^15) is 3512; 2 is not among them.
        assert_eq!(primes.len(), 3511);
        assert!(primes.starts_with(&[3, 5, 7, 11, 13]));
        let is_prime = |n: Word| (2..n).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
        assert!(primes.iter().all(|n| is_prime(*n)));
        for largest in [Word::MAX, Word::MAX >> 12] {
            let groups = groups(largest);
            assert_eq!(groups.concat(), primes);
            assert!(groups.iter().all(|group| group.iter().product::<Word>() <= largest));
        }
    }

    #[test]
    fn a_divisor_divides_its_multiples_alone() {
        for divisor in [3, 5, 4093] {
            let known = Divisor::new(divisor);
            let last = Word::MAX - Word::MAX % divisor;
            for number in (0..10_000).chain(last - 5000..=last).chain([Word::MAX]) {
                assert_eq!(
                    known.divides(number),
                    number.is_multiple_of(divisor),
                    "{number} by {divisor}"
                );
            }
        }
    }
}
