//! Trial division by 40 products at once, in the way of the portable path, with digits of 52 bits for words.

use core::arch::x86_64::{
    __m512i, _mm512_cmplt_epu64_mask, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64, _mm512_set1_epi64,
    _mm512_setzero_si512, _mm512_srli_epi64, _mm512_sub_epi64,
};
use std::sync::LazyLock;

use crypto_bigint::Uint;
use zeroize::Zeroizing;

use super::{DIGIT, DIGIT_MASK, MAX_DIGITS, across, digit};
use crate::trial::groups;
use crate::{LANES, inverse};

/// Registers of products that are divided by side by side.
const WIDTH: usize = 5;

/// A number for each lane.
type Lanes = [u64; LANES];

/// Eight products of odd primes that fit a digit.
struct Products {
    products: Lanes,
    /// `1/product` modulo the digit.
    inverses: Lanes,
    /// One factor of each product, then another of each.
    divisors: Vec<Divisors>,
}

/// A divisor `d` in each lane: multiples of it, and they alone, times `1/d` modulo the digit are below a bound. Where a
/// product has no more factors the bound is 0.
struct Divisors {
    inverses: Lanes,
    bounds: Lanes,
}

static PRODUCTS: LazyLock<Vec<[Products; WIDTH]>> = LazyLock::new(|| {
    let groups = groups(DIGIT_MASK);
    let rows = groups.chunks(WIDTH * LANES).map(|row| {
        core::array::from_fn(|at| {
            let group = |lane: usize| row.get(at * LANES + lane).map_or(&[][..], |group| group);
            let products = core::array::from_fn(|lane| group(lane).iter().product());
            let most = (0..LANES).map(|lane| group(lane).len()).max().unwrap_or_default();
            let divisors = (0..most).map(|at| {
                let divisor = |lane: usize| group(lane).get(at).copied();
                Divisors {
                    inverses: core::array::from_fn(|lane| {
                        divisor(lane).map_or(0, |divisor| inverse(divisor) & DIGIT_MASK)
                    }),
                    bounds: core::array::from_fn(|lane| divisor(lane).map_or(0, |divisor| DIGIT_MASK / divisor + 1)),
                }
            });
            Products {
                products,
                inverses: products.map(|product| inverse(product) & DIGIT_MASK),
                divisors: divisors.collect(),
            }
        })
    });
    rows.collect()
});

/// As [`crate::trial::has_small_factor`]. Must be called as [`super::pass`].
pub(crate) fn has_small_factor<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
    let count = Uint::<LIMBS>::BITS.div_ceil(DIGIT) as usize;
    let mut digits = Zeroizing::new([0; MAX_DIGITS]);
    let digits = &mut digits[..count];
    for (place, to) in digits.iter_mut().enumerate() {
        *to = digit(candidate, place);
    }
    // SAFETY: as in `pass`.
    PRODUCTS.iter().any(|products| unsafe { divides(products, digits) })
}

/// Whether a factor of one of the products divides the number of these digits.
#[target_feature(enable = "avx512f,avx512ifma")]
fn divides(products: &[Products; WIDTH], digits: &[u64]) -> bool {
    let rests = rests(products, digits);
    let mut all = products.iter().zip(rests);
    all.any(|(products, rest)| {
        let found = products.divisors.iter().fold(0, |found, divisors| {
            let product = _mm512_madd52lo_epu64(_mm512_setzero_si512(), rest, across(divisors.inverses));
            found | _mm512_cmplt_epu64_mask(product, across(divisors.bounds))
        });
        found != 0
    })
}

/// The number of these digits times a power of two, modulo each product: at most the product itself.
#[target_feature(enable = "avx512f,avx512ifma")]
fn rests(products: &[Products; WIDTH], digits: &[u64]) -> [__m512i; WIDTH] {
    let zero = _mm512_setzero_si512();
    let [products, inverses] = [
        products.each_ref().map(|products| across(products.products)),
        products.each_ref().map(|products| across(products.inverses)),
    ];
    let mut rests = [zero; WIDTH];
    for digit in digits {
        for ((rest, product), inverse) in rests.iter_mut().zip(products).zip(inverses) {
            // The multiple of the product that leaves this digit 0, and what it takes from those above.
            let left = _mm512_sub_epi64(_mm512_set1_epi64(digit.cast_signed()), *rest);
            let multiple = _mm512_madd52lo_epu64(zero, left, inverse);
            let borrow = _mm512_srli_epi64::<63>(left);
            *rest = _mm512_madd52hi_epu64(borrow, multiple, product);
        }
    }
    rests
}
