//! Blinding of the private operation: the secret exponents only ever meet numbers that nobody else knows.
//!
//! The `rsa` crate blinds by itself when it is given a generator. It then draws and inverts a number for each operation, and
//! widens exponents and moduli besides, which nearly doubles the time. What is here is the blinding of OpenSSL and its
//! descendants: a number and its inverse serve several operations, squared after each.

use std::sync::{Mutex, PoisonError};

use ::rsa::traits::PublicKeyParts;
use ::rsa::{BoxedUint, PrivateKey};
use crypto_bigint::RandomMod as _;
use crypto_bigint::modular::BoxedMontyForm;
use zeroize::Zeroizing;

use crate::crypto::drbg::HmacDrbg;

/// Operations until a number is drawn anew: as many as in OpenSSL.
const OPERATIONS: u8 = 32;

/// What blinds the next operation of a key, modulo its modulus. Wiped when dropped.
pub(super) struct Blinding {
    /// `r^e`.
    factor: Zeroizing<BoxedMontyForm>,
    /// `1/r`.
    inverse: Zeroizing<BoxedMontyForm>,
    /// Operations that were blinded with powers of the same number before.
    done: u8,
}

impl Blinding {
    pub(super) fn new(key: &PrivateKey, rng: &mut HmacDrbg) -> Self {
        let params = key.n_params();
        loop {
            let number = Zeroizing::new(BoxedUint::random_mod_vartime(rng, key.n()));
            let number = Zeroizing::new(BoxedMontyForm::new((*number).clone(), params));
            // Hardly ever there is none: that number is 0, or gives the factors away.
            if let Some(inverse) = number.invert().into_option() {
                return Self {
                    factor: Zeroizing::new(number.pow_bounded_exp(key.e(), key.e().bit_width())),
                    inverse: Zeroizing::new(inverse),
                    done: 0,
                };
            }
        }
    }

    /// What the private operation is to be done to in place of `input`, a number below the modulus.
    pub(super) fn blind(&self, input: &BoxedUint) -> BoxedUint {
        times(input, &self.factor)
    }

    /// The result for `input` of [`Blinding::blind`], given that for what it returned.
    pub(super) fn unblind(&self, output: &BoxedUint) -> BoxedUint {
        times(output, &self.inverse)
    }

    /// What blinds the operation after this one; `None` if a number has to be drawn for it.
    fn next(self) -> Option<Self> {
        let done = self.done.saturating_add(1);
        (done < OPERATIONS).then(|| Self {
            factor: Zeroizing::new(self.factor.square()),
            inverse: Zeroizing::new(self.inverse.square()),
            done,
        })
    }
}

fn times(number: &BoxedUint, factor: &BoxedMontyForm) -> BoxedUint {
    let number = Zeroizing::new(BoxedMontyForm::new(number.clone(), factor.params()));
    Zeroizing::new(number.mul(factor)).retrieve()
}

/// Where a key's blinding waits for the next operation. Each is handed out once, so that threads never share one.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<Blinding>>);

impl Kept {
    pub(super) fn take(&self) -> Option<Blinding> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps the successor of a blinding that was used.
    pub(super) fn put_next(&self, used: Blinding) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = used.next();
    }
}

#[cfg(test)]
mod tests {
    use ::rsa::hazmat::rsa_decrypt;
    use crypto_bigint::Resize as _;

    use super::*;
    use crate::crypto::rsa::tests::KEY;

    #[test]
    fn no_two_operations_do_the_same() {
        let key = &KEY.0.key;
        let mut rng = HmacDrbg::new(b"blinding", &[], &[]);
        let input = BoxedUint::from(9u32).resize_unchecked(key.n().bits_precision());
        let expected = rsa_decrypt(None::<&mut HmacDrbg>, key, &input).unwrap();
        let mut seen = vec![input.clone()];
        let mut blinding = Some(Blinding::new(key, &mut rng));
        for operation in 1..=OPERATIONS {
            let used = blinding.take().unwrap();
            let blinded = used.blind(&input);
            let output = rsa_decrypt(None::<&mut HmacDrbg>, key, &blinded).unwrap();
            assert_ne!(output, expected);
            assert_eq!(used.unblind(&output), expected, "operation {operation}");
            assert!(!seen.contains(&blinded), "operation {operation}");
            seen.push(blinded);
            blinding = used.next();
        }
        assert!(blinding.is_none(), "the number is used up");
        assert!(!seen.contains(&Blinding::new(key, &mut rng).blind(&input)));
    }

    #[test]
    fn a_blinding_is_handed_out_once() {
        let kept = Kept::default();
        assert!(kept.take().is_none());
        kept.put_next(Blinding::new(&KEY.0.key, &mut HmacDrbg::new(b"blinding", &[], &[])));
        assert!(kept.take().is_some_and(|blinding| blinding.done == 1));
        assert!(kept.take().is_none());
    }
}
