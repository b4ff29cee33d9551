use crypto_bigint::{Limb, NonZero, Odd, U512, U768, U1024, U1536, U2048, Uint};
use proptest::prelude::*;

use super::*;

fn odd<const LIMBS: usize>(number: Uint<LIMBS>) -> Odd<Uint<LIMBS>> {
    Odd::new(number | Uint::ONE).unwrap()
}

/// `2^bits - below`, or `2^(bits-1) + above`.
fn near<const LIMBS: usize>(below: i32) -> Odd<Uint<LIMBS>> {
    let distance = Uint::from(below.unsigned_abs());
    odd(if below > 0 {
        Uint::MAX.wrapping_sub(&distance).wrapping_add(&Uint::ONE)
    } else {
        Uint::ONE.shl_vartime(Uint::<LIMBS>::BITS - 1).wrapping_add(&distance)
    })
}

/// Both paths, which must agree.
fn pass<const LIMBS: usize>(candidates: &[Odd<Uint<LIMBS>>]) -> [bool; LANES] {
    let passed = Filter::portable().pass(candidates);
    assert_eq!(Filter::fastest().pass(candidates), passed, "{candidates:x?}");
    passed
}

/// The first and last primes of a size, of all others between them and the ends of the size none.
fn ends<const LIMBS: usize>(first: i32, last: i32) {
    let primes = [near::<LIMBS>(-first), near(last)];
    assert_eq!(pass(&primes), [true, true, false, false, false, false, false, false]);
    for prime in primes {
        for lane in 0..LANES {
            let mut lanes = [near::<LIMBS>(1); LANES];
            lanes[lane] = prime;
            let expected: [bool; LANES] = core::array::from_fn(|other| other == lane);
            assert_eq!(pass(&lanes), expected, "lane {lane}");
        }
    }
    let mut others = (1..first).map(|above| -above).chain(1..last).filter(|at| at % 2 != 0);
    loop {
        let batch: Vec<_> = others.by_ref().take(LANES).map(near::<LIMBS>).collect();
        if batch.is_empty() {
            break;
        }
        // Few of them, as the portable path of unoptimised code is slow.
        assert_eq!(Filter::fastest().pass(&batch), [false; LANES]);
    }
}

#[test]
fn the_first_and_last_primes_of_512_bits() {
    ends::<{ U512::LIMBS }>(111, 569);
}

#[test]
fn the_first_and_last_primes_of_1024_bits() {
    ends::<{ U1024::LIMBS }>(1155, 105);
}

#[test]
fn the_first_and_last_primes_of_1536_bits() {
    ends::<{ U1536::LIMBS }>(699, 3453);
}

#[test]
fn the_first_and_last_primes_of_2048_bits() {
    ends::<{ U2048::LIMBS }>(1919, 1557);
}

#[test]
fn pseudoprimes_pass() {
    // Mersenne numbers of prime exponent are pseudoprimes to the base 2, and 2^509 - 1 and 2^1021 - 1 are not prime.
    let small = odd(U512::MAX.shr_vartime(3));
    let large = odd(U1024::MAX.shr_vartime(3));
    assert!(pass(&[small])[0] && pass(&[large])[0]);
}

#[test]
fn small_numbers_take_the_portable_path() {
    for number in (3u32..600).step_by(2) {
        let prime = (2..number).all(|divisor| number % divisor != 0);
        let pseudoprime = matches!(number, 341 | 561);
        assert_eq!(pass(&[odd(U512::from(number))])[0], prime || pseudoprime, "{number}");
    }
}

#[test]
fn other_sizes_take_the_portable_path() {
    let mersenne = odd(U768::MAX.shr_vartime(768 - 607));
    assert_eq!(Filter::fastest().batch(768), 1);
    assert!(pass(&[mersenne])[0]);
    assert!(!pass(&[odd(U768::MAX)])[0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn both_paths_agree_on_512_bits(candidates in batch::<{ U512::LIMBS }>(111, 569)) {
        pass(&candidates);
    }

    #[test]
    fn both_paths_agree_on_1024_bits(candidates in batch::<{ U1024::LIMBS }>(1155, 105)) {
        pass(&candidates);
    }

    #[test]
    fn both_paths_agree_on_1536_bits(candidates in batch::<{ U1536::LIMBS }>(699, 3453)) {
        pass(&candidates);
    }

    #[test]
    fn both_paths_agree_on_2048_bits(candidates in batch::<{ U2048::LIMBS }>(1919, 1557)) {
        pass(&candidates);
    }

    #[test]
    fn short_numbers_take_the_portable_path(candidates in proptest::collection::vec(candidate::<{ U512::LIMBS }>(), 0..9)) {
        pass(&candidates);
    }
}

/// Both paths of trial division, beside long division.
fn divide<const LIMBS: usize>(candidate: &Uint<LIMBS>) -> bool {
    let divides = |prime| candidate.rem_limb(NonZero::new(Limb(prime)).unwrap()) == Limb::ZERO;
    let expected = crate::trial::primes().any(divides);
    for filter in [Filter::portable(), Filter::fastest()] {
        assert_eq!(
            filter.has_small_factor(candidate),
            expected,
            "{filter:?}: {candidate:x}"
        );
    }
    expected
}

proptest! {
    #[test]
    fn candidates_are_divided_as_by_long_division(
        c in (candidate::<{ U512::LIMBS }>(), candidate::<{ U1024::LIMBS }>()),
        d in (candidate::<{ U1536::LIMBS }>(), candidate::<{ U2048::LIMBS }>(), candidate::<{ U768::LIMBS }>()),
    ) {
        divide(&*c.0);
        divide(&*c.1);
        divide(&*d.0);
        divide(&*d.1);
        divide(&*d.2);
    }
}

#[test]
fn each_small_factor_is_found() {
    // The first prime that is not one of them.
    let other = U1024::from(32_771u32);
    assert!(!divide(&other) && !divide(&other.wrapping_mul(&other)) && !divide(&U1024::ONE));
    for prime in crate::trial::primes() {
        assert!(divide(&other.wrapping_mul(&U1024::from(prime))), "{prime}");
    }
    assert!(divide(&U1024::MAX) && divide(&U1024::ZERO));
}

#[test]
fn nothing_passes_where_nothing_is() {
    assert_eq!(pass::<{ U512::LIMBS }>(&[]), [false; LANES]);
    assert_eq!(pass(&[near::<{ U512::LIMBS }>(569); 9]), [true; LANES]);
}

/// Odd numbers, random or of extreme words: where carries are lost, if they are.
pub(crate) fn candidate<const LIMBS: usize>() -> impl Strategy<Value = Odd<Uint<LIMBS>>> {
    let word = prop_oneof![4 => any::<u64>(), 1 => Just(0), 1 => Just(u64::MAX), 1 => Just(1 << 52)];
    proptest::collection::vec(word, LIMBS).prop_map(|words| {
        let mut number = Uint::<LIMBS>::ZERO;
        for word in words {
            number = number.shl_vartime(63).shl_vartime(1) | Uint::from(word);
        }
        odd(number)
    })
}

/// The same with the highest bit set.
pub(crate) fn long<const LIMBS: usize>() -> impl Strategy<Value = Odd<Uint<LIMBS>>> {
    candidate().prop_map(|m| odd(m.get() | Uint::ONE.shl_vartime(Uint::<LIMBS>::BITS - 1)))
}

/// Long numbers, and the first and last primes of their size among them.
fn batch<const LIMBS: usize>(first: i32, last: i32) -> impl Strategy<Value = Vec<Odd<Uint<LIMBS>>>> {
    let primes = [near(-first), near(last)];
    proptest::collection::vec(
        prop_oneof![3 => long(), 1 => proptest::sample::select(primes.to_vec())],
        0..9,
    )
}
