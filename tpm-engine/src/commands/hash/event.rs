//! TPM2_EventSequenceComplete — Part 3, 17.6.

use arrayvec::ArrayVec;

use crate::commands::pcr;
use crate::marshal::Borrowed;
use crate::rc::{Rc, RcResult};
use crate::sequence::SequenceKind;
use crate::tpm::Tpm;
use crate::types::{MaxBuffer, TaggedDigest};

command! {
    /// TPM2_EventSequenceComplete: adds the last data to an event and extends a PCR by its digests.
    EventSequenceComplete = 0x185, [Nv, Flushed];
    handles { pcr: PcrOrNull @ User, sequence: Object @ User }
    params<'c> { buffer: Borrowed<'c, { MaxBuffer::CAPACITY }> }
    reply { digests: ArrayVec<TaggedDigest, 8> }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
    let mut hashers = match tpm
        .objects
        .sequence_mut(handles.sequence)
        .map(|sequence| &sequence.kind)
    {
        Some(SequenceKind::Event(hashers)) => hashers.clone(),
        _ => return Err(Rc::MODE.handle(2)),
    };
    pcr::check_extend(tpm, handles.pcr)?;
    for hasher in &mut hashers {
        hasher.update(&params.buffer);
    }
    let digests: ArrayVec<TaggedDigest, 8> = hashers
        .into_iter()
        .map(|hasher| TaggedDigest {
            alg: hasher.alg(),
            digest: hasher.finish(),
        })
        .collect();
    pcr::extend_all(tpm, handles.pcr, digests.iter().map(TaggedDigest::borrowed));
    tpm.current.flush_after = Some(handles.sequence);
    Ok(Reply { digests })
}

#[cfg(test)]
mod tests {
    use crate::alg::HashAlg;
    use crate::crypto::hash::hash;
    use crate::testing::{Bench, hex, plain, with_passwords};

    const SEQUENCE: u32 = 0x8000_0000;

    fn started(alg: &str) -> Bench {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run(&plain(0x186, &hex(&format!("0001 61 {alg}")))).0, 0);
        tpm
    }

    fn complete(tpm: &mut Bench, pcr: u32, passwords: &[&[u8]]) -> (u32, Vec<u8>) {
        tpm.run(&with_passwords(0x185, &[pcr, SEQUENCE], passwords, &hex("0003 616263")))
    }

    #[test]
    fn extends_the_banks_and_returns_their_digests() {
        let mut tpm = started("0010");
        assert_eq!(
            tpm.run(&with_passwords(0x15C, &[SEQUENCE], &[b"a"], &hex("0001 30"))).0,
            0
        );
        let (code, response) = complete(&mut tpm, 7, &[b"", b"a"]);
        assert_eq!((code, &response[14..20]), (0, &hex("00000004 0004")[..]));
        let digest = hash(HashAlg::Sha384, &[b"0abc"]);
        let value = tpm.tpm.pcrs.bank(HashAlg::Sha384).unwrap().get(7).unwrap();
        assert_eq!(value, &*hash(HashAlg::Sha384, &[&[0; 48], &digest]));
        assert_eq!(complete(&mut tpm, 7, &[b"", b"a"]).0, 0x911);
    }

    #[test]
    fn null_only_hashes() {
        let mut tpm = started("0010");
        let before = tpm.tpm.pcrs.clone();
        assert_eq!(complete(&mut tpm, 0x4000_0007, &[b"", b"a"]).0, 0);
        assert!(*tpm.tpm.pcrs == before);
    }

    #[test]
    fn refuses_other_sequences_localities_and_authorizations() {
        assert_eq!(complete(&mut started("000b"), 7, &[b"", b"a"]).0, 0x289);
        let mut tpm = started("0010");
        assert_eq!(complete(&mut tpm, 17, &[b"", b"a"]).0, 0x907);
        assert_eq!(complete(&mut tpm, 7, &[b"", b"b"]).0, 0xAA2);
        assert_eq!(complete(&mut tpm, 7, &[b""]).0, 0x125);
        assert_eq!(complete(&mut tpm, 7, &[b"", b"a"]).0, 0);
    }
}
