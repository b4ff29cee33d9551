//! Sessions and policies.

use anyhow::Result;

use super::Generator;
use super::model::{Role, SessionModel};
use crate::build;
use crate::client::Tpm;
use crate::codes::{alg, eo, rh, se};
use crate::session::{Cipher, Options};

impl Generator {
    /// StartAuthSession.
    pub(super) fn start_session(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("sessions");
        // The peer has three slots; one is left for who needs a session in passing.
        while self.model.sessions.len() >= 2
            && let Some(session) = self.rng.pick(&self.model.sessions)
        {
            self.model.sessions.retain(|other| other.handle != session.handle);
            tpm.run(build::flush_context(session.handle))?;
            self.sent += 1;
        }
        let kind = self
            .rng
            .pick(&[se::HMAC, se::HMAC, se::POLICY, se::POLICY, se::TRIAL])
            .unwrap_or(se::HMAC);
        let hash = self
            .rng
            .pick(&[alg::SHA256, alg::SHA256, alg::SHA1, alg::SHA384])
            .unwrap_or(alg::SHA256);
        let cipher = self
            .rng
            .pick(&[Cipher::Null, Cipher::Aes(128), Cipher::Xor(alg::SHA256)])
            .unwrap_or(Cipher::Null);
        let mut options = Options::new(kind).hash(hash).cipher(cipher);
        if self.rng.one_in(4)
            && let Some(key) = self.pick_object(Role::Parent)
        {
            options = options.salted(key.handle);
        }
        if self.rng.one_in(4) {
            // A session bound to what it does not authorize has a session key, and is otherwise like others.
            let auth = self.model.auth(rh::OWNER);
            options = options.bound(rh::OWNER, &auth);
        }
        self.sent += 1;
        if let (_, Some(handle)) = tpm.try_start(&options)? {
            let (policy, cipher) = (kind != se::HMAC, cipher != Cipher::Null);
            self.model.sessions.push(SessionModel { handle, policy, cipher });
        }
        Ok(())
    }

    /// A policy assertion.
    pub(super) fn assert_policy(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("policies");
        let Some(session) = self.pick_session(true) else {
            return self.start_session(tpm);
        };
        let session = session.handle;
        let bytes = self.rng.bytes(32);
        let code = self.rng.pick(&[0x14E, 0x137, 0x15E, 0x14B, 0x120]).unwrap_or(0x14E);
        let pcr = u8::try_from(self.rng.below(24))?;
        let call = match self.rng.below(18) {
            0 => build::policy_auth_value(session),
            1 => build::policy_password(session),
            2 => build::policy_command_code(session, code),
            3 => build::policy_locality(session, 1 << self.rng.below(5)),
            4 => build::policy_nv_written(session, u8::try_from(self.rng.below(2))?),
            5 => build::policy_cp_hash(session, &bytes),
            6 => build::policy_name_hash(session, &bytes),
            7 => build::policy_template(session, &bytes),
            8 => build::policy_pcr(session, &[], &build::pcrs(alg::SHA256, &[pcr])),
            9 => build::policy_duplication_select(session, &bytes, &bytes, u8::try_from(self.rng.below(2))?),
            10 => build::policy_physical_presence(session),
            11 => {
                let now = tpm.run(build::policy_get_digest(session))?;
                self.sent += 1;
                let now = now.first().unwrap_or_default();
                build::policy_or(session, &build::digests(&[&bytes, &now]))
            }
            12 => {
                let entity = self.hierarchy_handle();
                build::policy_secret(entity, session, &[], &[], b"reference", 0)
            }
            13 => {
                let index = self
                    .rng
                    .pick(&self.model.indices)
                    .map_or(0x0100_0000, |index| index.handle);
                let operation = self
                    .rng
                    .pick(&[eo::EQ, eo::NEQ, eo::UNSIGNED_GE, eo::BITSET])
                    .unwrap_or(eo::EQ);
                build::policy_nv(index, index, session, &bytes[..self.rng.below(9)], 0, operation)
            }
            14 => build::policy_restart(session),
            15 => {
                let session = self.pick_session(true).map_or(session, |session| session.handle);
                build::policy_restart(session)
            }
            _ => build::policy_get_digest(session),
        };
        let call = self.with_values(call);
        self.send(tpm, call)?;
        Ok(())
    }
}
