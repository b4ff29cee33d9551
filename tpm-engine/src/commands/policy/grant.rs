//! What TPM2_PolicySigned, TPM2_PolicySecret and TPM2_PolicyTicket share (Part 3, 23.2): expirations and tickets.

use crate::bytes::{Bytes, Digest};
use crate::commands::Command;
use crate::handle::{Handle, HandleType, Hierarchy, Name};
use crate::rc::{Rc, RcResult};
use crate::session::{BoundDigest, Session};
use crate::tpm::Tpm;
use crate::types::attributes::NvAttributes;
use crate::types::ticket::{Ticket, TicketTag};

/// TPM2B_TIMEOUT: opaque to the caller.
pub(crate) type Timeout = Bytes<8>;

/// Until when an authorization counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry {
    /// The last value of Time, in milliseconds; 0 for no end.
    pub(super) time: u64,
    /// A ticket ends with TPM Reset, too: the authorization was not given for this session alone.
    pub(super) on_reset: bool,
}

impl Expiry {
    /// The bit of a TPM2B_TIMEOUT that stands for `on_reset`.
    const ON_RESET: u64 = 1 << 63;

    /// The expiry of an authorization for `expiration` seconds, of which the sign asks for a ticket: from the beginning of
    /// the session's timing interval when the authorization names its nonce, else from the beginning of Time.
    fn new(tpm: &Tpm, session: &Session, expiration: i32, with_nonce: bool) -> Self {
        let duration = u64::from(expiration.unsigned_abs()).saturating_mul(1000);
        let start = if with_nonce {
            session.policy.start_time
        } else {
            // Seconds are meant whole: the one that has begun is not cut short.
            tpm.timer.time % 1000
        };
        Self {
            time: if expiration == 0 {
                0
            } else {
                duration.saturating_add(start)
            },
            on_reset: !with_nonce,
        }
    }

    /// Reads what [`Self::to_timeout`] wrote.
    pub(super) fn from_timeout(timeout: &Timeout) -> RcResult<Self> {
        let raw = timeout.first_chunk::<8>().ok_or(Rc::SIZE)?;
        let raw = u64::from_be_bytes(*raw);
        Ok(Self {
            time: raw & !Self::ON_RESET,
            on_reset: raw & Self::ON_RESET != 0,
        })
    }

    fn to_timeout(self) -> Timeout {
        let flag = if self.on_reset { Self::ON_RESET } else { 0 };
        Timeout::truncated(&(self.time | flag).to_be_bytes())
    }
}

/// The parameters of an authorization.
pub(super) struct Grant<'a> {
    pub(super) nonce_tpm: &'a Digest,
    pub(super) cp_hash: &'a Digest,
    pub(super) policy_ref: &'a Digest,
    pub(super) expiration: i32,
}

impl Grant<'_> {
    /// Checks the parameters of an authorization in the order of Part 3, 23.2.2, and says until when it counts.
    /// In a trial session nothing is checked and nothing ends.
    pub(super) fn check(&self, tpm: &Tpm, session: &Session) -> RcResult<Expiry> {
        let with_nonce = !self.nonce_tpm.is_empty();
        if session.is_trial() {
            return Ok(Expiry {
                time: 0,
                on_reset: !with_nonce,
            });
        }
        if with_nonce && *self.nonce_tpm != session.nonce_tpm {
            return Err(Rc::NONCE.parameter(1));
        }
        let expiry = Expiry::new(tpm, session, self.expiration, with_nonce);
        check_expiry(tpm, session, expiry).map_err(|code| code.parameter(4))?;
        check_cp_hash(session, self.cp_hash).map_err(|code| code.parameter(2))?;
        Ok(expiry)
    }

    /// Records the authorization in the session, and makes the timeout and the ticket that were asked for by a negative
    /// expiration.
    pub(super) fn record<C: Command>(
        &self,
        tpm: &mut Tpm,
        policy_session: Handle,
        (authorizer, name): (Hierarchy, &Name),
        (tag, expiry): (TicketTag, Expiry),
        ticket_allowed: bool,
    ) -> RcResult<(Timeout, Ticket)> {
        let session = tpm.policy_session_mut(policy_session)?;
        update::<C>(session, name, self.policy_ref, self.cp_hash, expiry);
        if self.expiration >= 0 || session.is_trial() || !ticket_allowed {
            return Ok((Timeout::EMPTY, Ticket::null(tag)));
        }
        let ticket = tpm.auth_ticket(tag, authorizer, expiry, self.cp_hash, self.policy_ref, name);
        Ok((expiry.to_timeout(), ticket))
    }
}

/// Whether the time of an authorization is not over: a bare TPM_RC_EXPIRED otherwise.
pub(super) fn check_expiry(tpm: &Tpm, session: &Session, expiry: Expiry) -> RcResult<()> {
    let over = expiry.time < tpm.timer.time || session.epoch != tpm.nv.counters.time_epoch;
    if expiry.time != 0 && over {
        Err(Rc::EXPIRED)
    } else {
        Ok(())
    }
}

/// Whether a session can be tied to this cpHash; empty is none.
pub(super) fn check_cp_hash(session: &Session, cp_hash: &Digest) -> RcResult<()> {
    if cp_hash.is_empty() {
        return Ok(());
    }
    session.check_size(cp_hash)?;
    if session.is_tied_to(BoundDigest::CpHash, cp_hash) {
        Ok(())
    } else {
        session.check_untied()
    }
}

/// PolicyUpdate with what comes with an authorization (Part 3, 23.2.3).
pub(super) fn update<C: Command>(
    session: &mut Session,
    name: &Name,
    policy_ref: &Digest,
    cp_hash: &Digest,
    expiry: Expiry,
) {
    session.assert_with_ref::<C>(name, policy_ref);
    if !cp_hash.is_empty() {
        session.tie(BoundDigest::CpHash, cp_hash);
    }
    if expiry.time != 0 && (session.policy.timeout == 0 || session.policy.timeout > expiry.time) {
        session.policy.timeout = expiry.time;
    }
}

impl Tpm {
    /// TPMT_TK_AUTH (Part 2, 10.7.5): good until Time starts again and, if it is for any session, until TPM Reset.
    pub(super) fn auth_ticket(
        &self,
        tag: TicketTag,
        hierarchy: Hierarchy,
        expiry: Expiry,
        cp_hash: &Digest,
        policy_ref: &Digest,
        name: &Name,
    ) -> Ticket {
        let timeout = expiry.to_timeout();
        let epoch = self.nv.counters.time_epoch.to_be_bytes();
        let resets = self.nv.counters.total_reset_count.to_be_bytes();
        let (epoch, resets): (&[u8], &[u8]) = match expiry {
            Expiry { time: 0, .. } => (&[], &[]),
            Expiry { on_reset: true, .. } => (&epoch, &resets),
            Expiry { on_reset: false, .. } => (&epoch, &[]),
        };
        self.ticket(tag, hierarchy, &[&timeout, epoch, resets, cp_hash, policy_ref, name])
    }

    /// The hierarchy whose proof keys the tickets of an entity.
    pub(super) fn hierarchy_of(&self, entity: Handle) -> Hierarchy {
        match entity.kind() {
            Some(HandleType::Transient | HandleType::Persistent) => {
                self.object(entity).map_or(Hierarchy::Null, |object| object.hierarchy)
            }
            Some(HandleType::NvIndex) => {
                let attributes = self.nv_attributes(entity).unwrap_or_default();
                if attributes.has(NvAttributes::PLATFORMCREATE) {
                    Hierarchy::Platform
                } else {
                    Hierarchy::Owner
                }
            }
            _ => Hierarchy::from_handle(entity).unwrap_or(Hierarchy::Owner),
        }
    }
}
