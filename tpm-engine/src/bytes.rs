//! Byte strings of bounded size, kept in place: what TPM2B structures hold.

use std::ops::{Deref, DerefMut};

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// At most `N` bytes, without an allocation. Wiped when dropped only inside [`zeroize::Zeroizing`].
#[derive(Clone)]
pub struct Bytes<const N: usize> {
    len: usize,
    data: [u8; N],
}

/// A digest, nonce or authorization value: at most the size of the largest hash.
pub type Digest = Bytes<64>;

impl<const N: usize> Bytes<N> {
    /// The most bytes that fit.
    pub const CAPACITY: usize = N;

    /// No bytes.
    pub const EMPTY: Self = Self { len: 0, data: [0; N] };

    /// `len` zero bytes; `None` if they do not fit.
    #[must_use]
    pub fn zeroed(len: usize) -> Option<Self> {
        (len <= N).then_some(Self { len, data: [0; N] })
    }

    /// A copy of `bytes`; `None` if they do not fit.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut out = Self::zeroed(bytes.len())?;
        out.copy_from_slice(bytes);
        Some(out)
    }

    /// A copy of the first `N` bytes of `bytes`.
    #[must_use]
    pub fn truncated(bytes: &[u8]) -> Self {
        Self::new(bytes.get(..N).unwrap_or(bytes)).unwrap_or(Self::EMPTY)
    }

    /// Appends `bytes`; `None`, and no change, if they do not fit.
    pub fn extend(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.len.checked_add(bytes.len())?;
        self.data.get_mut(self.len..end)?.copy_from_slice(bytes);
        self.len = end;
        Some(())
    }

    /// Appends what `write` puts at the beginning of the room that is left, as many bytes as it says; `None`, and no
    /// change, if it gives `None` or more than there is room for.
    pub fn extend_by(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<()> {
        let room = self.data.get_mut(self.len..)?;
        match write(room) {
            Some(written) if written <= room.len() => {
                self.len = self.len.checked_add(written)?;
                Some(())
            }
            _ => {
                room.fill(0);
                None
            }
        }
    }

    /// Shortens to `len` bytes; longer lengths change nothing.
    pub fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.data.get_mut(len..) {
            rest.fill(0);
        }
        self.len = self.len.min(len);
    }

    /// As [`without_trailing_zeros`].
    #[must_use]
    pub fn without_trailing_zeros(&self) -> &[u8] {
        without_trailing_zeros(self)
    }

    /// Whether the bytes equal `other`, in time that depends on the lengths alone.
    #[must_use]
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.deref().ct_eq(other).into()
    }
}

/// The bytes without trailing zeros: how authorization values are compared and used (Part 1, 19.6.4.3).
#[must_use]
pub fn without_trailing_zeros(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last.saturating_add(1));
    bytes.get(..end).unwrap_or_default()
}

impl<const N: usize> Default for Bytes<N> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<const N: usize> Deref for Bytes<N> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.data.get(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> DerefMut for Bytes<N> {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.data.get_mut(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> PartialEq for Bytes<N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const N: usize> Eq for Bytes<N> {}

impl<const N: usize> Zeroize for Bytes<N> {
    fn zeroize(&mut self) {
        // As a slice: of an array each element is wiped by a store of its own.
        self.data.as_mut_slice().zeroize();
        self.len = 0;
    }
}

impl<const N: usize> std::fmt::Debug for Bytes<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} bytes]", self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_fits_and_nothing_more() {
        assert!(Bytes::<4>::new(&[0; 5]).is_none());
        let mut bytes = Bytes::<4>::new(&[1, 2, 3]).unwrap();
        assert!(bytes.extend(&[4, 5]).is_none());
        assert_eq!(&*bytes, &[1, 2, 3]);
        bytes.extend(&[0]).unwrap();
        assert_eq!(bytes.without_trailing_zeros(), &[1, 2, 3]);
        bytes.truncate(2);
        assert_eq!(&*bytes, &[1, 2]);
        assert!(bytes.ct_eq(&[1, 2]) && !bytes.ct_eq(&[1, 3]));
        let write = |written| {
            move |room: &mut [u8]| {
                room.fill(7);
                written
            }
        };
        assert!(bytes.extend_by(write(None)).is_none() && bytes.extend_by(write(Some(3))).is_none());
        assert_eq!(&*bytes, &[1, 2]);
        bytes.extend_by(write(Some(1))).unwrap();
        assert_eq!(&*bytes, &[1, 2, 7]);
    }
}
