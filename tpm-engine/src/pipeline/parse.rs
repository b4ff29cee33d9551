//! Taking a command apart: header, handles and authorization area (Part 3, 5.2–5.4).

use arrayvec::ArrayVec;

use super::{Call, HEADER_SIZE, MAX_SESSIONS, SessionUse, tag};
use crate::commands::{self, Flag};
use crate::handle::{Handle, HandleType};
use crate::marshal::Reader;
use crate::rc::{Rc, RcResult};
use crate::tpm::{Phase, Tpm};
use crate::types::attributes::SessionAttributes as A;

/// The smallest authorization area: one session with empty nonce and HMAC.
const MIN_AUTHORIZATION_SIZE: usize = 9;

impl Tpm {
    /// Takes a command apart and checks everything that needs no authorization.
    pub(super) fn parse<'a>(&self, command: &'a [u8]) -> RcResult<Call<'a>> {
        let mut reader = Reader::new(command, self.profile);
        let (has_sessions, code) = header(&mut reader, command.len(), self.buffer_size)?;
        let failed = matches!(self.phase, Phase::Failed(_));
        // In failure mode a code that is unknown is as good as any other (Part 1, 12.4.3).
        let info = commands::find(self.profile, code).map_err(|code| if failed { Rc::FAILURE } else { code })?;
        match self.phase {
            Phase::Started if info.has(Flag::BeforeStartup) && !info.has(Flag::InFailureMode) => {
                return Err(Rc::INITIALIZE);
            }
            Phase::Started => {}
            Phase::Failed(_) if info.has(Flag::InFailureMode) && !has_sessions => {}
            Phase::Failed(_) => return Err(Rc::FAILURE),
            Phase::Initialized { .. } if info.has(Flag::BeforeStartup) => {}
            Phase::Initialized { .. } | Phase::Off => return Err(Rc::INITIALIZE),
        }
        let mut handles = ArrayVec::new();
        for (number, spec) in (1u32..).zip(info.handles) {
            handles.push(spec.kind.read(&mut reader).map_err(|code| code.handle(number))?);
        }
        for (number, handle) in (0u32..).zip(&handles) {
            self.check_present(*handle, number)?;
        }
        self.check_read_only(info.code, &handles)?;
        let mut sessions = ArrayVec::new();
        if has_sessions {
            if info.has(Flag::NoSessions) {
                return Err(Rc::AUTH_CONTEXT);
            }
            let size = reader.read::<u32>()?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size < MIN_AUTHORIZATION_SIZE || size > reader.rest().len() {
                return Err(Rc::SIZE);
            }
            let area = reader.bytes(size)?;
            sessions = parse_sessions(Reader::new(area, self.profile))?;
        }
        for (session, handle) in sessions.iter_mut().zip(handles.iter().take(info.auth_handles())) {
            session.entity = Some(*handle);
        }
        let names = handles.iter().map(|handle| self.name(*handle)).collect();
        let call = Call {
            info,
            has_sessions,
            handles,
            names,
            sessions,
            params: reader.rest(),
        };
        self.check_sessions(&call)?;
        if call.sessions.len() < info.auth_handles() {
            return Err(Rc::AUTH_MISSING);
        }
        Ok(call)
    }

    /// Checks what Part 3, 5.4 asks of the sessions as such: their presence and their attributes.
    fn check_sessions(&self, call: &Call<'_>) -> RcResult<()> {
        for (index, (number, session)) in (1u32..).zip(&call.sessions).enumerate() {
            let attributes = session.attributes;
            if session.is_password() {
                if session.entity.is_none() {
                    return Err(Rc::HANDLE.session(number));
                }
                if attributes.any(
                    A::AUDIT_EXCLUSIVE
                        .with(A::AUDIT_RESET)
                        .with(A::DECRYPT)
                        .with(A::ENCRYPT)
                        .with(A::AUDIT),
                ) {
                    return Err(Rc::ATTRIBUTES.session(number));
                }
                if !session.nonce_caller.is_empty() {
                    return Err(Rc::NONCE.session(number));
                }
                continue;
            }
            let Some(loaded) = self.sessions.get(session.handle) else {
                return Err(Rc::reference_session(number.saturating_sub(1)));
            };
            let earlier = call.sessions.get(..index).unwrap_or_default();
            if earlier.iter().any(|other| other.handle == session.handle) {
                return Err(Rc::HANDLE.session(number));
            }
            let repeated =
                |attribute: A| attributes.has(attribute) && earlier.iter().any(|other| other.attributes.has(attribute));
            if attributes.has(A::AUDIT) {
                if repeated(A::AUDIT) || session.handle.kind() != Some(HandleType::HmacSession) {
                    return Err(Rc::ATTRIBUTES.session(number));
                }
                if attributes.has(A::AUDIT_EXCLUSIVE)
                    && loaded.audit
                    && !attributes.has(A::AUDIT_RESET)
                    && self.exclusive_audit != Some(session.handle)
                {
                    return Err(Rc::EXCLUSIVE);
                }
            } else if attributes.any(A::AUDIT_EXCLUSIVE.with(A::AUDIT_RESET)) {
                return Err(Rc::ATTRIBUTES.session(number));
            }
            let can_encrypt = loaded.symmetric != crate::types::symmetric::SymDef::Null;
            for (attribute, allowed) in [(A::DECRYPT, call.info.decrypt), (A::ENCRYPT, call.info.encrypt)] {
                if attributes.has(attribute) {
                    if repeated(attribute) || !allowed {
                        return Err(Rc::ATTRIBUTES.session(number));
                    }
                    if !can_encrypt {
                        return Err(Rc::SYMMETRIC.session(number));
                    }
                }
            }
            if session.entity.is_none() && !attributes.any(A::AUDIT.with(A::DECRYPT).with(A::ENCRYPT)) {
                return Err(Rc::ATTRIBUTES.session(number));
            }
        }
        Ok(())
    }
}

/// Reads the header: whether there are sessions, and the command code.
fn header(reader: &mut Reader<'_>, len: usize, limit: usize) -> RcResult<(bool, u32)> {
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

fn parse_sessions(mut reader: Reader<'_>) -> RcResult<ArrayVec<SessionUse, MAX_SESSIONS>> {
    let mut sessions = ArrayVec::new();
    let mut number = 0u32;
    while !reader.rest().is_empty() {
        number = number.saturating_add(1);
        if sessions.is_full() {
            return Err(Rc::SIZE.session(number));
        }
        let session = parse_session(&mut reader).map_err(|code| code.session(number))?;
        sessions.push(session);
    }
    Ok(sessions)
}

fn parse_session(reader: &mut Reader<'_>) -> RcResult<SessionUse> {
    let handle: Handle = reader.read()?;
    if !handle.is_session() && handle != Handle::PASSWORD {
        return Err(Rc::VALUE);
    }
    Ok(SessionUse {
        handle,
        nonce_caller: reader.read()?,
        attributes: reader.read()?,
        hmac: reader.read()?,
        entity: None,
    })
}
