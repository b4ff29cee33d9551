//! Platform Configuration Registers (Part 1, 17; PC Client Platform TPM Profile, 4.6).

use arrayvec::ArrayVec;

use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::crypto::hash::{hash, hash_by};
use crate::handle::PCR_COUNT;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::RcResult;
use crate::types::pcr::{PcrSelection, PcrSelections};

/// What the platform profile says of one PCR.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PcrAttributes {
    /// Kept over TPM Resume.
    pub(crate) state_save: bool,
    /// Localities that may reset it, a bit each.
    pub(crate) reset_localities: u8,
    /// Localities that may extend it, a bit each.
    pub(crate) extend_localities: u8,
    /// Changing it does not count as a change of PCR (TPM_PT_PCR_NO_INCREMENT).
    pub(crate) no_increment: bool,
    /// Reset by `_TPM_Hash_Start` (TPM_PT_PCR_DRTM_RESET).
    pub(crate) drtm_reset: bool,
    /// Has an authorization value and policy of its own (TPM_PT_PCR_AUTH and TPM_PT_PCR_POLICY).
    pub(crate) auth_group: bool,
}

/// The attributes of each PCR (PC Client Platform TPM Profile, 4.6.1, Table 5). `None` past the last PCR.
pub(crate) const fn attributes(pcr: u32) -> Option<PcrAttributes> {
    const ALL: u8 = 0x1F;
    let (state_save, reset, extend, no_increment, drtm) = match pcr {
        0..=15 => (true, 0, ALL, false, false),
        16 => (false, 0x0F, ALL, true, false),
        17 => (false, 0x10, 0x1C, false, true),
        18 => (false, 0x10, 0x1C, false, true),
        19 => (false, 0x10, 0x0C, false, true),
        20 => (false, 0x14, 0x0E, false, true),
        21 => (false, 0x14, 0x04, true, true),
        22 => (false, 0x14, 0x04, true, true),
        23 => (false, 0x0F, ALL, true, false),
        _ => return None,
    };
    Some(PcrAttributes {
        state_save,
        reset_localities: reset,
        extend_localities: extend,
        no_increment,
        drtm_reset: drtm,
        auth_group: matches!(pcr, 20..=22),
    })
}

/// One bank: 24 registers of one hash, and which of them are allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bank {
    pub(crate) alg: HashAlg,
    /// Bit n: PCR n exists in this bank.
    pub(crate) allocated: u32,
    /// One after the other, each of the digest's size.
    values: [[u8; 64]; PCR_COUNT as usize],
}

/// The values of all PCR. Banks that are not allocated are not there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PcrValues {
    pub(crate) banks: ArrayVec<Bank, 8>,
}

impl Bank {
    /// The register's value; `None` when it is not allocated.
    pub(crate) fn get(&self, pcr: u32) -> Option<&[u8]> {
        if self.allocated & 1u32.checked_shl(pcr)? == 0 {
            return None;
        }
        self.values
            .get(usize::try_from(pcr).ok()?)?
            .get(..self.alg.digest_size())
    }

    fn get_mut(&mut self, pcr: u32) -> Option<&mut [u8]> {
        if self.allocated & 1u32.checked_shl(pcr)? == 0 {
            return None;
        }
        self.values
            .get_mut(usize::try_from(pcr).ok()?)?
            .get_mut(..self.alg.digest_size())
    }
}

impl PcrValues {
    /// Banks as `allocation` has them, with the values of TPM Reset: all ones in the PCR of a D-RTM, zeros elsewhere.
    pub(crate) fn new(allocation: &PcrSelections) -> Self {
        let mut values = Self::default();
        for selection in allocation.iter().filter(|selection| selection.bits != 0) {
            let bank = Bank {
                alg: selection.bank,
                allocated: selection.bits,
                values: [[0; 64]; PCR_COUNT as usize],
            };
            if values.banks.try_push(bank).is_err() {
                break;
            }
        }
        for pcr in (0..PCR_COUNT).filter(|pcr| attributes(*pcr).is_some_and(|attributes| attributes.drtm_reset)) {
            values.fill(pcr, 0xFF, 0xFF);
        }
        values
    }

    /// Takes over the saved values of the PCR that `keep` names, in the banks that both have.
    pub(crate) fn restore(&mut self, saved: &Self, keep: impl Fn(u32) -> bool) {
        for bank in &mut self.banks {
            for pcr in (0..PCR_COUNT).filter(|pcr| keep(*pcr)) {
                let before = saved.bank(bank.alg).and_then(|saved| saved.get(pcr));
                if let (Some(value), Some(before)) = (bank.get_mut(pcr), before) {
                    value.copy_from_slice(before);
                }
            }
        }
    }

    /// What is allocated, with an entry for each of `algs`.
    pub(crate) fn allocation(&self, algs: &[HashAlg]) -> PcrSelections {
        algs.iter()
            .map(|alg| PcrSelection {
                bank: *alg,
                bits: self.bank(*alg).map_or(0, |bank| bank.allocated),
            })
            .collect()
    }

    /// The bank of this algorithm, if any of its PCR is allocated.
    pub(crate) fn bank(&self, alg: HashAlg) -> Option<&Bank> {
        self.banks.iter().find(|bank| bank.alg == alg)
    }

    /// Extends the PCR in the bank of `alg`, if it is allocated there.
    pub(crate) fn extend(&mut self, alg: HashAlg, pcr: u32, digest: &[u8]) {
        let bank = self.banks.iter_mut().find(|bank| bank.alg == alg);
        if let Some(value) = bank.and_then(|bank| bank.get_mut(pcr)) {
            let extended = hash(alg, &[value, digest]);
            value.copy_from_slice(&extended);
        }
    }

    /// Sets every byte of the PCR to `byte` in all banks, and the last one to `last`.
    pub(crate) fn fill(&mut self, pcr: u32, byte: u8, last: u8) {
        for bank in &mut self.banks {
            if let Some(value) = bank.get_mut(pcr) {
                value.fill(byte);
                if let Some(end) = value.last_mut() {
                    *end = last;
                }
            }
        }
    }

    /// The selections reduced to what is allocated, as attestations and creation data report them.
    pub(crate) fn filter(&self, selections: &PcrSelections) -> PcrSelections {
        selections
            .iter()
            .map(|selection| PcrSelection {
                bits: selection.bits & self.bank(selection.bank).map_or(0, |bank| bank.allocated),
                ..*selection
            })
            .collect()
    }

    /// The digest over the selected PCR (Part 1, 17.5): the concatenation of their values, bank by bank as selected.
    pub(crate) fn digest(&self, alg: HashAlg, selections: &PcrSelections) -> Digest {
        hash_by(alg, |hash| {
            for selection in selections {
                let Some(bank) = self.bank(selection.bank) else {
                    continue;
                };
                for value in selection.iter().filter_map(|pcr| bank.get(pcr)) {
                    hash.update(value);
                }
            }
        })
    }
}

impl Marshal for PcrValues {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let selections: PcrSelections = self
            .banks
            .iter()
            .map(|bank| PcrSelection {
                bank: bank.alg,
                bits: bank.allocated,
            })
            .collect();
        selections.marshal(sink);
        for value in self
            .banks
            .iter()
            .flat_map(|bank| (0..PCR_COUNT).filter_map(|pcr| bank.get(pcr)))
        {
            sink.put(value);
        }
    }
}

impl Unmarshal<'_> for PcrValues {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let mut values = Self::new(&reader.read()?);
        for bank in &mut values.banks {
            for pcr in 0..PCR_COUNT {
                if let Some(value) = bank.get_mut(pcr) {
                    let stored = reader.bytes(value.len())?;
                    value.copy_from_slice(stored);
                }
            }
        }
        Ok(values)
    }
}
