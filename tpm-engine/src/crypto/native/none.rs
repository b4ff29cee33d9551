//! A build without a library in C.

use rsa::PrivateKey;

use crate::alg::Curve;
use crate::crypto::CryptoError;
use crate::crypto::ecc::Point;

pub(in crate::crypto) const fn public(_: Curve, _: &[u8]) -> Option<Result<Point, CryptoError>> {
    None
}

pub(in crate::crypto) const fn multiply(_: Curve, _: &[u8], _: &Point) -> Option<Result<Point, CryptoError>> {
    None
}

pub(in crate::crypto) const fn verify(
    _: Curve,
    _: &Point,
    _: &[u8],
    _: &[u8],
    _: &[u8],
) -> Option<Result<(), CryptoError>> {
    None
}

/// There is none.
pub(in crate::crypto) enum NativeRsa {}

impl NativeRsa {
    pub(in crate::crypto) const fn new(_: &PrivateKey) -> Option<Self> {
        None
    }

    pub(in crate::crypto) const fn raw(&self, _: &[u8], _: &mut [u8]) -> bool {
        match *self {}
    }
}
