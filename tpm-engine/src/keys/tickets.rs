//! Tickets (Part 1, 11.4.6.3; Part 2, 10.7): an HMAC with a hierarchy's proof over what was checked.

use crate::alg::HashAlg;
use crate::bytes::Bytes;
use crate::crypto::hmac::Hmac;
use crate::handle::Hierarchy;
use crate::marshal::{Marshal, put_sized};
use crate::rc::{Rc, RcResult};
use crate::state::persistent::SEED_SIZE;
use crate::tpm::Tpm;
use crate::types::ticket::{Ticket, TicketTag};

/// The hash of tickets: as strong as a proof.
const TICKET_HASH: HashAlg = HashAlg::Sha512;

impl Tpm {
    /// The secret of a hierarchy that only this TPM knows; the null hierarchy's changes with every TPM Reset.
    pub(crate) fn proof(&self, hierarchy: Hierarchy) -> &Bytes<SEED_SIZE> {
        match self.nv.hierarchies.get(hierarchy) {
            Some(record) => &record.proof,
            None => &self.reset.null_proof,
        }
    }

    /// A ticket over `parts`. Each goes in with its size, so that no other parts give the same ticket.
    pub(crate) fn ticket(&self, tag: TicketTag, hierarchy: Hierarchy, parts: &[&[u8]]) -> Ticket {
        let mut hmac = Hmac::new(TICKET_HASH, self.proof(hierarchy));
        (tag as u16).marshal(&mut hmac);
        for part in parts {
            put_sized(&mut hmac, part);
        }
        Ticket {
            tag,
            hierarchy,
            digest: hmac.finish(),
        }
    }

    /// Whether this TPM made the ticket over these parts: a bare TPM_RC_TICKET if not.
    pub(crate) fn check_ticket(&self, ticket: &Ticket, parts: &[&[u8]]) -> RcResult<()> {
        let expected = self.ticket(ticket.tag, ticket.hierarchy, parts);
        if expected.digest.ct_eq(&ticket.digest) {
            Ok(())
        } else {
            Err(Rc::TICKET)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn a_ticket_is_good_for_its_tag_hierarchy_and_parts_only() {
        let bench = Bench::started();
        let ticket = bench
            .tpm
            .ticket(TicketTag::Creation, Hierarchy::Owner, &[b"name", b"hash"]);
        assert_eq!(bench.tpm.check_ticket(&ticket, &[b"name", b"hash"]), Ok(()));
        let refused = Err(Rc::TICKET);
        assert_eq!(bench.tpm.check_ticket(&ticket, &[b"nameh", b"ash"]), refused);
        assert_eq!(bench.tpm.check_ticket(&ticket, &[b"namehash"]), refused);
        for other in [
            Ticket {
                tag: TicketTag::Verified,
                ..ticket.clone()
            },
            Ticket {
                hierarchy: Hierarchy::Null,
                ..ticket.clone()
            },
            Ticket::null(TicketTag::Creation),
        ] {
            assert_eq!(bench.tpm.check_ticket(&other, &[b"name", b"hash"]), refused);
        }
    }

    #[test]
    fn tickets_of_the_null_hierarchy_end_with_a_reset() {
        let mut bench = Bench::started();
        let null = bench.tpm.ticket(TicketTag::Hashcheck, Hierarchy::Null, &[b"digest"]);
        let owner = bench.tpm.ticket(TicketTag::Hashcheck, Hierarchy::Owner, &[b"digest"]);
        bench.tpm.power_on();
        bench.run_ok("8001 0000000c 00000144 0000");
        assert_eq!(bench.tpm.check_ticket(&null, &[b"digest"]), Err(Rc::TICKET));
        assert_eq!(bench.tpm.check_ticket(&owner, &[b"digest"]), Ok(()));
    }
}
