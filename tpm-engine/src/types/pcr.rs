//! PCR selections (Part 2, 10.6.2, 10.9.7).

use arrayvec::ArrayVec;

use crate::alg::HashAlg;
use crate::handle::PCR_COUNT;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

/// Bytes of a selection: PCR_SELECT_MIN and PCR_SELECT_MAX of a TPM with 24 PCR.
pub(crate) const SELECT_SIZE: u8 = 3;

/// TPMS_PCR_SELECTION (Part 2, 10.6.2): PCR of one bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PcrSelection {
    pub(crate) bank: HashAlg,
    /// Bit n stands for PCR n.
    pub(crate) bits: u32,
}

impl PcrSelection {
    /// All PCR.
    pub(crate) const ALL: u32 = (1 << PCR_COUNT) - 1;

    /// The PCR that are selected, in ascending order.
    pub(crate) fn iter(self) -> impl Iterator<Item = u32> {
        let mut rest = self.bits & Self::ALL;
        std::iter::from_fn(move || {
            let pcr = (rest != 0).then(|| rest.trailing_zeros());
            rest &= rest.wrapping_sub(1);
            pcr
        })
    }
}

impl Unmarshal<'_> for PcrSelection {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let bank = reader.read()?;
        if reader.read::<u8>()? != SELECT_SIZE {
            return Err(Rc::VALUE);
        }
        let [low, middle, high]: [u8; SELECT_SIZE as usize] = reader.read()?;
        Ok(Self {
            bank,
            bits: u32::from_le_bytes([low, middle, high, 0]),
        })
    }
}

impl Marshal for PcrSelection {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.bank.marshal(sink);
        SELECT_SIZE.marshal(sink);
        let [low, middle, high, _] = self.bits.to_le_bytes();
        [low, middle, high].marshal(sink);
    }
}

/// TPML_PCR_SELECTION: at most one entry for each hash algorithm there could be (HASH_COUNT and room to spare).
pub(crate) type PcrSelections = ArrayVec<PcrSelection, 16>;
