//! The private operation of RSA.

use crate::owned::{Owned, done, number};
use crate::{Refused, ffi};

/// The numbers of a private key with two primes (RFC 8017, 3.2).
#[derive(Clone, Copy)]
pub struct RsaComponents<'a> {
    /// Modulus.
    pub n: &'a [u8],
    /// Public exponent.
    pub e: &'a [u8],
    /// Private exponent.
    pub d: &'a [u8],
    /// First prime.
    pub p: &'a [u8],
    /// Second prime.
    pub q: &'a [u8],
    /// d modulo p - 1.
    pub dp: &'a [u8],
    /// d modulo q - 1.
    pub dq: &'a [u8],
    /// The inverse of q modulo p.
    pub qinv: &'a [u8],
}

/// A private key. Wiped when dropped.
pub struct RsaKey(Owned<ffi::RSA>);

// SAFETY: AWS-LC lets threads use a key at once by functions that do not change it (rsa.h, at `RSA_new` and
// `RSA_decrypt`), and no others are called once it is made.
unsafe impl Send for RsaKey {}
// SAFETY: as above.
unsafe impl Sync for RsaKey {}

impl RsaKey {
    /// The key of these numbers, which are checked against each other; that the factors are prime is not.
    ///
    /// # Errors
    /// [`Refused::Value`] if they do not belong together.
    pub fn new(components: &RsaComponents<'_>) -> Result<Self, Refused> {
        // Taken apart exhaustively, so that a forgotten number does not compile.
        let RsaComponents {
            n,
            e,
            d,
            p,
            q,
            dp,
            dq,
            qinv,
        } = *components;
        let (n, e, d) = (number(n)?, number(e)?, number(d)?);
        let (p, q) = (number(p)?, number(q)?);
        let (dp, dq, qinv) = (number(dp)?, number(dq)?, number(qinv)?);
        // SAFETY: all numbers are valid for the call, which copies them; the key is ours.
        unsafe {
            Owned::new(ffi::RSA_new_private_key(
                n.get(),
                e.get(),
                d.get(),
                p.get(),
                q.get(),
                dp.get(),
                dq.get(),
                qinv.get(),
            ))
        }
        .map(Self)
    }

    /// `input` to the private exponent, blinded with numbers of AWS-LC's own generator, and checked for faults. Input and
    /// output have the modulus' size.
    ///
    /// # Errors
    /// [`Refused::Value`] for another size, an input that is not below the modulus, or a result that is not right.
    pub fn private(&self, input: &[u8], output: &mut [u8]) -> Result<(), Refused> {
        let mut written = 0;
        // SAFETY: input and output are readable and writable for their lengths, which are given, and do not overlap. The
        // key is declared mutable by C, but not changed by this call (rsa.h).
        done(unsafe {
            ffi::RSA_decrypt(
                self.0.get().cast_mut(),
                &raw mut written,
                output.as_mut_ptr(),
                output.len(),
                input.as_ptr(),
                input.len(),
                ffi::RSA_NO_PADDING,
            )
        })?;
        if written == output.len() {
            Ok(())
        } else {
            Err(Refused::Value)
        }
    }
}
