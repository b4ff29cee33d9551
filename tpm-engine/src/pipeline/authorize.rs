//! Authorization checks (Part 1, 19; Part 3, 5.5 and 5.6) and parameter decryption (Part 1, 21).

use arrayvec::ArrayVec;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::execute::command_hash;
use super::{Call, SessionUse};
use crate::alg::{CipherMode, HashAlg};
use crate::bytes::{Bytes, Digest, without_trailing_zeros};
use crate::commands::{CommandInfo, Flag, Role};
use crate::crypto::hmac::hmac;
use crate::crypto::{hash::hash, kdf, symmetric};
use crate::entity::in_auth_group;
use crate::handle::{Handle, HandleType};
use crate::object::Loaded;
use crate::rc::{Rc, RcResult};
use crate::session::{BoundDigest, PolicyState, Session, SessionType};
use crate::tpm::Tpm;
use crate::types::attributes::{NvAttributes, ObjectAttributes, SessionAttributes};
use crate::types::symmetric::SymDef;

/// TPM2_PolicySecret, which a policy session may authorize only with the authorization value.
const POLICY_SECRET: u32 = 0x151;

/// Key of a session's HMAC and of its parameter encryption: sessionKey and, perhaps, an authorization value.
pub(super) type SessionValue = Zeroizing<Bytes<128>>;

/// What a session can be there for, if not for the authorization of an entity.
const FOR_SESSIONS: SessionAttributes = SessionAttributes::AUDIT
    .with(SessionAttributes::DECRYPT)
    .with(SessionAttributes::ENCRYPT);

/// Which way a parameter goes, for the order of the nonces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Command,
    Response,
}

impl Tpm {
    /// Checks every session of the command, in order.
    pub(super) fn authorize(&mut self, call: &Call<'_>) -> RcResult<()> {
        for index in 0..call.sessions.len() {
            self.authorize_session(call, index)?;
        }
        Ok(())
    }

    fn authorize_session(&mut self, call: &Call<'_>, index: usize) -> RcResult<()> {
        let session_use = call.sessions.get(index).ok_or(Rc::FAILURE)?;
        let number = u32::try_from(index).unwrap_or_default().saturating_add(1);
        if let Some(session) = self.sessions.get(session_use.handle) {
            if session.kind == SessionType::Trial {
                return Err(Rc::ATTRIBUTES.session(number));
            }
            // A session that is bound to what dictionary-attack protection protects is so itself, whatever it is used for.
            if session.bound_da {
                self.check_not_locked_out(session.bound_lockout)?;
            }
        }
        match session_use.entity {
            Some(entity) => self.authorize_entity(call, index, entity),
            None if session_use.is_password() => Err(Rc::HANDLE),
            None if !session_use.attributes.any(FOR_SESSIONS) => Err(Rc::ATTRIBUTES),
            None => self.check_hmac(call, index),
        }
        .map_err(|code| code.session(number))
    }

    /// Checks the authorization of an entity.
    fn authorize_entity(&mut self, call: &Call<'_>, index: usize, entity: Handle) -> RcResult<()> {
        let session_use = call.sessions.get(index).ok_or(Rc::FAILURE)?;
        let spec = call.info.handles.get(index).ok_or(Rc::FAILURE)?;
        let role = spec.role.ok_or(Rc::FAILURE)?;
        if entity == Handle::PLATFORM && self.needs_presence(call.info) && !self.physical_presence() {
            return Err(Rc::PP);
        }
        if session_use.uses_value && !self.da_exempt(entity) {
            self.check_not_locked_out(entity == Handle::LOCKOUT)?;
        }
        self.check_role(call.info, session_use, entity, role)?;
        let policy = self
            .sessions
            .get(session_use.handle)
            .filter(|session| session.is_policy());
        if let Some(session) = policy {
            self.check_policy(call, session, entity, role)?;
        }
        let by_password = session_use.is_password() || policy.is_some_and(|session| session.policy.password_needed);
        let result = if by_password {
            self.check_password(session_use, entity)
        } else {
            self.check_hmac(call, index)
        };
        if session_use.uses_value {
            self.count_pin_use(entity, result.is_ok())?;
        }
        result
    }

    /// Whether the authorization value of the entity takes part when this session, or a password, authorizes it.
    pub(super) fn uses_value(&self, session: Handle, entity: Handle) -> bool {
        match self.sessions.get(session) {
            None => true,
            Some(session) if session.is_policy() => session.policy.auth_value_needed || session.policy.password_needed,
            Some(session) => !self.is_bound_to(session, entity),
        }
    }

    /// Checks that the kind of session suits the role in which the entity must be authorized (Part 1, 19.2).
    fn check_role(&self, info: &CommandInfo, session_use: &SessionUse<'_>, entity: Handle, role: Role) -> RcResult<()> {
        if session_use.handle.kind() == Some(HandleType::PolicySession) {
            return if self.policy_available(info, entity, role) {
                Ok(())
            } else {
                Err(Rc::AUTH_UNAVAILABLE)
            };
        }
        let required = match role {
            Role::User => false,
            Role::Dup => true,
            Role::Admin => match entity.kind() {
                Some(HandleType::NvIndex) => true,
                _ => self
                    .object(entity)
                    .is_some_and(|object| object.public.0.attributes.has(ObjectAttributes::ADMIN_WITH_POLICY)),
            },
        };
        // A PCR that was given a policy is authorized by it alone (Part 3, 22.6).
        let required = required || entity.kind() == Some(HandleType::Pcr) && self.auth_policy(entity).is_some();
        if required {
            return Err(Rc::AUTH_TYPE);
        }
        if self.auth_value_available(info, entity, role) {
            Ok(())
        } else {
            Err(Rc::AUTH_UNAVAILABLE)
        }
    }

    /// Whether the entity's authorization value may be used in this role.
    fn auth_value_available(&self, info: &CommandInfo, entity: Handle, role: Role) -> bool {
        match entity.kind() {
            Some(HandleType::Permanent | HandleType::Pcr) => true,
            Some(HandleType::Transient | HandleType::Persistent) => {
                let Some(object) = self.object(entity) else {
                    return matches!(self.objects.get(entity), Some(Loaded::Sequence(_)));
                };
                let attributes = object.public.0.attributes;
                object.sensitive.0.is_some()
                    && (attributes.has(ObjectAttributes::USER_WITH_AUTH)
                        || role == Role::Admin && !attributes.has(ObjectAttributes::ADMIN_WITH_POLICY))
            }
            Some(HandleType::NvIndex) => self.nv_attributes(entity).is_some_and(|attributes| {
                if info.has(Flag::NvWrite) {
                    return attributes.has(NvAttributes::AUTHWRITE);
                }
                self.pin_available(entity)
                    .unwrap_or_else(|| attributes.has(NvAttributes::AUTHREAD))
            }),
            _ => false,
        }
    }

    /// Whether a policy may authorize the entity for this command.
    fn policy_available(&self, info: &CommandInfo, entity: Handle, role: Role) -> bool {
        match entity.kind() {
            Some(HandleType::Pcr) => in_auth_group(entity),
            Some(HandleType::Permanent) => self.auth_policy(entity).is_some_and(|(_, digest)| !digest.is_empty()),
            // Without the private part, which sequences do not have either, there is nothing to authorize.
            Some(HandleType::Transient | HandleType::Persistent) => {
                self.object(entity).is_some_and(|object| object.sensitive.0.is_some())
            }
            Some(HandleType::NvIndex) => {
                let has_policy = self.auth_policy(entity).is_some_and(|(_, digest)| !digest.is_empty());
                let needed = match role {
                    Role::User if info.has(Flag::NvWrite) => NvAttributes::POLICYWRITE,
                    Role::User if info.has(Flag::NvRead) => NvAttributes::POLICYREAD,
                    // TPM2_PolicySecret neither reads nor writes the index.
                    Role::User => return false,
                    // Nothing but a policy authorizes these.
                    Role::Admin | Role::Dup => NvAttributes::default(),
                };
                has_policy
                    && self
                        .nv_attributes(entity)
                        .is_some_and(|attributes| attributes.has(needed))
            }
            _ => false,
        }
    }

    fn check_password(&mut self, session_use: &SessionUse<'_>, entity: Handle) -> RcResult<()> {
        let given = without_trailing_zeros(session_use.hmac);
        if bool::from(self.auth_value(entity).ct_eq(given)) {
            Ok(())
        } else {
            Err(self.authorization_failed(session_use))
        }
    }

    fn check_hmac(&mut self, call: &Call<'_>, index: usize) -> RcResult<()> {
        let session_use = call.sessions.get(index).ok_or(Rc::FAILURE)?;
        let session = self.sessions.get(session_use.handle).ok_or(Rc::FAILURE)?;
        if self.command_hmac(call, index, session)?.ct_eq(session_use.hmac) {
            Ok(())
        } else {
            Err(self.authorization_failed(session_use))
        }
    }

    /// Counts a failed authorization where it counts, and says which code it answers with: TPM_RC_AUTH_FAIL where
    /// dictionary-attack protection applies, TPM_RC_BAD_AUTH elsewhere (Part 1, 19.8.3).
    fn authorization_failed(&mut self, session_use: &SessionUse<'_>) -> Rc {
        let session = self.sessions.get(session_use.handle);
        let entity = session_use.entity.filter(|_| session_use.uses_value);
        // What the session is bound to counts first: its key was made of that authorization value.
        let lockout = session.is_some_and(|session| session.bound_lockout) || entity == Some(Handle::LOCKOUT);
        let counts =
            session.is_some_and(|session| session.bound_da) || entity.is_some_and(|entity| !self.da_exempt(entity));
        if !counts {
            return Rc::BAD_AUTH;
        }
        match self.count_failed_try(lockout) {
            Ok(()) => Rc::AUTH_FAIL,
            // A try that cannot be counted durably must not tell whether it was right.
            Err(code) => code,
        }
    }

    /// Checks a policy session against the entity's policy and all that the policy demanded (Part 1, 19.7).
    fn check_policy(&self, call: &Call<'_>, session: &Session, entity: Handle, role: Role) -> RcResult<()> {
        let policy = &session.policy;
        if call.info.code == POLICY_SECRET && !policy.password_needed && !policy.auth_value_needed {
            return Err(Rc::MODE);
        }
        if policy.pcr_counter != 0 && policy.pcr_counter != self.reset.pcr_counter {
            return Err(Rc::PCR_CHANGED);
        }
        match self.auth_policy(entity) {
            Some((alg, digest)) if alg == session.hash && policy.digest.ct_eq(&digest) => {}
            _ => return Err(Rc::POLICY_FAIL),
        }
        if policy.timeout != 0 && (session.epoch != self.nv.counters.time_epoch || self.timer.time > policy.timeout) {
            return Err(Rc::EXPIRED);
        }
        match policy.command_code {
            0 if role != Role::User => return Err(Rc::POLICY_FAIL),
            0 => {}
            code if code != call.info.code => return Err(Rc::POLICY_CC),
            _ => {}
        }
        let locality = self.current.locality;
        let allowed = match policy.locality {
            0 => true,
            mask @ 1..32 => mask & locality.bit() != 0,
            extended => extended == locality.number(),
        };
        if !allowed {
            return Err(Rc::LOCALITY);
        }
        if policy.presence_needed && !self.physical_presence() {
            return Err(Rc::PP);
        }
        if policy.channel_needed {
            // This TPM has no secure channel.
            return Err(Rc::CHANNEL);
        }
        self.check_bound_digest(call, session.hash, policy)?;
        if policy.check_nv_written {
            let written = self.nv_attributes(entity).is_some_and(|a| a.has(NvAttributes::WRITTEN));
            if entity.kind() != Some(HandleType::NvIndex) || written != policy.nv_written {
                return Err(Rc::POLICY_FAIL);
            }
        }
        Ok(())
    }

    /// Checks the digest of the command's parts that the policy is bound to, if any.
    fn check_bound_digest(&self, call: &Call<'_>, alg: HashAlg, policy: &PolicyState) -> RcResult<()> {
        let actual = match policy.bound_kind {
            BoundDigest::None => return Ok(()),
            BoundDigest::CpHash => command_hash(alg, call),
            BoundDigest::NameHash => {
                let mut hasher = crate::crypto::hash::Hasher::new(alg);
                for name in &call.names {
                    hasher.update(name);
                }
                hasher.finish()
            }
            // TPM2_PolicyTemplate limits the creation commands, whose template those commands check themselves.
            BoundDigest::Template => return self.check_template(call, alg, policy),
            BoundDigest::Parameters => hash(alg, &[&call.info.code.to_be_bytes(), call.params]),
        };
        if actual.ct_eq(&policy.bound_digest) {
            Ok(())
        } else {
            Err(Rc::POLICY_FAIL)
        }
    }

    /// TPM2_PolicyTemplate (Part 3, 23.21): the digest of the creation template, without its size, must match. The
    /// template is the second sized parameter of the three creation commands.
    fn check_template(&self, call: &Call<'_>, alg: HashAlg, policy: &PolicyState) -> RcResult<()> {
        const CREATION: [u32; 3] = [0x131, 0x153, 0x191];
        if !CREATION.contains(&call.info.code) {
            return Err(Rc::POLICY_FAIL);
        }
        let mut reader = crate::marshal::Reader::new(call.params, self.profile);
        let template = reader
            .sized(usize::MAX)
            .and_then(|_| reader.sized(usize::MAX))
            .map_err(|_| Rc::POLICY_FAIL)?;
        if hash(alg, &[template]).ct_eq(&policy.bound_digest) {
            Ok(())
        } else {
            Err(Rc::POLICY_FAIL)
        }
    }

    /// sessionKey and, where it takes part, the entity's authorization value (Part 1, 19.6.8).
    pub(super) fn hmac_key(&self, session_use: &SessionUse<'_>, session: &Session) -> SessionValue {
        // A policy that takes a password takes it as it is.
        let keyed = session_use.uses_value && !session.policy.password_needed;
        self.session_value(session, session_use.entity.filter(|_| keyed))
    }

    fn session_value(&self, session: &Session, entity: Option<Handle>) -> SessionValue {
        let mut value = Zeroizing::new(Bytes::truncated(&session.key));
        if let Some(entity) = entity {
            // Two digests always fit.
            let _ = value.extend(self.auth_value(entity));
        }
        value
    }

    fn command_hmac(&self, call: &Call<'_>, index: usize, session: &Session) -> RcResult<Digest> {
        let session_use = call.sessions.get(index).ok_or(Rc::FAILURE)?;
        let key = self.hmac_key(session_use, session);
        if key.is_empty() && session_use.hmac.is_empty() {
            // Without a secret there need not be an HMAC (Part 1, 19.6.9).
            return Ok(Digest::EMPTY);
        }
        let (hashed, attributes) = (command_hash(session.hash, call), [session_use.attributes.0]);
        let mut parts = ArrayVec::<&[u8], 6>::new();
        parts.extend([&hashed, session_use.nonce_caller, &session.nonce_tpm]);
        if index == 0 && session_use.entity.is_some() {
            // The first session, if it authorizes, ties in the nonces of those that decrypt and encrypt (Part 1, 19.6.5).
            let decrypt = call
                .session_with(SessionAttributes::DECRYPT)
                .filter(|other| *other != 0);
            let encrypt = call
                .session_with(SessionAttributes::ENCRYPT)
                .filter(|other| *other != 0 && Some(*other) != decrypt);
            for other in [decrypt, encrypt].into_iter().flatten() {
                if let Some(other) = call
                    .sessions
                    .get(other)
                    .and_then(|other| self.sessions.get(other.handle))
                {
                    parts.push(&other.nonce_tpm);
                }
            }
        }
        parts.push(&attributes);
        Ok(hmac(session.hash, &key, &parts))
    }

    /// The value that says what a session is bound to: an entity's Name and authorization value (Part 1, 19.6.10).
    pub(crate) fn bind_value(&self, alg: HashAlg, entity: Handle) -> Zeroizing<Digest> {
        let name = self.name(entity);
        let size = u16::try_from(name.len()).unwrap_or_default().to_be_bytes();
        Zeroizing::new(hash(alg, &[&size, &name, self.auth_value(entity)]))
    }

    /// Whether the session is bound to the entity, whose authorization value is unchanged since.
    fn is_bound_to(&self, session: &Session, entity: Handle) -> bool {
        !session.bound.is_empty() && session.bound.ct_eq(&self.bind_value(session.hash, entity))
    }

    /// Decrypts a command's first parameter in place.
    pub(super) fn decrypt_parameter(&self, call: &Call<'_>, index: usize, data: &mut [u8]) -> RcResult<()> {
        self.crypt_parameter(call, index, Direction::Command, data)
    }

    /// Encrypts or decrypts a first parameter in place (Part 1, 21.2 and 21.3).
    pub(super) fn crypt_parameter(
        &self,
        call: &Call<'_>,
        index: usize,
        direction: Direction,
        data: &mut [u8],
    ) -> RcResult<()> {
        let session_use = call.sessions.get(index).ok_or(Rc::FAILURE)?;
        let session = self.sessions.get(session_use.handle).ok_or(Rc::FAILURE)?;
        // Here the authorization value takes part whether or not the session is bound to it.
        let key = self.session_value(session, session_use.entity);
        let (newer, older) = match direction {
            Direction::Command => (session_use.nonce_caller, &*session.nonce_tpm),
            Direction::Response => (&*session.nonce_tpm, session_use.nonce_caller),
        };
        match session.symmetric {
            SymDef::Null => Err(Rc::SYMMETRIC),
            // The hash of the mask is that of the session, whatever the definition names (Part 1, 21.2).
            SymDef::Xor(_) => {
                kdf::xor_mask(session.hash, &key, newer, older, data);
                Ok(())
            }
            SymDef::Cipher(def) => {
                let size = def.key_size().saturating_add(def.cipher.block_size());
                let bits = u32::try_from(size.saturating_mul(8)).unwrap_or_default();
                let mut derived = Zeroizing::new([0u8; 48]);
                let derived = derived.get_mut(..size).ok_or(Rc::FAILURE)?;
                kdf::kdfa(session.hash, &key, b"CFB", newer, older, bits, derived);
                let (cipher_key, iv) = derived.split_at_mut_checked(def.key_size()).ok_or(Rc::FAILURE)?;
                let crypt = if direction == Direction::Command {
                    symmetric::decrypt
                } else {
                    symmetric::encrypt
                };
                crypt(def.cipher, cipher_key, CipherMode::Cfb, iv, data).map_err(|_| Rc::FAILURE)
            }
        }
    }
}
