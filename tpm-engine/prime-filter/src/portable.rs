//! The path of every processor: one candidate after another.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{CtSelect as _, Odd, Uint};
use zeroize::Zeroizing;

use crate::LANES;

pub(crate) fn pass<const LIMBS: usize>(candidates: &[Odd<Uint<LIMBS>>]) -> [bool; LANES] {
    let mut passed = [false; LANES];
    for (passed, candidate) in passed.iter_mut().zip(candidates) {
        *passed = is_fermat_prime(candidate);
    }
    passed
}

fn is_fermat_prime<const LIMBS: usize>(candidate: &Odd<Uint<LIMBS>>) -> bool {
    let params = Zeroizing::new(FixedMontyParams::new_vartime(*candidate));
    let one = Zeroizing::new(FixedMontyForm::one(&params));
    // c is odd: its bits but the lowest are those of c - 1, whose lowest is 0.
    let mut power = one.clone();
    for bit in (1..Uint::<LIMBS>::BITS).rev() {
        *power = power.square();
        let single = *power.as_montgomery();
        let double = single.double_mod(candidate.as_nz_ref());
        *power.as_montgomery_mut() = single.ct_select(&double, candidate.bit(bit));
    }
    power.square() == *one
}
