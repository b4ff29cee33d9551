//! TPM2_Hash — Part 3, 15.4.

use super::{hashcheck, is_external};
use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::crypto::hash::hash;
use crate::handle::Hierarchy;
use crate::marshal::Borrowed;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::MaxBuffer;
use crate::types::ticket::Ticket;

command! {
    /// TPM2_Hash: the digest of data, with a ticket for signing it with a restricted key.
    Hash = 0x17D, [WithoutKeys];
    handles {}
    params<'c> { data: Borrowed<'c, { MaxBuffer::CAPACITY }>, hash_alg: HashAlg, hierarchy: Hierarchy }
    reply { digest: Digest, validation: Ticket }
}

fn run(tpm: &mut Tpm, _: Handles, params: Params<'_>) -> RcResult<Reply> {
    let digest = hash(params.hash_alg, &[&params.data]);
    let external = is_external(&params.data);
    let validation = hashcheck(tpm, params.hierarchy, external, params.hash_alg, &digest);
    Ok(Reply { digest, validation })
}

#[cfg(test)]
mod tests {
    use crate::alg::HashAlg;
    use crate::crypto::hash::hash;
    use crate::testing::{Bench, hex, plain};

    fn run(tpm: &mut Bench, params: &str) -> (u32, Vec<u8>) {
        let (code, response) = tpm.run(&plain(0x17D, &hex(params)));
        (code, response[10..].to_vec())
    }

    #[test]
    fn gives_a_digest_and_a_ticket() {
        let mut tpm = Bench::started();
        let (code, reply) = run(&mut tpm, "0003 616263 000b 40000001");
        assert_eq!((code, &reply[..2]), (0, &[0, 32][..]));
        assert_eq!(reply[2..34], *hash(HashAlg::Sha256, &[b"abc"]));
        assert_eq!(reply[34..42], *hex("8024 40000001 0040"));
        let ticket = crate::types::ticket::Ticket {
            tag: crate::types::ticket::TicketTag::Hashcheck,
            hierarchy: crate::handle::Hierarchy::Owner,
            digest: crate::bytes::Digest::truncated(&reply[42..]),
        };
        assert_eq!(tpm.tpm.check_ticket(&ticket, &[&[0, 0x0B], &reply[2..34]]), Ok(()));
    }

    #[test]
    fn gives_no_ticket_for_the_null_hierarchy_or_for_what_looks_like_an_attestation() {
        let mut tpm = Bench::started();
        let null = hex("8024 40000007 0000");
        assert_eq!(run(&mut tpm, "0003 616263 000b 40000007").1[34..], null);
        assert_eq!(run(&mut tpm, "0005 ff54434700 000b 40000001").1[34..], null);
        assert_ne!(run(&mut tpm, "0003 ff5443 000b 40000001").1[34..], null);
    }

    #[test]
    fn refuses_wrong_parameters() {
        let mut tpm = Bench::started();
        assert_eq!(run(&mut tpm, "0000 0010 40000007").0, 0x2C3);
        assert_eq!(run(&mut tpm, "0000 000b 4000000a").0, 0x3C4);
        assert_eq!(run(&mut tpm, "0401").0, 0x1D5);
        assert_eq!(run(&mut tpm, "0000 000b 4000").0, 0x3DA);
    }
}
