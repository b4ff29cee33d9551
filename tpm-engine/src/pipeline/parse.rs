//! Taking a command apart: header, handles and authorization area (Part 3, 5.2–5.4).

use arrayvec::ArrayVec;

use super::{Call, HEADER_SIZE, MAX_SESSIONS, SessionUse, tag};
use crate::bytes::Digest;
use crate::commands::{self, CommandInfo, Flag};
use crate::handle::Handle;
use crate::marshal::Reader;
use crate::rc::{Rc, RcResult};
use crate::tpm::{Phase, Tpm};
use crate::types::attributes::SessionAttributes as A;
use crate::types::symmetric::SymDef;

/// The smallest authorization area: one session with empty nonce and HMAC.
const MIN_AUTHORIZATION_SIZE: usize = 9;

impl Tpm {
    /// Reads a command's header: what it commands, which may be commanded now, and whether it has sessions.
    pub(super) fn parse_header(&self, reader: &mut Reader<'_>) -> RcResult<(&'static CommandInfo, bool)> {
        let (has_sessions, code) = header(reader, self.buffer_size)?;
        let failed = matches!(self.phase, Phase::Failed(_));
        // In failure mode a code that is unknown is as good as any other (Part 1, 12.4.3).
        let info = commands::find(self.profile, code).map_err(|code| if failed { Rc::FAILURE } else { code })?;
        match self.phase {
            Phase::Started if info.has(Flag::BeforeStartup) && !info.has(Flag::InFailureMode) => Err(Rc::INITIALIZE),
            Phase::Started => Ok(()),
            Phase::Failed(_) if info.has(Flag::InFailureMode) && !has_sessions => Ok(()),
            Phase::Failed(_) => Err(Rc::FAILURE),
            Phase::Initialized { .. } if info.has(Flag::BeforeStartup) => Ok(()),
            Phase::Initialized { .. } | Phase::Off => Err(Rc::INITIALIZE),
        }?;
        Ok((info, has_sessions))
    }

    /// Takes apart what comes behind the header, and checks everything that needs no authorization.
    pub(super) fn parse<'a>(&self, mut reader: Reader<'a>, call: &mut Call<'a>) -> RcResult<()> {
        let info = call.info;
        for (number, spec) in (1u32..).zip(info.handles) {
            let handle = spec.kind.read(&mut reader).map_err(|code| code.handle(number))?;
            call.handles.push(handle);
        }
        for (number, handle) in (0u32..).zip(&call.handles) {
            self.check_present(info, *handle, number)?;
        }
        self.check_read_only(info.code, &call.handles)?;
        if call.has_sessions {
            let size = reader.read::<u32>()?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size < MIN_AUTHORIZATION_SIZE || size > reader.rest().len() {
                return Err(Rc::SIZE);
            }
            let area = reader.bytes(size)?;
            if info.has(Flag::NoSessions) {
                return Err(Rc::AUTH_CONTEXT);
            }
            self.parse_sessions(info, Reader::new(area, self.profile), &mut call.sessions)?;
        }
        let authorized = call.handles.iter().take(info.auth_handles());
        if call.sessions.len() < authorized.len() {
            return Err(Rc::AUTH_MISSING);
        }
        for (session, handle) in call.sessions.iter_mut().zip(authorized) {
            session.entity = Some(*handle);
            session.uses_value = self.uses_value(session.handle, *handle);
        }
        call.params = reader.rest();
        // Only the HMACs, policies and audits of sessions and the command audit are about Names, some of which are hashes.
        if call.sessions.iter().any(|session| !session.is_password()) || self.is_audited(info) {
            call.names.extend(call.handles.iter().map(|handle| self.name(*handle)));
        }
        Ok(())
    }

    /// Takes the authorization area apart, and checks of each session what Part 3, 5.4 asks of it as such.
    fn parse_sessions<'a>(
        &self,
        info: &CommandInfo,
        mut reader: Reader<'a>,
        sessions: &mut ArrayVec<SessionUse<'a>, MAX_SESSIONS>,
    ) -> RcResult<()> {
        let mut number = 0u32;
        while !reader.rest().is_empty() {
            number = number.saturating_add(1);
            if sessions.is_full() {
                return Err(Rc::SIZE.session(number));
            }
            let session = parse_session(&mut reader).map_err(|code| code.session(number))?;
            if session.is_password() {
                check_password_session(&session).map_err(|code| code.session(number))?;
            } else if !self.sessions.is_loaded(session.handle) {
                return Err(Rc::reference_session(number.saturating_sub(1)));
            } else {
                self.check_session(info, &session, sessions)
                    .map_err(|code| code.session(number))?;
            }
            sessions.push(session);
        }
        Ok(())
    }

    /// Checks handle and attributes of a session that is loaded; `earlier` are those that come before it.
    fn check_session(&self, info: &CommandInfo, session: &SessionUse<'_>, earlier: &[SessionUse<'_>]) -> RcResult<()> {
        // A loaded session with this number, but of the other kind.
        let loaded = self.sessions.get(session.handle).ok_or(Rc::HANDLE)?;
        if earlier.iter().any(|other| other.handle == session.handle) {
            return Err(Rc::HANDLE);
        }
        let attributes = session.attributes;
        let repeated = |attribute| earlier.iter().any(|other| other.attributes.has(attribute));
        for (attribute, allowed) in [(A::DECRYPT, info.decrypt), (A::ENCRYPT, info.encrypt)] {
            if attributes.has(attribute) {
                if !allowed || repeated(attribute) {
                    return Err(Rc::ATTRIBUTES);
                }
                if loaded.symmetric == SymDef::Null {
                    return Err(Rc::SYMMETRIC);
                }
            }
        }
        if !attributes.has(A::AUDIT) {
            // These say something about an audit only (Part 2, 8.4).
            return if attributes.any(A::AUDIT_EXCLUSIVE.with(A::AUDIT_RESET)) {
                Err(Rc::ATTRIBUTES)
            } else {
                Ok(())
            };
        }
        if repeated(A::AUDIT) || loaded.is_policy() {
            return Err(Rc::ATTRIBUTES);
        }
        // A session that begins to audit becomes exclusive by that.
        let goes_on = loaded.audit && !attributes.has(A::AUDIT_RESET);
        if goes_on && attributes.has(A::AUDIT_EXCLUSIVE) && self.exclusive_audit != Some(session.handle) {
            return Err(Rc::EXCLUSIVE);
        }
        Ok(())
    }
}

/// Checks the entry of a password, which has neither nonce nor attributes (Part 1, 19.4).
fn check_password_session(session: &SessionUse<'_>) -> RcResult<()> {
    if session.attributes.without(A::CONTINUE_SESSION) != A::default() {
        return Err(Rc::ATTRIBUTES);
    }
    if !session.nonce_caller.is_empty() {
        return Err(Rc::NONCE);
    }
    Ok(())
}

/// Reads the header: whether there are sessions, and the command code.
fn header(reader: &mut Reader<'_>, limit: usize) -> RcResult<(bool, u32)> {
    let len = reader.rest().len();
    if len < HEADER_SIZE {
        return Err(Rc::COMMAND_SIZE);
    }
    let has_sessions = match reader.read()? {
        tag::NO_SESSIONS => false,
        tag::SESSIONS => true,
        _ => return Err(Rc::BAD_TAG),
    };
    let size = reader.read::<u32>()?;
    if usize::try_from(size) != Ok(len) || len > limit {
        return Err(Rc::COMMAND_SIZE);
    }
    Ok((has_sessions, reader.read()?))
}

fn parse_session<'a>(reader: &mut Reader<'a>) -> RcResult<SessionUse<'a>> {
    let handle: Handle = reader.read()?;
    if !handle.is_session() && handle != Handle::PASSWORD {
        return Err(Rc::VALUE);
    }
    Ok(SessionUse {
        handle,
        nonce_caller: reader.sized(Digest::CAPACITY)?,
        attributes: reader.read()?,
        hmac: reader.sized(Digest::CAPACITY)?,
        entity: None,
        uses_value: false,
    })
}
