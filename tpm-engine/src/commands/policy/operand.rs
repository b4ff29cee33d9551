//! Comparing what a policy expects with what there is (Part 3, 23.9).

use std::cmp::Ordering;

use crate::alg::HashAlg;
use crate::bytes::{Bytes, Digest};
use crate::crypto::hash::Hasher;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

/// TPM2B_OPERAND.
pub(crate) type Operand = Bytes<64>;

/// TPM_EO (Part 2, 6.7): what must hold between operand A, which the TPM has, and operand B.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Operation {
    Eq = 0,
    Neq = 1,
    SignedGt = 2,
    UnsignedGt = 3,
    SignedLt = 4,
    UnsignedLt = 5,
    SignedGe = 6,
    UnsignedGe = 7,
    SignedLe = 8,
    UnsignedLe = 9,
    /// All bits that are SET in B are SET in A.
    BitSet = 10,
    /// All bits that are SET in B are CLEAR in A.
    BitClear = 11,
}

impl Unmarshal<'_> for Operation {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let raw = reader.read::<u16>()?;
        [
            Self::Eq,
            Self::Neq,
            Self::SignedGt,
            Self::UnsignedGt,
            Self::SignedLt,
            Self::UnsignedLt,
            Self::SignedGe,
            Self::UnsignedGe,
            Self::SignedLe,
            Self::UnsignedLe,
            Self::BitSet,
            Self::BitClear,
        ]
        .into_iter()
        .nth(usize::from(raw))
        .ok_or(Rc::VALUE)
    }
}

impl Marshal for Operation {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        (*self as u16).marshal(sink);
    }
}

impl Operation {
    /// Whether the operation holds for two operands of the same size: big-endian numbers, signed ones in two's
    /// complement.
    pub(super) fn holds(self, a: &[u8], b: &[u8]) -> bool {
        let unsigned = a.cmp(b);
        let negative = |operand: &[u8]| operand.first().is_some_and(|first| first & 0x80 != 0);
        let signed = match (negative(a), negative(b)) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            _ => unsigned,
        };
        match self {
            Self::Eq => unsigned.is_eq(),
            Self::Neq => unsigned.is_ne(),
            Self::SignedGt => signed.is_gt(),
            Self::UnsignedGt => unsigned.is_gt(),
            Self::SignedLt => signed.is_lt(),
            Self::UnsignedLt => unsigned.is_lt(),
            Self::SignedGe => signed.is_ge(),
            Self::UnsignedGe => unsigned.is_ge(),
            Self::SignedLe => signed.is_le(),
            Self::UnsignedLe => unsigned.is_le(),
            Self::BitSet => a.iter().zip(b).all(|(a, b)| a & b == *b),
            Self::BitClear => a.iter().zip(b).all(|(a, b)| a & b == 0),
        }
    }

    /// argHash: operand, offset and operation, and what more the command says.
    pub(super) fn hash(self, alg: HashAlg, operand: &Operand, offset: u16, more: &[&[u8]]) -> Digest {
        let mut hasher = Hasher::new(alg);
        hasher.update(operand);
        offset.marshal(&mut hasher);
        self.marshal(&mut hasher);
        for part in more {
            hasher.update(part);
        }
        hasher.finish()
    }
}

/// The bytes of `data` from `offset` on that an operand of `size` bytes is compared with: TPM_RC_VALUE of parameter 2
/// for an offset past the end, TPM_RC_RANGE for an operand that goes beyond.
pub(super) fn counterpart(data: &[u8], offset: u16, size: usize) -> RcResult<&[u8]> {
    data.get(usize::from(offset)..)
        .ok_or(Rc::VALUE.parameter(2))?
        .get(..size)
        .ok_or(Rc::RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_compare_as_their_names_say() {
        use Operation as O;
        let all = [
            O::Eq,
            O::Neq,
            O::SignedGt,
            O::UnsignedGt,
            O::SignedLt,
            O::UnsignedLt,
            O::SignedGe,
            O::UnsignedGe,
            O::SignedLe,
            O::UnsignedLe,
        ];
        for (a, b) in [
            (0u16, 0u16),
            (1, 2),
            (2, 1),
            (0xFFFF, 1),
            (1, 0xFFFF),
            (0x8000, 0xFFFF),
            (0x7FFF, 0x8000),
        ] {
            let (x, y) = (a as i16, b as i16);
            let expected = [
                a == b,
                a != b,
                x > y,
                a > b,
                x < y,
                a < b,
                x >= y,
                a >= b,
                x <= y,
                a <= b,
            ];
            for (operation, expected) in all.into_iter().zip(expected) {
                let held = operation.holds(&a.to_be_bytes(), &b.to_be_bytes());
                assert_eq!(held, expected, "{operation:?} of {a} and {b}");
            }
        }
        assert!(O::BitSet.holds(&[0xF0], &[0x50]) && !O::BitSet.holds(&[0xF0], &[0x51]));
        assert!(O::BitClear.holds(&[0xF0], &[0x0A]) && !O::BitClear.holds(&[0xF0], &[0x1A]));
        assert!(O::Eq.holds(&[], &[]) && O::SignedGe.holds(&[], &[]) && !O::SignedLt.holds(&[], &[]));
    }

    #[test]
    fn a_counterpart_lies_in_the_data() {
        assert_eq!(counterpart(&[1, 2, 3], 1, 2), Ok(&[2, 3][..]));
        assert_eq!(counterpart(&[1, 2, 3], 3, 0), Ok(&[][..]));
        assert_eq!(counterpart(&[1, 2, 3], 4, 0), Err(Rc::VALUE.parameter(2)));
        assert_eq!(counterpart(&[1, 2, 3], 2, 2), Err(Rc::RANGE));
    }
}
