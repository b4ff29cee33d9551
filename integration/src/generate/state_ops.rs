//! NV indices, PCRs, hierarchies, and commands without state.

use anyhow::Result;

use super::Generator;
use super::model::{HIERARCHIES, Index};
use crate::build::{self, nv_public};
use crate::client::Tpm;
use crate::codes::{alg, cap, na, rh};

impl Generator {
    /// NV_DefineSpace, NV_UndefineSpace.
    pub(super) fn index(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("defining indices");
        let handle = 0x0100_0000 + u32::try_from(self.rng.below(6))?;
        if let Some(index) = self.model.indices.iter().find(|index| index.handle == handle).cloned() {
            let auth = if index.platform { rh::PLATFORM } else { rh::OWNER };
            let call = build::nv_undefine_space(auth, handle);
            let call = self.with_values(call);
            if self.send(tpm, call)?.rc == 0 {
                self.model.indices.retain(|index| index.handle != handle);
            }
            return Ok(());
        }
        let platform = self.rng.one_in(4);
        let kind = self
            .rng
            .pick(&[0, 0, 0, na::COUNTER, na::BITS, na::EXTEND, na::PIN_FAIL, na::PIN_PASS])
            .unwrap_or(0);
        let hash = self
            .rng
            .pick(&[alg::SHA256, alg::SHA256, alg::SHA1, alg::SHA384])
            .unwrap_or(alg::SHA256);
        let size = match kind {
            na::EXTEND => u16::try_from(crate::crypto::size(hash)?)?,
            0 => self.rng.pick(&[0, 1, 8, 16, 100, 1024, 2048]).unwrap_or(8),
            _ => 8,
        };
        let mut attributes = na::AUTHREAD | na::OWNERREAD | na::OWNERWRITE | na::NO_DA | kind;
        if !matches!(kind, na::PIN_FAIL | na::PIN_PASS) {
            attributes |= na::AUTHWRITE;
        }
        if platform {
            attributes |= na::PLATFORMCREATE | na::PPREAD | na::PPWRITE;
        }
        let extra = [
            na::WRITE_STCLEAR,
            na::READ_STCLEAR,
            na::WRITEDEFINE,
            na::GLOBALLOCK,
            na::ORDERLY,
            na::CLEAR_STCLEAR,
            na::WRITEALL,
            na::POLICYREAD,
            na::POLICYWRITE,
            na::WRITTEN,
            na::POLICY_DELETE,
        ];
        while self.rng.one_in(2) {
            attributes |= self.rng.pick(&extra).unwrap_or(0);
        }
        let auth = self.rng.pick(&[vec![], b"index".to_vec()]).unwrap_or_default();
        let public = nv_public(handle, hash, attributes, &[], size);
        let call = build::nv_define_space(if platform { rh::PLATFORM } else { rh::OWNER }, &auth, &public);
        let call = self.with_values(call);
        if self.send(tpm, call)?.rc == 0 {
            self.model.indices.push(Index {
                handle,
                auth,
                size,
                platform,
                kind,
            });
        }
        Ok(())
    }

    /// Everything that is done with an index.
    pub(super) fn use_index(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("using indices");
        let Some(index) = self.rng.pick(&self.model.indices) else {
            return self.index(tpm);
        };
        let handle = index.handle;
        let auth = self
            .rng
            .pick(&[handle, handle, handle, rh::OWNER, rh::PLATFORM])
            .unwrap_or(handle);
        let offset = u16::try_from(self.rng.below(usize::from(index.size) + 2))?;
        let length = if self.rng.one_in(3) {
            usize::from(index.size)
        } else {
            self.rng.below(20)
        };
        let (length, offset) = if length == usize::from(index.size) {
            (length, 0)
        } else {
            (length, offset)
        };
        let data = self.rng.bytes(length.min(1024));
        let call = match (self.rng.below(14), index.kind) {
            (0..6, na::COUNTER) => build::nv_increment(auth, handle),
            (0..6, na::EXTEND) => build::nv_extend(auth, handle, &data),
            (0..6, na::BITS) => build::nv_set_bits(auth, handle, 1 << self.rng.below(64)),
            (0..4, _) => build::nv_write(auth, handle, &data, offset),
            (4..7, _) => build::nv_read(auth, handle, u16::try_from(length)?, offset),
            (7, _) => build::nv_read_public(handle),
            (8, _) => build::nv_increment(auth, handle),
            (9, _) => build::nv_extend(auth, handle, &data),
            (10, _) => build::nv_set_bits(auth, handle, 1 << self.rng.below(64)),
            (11, _) => build::nv_write_lock(auth, handle),
            (12, _) => build::nv_read_lock(auth, handle),
            _ if self.rng.one_in(8) => build::nv_global_write_lock(rh::OWNER),
            _ => build::nv_change_auth(handle, b"changed"),
        };
        let call = self.with_values(call);
        self.send(tpm, call)?;
        Ok(())
    }

    /// PCRs.
    pub(super) fn pcr(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("PCRs");
        let pcr = u32::try_from(self.rng.below(24))?;
        let small = u8::try_from(pcr)?;
        let (bank, size) = self
            .rng
            .pick(&[(alg::SHA1, 20), (alg::SHA256, 32), (alg::SHA384, 48), (alg::SHA512, 64)])
            .unwrap_or((alg::SHA256, 32));
        let call = match self.rng.below(6) {
            0 | 1 => build::pcr_extend(pcr, &build::digest_values(&[(bank, &self.rng.bytes(size))])),
            2 => build::pcr_event(pcr, b"event"),
            3 => build::pcr_reset(pcr),
            _ => build::pcr_read(&build::pcrs(bank, &[small, 0, 16])),
        };
        let call = self.with_values(call);
        self.send(tpm, call)?;
        Ok(())
    }

    /// Commands without state.
    pub(super) fn simple(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("simple commands");
        let count = u16::try_from(self.rng.below(70))?;
        let size = self.rng.pick(&[0, 10, 100, 1024]).unwrap_or(0);
        let data = self.rng.bytes(size);
        let capability = u32::try_from(self.rng.below(10))?;
        let first = self.rng.pick(&[
            0,
            1,
            0x100,
            0x200,
            0x144,
            0x0100_0000,
            0x0200_0000,
            0x8000_0000,
            0x8100_0000,
        ]);
        let call = match self.rng.below(8) {
            0 | 1 => build::get_random(count),
            2 | 3 => build::hash(&data, alg::SHA256, rh::OWNER),
            4 => build::stir_random(data.get(..data.len().min(130)).unwrap_or_default()),
            5 => build::read_clock(),
            6 => build::get_test_result(),
            // The lists differ, and so do their pages; algorithms and curves have 16 bits, and the peer looks at no more.
            _ if matches!(
                capability,
                cap::ALGS | cap::COMMANDS | cap::TPM_PROPERTIES | cap::ECC_CURVES
            ) =>
            {
                build::get_capability(capability, first.unwrap_or(0) & 0xFFFF, 1000)
            }
            _ => build::get_capability(capability, first.unwrap_or(0), u32::from(count)),
        };
        let call = self.accompany(call);
        self.send(tpm, call)?;
        Ok(())
    }

    /// Hierarchies and the dictionary-attack logic.
    pub(super) fn hierarchy(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("hierarchies");
        let hierarchy = self.rng.pick(&HIERARCHIES).unwrap_or(rh::OWNER);
        match self.rng.below(12) {
            0..3 => {
                let new = self
                    .rng
                    .pick(&[vec![], b"hierarchy".to_vec(), vec![5; 32]])
                    .unwrap_or_default();
                // With a password only: a mutated command must not leave the model without the value.
                let old = self.model.auth(hierarchy);
                let answer = tpm.run(build::hierarchy_change_auth(hierarchy, &new).pw(&old))?;
                self.sent += 1;
                if answer.rc == 0 {
                    self.model.set_auth(hierarchy, &new);
                }
            }
            3 => {
                let enabled = self
                    .rng
                    .pick(&[rh::OWNER, rh::ENDORSEMENT, rh::PLATFORM_NV])
                    .unwrap_or(rh::OWNER);
                let platform = self.model.auth(rh::PLATFORM);
                for state in [0, 1] {
                    tpm.run(build::hierarchy_control(rh::PLATFORM, enabled, state).pw(&platform))?;
                }
                self.model.objects.clear();
                self.recover(tpm)?;
            }
            4 | 5 => {
                let call = build::dictionary_attack_lock_reset(rh::LOCKOUT);
                let lockout = self.model.auth(rh::LOCKOUT);
                tpm.run(call.pw(&lockout))?;
                self.sent += 1;
            }
            6 => {
                let call = build::set_primary_policy(hierarchy, &[], alg::NULL);
                let call = self.with_values(call);
                self.send(tpm, call)?;
            }
            7 if self.rng.one_in(6) => {
                let platform = self.model.auth(rh::PLATFORM);
                let answer = tpm.run(build::clear(rh::PLATFORM).pw(&platform))?;
                self.sent += 1;
                if answer.rc == 0 {
                    for cleared in [rh::OWNER, rh::ENDORSEMENT, rh::LOCKOUT] {
                        self.model.set_auth(cleared, &[]);
                    }
                    self.model.indices.retain(|index| index.platform);
                    self.recover(tpm)?;
                }
            }
            8 => {
                let call = build::set_command_code_audit_status(
                    rh::OWNER,
                    alg::NULL,
                    &build::list32(&[0x17B]),
                    &build::list32(&[]),
                );
                let call = self.with_values(call);
                self.send(tpm, call)?;
            }
            9 => {
                let call = build::clear_control(rh::PLATFORM, u8::try_from(self.rng.below(2))?);
                let call = self.with_values(call);
                self.send(tpm, call)?;
            }
            _ => {
                let call = build::get_capability(cap::TPM_PROPERTIES, 0x200, 2);
                self.send(tpm, call)?;
            }
        }
        Ok(())
    }
}
