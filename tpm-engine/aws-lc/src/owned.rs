//! What AWS-LC allocates, freed when dropped; numbers are wiped by that. What a refused call left in the thread's queue of
//! errors is removed, so that the queue does not grow and no later call finds it.

use std::ptr::NonNull;

use crate::{Refused, ffi};

/// A type of AWS-LC that has a function to free it.
pub(crate) trait Free {
    /// # Safety
    /// `pointer` must have come from the type's constructor, and must not be used again.
    unsafe fn free(pointer: *mut Self);
}

macro_rules! free {
    ($($type:ident by $free:ident;)*) => {$(
        impl Free for ffi::$type {
            unsafe fn free(pointer: *mut Self) {
                // SAFETY: the caller gives up a pointer that the constructor made.
                unsafe { ffi::$free(pointer) }
            }
        }
    )*};
}

free! {
    BIGNUM by BN_clear_free;
    EC_KEY by EC_KEY_free;
    EC_POINT by EC_POINT_free;
    ECDSA_SIG by ECDSA_SIG_free;
    RSA by RSA_free;
}

/// A pointer that is freed when dropped.
pub(crate) struct Owned<T: Free>(NonNull<T>);

impl<T: Free> Owned<T> {
    /// Takes over what a constructor returned: [`Refused::Value`] if that is null.
    ///
    /// # Safety
    /// `pointer` must be null, or have come from the type's constructor and belong to nobody else.
    pub(crate) unsafe fn new(pointer: *mut T) -> Result<Self, Refused> {
        let owned = NonNull::new(pointer).map(Self);
        done(owned.is_some().into())?;
        owned.ok_or(Refused::Value)
    }

    pub(crate) fn get(&self) -> *const T {
        self.0.as_ptr()
    }

    pub(crate) fn get_mut(&mut self) -> *mut T {
        self.0.as_ptr()
    }

    /// Gives the pointer up to AWS-LC.
    pub(crate) fn release(self) -> *mut T {
        let pointer = self.0.as_ptr();
        std::mem::forget(self);
        pointer
    }
}

impl<T: Free> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the constructor (see `new`), and nobody has it any more.
        unsafe { T::free(self.0.as_ptr()) }
    }
}

/// The number that `bytes` are.
pub(crate) fn number(bytes: &[u8]) -> Result<Owned<ffi::BIGNUM>, Refused> {
    // SAFETY: `bytes` are readable for their length; a null third argument asks for a new number, which is ours.
    unsafe { Owned::new(ffi::BN_bin2bn(bytes.as_ptr(), bytes.len(), std::ptr::null_mut())) }
}

/// A number to be written to.
pub(crate) fn zero() -> Result<Owned<ffi::BIGNUM>, Refused> {
    // SAFETY: the constructor has no conditions, and what it returns is ours.
    unsafe { Owned::new(ffi::BN_new()) }
}

/// Writes `number` into the whole of `out`, padded; [`Refused::Value`] if it does not fit.
pub(crate) fn write(number: &Owned<ffi::BIGNUM>, out: &mut [u8]) -> Result<(), Refused> {
    // SAFETY: `out` is writable for its length, and `number` is a number.
    done(unsafe { ffi::BN_bn2bin_padded(out.as_mut_ptr(), out.len(), number.get()) })
}

/// What a function said that returns 1 for success.
pub(crate) fn done(code: std::ffi::c_int) -> Result<(), Refused> {
    if code == 1 {
        return Ok(());
    }
    // SAFETY: clears the queue of this thread, and has no conditions.
    unsafe { ffi::ERR_clear_error() };
    Err(Refused::Value)
}
