//! Sessions: what authorizes, audits and encrypts commands (Part 1, 17 ff. and 19.6).

use zeroize::Zeroizing;

use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::handle::{Handle, HandleType};
use crate::marshal::{Marshal, Reader, Sink, Unmarshal, put_list, structure};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::symmetric::SymDef;

/// Sessions that can exist, loaded or saved (TPM_PT_ACTIVE_SESSIONS_MAX).
pub(crate) const MAX_ACTIVE_SESSIONS: usize = 64;
/// Sessions that can be loaded at once (TPM_PT_HR_LOADED_MIN).
pub(crate) const MAX_LOADED_SESSIONS: usize = 16;
/// How far the numbers of saved session contexts may lie apart (TPM_PT_CONTEXT_GAP_MAX).
pub(crate) const CONTEXT_GAP_MAX: u64 = 0xFFFF;

/// TPM_SE (Part 2, 6.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SessionType {
    Hmac = 0,
    Policy = 1,
    Trial = 3,
}

impl Unmarshal<'_> for SessionType {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        match reader.read::<u8>()? {
            0 => Ok(Self::Hmac),
            1 => Ok(Self::Policy),
            3 => Ok(Self::Trial),
            _ => Err(Rc::VALUE),
        }
    }
}

impl Marshal for SessionType {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        (*self as u8).marshal(sink);
    }
}

/// A digest that a policy ties the session to; only one can be (Part 3, 23.11 ff.).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BoundDigest {
    None = 0,
    /// TPM2_PolicyCpHash.
    CpHash = 1,
    /// TPM2_PolicyNameHash or TPM2_PolicyDuplicationSelect.
    NameHash = 2,
    /// TPM2_PolicyTemplate.
    Template = 3,
    /// TPM2_PolicyParameters.
    Parameters = 4,
}

impl Unmarshal<'_> for BoundDigest {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        [
            Self::None,
            Self::CpHash,
            Self::NameHash,
            Self::Template,
            Self::Parameters,
        ]
        .into_iter()
        .nth(usize::from(reader.read::<u8>()?))
        .ok_or(Rc::VALUE)
    }
}

impl Marshal for BoundDigest {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        (*self as u8).marshal(sink);
    }
}

structure! {
    /// What the policy commands have gathered; starts afresh when the session has authorized a command.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct PolicyState {
        /// policyDigest: as long as a digest of the session's hash.
        pub(crate) digest: Digest,
        /// The only command that may be authorized; 0 for any.
        pub(crate) command_code: u32,
        /// The localities from which a command may come, a bit each (TPMA_LOCALITY); 0 for any.
        pub(crate) locality: u8,
        /// TPM2_PolicyAuthValue: the object's authorization value keys the HMAC.
        pub(crate) auth_value_needed: bool,
        /// TPM2_PolicyPassword: the object's authorization value is given as a password.
        pub(crate) password_needed: bool,
        /// TPM2_PolicyPhysicalPresence.
        pub(crate) presence_needed: bool,
        /// TPM2_PolicyTransportSPDM: the command must come through a secure channel.
        pub(crate) channel_needed: bool,
        /// TPM2_PolicyNvWritten: the index must have this TPMA_NV_WRITTEN.
        pub(crate) check_nv_written: bool,
        pub(crate) nv_written: bool,
        pub(crate) bound_kind: BoundDigest,
        pub(crate) bound_digest: Digest,
        /// The PCR counter at the time of TPM2_PolicyPCR; 0 when no PCR was checked.
        pub(crate) pcr_counter: u32,
        /// Value of Time at which the session's timing interval began, in milliseconds.
        pub(crate) start_time: u64,
        /// Value of Time after which the policy has expired, in milliseconds; 0 for never.
        pub(crate) timeout: u64,
    }

    /// One session.
    #[derive(Clone, PartialEq, Eq)]
    pub(crate) struct Session {
        pub(crate) kind: SessionType,
        pub(crate) hash: HashAlg,
        pub(crate) symmetric: SymDef,
        /// sessionKey: empty when neither salted nor bound.
        pub(crate) key: Zeroizing<Digest>,
        /// nonceTPM, the most recent.
        pub(crate) nonce_tpm: Digest,
        /// Digest over the Name and authorization value of the entity that an HMAC session is bound to; empty when
        /// there is none.
        pub(crate) bound: Zeroizing<Digest>,
        /// The bound entity is subject to dictionary-attack protection.
        pub(crate) bound_da: bool,
        /// The bound entity is the lockout authorization.
        pub(crate) bound_lockout: bool,
        /// The Time epoch in which the session began; a policy time-out of another epoch has expired.
        pub(crate) epoch: u32,
        /// Whether the session has been used to audit, and the running digest.
        pub(crate) audit: bool,
        pub(crate) audit_digest: Digest,
        pub(crate) policy: PolicyState,
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({:?}, {:?}, redacted)", self.kind, self.hash)
    }
}

impl PolicyState {
    /// The state of a policy in which nothing has been asserted, with a policyDigest of zeros.
    pub(crate) fn new(hash: HashAlg, now: u64) -> Self {
        Self {
            digest: Digest::zeroed(hash.digest_size()).unwrap_or_default(),
            command_code: 0,
            locality: 0,
            auth_value_needed: false,
            password_needed: false,
            presence_needed: false,
            channel_needed: false,
            check_nv_written: false,
            nv_written: false,
            bound_kind: BoundDigest::None,
            bound_digest: Digest::EMPTY,
            pcr_counter: 0,
            start_time: now,
            timeout: 0,
        }
    }
}

impl Session {
    /// Whether the session is a policy session, trial sessions included.
    pub(crate) const fn is_policy(&self) -> bool {
        matches!(self.kind, SessionType::Policy | SessionType::Trial)
    }

    /// The type that the session's handle has.
    pub(crate) const fn handle_type(&self) -> HandleType {
        if self.is_policy() {
            HandleType::PolicySession
        } else {
            HandleType::HmacSession
        }
    }
}

/// A place for a session.
#[expect(
    clippy::large_enum_variant,
    reason = "sessions stand in place so that starting one allocates nothing"
)]
#[derive(Debug, Clone, Default)]
pub(crate) enum Slot {
    #[default]
    Free,
    Loaded(Session),
    /// The session's context is outside of the TPM; only the newest context of this number can be loaded.
    Saved {
        context_id: u64,
    },
}

structure! {
    /// A saved session context that the TPM still accepts.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct SavedSession {
        pub(crate) slot: u16,
        pub(crate) context_id: u64,
    }

    /// What an orderly shutdown keeps of the sessions: loaded ones are lost (Part 1, 30.4).
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub(crate) struct SavedSessions {
        pub(crate) context_counter: u64,
        pub(crate) saved: arrayvec::ArrayVec<SavedSession, MAX_ACTIVE_SESSIONS>,
    }
}

/// A slot as a snapshot of the TPM holds it.
impl Marshal for Slot {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Free => 0u8.marshal(sink),
            Self::Loaded(session) => {
                1u8.marshal(sink);
                session.marshal(sink);
            }
            Self::Saved { context_id } => {
                2u8.marshal(sink);
                context_id.marshal(sink);
            }
        }
    }
}

impl Unmarshal<'_> for Slot {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        Ok(match reader.read::<u8>()? {
            0 => Self::Free,
            1 => Self::Loaded(reader.read()?),
            2 => Self::Saved {
                context_id: reader.read()?,
            },
            _ => return Err(Rc::VALUE),
        })
    }
}

/// All sessions.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    slots: Box<[Slot]>,
    /// Number of the next saved session context.
    pub(crate) context_counter: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            slots: vec![Slot::Free; MAX_ACTIVE_SESSIONS].into_boxed_slice(),
            context_counter: 1,
        }
    }
}

impl Marshal for Sessions {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let Self { slots, context_counter } = self;
        context_counter.marshal(sink);
        put_list(slots, sink);
    }
}

impl Unmarshal<'_> for Sessions {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let mut sessions = Self {
            context_counter: reader.read()?,
            ..Self::default()
        };
        reader.list_into(&mut sessions.slots)?;
        Ok(sessions)
    }
}

impl Sessions {
    /// The loaded session with this handle.
    pub(crate) fn get(&self, handle: Handle) -> Option<&Session> {
        match self.slots.get(usize::try_from(handle.index()).ok()?)? {
            Slot::Loaded(session) if Some(session.handle_type()) == handle.kind() => Some(session),
            _ => None,
        }
    }

    /// The loaded session with this handle, to be changed.
    pub(crate) fn get_mut(&mut self, handle: Handle) -> Option<&mut Session> {
        match self.slots.get_mut(usize::try_from(handle.index()).ok()?)? {
            Slot::Loaded(session) if Some(session.handle_type()) == handle.kind() => Some(session),
            _ => None,
        }
    }

    /// Whether a session of this number is loaded, of whatever kind.
    pub(crate) fn is_loaded(&self, handle: Handle) -> bool {
        matches!(self.slot(handle), Some(Slot::Loaded(_)))
    }

    /// The slot of a handle, whatever is in it.
    pub(crate) fn slot(&self, handle: Handle) -> Option<&Slot> {
        self.slots.get(usize::try_from(handle.index()).ok()?)
    }

    /// The slot of a handle, to be changed.
    pub(crate) fn slot_mut(&mut self, handle: Handle) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(handle.index()).ok()?)
    }

    /// Every slot with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0u32..).zip(self.slots.iter())
    }

    /// How many sessions are loaded.
    pub(crate) fn loaded(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Loaded(_))).count()
    }

    /// How many sessions exist, loaded or saved.
    pub(crate) fn active(&self) -> usize {
        self.slots.iter().filter(|slot| !matches!(slot, Slot::Free)).count()
    }

    /// The smallest number of a saved context: the one that TPM_RC_CONTEXT_GAP is about.
    pub(crate) fn oldest_context(&self) -> Option<u64> {
        self.slots
            .iter()
            .filter_map(|slot| match slot {
                Slot::Saved { context_id } => Some(*context_id),
                _ => None,
            })
            .min()
    }

    /// Whether the session exists, loaded or saved. Of a saved one the handle need not tell the kind: TPM2_GetCapability
    /// lists them all as HMAC sessions (Part 2, 7.2).
    pub(crate) fn exists(&self, handle: Handle) -> bool {
        match self.slot(handle) {
            Some(Slot::Loaded(session)) => Some(session.handle_type()) == handle.kind(),
            Some(Slot::Saved { .. }) => true,
            Some(Slot::Free) | None => false,
        }
    }

    /// Whether the numbers of contexts have run as far ahead of the oldest saved one as they may (Part 1, 30.5).
    fn gap_is_full(&self) -> bool {
        self.is_full_gap(self.oldest_context())
    }

    fn is_full_gap(&self, oldest: Option<u64>) -> bool {
        oldest.is_some_and(|oldest| self.context_counter.saturating_sub(oldest) > CONTEXT_GAP_MAX)
    }

    /// The number of a free slot for another session: TPM_RC_SESSION_MEMORY, TPM_RC_CONTEXT_GAP or TPM_RC_SESSION_HANDLES
    /// if none can be started.
    pub(crate) fn check_room(&self) -> RcResult<u32> {
        // The slots are far apart in memory: what is asked of all of them is asked in one go.
        let (mut loaded, mut oldest) = (0usize, None);
        for slot in &self.slots {
            match slot {
                Slot::Free => {}
                Slot::Loaded(_) => loaded = loaded.saturating_add(1),
                Slot::Saved { context_id } => {
                    oldest = Some(oldest.map_or(*context_id, |oldest: u64| oldest.min(*context_id)))
                }
            }
        }
        if loaded >= MAX_LOADED_SESSIONS {
            return Err(Rc::SESSION_MEMORY);
        }
        if self.is_full_gap(oldest) {
            return Err(Rc::CONTEXT_GAP);
        }
        let mut all = self.iter();
        all.find_map(|(number, slot)| matches!(slot, Slot::Free).then_some(number))
            .ok_or(Rc::SESSION_HANDLES)
    }

    /// Whether the saved session can be loaded again: TPM_RC_SESSION_MEMORY if there is no room, and TPM_RC_CONTEXT_GAP if
    /// the last room is needed for the oldest one, without which no context can be saved any more.
    pub(crate) fn check_reload(&self, handle: Handle) -> RcResult<()> {
        let room = MAX_LOADED_SESSIONS.saturating_sub(self.loaded());
        if room == 0 {
            return Err(Rc::SESSION_MEMORY);
        }
        let oldest = self.oldest_context();
        let is_oldest = matches!(self.slot(handle), Some(Slot::Saved { context_id }) if Some(*context_id) == oldest);
        if room == 1 && self.gap_is_full() && !is_oldest {
            return Err(Rc::CONTEXT_GAP);
        }
        Ok(())
    }

    /// The number of the next session context: TPM_RC_CONTEXT_GAP or TPM_RC_TOO_MANY_CONTEXTS if there is none.
    pub(crate) fn next_context(&self) -> RcResult<u64> {
        if self.gap_is_full() {
            Err(Rc::CONTEXT_GAP)
        } else if self.context_counter == u64::MAX {
            Err(Rc::TOO_MANY_CONTEXTS)
        } else {
            Ok(self.context_counter)
        }
    }

    /// Puts a new session into the free slot of this number, which [`Self::check_room`] gave.
    pub(crate) fn insert(&mut self, number: u32, session: Session) -> RcResult<Handle> {
        let handle = session_handle(session.is_policy(), number);
        *self.slot_mut(handle).ok_or(Rc::SESSION_HANDLES)? = Slot::Loaded(session);
        Ok(handle)
    }

    /// Frees the slot of a session, loaded or saved.
    fn free(&mut self, handle: Handle) {
        if let Some(slot) = self.slot_mut(handle) {
            *slot = Slot::Free;
        }
    }

    /// What an orderly shutdown keeps.
    pub(crate) fn save(&self) -> SavedSessions {
        let saved = self.iter().filter_map(|(index, slot)| match slot {
            Slot::Saved { context_id } => Some(SavedSession {
                slot: u16::try_from(index).ok()?,
                context_id: *context_id,
            }),
            _ => None,
        });
        SavedSessions {
            context_counter: self.context_counter,
            saved: saved.collect(),
        }
    }

    /// The sessions as an orderly shutdown kept them.
    pub(crate) fn restore(saved: &SavedSessions) -> Self {
        let mut sessions = Self {
            context_counter: saved.context_counter,
            ..Self::default()
        };
        for entry in &saved.saved {
            if let Some(slot) = sessions.slots.get_mut(usize::from(entry.slot)) {
                *slot = Slot::Saved {
                    context_id: entry.context_id,
                };
            }
        }
        sessions
    }
}

impl Tpm {
    /// Ends a session, loaded or saved; if it was the exclusive audit session, there is none any more.
    pub(crate) fn flush_session(&mut self, handle: Handle) {
        self.sessions.free(handle);
        if self.exclusive_audit == Some(handle) {
            self.exclusive_audit = None;
        }
    }
}

/// The handle of the session in slot `index`.
pub(crate) const fn session_handle(policy: bool, index: u32) -> Handle {
    let first = if policy {
        Handle::FIRST_POLICY_SESSION
    } else {
        Handle::FIRST_HMAC_SESSION
    };
    Handle(first | (index & 0x00FF_FFFF))
}
