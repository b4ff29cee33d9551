//! TPM2_PCR_Event — Part 3, 22.3.

use arrayvec::ArrayVec;

use crate::crypto::hash::hash;
use crate::marshal::Borrowed;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::{EventData, TaggedDigest};

command! {
    /// TPM2_PCR_Event: hashes data with the algorithm of each bank and extends a PCR by the digests.
    PcrEvent = 0x13C, [Nv, WithoutKeys];
    handles { pcr: PcrOrNull @ User }
    params<'c> { data: Borrowed<'c, { EventData::CAPACITY }> }
    reply { digests: ArrayVec<TaggedDigest, 8> }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
    super::check_extend(tpm, handles.pcr)?;
    let algs = tpm.profile.bank_hashes.iter();
    let digests: ArrayVec<TaggedDigest, 8> = algs
        .map(|alg| TaggedDigest {
            alg: *alg,
            digest: hash(*alg, &[&params.data]),
        })
        .collect();
    super::extend_all(tpm, handles.pcr, digests.iter().map(TaggedDigest::borrowed));
    Ok(Reply { digests })
}

#[cfg(test)]
mod tests {
    use crate::alg::HashAlg;
    use crate::crypto::hash::hash;
    use crate::testing::{Bench, hex, with_passwords};

    fn event(pcr: u32) -> Vec<u8> {
        with_passwords(0x13C, &[pcr], &[b""], &hex("0003 616263"))
    }

    #[test]
    fn returns_and_extends_a_digest_for_each_bank() {
        let mut tpm = Bench::started();
        let (code, response) = tpm.run(&event(8));
        assert_eq!(code, 0);
        assert_eq!(response[14..20], *hex("00000004 0004"));
        assert_eq!(response[20..40], *hash(HashAlg::Sha1, &[b"abc"]));
        let value = tpm.tpm.pcrs.bank(HashAlg::Sha256).unwrap().get(8).unwrap();
        let digest = hash(HashAlg::Sha256, &[b"abc"]);
        assert_eq!(value, &*hash(HashAlg::Sha256, &[&[0; 32], &digest]));
    }

    #[test]
    fn null_only_hashes() {
        let mut tpm = Bench::started();
        let before = tpm.tpm.pcrs.clone();
        let (code, response) = tpm.run(&event(0x4000_0007));
        assert_eq!((code, response.len()), (0, 10 + 4 + 4 + 4 * 2 + 20 + 32 + 48 + 64 + 5));
        assert!(*tpm.tpm.pcrs == before);
    }

    #[test]
    fn refuses_the_wrong_locality_and_too_much_data() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run(&event(17)).0, 0x907);
        let long = [hex("0401"), vec![0; 0x401]].concat();
        assert_eq!(tpm.run(&with_passwords(0x13C, &[0], &[b""], &long)).0, 0x1D5);
    }
}
