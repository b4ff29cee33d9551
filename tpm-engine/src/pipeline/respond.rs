//! Building a response: header, parameter encryption, audit and the sessions' HMACs (Part 1, 18.8 and 19.6).

use zeroize::Zeroizing;

use super::authorize::Direction;
use super::execute::{command_hash, first_sized, reply_offset};
use super::{Call, SessionUse, tag};
use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::commands::{CommandInfo, Flag};
use crate::crypto::hash::hash;
use crate::crypto::hmac::hmac;
use crate::handle::Handle;
use crate::marshal::{Marshal, Writer, put_sized};
use crate::rc::{Rc, RcResult};
use crate::session::PolicyState;
use crate::tpm::Tpm;
use crate::types::attributes::SessionAttributes as A;

impl Tpm {
    /// Completes the response around the reply, of `len` bytes, that stands in `out` already. Returns its length.
    pub(super) fn respond(
        &mut self,
        call: &Call<'_>,
        handle: Option<Handle>,
        len: usize,
        out: &mut [u8],
    ) -> RcResult<usize> {
        let start = reply_offset(call);
        let end = start.saturating_add(len);
        if call.has_sessions {
            self.renew_nonces(call);
            if let Some(index) = call.session_with(A::ENCRYPT) {
                let params = out.get_mut(start..end).ok_or(Rc::FAILURE)?;
                self.crypt_parameter(call, index, Direction::Response, first_sized(params)?)?;
            }
        }
        let (reply, behind) = out.split_at_mut_checked(end).ok_or(Rc::FAILURE)?;
        let params = reply.get(start..).ok_or(Rc::FAILURE)?;
        self.audit_command(call, params);
        self.audit_session(call, params);
        let mut area = Writer::new(behind);
        for session in &call.sessions {
            self.response_session(call, session, params, &mut area);
        }
        let total = end.saturating_add(area.finish().ok_or(Rc::FAILURE)?);
        let mut writer = Writer::new(out.get_mut(..start).ok_or(Rc::FAILURE)?);
        let tag = if call.has_sessions {
            tag::SESSIONS
        } else {
            tag::NO_SESSIONS
        };
        tag.marshal(&mut writer);
        u32::try_from(total).map_err(|_| Rc::FAILURE)?.marshal(&mut writer);
        0u32.marshal(&mut writer);
        if call.info.response_handle {
            handle.ok_or(Rc::FAILURE)?.marshal(&mut writer);
        }
        if call.has_sessions {
            u32::try_from(len).map_err(|_| Rc::FAILURE)?.marshal(&mut writer);
        }
        writer.finish().ok_or(Rc::FAILURE)?;
        self.close_sessions(call);
        Ok(total)
    }

    /// Every session gets a new nonceTPM, of the size it had.
    fn renew_nonces(&mut self, call: &Call<'_>) {
        for session_use in call.sessions.iter().filter(|session| !session.is_password()) {
            let Some(session) = self.sessions.get_mut(session_use.handle) else {
                continue;
            };
            self.rng.fill(&mut session.nonce_tpm);
        }
    }

    /// Extends the digest of the session that audits (Part 1, 32), and settles which session is exclusive.
    fn audit_session(&mut self, call: &Call<'_>, params: &[u8]) {
        let auditor = call.session_with(A::AUDIT).and_then(|index| call.sessions.get(index));
        if let Some(auditor) = auditor
            && let Some(session) = self.sessions.get_mut(auditor.handle)
        {
            let first = !session.audit || auditor.attributes.has(A::AUDIT_RESET);
            if first {
                session.audit = true;
                session.audit_digest = Digest::zeroed(session.hash.digest_size()).unwrap_or_default();
                // A session that audits is no longer bound (Part 1, 19.6.14).
                session.bound = Zeroizing::new(Digest::EMPTY);
                self.exclusive_audit = Some(auditor.handle);
            }
            let alg = session.hash;
            session.audit_digest = hash(
                alg,
                &[
                    &session.audit_digest,
                    &command_hash(alg, call),
                    &response_hash(alg, call, params),
                ],
            );
        }
        if self.exclusive_audit.is_some()
            && self.exclusive_audit != auditor.map(|auditor| auditor.handle)
            && !call.info.has(Flag::NoSessions)
        {
            self.exclusive_audit = None;
        }
    }

    /// Whether the command audit covers the command.
    pub(super) fn is_audited(&self, info: &CommandInfo) -> bool {
        self.nv.audit.commands.has(info.code)
    }

    /// Extends the command audit digest when the command is audited (Part 1, 34).
    fn audit_command(&mut self, call: &Call<'_>, params: &[u8]) {
        if self.current.unaudited || !self.is_audited(call.info) {
            return;
        }
        let audit = &self.nv.audit;
        let alg = audit.hash_alg;
        if self.reset.command_audit_digest.is_empty() {
            // A new digest begins: the counter tells it from the last one.
            let mut audit = (**audit).clone();
            audit.counter = audit.counter.wrapping_add(1);
            self.nv.change().audit = std::sync::Arc::new(audit);
            self.reset.change().command_audit_digest = Digest::zeroed(alg.digest_size()).unwrap_or_default();
        }
        let digest = hash(
            alg,
            &[
                &self.reset.command_audit_digest,
                &command_hash(alg, call),
                &response_hash(alg, call, params),
            ],
        );
        self.reset.change().command_audit_digest = digest;
    }

    /// Writes one entry of the response's authorization area.
    fn response_session(&self, call: &Call<'_>, session_use: &SessionUse<'_>, params: &[u8], area: &mut Writer<'_>) {
        let Some(session) = self.sessions.get(session_use.handle) else {
            put_sized(area, &[]);
            A::CONTINUE_SESSION.0.marshal(area);
            put_sized(area, &[]);
            return;
        };
        // auditReset is always CLEAR in a response (Part 2, 8.4).
        let mut attributes = session_use
            .attributes
            .without(A::AUDIT_EXCLUSIVE)
            .without(A::AUDIT_RESET);
        if attributes.has(A::AUDIT) && self.exclusive_audit == Some(session_use.handle) {
            attributes = attributes.with(A::AUDIT_EXCLUSIVE);
        }
        put_sized(area, &session.nonce_tpm);
        attributes.0.marshal(area);
        let key = self.hmac_key(session_use, session);
        if session.policy.password_needed || key.is_empty() && session_use.hmac.is_empty() {
            put_sized(area, &[]);
            return;
        }
        let hashed = response_hash(session.hash, call, params);
        let parts = [&hashed, &*session.nonce_tpm, session_use.nonce_caller, &[attributes.0]];
        put_sized(area, &hmac(session.hash, &key, &parts));
    }

    /// Ends the sessions that are not to continue, and starts the policies of the others afresh.
    fn close_sessions(&mut self, call: &Call<'_>) {
        let (now, epoch) = (self.timer.time, self.nv.counters.time_epoch);
        for session_use in call.sessions.iter().filter(|session| !session.is_password()) {
            if !session_use.attributes.has(A::CONTINUE_SESSION) {
                self.flush_session(session_use.handle);
            } else if let Some(session) = self.sessions.get_mut(session_use.handle)
                && session.is_policy()
            {
                // Whatever the session was used for, its nonce has rolled: a new timing interval begins.
                session.policy = PolicyState::new(session.hash, now);
                session.epoch = epoch;
            }
        }
    }
}

/// rpHash (Part 1, 18.8).
fn response_hash(alg: HashAlg, call: &Call<'_>, params: &[u8]) -> Digest {
    hash(alg, &[&[0; 4], &call.info.code.to_be_bytes(), params])
}
