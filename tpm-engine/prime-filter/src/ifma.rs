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

use core::arch::x86_64::{
    __m512i, _mm512_add_epi64, _mm512_and_epi64, _mm512_cmpeq_epi64_mask, _mm512_madd52hi_epu64, _mm512_madd52lo_epu64,
    _mm512_set_epi64, _mm512_set1_epi64, _mm512_setzero_si512, _mm512_slli_epi64, _mm512_sllv_epi64, _mm512_srli_epi64,
    _mm512_xor_epi64,
};

use crypto_bigint::{Odd, Uint};
use zeroize::Zeroizing;

use crate::LANES;

/// Bits of a digit.
const DIGIT: u32 = 52;
const DIGIT_MASK: u64 = (1 << DIGIT) - 1;
/// Rows of a product that are summed up together: the numbers of digits below are multiples of it.
const ROWS: usize = 5;
/// Digits of the largest candidates.
const MAX_DIGITS: usize = 40;

/// One digit of eight numbers.
type Digits = __m512i;

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
            512 => fermat::<10, LIMBS>(lanes),
            1024 => fermat::<20, LIMBS>(lanes),
            1536 => fermat::<30, LIMBS>(lanes),
            2048 => fermat::<40, LIMBS>(lanes),
            _ => return None,
        }
    };
    Some(core::array::from_fn(|lane| {
        lane < candidates.len() && passed >> lane & 1 == 1
    }))
}

/// A bit for each lane whose candidate `m` has `2^(m-1) mod m = 1`.
#[target_feature(enable = "avx512f,avx512ifma")]
fn fermat<const N: usize, const LIMBS: usize>(candidates: [&Odd<Uint<LIMBS>>; LANES]) -> u8 {
    let modulus = Zeroizing::new(digits::<N, LIMBS>(candidates.map(|m| m.as_ref())));
    let one = one(candidates);
    let power = power(candidates, &modulus, &one);
    // Below 1.1m: 1 if it is R mod m, or m more.
    let mut more = Zeroizing::new([_mm512_setzero_si512(); N]);
    let mut carry = _mm512_setzero_si512();
    for ((more, one), modulus) in more.iter_mut().zip(one.iter()).zip(modulus.iter()) {
        (*more, carry) = carried(_mm512_add_epi64(*one, *modulus), carry);
    }
    equal(&power, &one) | equal(&power, &more)
}

/// `R mod m`: `2^bits - m`, doubled until it is 2^(52·n) that is reduced.
#[target_feature(enable = "avx512f,avx512ifma")]
fn one<const N: usize, const LIMBS: usize>(candidates: [&Odd<Uint<LIMBS>>; LANES]) -> Zeroizing<[Digits; N]> {
    let rests = candidates.map(|m| {
        let mut rest = Zeroizing::new(m.wrapping_neg());
        for _ in Uint::<LIMBS>::BITS..DIGIT * N as u32 {
            *rest = rest.double_mod(m.as_nz_ref());
        }
        rest
    });
    Zeroizing::new(digits(rests.each_ref().map(|rest| &**rest)))
}

/// `2^(m-1)·R`, modulo `m` and below `1.1m`. `one` is `R`.
#[target_feature(enable = "avx512f,avx512ifma")]
fn power<const N: usize, const LIMBS: usize>(
    candidates: [&Odd<Uint<LIMBS>>; LANES],
    modulus: &[Digits; N],
    one: &Zeroizing<[Digits; N]>,
) -> Zeroizing<[Digits; N]> {
    let factor = across(candidates.map(|m| negated_inverse(m.as_limbs()[0].0)));
    let mut power = one.clone();
    let mut square = Zeroizing::new([_mm512_setzero_si512(); 2 * MAX_DIGITS]);
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

/// Squares `power`, divides by R, and multiplies by two those lanes whose `double` is 1.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn square_and_double<const N: usize>(
    power: &mut [Digits; N],
    square: &mut [Digits; 2 * MAX_DIGITS],
    modulus: &[Digits; N],
    factor: Digits,
    double: Digits,
) {
    let zero = _mm512_setzero_si512();
    let square = &mut square[..2 * N];
    square.fill(zero);

    // Products of different digits, a triangle: five rows at a time, first those of the five among themselves.
    let mut rest: &[Digits] = power;
    let mut place = 0;
    while let Some((rows, columns)) = rest.split_first_chunk::<ROWS>() {
        let head = &mut square[place..];
        for i in 0..ROWS {
            for j in i + 1..ROWS {
                head[i + j] = _mm512_madd52lo_epu64(head[i + j], rows[i], rows[j]);
                head[i + j + 1] = _mm512_madd52hi_epu64(head[i + j + 1], rows[i], rows[j]);
            }
        }
        if !columns.is_empty() {
            add_rows_head(&mut square[place + ROWS..], rows, columns);
            add_rows_tail(&mut square[place + ROWS..], rows, columns);
        }
        place += 2 * ROWS;
        rest = columns;
    }
    // Each of them counts twice, and the squares of the digits once.
    for (pair, digit) in square.chunks_exact_mut(2).zip(power.iter()) {
        pair[0] = _mm512_madd52lo_epu64(_mm512_slli_epi64::<1>(pair[0]), *digit, *digit);
        pair[1] = _mm512_madd52hi_epu64(_mm512_slli_epi64::<1>(pair[1]), *digit, *digit);
    }

    // Multiples of the modulus that make the lower half zero, five digits at a time.
    for place in (0..N).step_by(ROWS) {
        let window = &mut square[place..];
        let mut rows = [zero; ROWS];
        for i in 0..ROWS {
            rows[i] = _mm512_madd52lo_epu64(zero, window[i], factor);
            for j in 0..ROWS - i {
                window[i + j] = _mm512_madd52lo_epu64(window[i + j], rows[i], modulus[j]);
            }
            for j in 0..ROWS - i - 1 {
                window[i + j + 1] = _mm512_madd52hi_epu64(window[i + j + 1], rows[i], modulus[j]);
            }
            window[i + 1] = _mm512_add_epi64(window[i + 1], _mm512_srli_epi64::<DIGIT>(window[i]));
        }
        add_rows_tail(window, &rows, modulus);
    }

    let mut carry = zero;
    for (to, from) in power.iter_mut().zip(&square[N..]) {
        (*to, carry) = carried(_mm512_sllv_epi64(*from, double), carry);
    }
}

/// Adds the product of `rows` and `columns` to `sum`: its five lowest digits.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn add_rows_head(sum: &mut [Digits], rows: &[Digits; ROWS], columns: &[Digits]) {
    for i in 0..ROWS {
        for r in 0..=i {
            sum[i] = _mm512_madd52lo_epu64(sum[i], rows[r], columns[i - r]);
        }
        for r in 0..i {
            sum[i] = _mm512_madd52hi_epu64(sum[i], rows[r], columns[i - r - 1]);
        }
    }
}

/// Adds the product of `rows` and `columns` to `sum`: all but its five lowest digits.
#[target_feature(enable = "avx512f,avx512ifma")]
#[inline]
fn add_rows_tail(sum: &mut [Digits], rows: &[Digits; ROWS], columns: &[Digits]) {
    let sum = &mut sum[ROWS..];
    for (sum, columns) in sum.iter_mut().zip(columns.windows(ROWS + 1)) {
        let mut high = _mm512_setzero_si512();
        let mut low = *sum;
        for r in 0..ROWS {
            low = _mm512_madd52lo_epu64(low, rows[r], columns[ROWS - r]);
            high = _mm512_madd52hi_epu64(high, rows[r], columns[ROWS - r - 1]);
        }
        *sum = _mm512_add_epi64(low, high);
    }
    // The columns that the last digits alone reach.
    let last = &columns[columns.len() - ROWS..];
    let sum = &mut sum[columns.len() - ROWS..];
    for i in 0..ROWS {
        for r in i + 1..ROWS {
            sum[i] = _mm512_madd52lo_epu64(sum[i], rows[r], last[ROWS + i - r]);
        }
        for r in i..ROWS {
            sum[i] = _mm512_madd52hi_epu64(sum[i], rows[r], last[ROWS - 1 + i - r]);
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
fn equal<const N: usize>(a: &[Digits; N], b: &[Digits; N]) -> u8 {
    a.iter()
        .zip(b)
        .fold(u8::MAX, |equal, (a, b)| equal & _mm512_cmpeq_epi64_mask(*a, *b))
}

#[target_feature(enable = "avx512f,avx512ifma")]
fn across(values: [u64; LANES]) -> Digits {
    let [a, b, c, d, e, f, g, h] = values.map(u64::cast_signed);
    _mm512_set_epi64(h, g, f, e, d, c, b, a)
}

/// Numbers as digits to the base 2^52.
#[target_feature(enable = "avx512f,avx512ifma")]
fn digits<const N: usize, const LIMBS: usize>(numbers: [&Uint<LIMBS>; LANES]) -> [Digits; N] {
    let mut digits = [_mm512_setzero_si512(); N];
    for (place, digit) in digits.iter_mut().enumerate() {
        let bit = place * DIGIT as usize;
        let (limb, shift) = (bit / 64, bit % 64);
        let part = |number: &Uint<LIMBS>| {
            let word = |at: usize| number.as_limbs().get(at).map_or(0, |limb| limb.0);
            let wide = u128::from(word(limb + 1)) << 64 | u128::from(word(limb));
            (wide >> shift) as u64 & DIGIT_MASK
        };
        *digit = across(core::array::from_fn(|lane| part(numbers[lane])));
    }
    digits
}

/// `-1/m mod 2^52` of an odd `m`, by Newton's iteration: each round doubles the bits that are right, of which there are
/// three to begin with.
const fn negated_inverse(m: u64) -> u64 {
    let mut inverse = m;
    let mut bits = 3;
    while bits < DIGIT {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(m.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse.wrapping_neg() & DIGIT_MASK
}

#[cfg(test)]
mod tests {
    use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
    use crypto_bigint::{U512, U1024, U1536, U2048};
    use proptest::prelude::*;

    use super::*;
    use crate::tests::long;

    /// The powers themselves, not only whether they are 1, which hardly any is.
    fn check<const N: usize, const LIMBS: usize>(candidates: &[Odd<Uint<LIMBS>>]) {
        if crate::Filter::fastest() == crate::Filter::portable() {
            return;
        }
        let lanes: [&Odd<Uint<LIMBS>>; LANES] = core::array::from_fn(|lane| &candidates[lane]);
        // SAFETY: the fastest filter is not the portable one: the processor has what these functions ask for.
        let (one, power) = unsafe {
            let one = one::<N, LIMBS>(lanes);
            let modulus = digits(lanes.map(|m| m.as_ref()));
            (one.clone(), power(lanes, &modulus, &one))
        };
        for (lane, m) in lanes.into_iter().enumerate() {
            let r = number::<LIMBS>(&*one, lane, m);
            let two = FixedMontyForm::new(&Uint::from(2u32), &FixedMontyParams::new(*m));
            let expected = two
                .pow(&m.wrapping_sub(&Uint::ONE))
                .retrieve()
                .mul_mod(&r, m.as_nz_ref());
            assert_eq!(number::<LIMBS>(&*power, lane, m), expected, "2^(m-1)·R for {m:x}");
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
            check::<10, _>(&m);
        }

        #[test]
        fn powers_of_1024_bits(m in proptest::collection::vec(long::<{ U1024::LIMBS }>(), LANES)) {
            check::<20, _>(&m);
        }

        #[test]
        fn powers_of_1536_bits(m in proptest::collection::vec(long::<{ U1536::LIMBS }>(), LANES)) {
            check::<30, _>(&m);
        }

        #[test]
        fn powers_of_2048_bits(m in proptest::collection::vec(long::<{ U2048::LIMBS }>(), LANES)) {
            check::<40, _>(&m);
        }
    }
}
