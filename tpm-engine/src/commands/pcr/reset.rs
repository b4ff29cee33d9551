//! TPM2_PCR_Reset — Part 3, 22.8.

use crate::rc::{Rc, RcResult};
use crate::state::pcr;
use crate::tpm::Tpm;

command! {
    /// TPM2_PCR_Reset: sets a PCR to zero in all banks, if the platform lets this locality do so.
    PcrReset = 0x13D, [Nv, WithoutKeys];
    handles { pcr: Pcr @ User }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let allowed = pcr::attributes(handles.pcr.0)
        .is_some_and(|attributes| attributes.reset_localities & tpm.current.locality.bit() != 0);
    if !allowed {
        return Err(Rc::LOCALITY);
    }
    tpm.pcrs.change().fill(handles.pcr.0, 0, 0);
    super::count_change(tpm, handles.pcr);
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::alg::HashAlg;
    use crate::testing::{Bench, hex, with_passwords};

    fn reset(pcr: u32) -> Vec<u8> {
        with_passwords(0x13D, &[pcr], &[b""], &[])
    }

    #[test]
    fn the_debug_register_goes_back_to_zero() {
        let mut tpm = Bench::started();
        tpm.tpm.pcrs.change().extend(HashAlg::Sha256, 16, &[1; 32]);
        let before = tpm.tpm.reset.pcr_counter;
        assert_eq!(tpm.run(&reset(16)).0, 0);
        assert_eq!(tpm.tpm.pcrs.bank(HashAlg::Sha256).unwrap().get(16).unwrap(), [0; 32]);
        assert_eq!(tpm.tpm.reset.pcr_counter, before);
    }

    #[test]
    fn each_register_asks_for_its_localities() {
        let mut tpm = Bench::started();
        let allowed: [(u32, &[u8]); 9] = [
            (0, &[]),
            (15, &[]),
            (16, &[0, 1, 2, 3]),
            (17, &[4]),
            (19, &[4]),
            (20, &[2, 4]),
            (21, &[2, 4]),
            (22, &[2, 4]),
            (23, &[0, 1, 2, 3]),
        ];
        for (pcr, localities) in allowed {
            for locality in 0..5 {
                let code = tpm.run_at(locality, &reset(pcr)).0;
                let expected = if localities.contains(&locality) { 0 } else { 0x907 };
                assert_eq!(code, expected, "PCR {pcr} from locality {locality}");
            }
        }
    }

    #[test]
    fn a_reset_by_the_dynamic_root_counts() {
        let mut tpm = Bench::started();
        let before = tpm.tpm.reset.pcr_counter;
        assert_eq!(tpm.run_at(4, &reset(17)).0, 0);
        assert_eq!(tpm.tpm.reset.pcr_counter, before + 1);
        assert_eq!(tpm.tpm.pcrs.bank(HashAlg::Sha256).unwrap().get(17).unwrap(), [0; 32]);
    }

    #[test]
    fn refuses_null_and_parameters() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run(&reset(0x4000_0007)).0, 0x184);
        assert_eq!(tpm.run(&with_passwords(0x13D, &[16], &[b""], &hex("00"))).0, 0x95);
    }
}
