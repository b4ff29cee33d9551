//! Hashes and MACs, at once and in sequences (Part 3, 15.4, 15.5, 15.6 and 17).

pub(crate) mod digest;
pub(crate) mod event;
pub(crate) mod mac;
pub(crate) mod sequence;
pub(crate) mod start;

use crate::alg::HashAlg;
use crate::handle::Hierarchy;
use crate::tpm::Tpm;
use crate::types::attest::GENERATED_VALUE;
use crate::types::ticket::{Ticket, TicketTag};

/// Whether data that begins so cannot be what the TPM itself attests to. Too little data to tell cannot be, either.
pub(crate) fn is_external(start: &[u8]) -> bool {
    !start.starts_with(&GENERATED_VALUE.to_be_bytes())
}

/// The ticket that says that a digest is of external data; none for the null hierarchy (Part 2, 10.7.6).
fn hashcheck(tpm: &Tpm, hierarchy: Hierarchy, external: bool, alg: HashAlg, digest: &[u8]) -> Ticket {
    if hierarchy == Hierarchy::Null || !external {
        return Ticket::null(TicketTag::Hashcheck);
    }
    tpm.ticket(TicketTag::Hashcheck, hierarchy, &[&alg.id().to_be_bytes(), digest])
}
