//! TPM2_PCR_Read — Part 3, 22.4.

use arrayvec::ArrayVec;

use crate::bytes::Digest;
use crate::marshal::Borrowed;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::pcr::{PcrSelection, PcrSelections};

command! {
    /// TPM2_PCR_Read: the values of the first eight selected PCR.
    PcrRead = 0x17E, [WithoutKeys];
    handles {}
    params { selection: PcrSelections }
    reply<'t> { update_counter: u32, selection: PcrSelections, values: ArrayVec<Borrowed<'t, { Digest::CAPACITY }>, 8> }
}

fn run<'t>(tpm: &'t mut Tpm, _: Handles, params: Params) -> RcResult<Reply<'t>> {
    let mut values = ArrayVec::new();
    let mut selection = PcrSelections::new();
    for wanted in &params.selection {
        let mut bits = 0;
        let bank = tpm.pcrs.bank(wanted.bank);
        for pcr in wanted.iter() {
            let value = bank.and_then(|bank| bank.get(pcr));
            // What is not allocated, or does not fit into one response, is not selected in the reply.
            if let Some(value) = value
                && values.try_push(Borrowed(value)).is_ok()
            {
                bits |= 1u32.wrapping_shl(pcr);
            }
        }
        selection.push(PcrSelection { bits, ..*wanted });
    }
    Ok(Reply {
        update_counter: tpm.reset.pcr_counter,
        selection,
        values,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, hex};

    #[test]
    fn reads_eight_registers_at_most() {
        let mut tpm = Bench::started();
        let reply = tpm.run_ok("8001 00000014 0000017e 00000001 000b 03 ffffff");
        // Counter, the first eight of the bank, eight digests.
        assert_eq!(reply[4..18], *hex("00000001 000b03ff0000 00000008"));
        assert_eq!(reply.len(), 18 + 8 * 34);
        // PCR 17 to 22 are all ones until a D-RTM.
        let reply = tpm.run_ok("8001 00000014 0000017e 00000001 000b 03 000002");
        assert_eq!(reply[20..], [0xFF; 32]);
    }

    #[test]
    fn selections_stay_in_order_and_lose_what_was_not_read() {
        let mut tpm = Bench::started();
        let reply = tpm.run_ok("8001 0000001a 0000017e 00000002 000c 03 010000 000b 03 ff0100");
        assert_eq!(reply[4..24], *hex("00000002 000c03010000 000b037f0000 00000008"));
        let reply = tpm.run_ok("8001 0000000e 0000017e 00000000");
        assert_eq!(reply[4..], *hex("00000000 00000000"));
    }

    #[test]
    fn refuses_what_is_no_selection() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.code("8001 00000014 0000017e 00000001 0010 03 000000"), 0x1C3);
        assert_eq!(tpm.code("8001 00000013 0000017e 00000001 000b 02 0000"), 0x1C4);
        assert_eq!(tpm.code("8001 00000015 0000017e 00000001 000b 04 00000000"), 0x1C4);
        assert_eq!(tpm.code("8001 0000000e 0000017e 00000001"), 0x1DA);
        assert_eq!(tpm.code("8001 0000000e 0000017e 00000011"), 0x1D5);
    }
}
