//! TPM2_SequenceUpdate and TPM2_SequenceComplete — Part 3, 17.4 and 17.5.

use super::{hashcheck, is_external};
use crate::rc::{Rc, RcResult};
use crate::sequence::SequenceKind;

/// Adds data to a sequence. What the first buffer of a hash begins with decides on its ticket: a buffer too short to
/// tell from TPM_GENERATED_VALUE gets none.
pub(super) fn add(kind: &mut SequenceKind, data: &[u8]) -> RcResult<()> {
    match kind {
        SequenceKind::Hash { hasher, safe } => {
            safe.get_or_insert(data.len() >= 4 && is_external(data));
            hasher.update(data);
        }
        SequenceKind::Hmac(hmac) => hmac.update(data),
        SequenceKind::Cmac(cmac) => cmac.update(data).map_err(|_| Rc::FAILURE)?,
        SequenceKind::Event(hashers) => hashers.iter_mut().for_each(|hasher| hasher.update(data)),
    }
    Ok(())
}

pub(crate) mod update {
    //! TPM2_SequenceUpdate — Part 3, 17.4.

    use crate::marshal::Borrowed;
    use crate::rc::{Rc, RcResult};
    use crate::tpm::Tpm;
    use crate::types::MaxBuffer;

    command! {
        /// TPM2_SequenceUpdate: adds data to a sequence.
        SequenceUpdate = 0x15C, [WithoutKeys];
        handles { sequence: Object @ User }
        params<'c> { buffer: Borrowed<'c, { MaxBuffer::CAPACITY }> }
        reply {}
    }

    fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
        // The number of a parameter, not of the handle: so answer libtpms and the TPMs made from the same source.
        let sequence = tpm.objects.sequence_mut(handles.sequence);
        let sequence = sequence.ok_or(Rc::MODE.parameter(1))?;
        super::add(&mut sequence.kind, &params.buffer)?;
        Ok(Reply {})
    }
}

pub(crate) mod complete {
    //! TPM2_SequenceComplete — Part 3, 17.5.

    use super::super::mac::finish;
    use super::hashcheck;
    use crate::bytes::Digest;
    use crate::handle::Hierarchy;
    use crate::marshal::Borrowed;
    use crate::rc::{Rc, RcResult};
    use crate::sequence::SequenceKind;
    use crate::tpm::Tpm;
    use crate::types::MaxBuffer;
    use crate::types::ticket::{Ticket, TicketTag};

    command! {
        /// TPM2_SequenceComplete: adds the last data to a hash or HMAC sequence and gives its result.
        SequenceComplete = 0x13E, [Flushed];
        handles { sequence: Object @ User }
        params<'c> { buffer: Borrowed<'c, { MaxBuffer::CAPACITY }>, hierarchy: Hierarchy }
        reply { result: Digest, validation: Ticket }
    }

    fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
        let mode = Rc::MODE.handle(1);
        // The sequence itself stays as it is: its authorization value signs the response, and then it is flushed.
        let mut kind = match tpm.objects.sequence_mut(handles.sequence) {
            Some(sequence) if !matches!(sequence.kind, SequenceKind::Event(_)) => sequence.kind.clone(),
            _ => return Err(mode),
        };
        super::add(&mut kind, &params.buffer)?;
        let reply = match kind {
            SequenceKind::Hash { hasher, safe } => {
                let alg = hasher.alg();
                let result = hasher.finish();
                let validation = hashcheck(tpm, params.hierarchy, safe == Some(true), alg, &result);
                Reply { result, validation }
            }
            mac => Reply {
                result: finish(mac)?.ok_or(mode)?,
                validation: Ticket::null(TicketTag::Hashcheck),
            },
        };
        tpm.current.flush_after = Some(handles.sequence);
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use crate::alg::HashAlg;
    use crate::crypto::hash::hash;
    use crate::testing::{Bench, hex, plain, with_passwords};

    const SEQUENCE: u32 = 0x8000_0000;

    fn start(tpm: &mut Bench, params: &str) {
        assert_eq!(tpm.run(&plain(0x186, &hex(params))).0, 0);
    }

    fn update(tpm: &mut Bench, password: &[u8], buffer: &str) -> u32 {
        tpm.run(&with_passwords(0x15C, &[SEQUENCE], &[password], &hex(buffer)))
            .0
    }

    fn complete(tpm: &mut Bench, password: &[u8], params: &str) -> (u32, Vec<u8>) {
        let (code, response) = tpm.run(&with_passwords(0x13E, &[SEQUENCE], &[password], &hex(params)));
        (code, response.get(14..).unwrap_or_default().to_vec())
    }

    #[test]
    fn hashes_in_pieces_and_is_gone_afterwards() {
        let mut tpm = Bench::started();
        start(&mut tpm, "0002 6161 000b");
        assert_eq!(update(&mut tpm, b"aa", "0004 61626364"), 0);
        let (code, reply) = complete(&mut tpm, b"aa", "0001 65 40000001");
        assert_eq!((code, &reply[..2]), (0, &[0, 32][..]));
        assert_eq!(reply[2..34], *hash(HashAlg::Sha256, &[b"abcde"]));
        assert_eq!(reply[34..42], *hex("8024 40000001 0040"));
        assert_eq!(update(&mut tpm, b"aa", "0000"), 0x910);
    }

    #[test]
    fn the_first_buffer_decides_on_the_ticket() {
        let mut tpm = Bench::started();
        for (first, last, ticket) in [
            (Some("0000"), "0004 61626364", false),
            (Some("0003 616263"), "0001 64", false),
            (Some("0004 ff544347"), "0001 64", false),
            (Some("0004 61626364"), "0004 ff544347", true),
            (None, "0003 616263", false),
            (None, "0004 61626364", true),
            (None, "0004 ff544347", false),
        ] {
            start(&mut tpm, "0000 000b");
            if let Some(first) = first {
                assert_eq!(update(&mut tpm, b"", first), 0);
            }
            let (code, reply) = complete(&mut tpm, b"", &format!("{last} 40000001"));
            assert_eq!((code, reply[41] != 0), (0, ticket), "{first:?} {last}");
        }
    }

    #[test]
    fn asks_for_its_authorization() {
        let mut tpm = Bench::started();
        start(&mut tpm, "0002 6161 000b");
        assert_eq!(update(&mut tpm, b"ab", "0000"), 0x9A2);
        assert_eq!(complete(&mut tpm, b"", "0000 40000007").0, 0x9A2);
        assert_eq!(tpm.run(&plain(0x15C, &hex("80000000 0000"))).0, 0x125);
        assert_eq!(update(&mut tpm, b"aa", "0000"), 0);
    }

    #[test]
    fn a_failed_completion_leaves_the_sequence() {
        let mut tpm = Bench::started();
        start(&mut tpm, "0000 0010");
        assert_eq!(complete(&mut tpm, b"", "0000 40000007").0, 0x189);
        start(&mut tpm, "0000 000b");
        assert_eq!(complete(&mut tpm, b"", "0000 4000000a").0, 0x2C4);
        assert_eq!(update(&mut tpm, b"", "0000"), 0);
    }
}
