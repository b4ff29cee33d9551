//! Eight candidates in the eight 64-bit lanes of AVX-512 registers, multiplied by the 52-bit fused multiply-add (IFMA).
//!
//! A number is a row of digits to the base 2^52, the lowest first; each register holds one digit of eight numbers. With
//! `R = 2^(52·n)` for `n` digits, a power `x` is kept as `x·R`, and never reduced below its candidate `m`: digits enough
//! are there that `R` is at least `2^8·m`, so that
//!
//! - from a number below `4m` almost-Montgomery squaring makes one below `16m²/R + m`, less than `1.1m`;
//! - twice that is below `4m` again. The doubling, which the base 2 asks for where the exponent has a 1, is a shift by
//!   one more bit while carries are carried.
//!
//! Columns of a product are summed up in 64 bits without carries: at most `4n` products of 52 bits each, which are
//! below 2^60 for the 40 digits of the largest candidates, and below 2^61 with what is doubled in a square.

pub(crate) mod trial;

use core::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_epi64, _mm512_cmpeq_epi64_mask, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_set_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_sllv_epi64, _mm512_srli_epi64,
    _mm512_xor_epi64,
};

use crypto_bigint::{Odd, Uint};
use zeroize::Zeroizing;

use crate::{LANES, inverse};

/// Bits of a digit.
const DIGIT: u32 = 52;
const DIGIT_MASK: u64 = (1 << DIGIT) - 1;
/// Rows, and columns, of a product that are summed up together.
const ROWS: usize = 5;
/// Blocks of digits of the largest candidates.
const MAX_BLOCKS: usize = 8;
/// Digits of the largest candidates.
const MAX_DIGITS: usize = ROWS * MAX_BLOCKS;

/// One digit of eight numbers.
type Digits = __m512i;
/// Five digits.
type Block = [Digits; ROWS];

/// Whether candidates of `bits` bits are tested here.
pub(crate) const fn has_size(bits: u32) -> bool {
    matches!(bits, 512 | 1024 | 1536 | 2048)
}

/// `None` for a size that has no code here, and numbers that do not have all of their size. Must be called on a processor
/// with AVX-512 F and IFMA only: that is what [`crate::Filter::fastest`] sees to.
pub(crate) fn pass<const LIMBS: usize>(candidates: &[Odd<Uint<LIMBS>>]) -> Option<[bool; LANES]> {
    let first = candidates.first()?;
    // What makes RSA keys is: this does not tell one candidate from another.
    if !candidates.iter().all(|m| bool::from(m.bit(Uint::<LIMBS>::BITS - 1))) {
        return None;
    }
    // Lanes that are not needed repeat a candidate.
    let lanes: [&Odd<Uint<LIMBS>>; LANES] = core::array::from_fn(|lane| candidates.get(lane).unwrap_or(first));
    // SAFETY: this path is chosen only after the processor was seen to have AVX-512 F and IFMA, which is all that calling
    // these functions asks for.
    let passed = unsafe {
        match Uint::<LIMBS>::BITS {
            512 => fermat::<2, LIMBS>(lanes),
            1024 => fermat::<4, LIMBS>(lanes),
            1536 => fermat::<6, LIMBS>(lanes),
            2048 => fermat::<8, LIMBS>(lanes),
            _ => return None,
        }
    };
    Some(core::array::from_fn(|lane| {
        lane < candidates.len() && passed >> lane & 1 == 1
    }))
}

/// A bit for each lane whose candidate `m` has `2^(m-1) mod m = 1`.
#[target_feature(enable = "avx512f,avx512ifma")]
fn fermat<const BLOCKS: usize, const LIMBS: usize>(candidates: [&Odd<Uint<LIMBS>>; LANES]) -> u8 {
    let modulus = Zeroizing::new(digits::<BLOCKS, LIMBS>(candidates.map(|m| m.as_ref())));
    let one = one(candidates);
    let power = power(candidates, &modulus, &one);
    // Below 1.1m: 1 if it is R mod m, or m more.
    let mut more = Zeroizing::new([[_mm512_setzero_si512(); ROWS]; BLOCKS]);
    let mut carry = _mm512_setzero_si512();
    let sums = one.as_flattened().iter().zip(modulus.as_flattened());
    for (more, (one, modulus)) in more.as_flattened_mut().iter_mut().zip(sums) {
        (*more, carry) = carried(_mm512_add_epi64(*one, *modulus), carry);
    }
    equal(&power, &one) | equal(&power, &more)
}

/// `R mod m`: `2^bits - m`, doubled until it is 2^(52·n) that is reduced.
#[target_feature(enable = "avx512f,avx512ifma")]
fn one<const BLOCKS: usize, const LIMBS: usize>(candidates: [&Odd<Uint<LIMBS>>; LANES]) -> Zeroizing<[Block; BLOCKS]> {
    let rests = candidates.map(|m| {
        let mut rest = Zeroizing::new(m.wrapping_neg());
        for _ in Uint::<LIMBS>::BITS..DIGIT * (ROWS * BLOCKS) as u32 {
            *rest = rest.double_mod(m.as_nz_ref());
        }
        rest
    });
    Zeroizing::new(digits(rests.each_ref().map(|rest| &**rest)))
}

/// `2^(m-1)·R`, modulo `m` and below `1.1m`. `one` is `R`.
#[target_feature(enable = "avx512f,avx512ifma")]
fn power<const BLOCKS: usize, const LIMBS: usize>(
    candidates: [&Odd<Uint<LIMBS>>; LANES],
    modulus: &[Block; BLOCKS],
    one: &Zeroizing<[Block; BLOCKS]>,
) -> Zeroizing<[Block; BLOCKS]> {
    let factor = across(candidates.map(|m| negated_inverse(m.as_limbs()[0].0)));
    let mut power = one.clone();
    let mut square = Zeroizing::new([[_mm512_setzero_si512(); ROWS]; 2 * MAX_BLOCKS]);
    for limb in (0..LIMBS).rev() {
        let mut exponent = across(candidates.map(|m| m.as_limbs()[limb].0));
        if limb == 0 {
            // m is odd, m - 1 is not.
            exponent = _mm512_xor_epi64(exponent, _mm512_set1_epi64(1));
        }
        for _ in 0..u64::BITS {
            let double = _mm512_srli_epi64::<63>(exponent);
            exponent = _mm512_slli_epi64::<1>(exponent);
            square_and_double(&mut power, &mut square, modulus, factor, double);
        }
    }
    power
}

/// Squares `power`, divides by R, and multiplies by two those lanes whose `double` is 1. `square` is zero before and
/// after.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn square_and_double<const BLOCKS: usize>(
    power: &mut [Block; BLOCKS],
    square: &mut [Block; 2 * MAX_BLOCKS],
    modulus: &[Block; BLOCKS],
    factor: Digits,
    double: Digits,
) {
    let square = &mut square[..2 * BLOCKS];
    for (place, rows) in power.iter().enumerate() {
        // Products of different digits, a triangle: first those of the five rows among themselves.
        let (sums, more) = square[2 * place..].split_at_mut(2);
        add_triangle(sums.as_flattened_mut(), rows);
        let columns = &power[place + 1..];
        if !columns.is_empty() {
            add_first(&mut sums[1], rows, &columns[0]);
            add_rest(more, rows, columns);
        }
        // Each of them counts twice, and the squares of the digits once.
        for (pair, digit) in sums.as_flattened_mut().chunks_exact_mut(2).zip(rows) {
            pair[0] = _mm512_madd52lo_epu64(_mm512_slli_epi64::<1>(pair[0]), *digit, *digit);
            pair[1] = _mm512_madd52hi_epu64(_mm512_slli_epi64::<1>(pair[1]), *digit, *digit);
        }
    }
    reduce(square, modulus, factor);
    let mut carry = _mm512_setzero_si512();
    let upper = square[BLOCKS..].as_flattened_mut();
    for (to, from) in power.as_flattened_mut().iter_mut().zip(upper) {
        (*to, carry) = carried(_mm512_sllv_epi64(*from, double), carry);
        *from = _mm512_setzero_si512();
    }
}

/// Adds multiples of the modulus that make the lower half zero.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn reduce<const BLOCKS: usize>(square: &mut [Block], modulus: &[Block; BLOCKS], factor: Digits) {
    let mut rows = multiples(square, &modulus[0], factor);
    for place in 1..BLOCKS {
        // The next five multiples wait for one another: they are found while there are sums left to be done.
        let sums = &mut square[place..];
        add_middle(&mut sums[0], &rows, &modulus[0], &modulus[1]);
        let next = multiples(sums, &modulus[0], factor);
        add_rest(&mut sums[1..], &rows, &modulus[1..]);
        rows = next;
    }
    add_rest(&mut square[BLOCKS..], &rows, modulus);
}

/// The five multiples of the modulus that make the first five sums zero, added to those and carried to the next.
/// `lowest` are the modulus' lowest digits.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn multiples(sums: &mut [Block], lowest: &Block, factor: Digits) -> Block {
    let (zero, most) = (_mm512_setzero_si512(), _mm512_set1_epi64(DIGIT_MASK.cast_signed()));
    let mut rows = [zero; ROWS];
    let mut window = core::mem::replace(&mut sums[0], rows);
    let mut carry = zero;
    for i in 0..ROWS {
        let sum = _mm512_add_epi64(window[i], carry);
        rows[i] = _mm512_madd52lo_epu64(zero, sum, factor);
        // What makes the digit zero carries one, unless it is zero already.
        carry = _mm512_srli_epi64::<DIGIT>(_mm512_add_epi64(sum, most));
        for j in i + 1..ROWS {
            window[j] = _mm512_madd52lo_epu64(window[j], rows[i], lowest[j - i]);
        }
        if i + 1 < ROWS {
            carry = _mm512_madd52hi_epu64(carry, rows[i], lowest[0]);
        }
        for j in i + 2..ROWS {
            window[j] = _mm512_madd52hi_epu64(window[j], rows[i], lowest[j - i - 1]);
        }
    }
    sums[1][0] = _mm512_add_epi64(sums[1][0], carry);
    rows
}

/// Adds the products of different digits among five rows to the sums from twice their place on.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn add_triangle(sums: &mut [Digits], rows: &Block) {
    let sums = &mut sums[..2 * ROWS];
    for i in 0..ROWS {
        for j in i + 1..ROWS {
            sums[i + j] = _mm512_madd52lo_epu64(sums[i + j], rows[i], rows[j]);
            sums[i + j + 1] = _mm512_madd52hi_epu64(sums[i + j + 1], rows[i], rows[j]);
        }
    }
}

/// Adds the product of `rows` and `columns` to the sums from the second five on.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn add_rest(sums: &mut [Block], rows: &Block, columns: &[Block]) {
    for (sum, pair) in sums.iter_mut().zip(columns.windows(2)) {
        add_middle(sum, rows, &pair[0], &pair[1]);
    }
    let last = columns.len() - 1;
    add_last(&mut sums[last], rows, &columns[last]);
}

/// Adds the lower triangle of the product of `rows` and the first five `columns` to their sums.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn add_first(sums: &mut Block, rows: &Block, columns: &Block) {
    for r in 0..ROWS {
        for i in r..ROWS {
            sums[i] = _mm512_madd52lo_epu64(sums[i], rows[r], columns[i - r]);
        }
        for i in r + 1..ROWS {
            sums[i] = _mm512_madd52hi_epu64(sums[i], rows[r], columns[i - r - 1]);
        }
    }
}

/// Adds to five sums what `rows` have there: products with the `columns` of these sums, and of the five `before`.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn add_middle(sums: &mut Block, rows: &Block, before: &Block, columns: &Block) {
    let column = |at: usize| if at < ROWS { before[at] } else { columns[at - ROWS] };
    for (i, sum) in sums.iter_mut().enumerate() {
        let mut high = _mm512_setzero_si512();
        for (r, row) in rows.iter().enumerate() {
            *sum = _mm512_madd52lo_epu64(*sum, *row, column(ROWS + i - r));
            high = _mm512_madd52hi_epu64(high, *row, column(ROWS + i - r - 1));
        }
        *sum = _mm512_add_epi64(*sum, high);
    }
}

/// Adds the upper triangle of the product of `rows` and the last five columns to the sums behind.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn add_last(sums: &mut Block, rows: &Block, columns: &Block) {
    for r in 0..ROWS {
        for i in 0..r {
            sums[i] = _mm512_madd52lo_epu64(sums[i], rows[r], columns[ROWS + i - r]);
        }
        for i in 0..=r {
            sums[i] = _mm512_madd52hi_epu64(sums[i], rows[r], columns[ROWS - 1 + i - r]);
        }
    }
}

/// The digit that is left of a column and a carry, and the carry to the next column.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn carried(column: Digits, carry: Digits) -> (Digits, Digits) {
    let sum = _mm512_add_epi64(column, carry);
    let digit = _mm512_and_epi64(sum, _mm512_set1_epi64(DIGIT_MASK.cast_signed()));
    (digit, _mm512_srli_epi64::<DIGIT>(sum))
}

/// A bit for each lane whose numbers are equal.
#[target_feature(enable = "avx512f,avx512ifma")]
fn equal<const BLOCKS: usize>(a: &[Block; BLOCKS], b: &[Block; BLOCKS]) -> u8 {
    a.as_flattened()
        .iter()
        .zip(b.as_flattened())
        .fold(u8::MAX, |equal, (a, b)| equal & _mm512_cmpeq_epi64_mask(*a, *b))
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn across(values: [u64; LANES]) -> Digits {
    let [a, b, c, d, e, f, g, h] = values.map(u64::cast_signed);
    _mm512_set_epi64(h, g, f, e, d, c, b, a)
}

/// Numbers as digits to the base 2^52.
#[target_feature(enable = "avx512f,avx512ifma")]
fn digits<const BLOCKS: usize, const LIMBS: usize>(numbers: [&Uint<LIMBS>; LANES]) -> [Block; BLOCKS] {
    let mut digits = [[_mm512_setzero_si512(); ROWS]; BLOCKS];
    for (place, digit) in digits.as_flattened_mut().iter_mut().enumerate() {
        *digit = across(numbers.map(|number| self::digit(number, place)));
    }
    digits
}

/// The digit of a number to the base 2^52 in this place.
fn digit<const LIMBS: usize>(number: &Uint<LIMBS>, place: usize) -> u64 {
    let bit = place * DIGIT as usize;
    let (limb, shift) = (bit / 64, bit % 64);
    let word = |at: usize| number.as_limbs().get(at).map_or(0, |limb| limb.0);
    let wide = u128::from(word(limb + 1)) << 64 | u128::from(word(limb));
    (wide >> shift) as u64 & DIGIT_MASK
}

/// `-1/m mod 2^52` of an odd `m`.
const fn negated_inverse(m: u64) -> u64 {
    inverse(m).wrapping_neg() & DIGIT_MASK
}

#[cfg(test)]
mod tests {
    use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
    use crypto_bigint::{U512, U1024, U1536, U2048};
    use proptest::prelude::*;

    use super::*;
    use crate::tests::long;

    /// The powers themselves, not only whether they are 1, which hardly any is.
    fn check<const BLOCKS: usize, const LIMBS: usize>(candidates: &[Odd<Uint<LIMBS>>]) {
        if crate::Filter::fastest() == crate::Filter::portable() {
            return;
        }
        let lanes: [&Odd<Uint<LIMBS>>; LANES] = core::array::from_fn(|lane| &candidates[lane]);
        // SAFETY: the fastest filter is not the portable one: the processor has what these functions ask for.
        let (one, power) = unsafe {
            let one = one::<BLOCKS, LIMBS>(lanes);
            let modulus = digits(lanes.map(|m| m.as_ref()));
            (one.clone(), power(lanes, &modulus, &one))
        };
        for (lane, m) in lanes.into_iter().enumerate() {
            let r = number::<LIMBS>(one.as_flattened(), lane, m);
            let two = FixedMontyForm::new(&Uint::from(2u32), &FixedMontyParams::new(*m));
            let expected = two
                .pow(&m.wrapping_sub(&Uint::ONE))
                .retrieve()
                .mul_mod(&r, m.as_nz_ref());
            assert_eq!(
                number::<LIMBS>(power.as_flattened(), lane, m),
                expected,
                "2^(m-1)·R for {m:x}"
            );
        }
    }

    /// The number in a lane, which is below `2m`, modulo `m`.
    fn number<const LIMBS: usize>(digits: &[Digits], lane: usize, m: &Uint<LIMBS>) -> Uint<LIMBS> {
        let mut limbs = vec![0; LIMBS + 1];
        for (place, digit) in digits.iter().enumerate() {
            // SAFETY: both types are 64 bytes, any of which are eight numbers.
            let digit = u128::from(unsafe { core::mem::transmute::<Digits, [u64; LANES]>(*digit) }[lane]);
            assert!(digit >> DIGIT == 0, "a digit has 52 bits");
            let bit = place * DIGIT as usize;
            let shifted = digit << (bit % 64);
            limbs[bit / 64] |= shifted as u64;
            if let Some(next) = limbs.get_mut(bit / 64 + 1) {
                *next |= (shifted >> 64) as u64;
            }
        }
        let low = Uint::from_words(core::array::from_fn(|at| limbs[at]));
        let reduced = if limbs[LIMBS] != 0 || low >= *m {
            low.wrapping_sub(m)
        } else {
            low
        };
        assert!(reduced < *m && limbs[LIMBS] <= 1);
        reduced
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn powers_of_512_bits(m in proptest::collection::vec(long::<{ U512::LIMBS }>(), LANES)) {
            check::<2, _>(&m);
        }

        #[test]
        fn powers_of_1024_bits(m in proptest::collection::vec(long::<{ U1024::LIMBS }>(), LANES)) {
            check::<4, _>(&m);
        }

        #[test]
        fn powers_of_1536_bits(m in proptest::collection::vec(long::<{ U1536::LIMBS }>(), LANES)) {
            check::<6, _>(&m);
        }

        #[test]
        fn powers_of_2048_bits(m in proptest::collection::vec(long::<{ U2048::LIMBS }>(), LANES)) {
            check::<8, _>(&m);
        }
    }
}
