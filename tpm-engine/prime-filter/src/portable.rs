//! The path of every processor: one candidate after another.
//!
//! Powers are kept in Montgomery's form, below the candidate `m`. A step squares, reduces, and doubles where the exponent
//! has a bit. A square takes each product of two different words once, which `crypto-bigint`'s modular one does not; for
//! candidates of 1024 bits a test takes two thirds of the time.

use crypto_bigint::modular::FixedMontyParams;
use crypto_bigint::{Odd, Uint, Word};
use zeroize::Zeroizing;

use crate::{LANES, inverse};

pub(crate) fn pass<const LIMBS: usize>(candidates: &[Odd<Uint<LIMBS>>]) -> [bool; LANES] {
    let mut passed = [false; LANES];
    for (passed, candidate) in passed.iter_mut().zip(candidates) {
        *passed = is_fermat_prime(candidate);
    }
    passed
}

fn is_fermat_prime<const LIMBS: usize>(candidate: &Odd<Uint<LIMBS>>) -> bool {
    let params = Zeroizing::new(FixedMontyParams::new_vartime(*candidate));
    let one = Zeroizing::new(params.one().to_words());
    *power(candidate, &one) == *one
}

/// `2^(m-1) mod m` in Montgomery's form. `one` is 1 in that form.
fn power<const LIMBS: usize>(m: &Odd<Uint<LIMBS>>, one: &Zeroizing<[Word; LIMBS]>) -> Zeroizing<[Word; LIMBS]> {
    let modulus = Zeroizing::new(m.to_words());
    let factor = inverse(modulus[0]).wrapping_neg();
    let mut power = one.clone();
    let mut square = Zeroizing::new([[0; LIMBS]; 2]);
    for place in (0..LIMBS).rev() {
        // m is odd: its bits but the lowest are those of m - 1, whose lowest is 0.
        let mut exponent = if place == 0 { modulus[0] ^ 1 } else { modulus[place] };
        for _ in 0..Word::BITS {
            square_into(&power, &mut square);
            let carry = reduce(&mut square, &modulus, factor);
            *power = below(&square[1], carry, &modulus);
            double(&mut power, exponent >> (Word::BITS - 1), &modulus);
            exponent <<= 1;
        }
    }
    power
}

/// The square of `number`, its lower half first.
fn square_into<const LIMBS: usize>(number: &[Word; LIMBS], square: &mut [[Word; LIMBS]; 2]) {
    let square = square.as_flattened_mut();
    square.fill(0);
    // Products of different words, a triangle.
    for (i, word) in number.iter().enumerate() {
        let columns = &number[i + 1..];
        let sums = &mut square[2 * i + 1..];
        let mut carry = 0;
        for (sum, column) in sums.iter_mut().zip(columns) {
            (*sum, carry) = word.carrying_mul_add(*column, *sum, carry);
        }
        sums[columns.len()] = carry;
    }
    // Each of them counts twice, and the squares of the words once.
    let (mut shifted, mut carry) = (0, false);
    for (pair, word) in square.chunks_exact_mut(2).zip(number) {
        let doubled = [pair[0] << 1 | shifted, pair[1] << 1 | pair[0] >> (Word::BITS - 1)];
        shifted = pair[1] >> (Word::BITS - 1);
        let (low, high) = word.carrying_mul(*word, 0);
        (pair[0], carry) = doubled[0].carrying_add(low, carry);
        (pair[1], carry) = doubled[1].carrying_add(high, carry);
    }
}

/// Adds multiples of the modulus that make the lower half zero; the carry out of the upper one, which is below twice the
/// modulus with it.
fn reduce<const LIMBS: usize>(square: &mut [[Word; LIMBS]; 2], modulus: &[Word; LIMBS], factor: Word) -> bool {
    let square = square.as_flattened_mut();
    let mut over = false;
    for place in 0..LIMBS {
        let window = &mut square[place..=place + LIMBS];
        let multiple = window[0].wrapping_mul(factor);
        let mut carry = 0;
        for (word, modulus) in window.iter_mut().zip(modulus) {
            (*word, carry) = multiple.carrying_mul_add(*modulus, *word, carry);
        }
        (window[LIMBS], over) = window[LIMBS].carrying_add(carry, over);
    }
    over
}

/// A number below twice the modulus, of which `carry` is the highest bit, modulo it.
fn below<const LIMBS: usize>(number: &[Word; LIMBS], carry: bool, modulus: &[Word; LIMBS]) -> [Word; LIMBS] {
    let mut less = [0; LIMBS];
    let mut borrow = false;
    for ((less, number), modulus) in less.iter_mut().zip(number).zip(modulus) {
        (*less, borrow) = number.borrowing_sub(*modulus, borrow);
    }
    let keep = mask(Word::from(borrow & !carry));
    for (less, number) in less.iter_mut().zip(number) {
        *less ^= (*less ^ number) & keep;
    }
    less
}

/// Doubles `number`, which is below the modulus, if `bit` is 1.
fn double<const LIMBS: usize>(number: &mut [Word; LIMBS], bit: Word, modulus: &[Word; LIMBS]) {
    let mut doubled = [0; LIMBS];
    let mut carry = 0;
    for (doubled, word) in doubled.iter_mut().zip(number.iter()) {
        *doubled = *word << 1 | carry;
        carry = *word >> (Word::BITS - 1);
    }
    let doubled = below(&doubled, carry == 1, modulus);
    for (word, doubled) in number.iter_mut().zip(doubled) {
        *word ^= (*word ^ doubled) & mask(bit);
    }
}

/// All ones for 1, and 0 for 0.
const fn mask(bit: Word) -> Word {
    bit.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use crypto_bigint::modular::FixedMontyForm;
    use crypto_bigint::{U512, U1024, U1536, U2048};
    use proptest::prelude::*;

    use super::*;
    use crate::tests::candidate;

    /// The power itself, not only whether it is 1, which it hardly ever is.
    fn check<const LIMBS: usize>(m: &Odd<Uint<LIMBS>>) {
        let params = FixedMontyParams::new(*m);
        let expected = FixedMontyForm::new(&Uint::from(2u32), &params).pow(&m.wrapping_sub(&Uint::ONE));
        let one = Zeroizing::new(params.one().to_words());
        assert_eq!(
            *power(m, &one),
            expected.as_montgomery().to_words(),
            "2^(m-1) for {m:x}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn powers_of_512_bits(m in candidate::<{ U512::LIMBS }>()) {
            check(&m);
        }

        #[test]
        fn powers_of_1024_bits(m in candidate::<{ U1024::LIMBS }>()) {
            check(&m);
        }

        #[test]
        fn powers_of_1536_bits(m in candidate::<{ U1536::LIMBS }>()) {
            check(&m);
        }

        #[test]
        fn powers_of_2048_bits(m in candidate::<{ U2048::LIMBS }>()) {
            check(&m);
        }
    }

    #[test]
    fn powers_of_extreme_numbers() {
        for words in [
            [0, 0],
            [Word::MAX, Word::MAX],
            [0, 1 << (Word::BITS - 1)],
            [Word::MAX, 0],
            [2, 0],
        ] {
            check(&Odd::new(Uint::from_words(words) | Uint::ONE).unwrap());
        }
    }
}
