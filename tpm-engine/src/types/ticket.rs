//! Tickets (Part 2, 10.7): the TPM's own word that it has checked something before.

use crate::bytes::Digest;
use crate::handle::Hierarchy;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

/// TPM_ST of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum TicketTag {
    Creation = 0x8021,
    Verified = 0x8022,
    AuthSecret = 0x8023,
    Hashcheck = 0x8024,
    AuthSigned = 0x8025,
}

/// TPMT_TK_*: a tag, the hierarchy whose proof keys it, and the HMAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) tag: TicketTag,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) digest: Digest,
}

impl Ticket {
    /// The NULL ticket: no ticket was or can be made (Part 2, 10.7.1).
    pub(crate) const fn null(tag: TicketTag) -> Self {
        Self {
            tag,
            hierarchy: Hierarchy::Null,
            digest: Digest::EMPTY,
        }
    }

    fn read(reader: &mut Reader<'_>, allowed: &[TicketTag]) -> RcResult<Self> {
        let raw = reader.read::<u16>()?;
        let tag = allowed.iter().copied().find(|tag| *tag as u16 == raw).ok_or(Rc::TAG)?;
        Ok(Self {
            tag,
            hierarchy: reader.read()?,
            digest: reader.read()?,
        })
    }
}

impl Marshal for Ticket {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        (self.tag as u16).marshal(sink);
        self.hierarchy.marshal(sink);
        self.digest.marshal(sink);
    }
}

macro_rules! ticket_types {
    ($($(#[$meta:meta])* $name:ident = [$($tag:ident),*]);* $(;)?) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) Ticket);

        impl Unmarshal<'_> for $name {
            fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
                Ticket::read(reader, &[$(TicketTag::$tag),*]).map(Self)
            }
        }
    )*};
}

ticket_types! {
    /// TPMT_TK_CREATION as an input.
    CreationTicket = [Creation];
    /// TPMT_TK_VERIFIED as an input.
    VerifiedTicket = [Verified];
    /// TPMT_TK_AUTH as an input.
    AuthTicket = [AuthSecret, AuthSigned];
    /// TPMT_TK_HASHCHECK as an input.
    HashcheckTicket = [Hashcheck];
}
