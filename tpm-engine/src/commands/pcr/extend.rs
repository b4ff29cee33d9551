//! TPM2_PCR_Extend — Part 3, 22.2.

use crate::marshal::Listed;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::BorrowedDigest;

command! {
    /// TPM2_PCR_Extend: extends a PCR by one digest a bank.
    PcrExtend = 0x182, [Nv, WithoutKeys];
    handles { pcr: PcrOrNull @ User }
    params<'c> { digests: Listed<'c, BorrowedDigest<'c>, 16> }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
    super::check_extend(tpm, handles.pcr)?;
    super::extend_all(tpm, handles.pcr, params.digests.into_iter());
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::alg::HashAlg;
    use crate::crypto::hash::hash;
    use crate::testing::{Bench, hex, with_passwords};

    fn extend(pcr: u32) -> Vec<u8> {
        let params = [hex("00000001 000b"), vec![0x5A; 32]].concat();
        with_passwords(0x182, &[pcr], &[b""], &params)
    }

    fn counter(tpm: &Bench) -> u32 {
        tpm.tpm.reset.pcr_counter
    }

    #[test]
    fn extends_the_banks_named_and_no_other() {
        let mut tpm = Bench::started();
        let (before, commits) = (counter(&tpm), tpm.commits());
        assert_eq!(tpm.run(&extend(0)).0, 0);
        let bank = |alg| tpm.tpm.pcrs.bank(alg).unwrap().get(0).unwrap().to_vec();
        assert_eq!(bank(HashAlg::Sha256), *hash(HashAlg::Sha256, &[&[0; 32], &[0x5A; 32]]));
        assert_eq!(bank(HashAlg::Sha384), [0; 48]);
        assert_eq!(counter(&tpm), before + 1);
        assert_eq!(tpm.commits(), commits, "an extend does not touch the disk");
    }

    #[test]
    fn null_extends_nothing() {
        let mut tpm = Bench::started();
        let before = counter(&tpm);
        assert_eq!(tpm.run(&extend(0x4000_0007)).0, 0);
        assert_eq!(counter(&tpm), before);
    }

    #[test]
    fn the_debug_and_application_registers_do_not_count() {
        let mut tpm = Bench::started();
        let before = counter(&tpm);
        for pcr in [16, 23] {
            assert_eq!(tpm.run(&extend(pcr)).0, 0);
        }
        assert_eq!(counter(&tpm), before);
    }

    #[test]
    fn the_dynamic_registers_ask_for_their_localities() {
        let mut tpm = Bench::started();
        let allowed: [(u32, &[u8]); 6] = [
            (17, &[2, 3, 4]),
            (18, &[2, 3, 4]),
            (19, &[2, 3]),
            (20, &[1, 2, 3]),
            (21, &[2]),
            (22, &[2]),
        ];
        for (pcr, localities) in allowed {
            for locality in 0..5 {
                let code = tpm.run_at(locality, &extend(pcr)).0;
                let expected = if localities.contains(&locality) { 0 } else { 0x907 };
                assert_eq!(code, expected, "PCR {pcr} from locality {locality}");
            }
        }
        assert_eq!(tpm.run_at(32, &extend(20)).0, 0x907);
    }

    #[test]
    fn refuses_unknown_registers_banks_and_wrong_authorization() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run(&extend(24)).0, 0x184);
        let unknown = with_passwords(0x182, &[0], &[b""], &hex("00000001 0010 00"));
        assert_eq!(tpm.run(&unknown).0, 0x1C3);
        let short = with_passwords(0x182, &[0], &[b""], &hex("00000001 000b 00"));
        assert_eq!(tpm.run(&short).0, 0x1DA);
        let wrong = with_passwords(0x182, &[0], &[b"x"], &hex("00000000"));
        assert_eq!(tpm.run(&wrong).0, 0x9A2);
        assert_eq!(tpm.code("8001 00000012 00000182 00000000 00000000"), 0x125);
    }
}
