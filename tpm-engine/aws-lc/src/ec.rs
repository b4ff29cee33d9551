//! The NIST curves.

use zeroize::Zeroize;

use crate::owned::{Owned, done, number, write, zero};
use crate::{Refused, ffi};

/// A curve that AWS-LC multiplies on in constant time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

/// Largest coordinate in bytes.
const MAX_SIZE: usize = 66;

/// A point other than that at infinity; wiped when dropped, as it may be an agreed secret.
pub struct Point {
    x: [u8; MAX_SIZE],
    y: [u8; MAX_SIZE],
    size: usize,
}

impl Point {
    /// The x coordinate, padded to the curve's size.
    #[must_use]
    pub fn x(&self) -> &[u8] {
        self.x.get(..self.size).unwrap_or_default()
    }

    /// The y coordinate, padded to the curve's size.
    #[must_use]
    pub fn y(&self) -> &[u8] {
        self.y.get(..self.size).unwrap_or_default()
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
    }
}

impl Curve {
    const fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn group(self) -> *const ffi::EC_GROUP {
        // SAFETY: these return the address of a static group, which is never null, freed or changed.
        unsafe {
            match self {
                Self::P256 => ffi::EC_group_p256(),
                Self::P384 => ffi::EC_group_p384(),
                Self::P521 => ffi::EC_group_p521(),
            }
        }
    }

    /// The base point times `scalar`, which is below the order, in constant time.
    ///
    /// # Errors
    /// [`Refused::Infinity`] for 0.
    pub fn public(self, scalar: &[u8]) -> Result<Point, Refused> {
        let scalar = number(scalar)?;
        self.product(|group, product| {
            // SAFETY: group, product and scalar are valid for the call; null leaves out the second product and the context.
            done(unsafe {
                let null = std::ptr::null();
                ffi::EC_POINT_mul(
                    group,
                    product,
                    scalar.get(),
                    null,
                    std::ptr::null(),
                    std::ptr::null_mut(),
                )
            })
        })
    }

    /// The point (x, y) times `scalar`, which is below the order, in constant time.
    ///
    /// # Errors
    /// [`Refused::Point`] if there is no such point on the curve; [`Refused::Infinity`] if there is no coordinate in the
    /// result.
    pub fn multiply(self, scalar: &[u8], x: &[u8], y: &[u8]) -> Result<Point, Refused> {
        let (scalar, point) = (number(scalar)?, self.point(x, y)?);
        self.product(|group, product| {
            // SAFETY: group, product, point and scalar are valid for the call; null leaves out the base point's product
            // and the context.
            done(unsafe {
                let null = std::ptr::null();
                ffi::EC_POINT_mul(group, product, null, point.get(), scalar.get(), std::ptr::null_mut())
            })
        })
    }

    /// Whether (r, s) is the ECDSA signature of `digest` by the key whose public point is (x, y).
    ///
    /// # Errors
    /// [`Refused::Point`] if there is no such point on the curve.
    pub fn verify(self, x: &[u8], y: &[u8], digest: &[u8], r: &[u8], s: &[u8]) -> Result<bool, Refused> {
        let point = self.point(x, y)?;
        // SAFETY: the constructors have no conditions, and what they return is ours.
        let (mut key, mut signature) = unsafe { (Owned::new(ffi::EC_KEY_new())?, Owned::new(ffi::ECDSA_SIG_new())?) };
        // SAFETY: key, group and point are valid for the calls, which copy the point.
        done(unsafe { ffi::EC_KEY_set_group(key.get_mut(), self.group()) })?;
        // SAFETY: as above.
        done(unsafe { ffi::EC_KEY_set_public_key(key.get_mut(), point.get()) }).map_err(|_| Refused::Point)?;
        let (r, s) = (number(r)?, number(s)?);
        // SAFETY: the signature takes over both numbers, which are given up; it fails for null ones only.
        done(unsafe { ffi::ECDSA_SIG_set0(signature.get_mut(), r.release(), s.release()) })?;
        // SAFETY: `digest` is readable for its length; signature and key are valid for the call.
        let valid = unsafe { ffi::ECDSA_do_verify(digest.as_ptr(), digest.len(), signature.get(), key.get()) };
        Ok(done(valid).is_ok())
    }

    fn point(self, x: &[u8], y: &[u8]) -> Result<Owned<ffi::EC_POINT>, Refused> {
        let (x, y) = (number(x)?, number(y)?);
        // SAFETY: the group is valid, and what the constructor returns is ours.
        let mut point = unsafe { Owned::new(ffi::EC_POINT_new(self.group()))? };
        // SAFETY: group, point and numbers are valid for the call, which checks that the point is on the curve; the
        // context may be null.
        let set = unsafe {
            ffi::EC_POINT_set_affine_coordinates_GFp(
                self.group(),
                point.get_mut(),
                x.get(),
                y.get(),
                std::ptr::null_mut(),
            )
        };
        done(set).map(|()| point).map_err(|_| Refused::Point)
    }

    /// The coordinates of what `multiply` writes to the point that it is given.
    fn product(
        self,
        multiply: impl FnOnce(*const ffi::EC_GROUP, *mut ffi::EC_POINT) -> Result<(), Refused>,
    ) -> Result<Point, Refused> {
        // SAFETY: the group is valid, and what the constructor returns is ours.
        let mut product = unsafe { Owned::new(ffi::EC_POINT_new(self.group()))? };
        multiply(self.group(), product.get_mut())?;
        let (mut x, mut y) = (zero()?, zero()?);
        // SAFETY: group, point and numbers are valid for the call, which fails for the point at infinity; the context may
        // be null.
        let got = unsafe {
            ffi::EC_POINT_get_affine_coordinates_GFp(
                self.group(),
                product.get(),
                x.get_mut(),
                y.get_mut(),
                std::ptr::null_mut(),
            )
        };
        done(got).map_err(|_| Refused::Infinity)?;
        let mut point = Point {
            x: [0; MAX_SIZE],
            y: [0; MAX_SIZE],
            size: self.size(),
        };
        let (to_x, _) = point.x.split_at_mut(self.size());
        write(&x, to_x)?;
        let (to_y, _) = point.y.split_at_mut(self.size());
        write(&y, to_y)?;
        Ok(point)
    }
}
