//! Making, loading and moving objects.

use anyhow::Result;

use super::Generator;
use super::model::{Blob, Object, Role, Saved};
use crate::build::{self, Auth, Call, Public};
use crate::client::Tpm;
use crate::codes::{alg, curve, oa, rh, sa};
use crate::keys::Key;
use crate::session::Options;
use crate::wire::Out;

impl Generator {
    pub(super) fn room(&mut self, tpm: &mut Tpm) -> Result<()> {
        let transient: Vec<u32> = self
            .model
            .objects
            .iter()
            .map(|object| object.handle)
            .filter(|handle| handle >> 24 == 0x80)
            .collect();
        // The peer has three slots, and needs one for each persistent object that a command names.
        if transient.len() >= 2
            && let Some(handle) = self.rng.pick(&transient)
        {
            self.flush(tpm, handle)?;
        }
        Ok(())
    }

    fn flush(&mut self, tpm: &mut Tpm, handle: u32) -> Result<()> {
        let answer = self.send(tpm, build::flush_context(handle))?;
        if answer.rc == 0 {
            self.model.objects.retain(|object| object.handle != handle);
            self.model.sessions.retain(|session| session.handle != handle);
        }
        Ok(())
    }

    fn ordinary(&mut self) -> (Role, Public, Vec<u8>) {
        let ecdsa = [alg::ECDSA, alg::SHA256];
        let choices = [
            (Role::Parent, Public::ecc_parent(), vec![]),
            (Role::Parent, Public::ecc_parent(), vec![]),
            (Role::Sealed, Public::sealed(), b"sealed data".to_vec()),
            (
                Role::Sealed,
                Public::sealed().unset(oa::FIXED_TPM | oa::FIXED_PARENT),
                b"moving".to_vec(),
            ),
            (Role::Hmac, Public::hmac_key(alg::SHA256), vec![]),
            (Role::Cipher, Public::symmetric(alg::AES, 128, alg::CFB), vec![]),
            (Role::EccSign, Public::ecc(curve::P256, &ecdsa, oa::SIGN), vec![]),
            (
                Role::EccSign,
                Public::ecc(curve::P256, &ecdsa, oa::SIGN | oa::RESTRICTED),
                vec![],
            ),
            (
                Role::EccDecrypt,
                Public::ecc(curve::P256, &[alg::ECDH, alg::SHA256], oa::DECRYPT),
                vec![],
            ),
        ];
        let (role, public, data) = self
            .rng
            .pick(&choices)
            .unwrap_or((Role::Sealed, Public::sealed(), vec![1]));
        // Failures must not lock the sequence out.
        (role, public.set(oa::NO_DA), data)
    }

    fn new_auth(&mut self) -> Vec<u8> {
        self.rng
            .pick(&[vec![], b"value".to_vec(), vec![7; 20], vec![9; 32]])
            .unwrap_or_default()
    }

    fn loaded(&mut self, handle: u32, auth: Vec<u8>, role: Role) {
        self.model.objects.retain(|object| object.handle != handle);
        self.model.objects.push(Object { handle, auth, role });
    }

    /// CreatePrimary, Create, Load, CreateLoaded.
    pub(super) fn object(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("objects");
        self.room(tpm)?;
        let (role, public, data) = self.ordinary();
        let auth = self.new_auth();
        let sensitive = build::sensitive_create(&auth, &data);
        // A persistent parent takes a slot of the peer while it is used, and the new object gets another handle.
        let parent = self
            .pick_object(Role::Parent)
            .filter(|parent| parent.handle >> 24 == 0x80);
        match (self.rng.below(6), parent) {
            (0 | 1, _) | (_, None) => {
                let hierarchy = self.hierarchy_handle();
                let pcr = u8::try_from(self.rng.below(24)).unwrap_or(0);
                let selection = build::pcrs(
                    alg::SHA256,
                    if self.rng.one_in(2) {
                        &[]
                    } else {
                        std::slice::from_ref(&pcr)
                    },
                );
                let call = build::create_primary(hierarchy, &sensitive, &public.bytes(), b"outside", &selection);
                let call = self.with_values(call);
                let answer = self.send(tpm, call)?;
                if answer.rc == 0 {
                    self.loaded(answer.handle, auth, role);
                }
            }
            (2 | 3, Some(parent)) => {
                let call = build::create(parent.handle, &sensitive, &public.bytes(), &[], &build::pcrs(0, &[]));
                let call = self.with_values(call);
                let answer = self.send(tpm, call)?;
                if answer.rc == 0 {
                    let mut input = answer.read();
                    let (private, public) = (input.b2()?.to_vec(), input.b2()?.to_vec());
                    if self.model.blobs.len() > 6 {
                        self.model.blobs.remove(0);
                    }
                    self.model.blobs.push(Blob {
                        parent: parent.handle,
                        private,
                        public,
                        auth,
                        role,
                    });
                }
            }
            (4, Some(parent)) => {
                let call = build::create_loaded(parent.handle, &sensitive, &public.bytes());
                let call = self.with_values(call);
                let answer = self.send(tpm, call)?;
                if answer.rc == 0 {
                    self.loaded(answer.handle, auth, role);
                }
            }
            _ => {
                let transient = self.model.blobs.iter().filter(|blob| blob.parent >> 24 == 0x80);
                let transient: Vec<Blob> = transient.cloned().collect();
                let Some(blob) = self.rng.pick(&transient) else {
                    return Ok(());
                };
                let call = build::load(blob.parent, &blob.private, &blob.public);
                let call = self.with_values(call);
                let answer = self.send(tpm, call)?;
                if answer.rc == 0 {
                    self.loaded(answer.handle, blob.auth, blob.role);
                }
            }
        }
        Ok(())
    }

    /// Keys that both sides know.
    pub(super) fn known_key(&mut self) -> Result<(Role, Key)> {
        let byte = u8::try_from(1 + self.rng.below(8))?;
        Ok(match self.rng.below(8) {
            0 | 1 => (Role::EccSign, Key::ecdsa([byte; 32])?),
            2 => (Role::EccDecrypt, Key::ecc([byte; 32], &[alg::NULL], oa::DECRYPT, &[])?),
            3 => (Role::Hmac, Key::hmac(alg::SHA256, &[byte; 32], &[])?),
            4 => (Role::Cipher, Key::symmetric(alg::AES, alg::CFB, &[byte; 16], &[])?),
            5 => (Role::Sealed, Key::sealed(&[byte; 20], &[])?),
            6 => (Role::RsaSign, Key::rsa(1024, &[alg::NULL], oa::SIGN, &[])),
            _ => (Role::RsaDecrypt, Key::rsa(1024, &[alg::NULL], oa::DECRYPT, &[])),
        })
    }

    /// LoadExternal and Import.
    pub(super) fn external_key(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("known keys");
        self.room(tpm)?;
        let (role, key) = self.known_key()?;
        let public = key.public.bytes();
        match (self.rng.below(3), self.pick_object(Role::Parent)) {
            (0, Some(parent)) => {
                let duplicate = Out::new().b2(&key.sensitive).0;
                let call = build::import(parent.handle, &[], &public, &duplicate, &[], &build::null());
                let call = self.with_values(call);
                self.imported(tpm, call, parent.handle, public, role)?;
            }
            (1, _) => {
                let hierarchy = self.hierarchy_handle();
                let answer = self.send(tpm, build::load_external(&[], &public, hierarchy))?;
                if answer.rc == 0 {
                    self.loaded(answer.handle, vec![], role);
                }
            }
            _ => {
                let call = build::load_external(&key.sensitive, &public, rh::NULL);
                let call = self.accompany(call);
                let answer = self.send(tpm, call)?;
                if answer.rc == 0 {
                    self.loaded(answer.handle, vec![], role);
                }
            }
        }
        Ok(())
    }

    /// Duplicate, Import, Rewrap.
    pub(super) fn duplicate(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("duplication");
        let parent = self
            .pick_object(Role::Parent)
            .filter(|parent| parent.handle >> 24 == 0x80);
        let Some(parent) = parent else { return Ok(()) };
        let (_, Some(trial)) = tpm.try_start(&Options::trial())? else {
            return Ok(());
        };
        tpm.run(build::policy_command_code(trial, 0x14B))?;
        let digest = tpm.run(build::policy_get_digest(trial))?.first().unwrap_or_default();
        tpm.run(build::flush_context(trial))?;
        let public = Public::sealed()
            .unset(oa::FIXED_TPM | oa::FIXED_PARENT)
            .policy(&digest)
            .set(oa::NO_DA);
        self.room(tpm)?;
        let call = build::create_loaded(parent.handle, &build::sensitive_create(&[], b"moving"), &public.bytes());
        let call = call.auth(0, Auth::password(&parent.auth));
        let answer = tpm.run(call)?;
        self.sent += 5;
        if answer.rc != 0 {
            return Ok(());
        }
        let object = answer.handle;
        let mut input = answer.read();
        input.b2()?;
        let area = input.b2()?.to_vec();
        let (_, Some(session)) = tpm.try_start(&Options::policy())? else {
            return self.flush(tpm, object);
        };
        tpm.run(build::policy_command_code(session, 0x14B))?;
        let cipher = if self.rng.one_in(2) {
            build::null()
        } else {
            build::aes128_cfb()
        };
        let target = if self.rng.one_in(4) { rh::NULL } else { parent.handle };
        let call = build::duplicate(object, target, &[], &cipher).session(session, sa::CONTINUE, &[]);
        let answer = self.send(tpm, call)?;
        tpm.run(build::flush_context(session))?;
        tpm.run(build::flush_context(object))?;
        self.sent += 4;
        if answer.rc != 0 {
            return Ok(());
        }
        let mut input = answer.read();
        let (key, blob, seed) = (input.b2()?.to_vec(), input.b2()?.to_vec(), input.b2()?.to_vec());
        let call = build::import(parent.handle, &key, &area, &blob, &seed, &cipher);
        let call = self.with_values(call);
        self.imported(tpm, call, parent.handle, area, Role::Sealed)
    }

    /// Import: what was imported can be loaded.
    fn imported(&mut self, tpm: &mut Tpm, call: Call, parent: u32, public: Vec<u8>, role: Role) -> Result<()> {
        let answer = self.send(tpm, call)?;
        if answer.rc == 0 {
            self.model.blobs.push(Blob {
                parent,
                private: answer.first()?,
                public,
                auth: vec![],
                role,
            });
        }
        Ok(())
    }

    /// ContextSave, ContextLoad.
    pub(super) fn context(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("contexts");
        if self.rng.one_in(2) || self.model.saved.is_empty() {
            let object = self.any_object().filter(|object| object.handle >> 24 == 0x80);
            let session = if self.rng.one_in(2) {
                self.rng.pick(&self.model.sessions)
            } else {
                None
            };
            let Some(handle) = session
                .map(|session| session.handle)
                .or(object.as_ref().map(|object| object.handle))
            else {
                return Ok(());
            };
            let answer = self.send(tpm, build::context_save(handle))?;
            if answer.rc == 0 {
                if self.model.saved.len() > 4 {
                    self.model.saved.remove(0);
                }
                let object = if session.is_some() { None } else { object };
                self.model.sessions.retain(|session| session.handle != handle);
                self.model.saved.push(Saved {
                    context: answer.params,
                    object,
                    session,
                });
            }
            return Ok(());
        }
        self.room(tpm)?;
        let Some(saved) = self.rng.pick(&self.model.saved) else {
            return Ok(());
        };
        if saved.session.is_some() && self.model.sessions.len() >= 2 {
            // The third of the peer's slots is for who needs a session in passing.
            return Ok(());
        }
        let answer = self.send(tpm, build::context_load(&saved.context))?;
        if answer.rc == 0 {
            if let Some(object) = saved.object {
                self.loaded(answer.handle, object.auth, object.role);
            }
            self.model.sessions.extend(saved.session);
        }
        Ok(())
    }

    /// EvictControl.
    pub(super) fn persist(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("persistent objects");
        let Some(object) = self.any_object() else { return Ok(()) };
        let handle = 0x8100_0000 + u32::try_from(self.rng.below(3))?;
        let handle = if object.handle >> 24 == 0x81 {
            object.handle
        } else {
            handle
        };
        let call = build::evict_control(rh::OWNER, object.handle, handle);
        let call = self.with_values(call);
        let answer = self.send(tpm, call)?;
        if answer.rc == 0 {
            if object.handle == handle {
                self.model.objects.retain(|object| object.handle != handle);
            } else {
                self.loaded(handle, object.auth, object.role);
            }
        }
        Ok(())
    }

    /// FlushContext.
    pub(super) fn release(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("flushing");
        let handle = if self.rng.one_in(2) || self.model.sessions.is_empty() {
            self.any_object().map(|object| object.handle)
        } else {
            self.rng.pick(&self.model.sessions).map(|session| session.handle)
        };
        match handle {
            Some(handle) => self.flush(tpm, handle),
            None => {
                let handle = self.any_handle();
                self.flush(tpm, handle)
            }
        }
    }
}
