//! TPM2_PCR_Allocate — Part 3, 22.5.

use std::sync::Arc;

use crate::handle::PCR_COUNT;
use crate::rc::{Rc, RcResult};
use crate::state::persistent::PcrAllocation;
use crate::tpm::Tpm;
use crate::types::pcr::{PcrSelection, PcrSelections};

/// The PCR of the H-CRTM and of the D-RTM: some bank must have each (Part 3, 22.5).
const REQUIRED: [u32; 2] = [0, 17];

command! {
    /// TPM2_PCR_Allocate: which PCR each bank has from the next `_TPM_Init` on.
    PcrAllocate = 0x12B, [Nv, PresenceOptional];
    handles { platform: Platform @ User }
    params { allocation: PcrSelections }
    reply { success: bool, max_pcr: u32, size_needed: u32, size_available: u32 }
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let algs = tpm.profile.bank_hashes;
    if params.allocation.iter().any(|wanted| !algs.contains(&wanted.bank)) {
        return Err(Rc::HASH.parameter(1));
    }
    // Banks that are not named stay as they are now; of several entries for a bank the last one counts.
    let banks: PcrSelections = tpm
        .pcrs
        .allocation(algs)
        .into_iter()
        .map(|current| {
            let named = params.allocation.iter().rfind(|wanted| wanted.bank == current.bank);
            *named.unwrap_or(&current)
        })
        .collect();
    let all = banks.iter().fold(0, |all, bank| all | bank.bits);
    if REQUIRED.iter().any(|pcr| all & 1u32.wrapping_shl(*pcr) == 0) {
        return Err(Rc::PCR);
    }
    let every = algs.iter().map(|alg| PcrSelection {
        bank: *alg,
        bits: PcrSelection::ALL,
    });
    let reply = Reply {
        success: true,
        max_pcr: PCR_COUNT,
        size_needed: size(banks.iter().copied()),
        size_available: size(every),
    };
    let allocation = PcrAllocation {
        banks,
        ..PcrAllocation::clone(&tpm.nv.pcr)
    };
    tpm.nv.change().pcr = Arc::new(allocation);
    tpm.pcr_reallocated = true;
    Ok(reply)
}

/// Bytes that the registers take.
fn size(banks: impl Iterator<Item = PcrSelection>) -> u32 {
    let bytes = |bank: PcrSelection| {
        let digest = u32::try_from(bank.bank.digest_size()).unwrap_or_default();
        bank.bits.count_ones().saturating_mul(digest)
    };
    banks.map(bytes).fold(0, u32::saturating_add)
}

#[cfg(test)]
mod tests {
    use crate::alg::HashAlg;
    use crate::testing::{Bench, hex, with_passwords};

    fn allocate(banks: &str) -> Vec<u8> {
        with_passwords(0x12B, &[0x4000_000C], &[b""], &hex(banks))
    }

    #[test]
    fn takes_effect_at_the_next_start_and_persists() {
        let mut tpm = Bench::started();
        let (code, response) = tpm.run(&allocate("00000002 000b03 000000 000c03 0f0002"));
        assert_eq!(code, 0);
        assert_eq!(response[14..27], *hex("01 00000018 000000f0 00000f60"));
        assert!(tpm.tpm.pcrs.bank(HashAlg::Sha256).is_some());
        // The saved PCR would not fit the new banks.
        assert_eq!(tpm.code("8001 0000000c 00000145 0001"), 0x1CA);
        let mut tpm = Bench::on(tpm.memory.clone());
        tpm.run_ok("8001 0000000c 00000144 0000");
        assert!(tpm.tpm.pcrs.bank(HashAlg::Sha256).is_none());
        let bank = tpm.tpm.pcrs.bank(HashAlg::Sha384).unwrap();
        assert_eq!(bank.get(17), Some([0xFF; 48].as_slice()));
        assert_eq!(bank.get(4), None);
        // Banks without PCR are listed, too.
        let list = tpm.run_ok("8001 00000016 0000017a 00000005 00000000 00000010");
        assert_eq!(
            list,
            hex("00 00000005 00000004 000403000000 000b03000000 000c030f0002 000d03000000")
        );
        assert_eq!(tpm.code("8001 0000000c 00000145 0001"), 0);
    }

    #[test]
    fn refuses_an_allocation_without_a_root_of_trust() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run(&allocate("00000002 000b03 000000 000c03 000000")).0, 0x127);
        assert_eq!(tpm.run(&allocate("00000002 000b03 010000 000c03 000000")).0, 0x127);
        assert_eq!(tpm.run(&allocate("00000002 000b03 010000 000c03 000002")).0, 0);
        assert_eq!(tpm.run(&allocate("00000001 0010 03 000000")).0, 0x1C3);
    }

    #[test]
    fn the_last_entry_of_a_bank_counts() {
        let mut tpm = Bench::started();
        let (_, response) = tpm.run(&allocate("00000002 000b03 010002 000b03 ffffff"));
        assert_eq!(response[19..23], (24u32 * (32 + 48)).to_be_bytes());
    }
}
