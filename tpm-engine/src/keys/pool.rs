//! RSA key pairs that were made while the TPM had nothing to do.
//!
//! A key pair leaves the pool once, and is nowhere else: snapshots have no pool, and each key comes out of a generator of
//! its own, seeded by this process.

use crate::crypto::rsa::{RsaPrivate, effective_exponent};

/// Key pairs of one size.
struct Shelf {
    bits: u16,
    /// How many there should be: what is asked for and not there raises it.
    wanted: usize,
    most: usize,
    keys: Vec<RsaPrivate>,
}

impl Shelf {
    const fn new(bits: u16, wanted: usize, most: usize) -> Self {
        Self {
            bits,
            wanted,
            most,
            keys: Vec::new(),
        }
    }
}

/// Ready key pairs with the default exponent. Wiped when dropped.
pub(crate) struct KeyPool {
    shelves: [Shelf; 3],
}

impl Default for KeyPool {
    fn default() -> Self {
        Self {
            // Keys of 2048 bits are asked for sooner or later; others when they were asked for before.
            shelves: [Shelf::new(2048, 2, 4), Shelf::new(3072, 0, 2), Shelf::new(4096, 0, 1)],
        }
    }
}

impl KeyPool {
    /// A key pair that nobody has had, if there is one.
    pub(crate) fn take(&mut self, bits: u16, exponent: u32) -> Option<RsaPrivate> {
        if effective_exponent(exponent) != effective_exponent(0) {
            return None;
        }
        let shelf = self.shelves.iter_mut().find(|shelf| shelf.bits == bits)?;
        let key = shelf.keys.pop();
        if key.is_none() {
            shelf.wanted = shelf.wanted.saturating_add(1).min(shelf.most);
        }
        key
    }

    /// The size of which there are too few.
    pub(crate) fn short(&self) -> Option<u16> {
        let short = self.shelves.iter().find(|shelf| shelf.keys.len() < shelf.wanted)?;
        Some(short.bits)
    }

    /// Puts a new key pair in, unless there are enough of its size.
    pub(crate) fn put(&mut self, key: RsaPrivate) {
        let bits = key.size().saturating_mul(8);
        let shelf = self.shelves.iter_mut().find(|shelf| usize::from(shelf.bits) == bits);
        if let Some(shelf) = shelf.filter(|shelf| shelf.keys.len() < shelf.wanted) {
            shelf.keys.push(key);
        }
    }
}
