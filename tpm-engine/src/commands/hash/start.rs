//! TPM2_HashSequenceStart — Part 3, 17.3.

use zeroize::Zeroizing;

use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::crypto::hash::Hasher;
use crate::handle::Handle;
use crate::object::Loaded;
use crate::rc::RcResult;
use crate::sequence::{Sequence, SequenceKind};
use crate::tpm::Tpm;

command! {
    /// TPM2_HashSequenceStart: begins a hash, or without an algorithm an event for the PCR.
    HashSequenceStart = 0x186, [WithoutKeys];
    handles {}
    params { auth: Zeroizing<Digest>, hash_alg: Option<HashAlg> }
    reply handle sequence {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let kind = match params.hash_alg {
        Some(alg) => SequenceKind::Hash {
            hasher: Hasher::new(alg),
            safe: None,
        },
        None => SequenceKind::Event(tpm.profile.bank_hashes.iter().map(|alg| Hasher::new(*alg)).collect()),
    };
    let sequence = insert(tpm, params.auth, kind)?;
    Ok(Reply { sequence })
}

/// Puts a new sequence into a free slot.
pub(super) fn insert(tpm: &mut Tpm, auth: Zeroizing<Digest>, kind: SequenceKind) -> RcResult<Handle> {
    tpm.objects.insert(Loaded::Sequence(Box::new(Sequence { auth, kind })))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, hex, plain};

    #[test]
    fn there_is_room_for_as_many_sequences_as_objects() {
        let mut tpm = Bench::started();
        let start = plain(0x186, &hex("0000 000b"));
        for slot in 0..crate::object::MAX_LOADED_OBJECTS as u32 {
            let (code, response) = tpm.run(&start);
            assert_eq!((code, &response[10..]), (0, &(0x8000_0000 + slot).to_be_bytes()[..]));
        }
        assert_eq!(tpm.run(&start).0, 0x902);
    }

    #[test]
    fn refuses_unknown_hashes_and_long_authorizations() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run(&plain(0x186, &hex("0000 0011"))).0, 0x2C3);
        assert_eq!(tpm.run(&plain(0x186, &hex("0041"))).0, 0x1D5);
    }
}
