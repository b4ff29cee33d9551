//! Commands of any kind with parameters of the right types and any values.

use anyhow::Result;

use super::Generator;
use crate::build::{self, Auth, Call, Public};
use crate::client::Tpm;
use crate::codes::{alg, curve, oa, rh};
use crate::schema::{self, Schema};
use crate::wire::Out;

/// Commands that are left to others: they end the sequence, take long, or depend on time.
const APART: [&str; 11] = [
    "Startup",
    "Shutdown",
    "ClockSet",
    "ClockRateAdjust",
    "PolicyCounterTimer",
    "DictionaryAttackParameters",
    // ECMQV makes libtpms 0.9 fail for good.
    "ZGen_2Phase",
    "SelfTest",
    "IncrementalSelfTest",
    "PCR_Allocate",
    "GetCapability",
];

impl Generator {
    /// Any command.
    pub(super) fn structured(&mut self, tpm: &mut Tpm) -> Result<()> {
        let schemas: Vec<&Schema> = schema::all()
            .filter(|schema| !APART.contains(&&schema.name[..]))
            .collect();
        let Some(schema) = self.rng.pick(&schemas) else {
            return Ok(());
        };
        let transient = self
            .model
            .objects
            .iter()
            .filter(|object| object.handle >> 24 == 0x80)
            .count();
        if schema.reply_handle.is_some() && (transient >= 2 || self.model.sessions.len() >= 3) {
            return Ok(());
        }
        // These undo what the model holds; now and then is enough.
        let destructive = [
            "Clear",
            "ChangeEPS",
            "ChangePPS",
            "HierarchyControl",
            "SetPrimaryPolicy",
            "PP_Commands",
        ];
        if destructive.contains(&&schema.name[..]) && !self.rng.one_in(12) {
            return Ok(());
        }
        let handles: Vec<u32> = schema.handles.iter().map(|(name, _)| self.handle_for(name)).collect();
        let mut params = Out::new();
        for field in &schema.params {
            params = params.raw(&self.value(&field.kind));
        }
        let mut call = Call::new(schema.code, &handles, params.0);
        let authorized = schema
            .handles
            .iter()
            .filter(|(_, auth)| *auth != schema::Auth::None)
            .count();
        let needing: Vec<u32> = schema
            .handles
            .iter()
            .zip(&handles)
            .filter(|((_, auth), _)| *auth != schema::Auth::None)
            .map(|(_, handle)| *handle)
            .collect();
        for (position, handle) in needing.iter().enumerate().take(authorized) {
            let auth = self.auth_of(*handle);
            call = self.authorize(call, position, &auth);
        }
        let call = self.accompany(call);
        tpm.step("structured");
        let answer = self.send(tpm, call)?;
        if answer.rc == 0 {
            if schema.reply_handle.is_some() && schema.name != "ContextLoad" {
                // Unknown to the model; it would fill the TPM.
                tpm.run(build::flush_context(answer.handle))?;
                self.sent += 1;
            }
            if schema.name == "Clear" || schema.name == "ChangePPS" || schema.name == "ChangeEPS" {
                self.recover(tpm)?;
            }
        }
        Ok(())
    }

    /// Brings the model back in line after a command that it did not choose.
    pub(super) fn recover(&mut self, tpm: &mut Tpm) -> Result<()> {
        self.model.objects.clear();
        self.model.blobs.clear();
        for slot in 0..3 {
            tpm.run(build::flush_context(0x8000_0000 + slot))?;
        }
        self.sent += 3;
        Ok(())
    }

    /// A handle that fits the name more often than not.
    fn handle_for(&mut self, name: &str) -> u32 {
        if self.rng.one_in(6) {
            return self.any_handle();
        }
        let object = |generator: &mut Self| generator.any_object().map_or(0x8000_0000, |object| object.handle);
        match name {
            "policySession" | "sessionHandle" => {
                let policy = self.rng.one_in(8);
                self.pick_session(!policy).map_or(0x0300_0000, |session| session.handle)
            }
            "nvIndex" => self
                .rng
                .pick(&self.model.indices)
                .map_or(0x0100_0000, |index| index.handle),
            "pcrHandle" => u32::try_from(self.rng.below(24)).unwrap_or(0),
            "auth" | "authHandle" | "primaryHandle" => self.hierarchy_handle(),
            "privacyHandle" | "privacyAdminHandle" => rh::ENDORSEMENT,
            "lockHandle" => rh::LOCKOUT,
            "platform" => rh::PLATFORM,
            "bind" | "tpmKey" if self.rng.one_in(2) => rh::NULL,
            "newParentHandle" | "signHandle" if self.rng.one_in(3) => rh::NULL,
            _ => object(self),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let sizes = [
            0, 1, 2, 8, 16, 20, 20, 31, 32, 32, 32, 33, 34, 48, 64, 65, 128, 256, 300,
        ];
        let size = self.rng.pick(&sizes).unwrap_or(0);
        self.rng.bytes(size)
    }

    fn number16(&mut self) -> u16 {
        let choices = [
            0, 1, 2, 3, 4, 5, 6, 7, 8, 0xA, 0xB, 0xC, 0xD, 0x10, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x22, 0x23, 0x25,
            0x40, 0x41, 0x42, 0x43, 0x44, 128, 256, 2048, 0xFFFF,
        ];
        self.rng.pick(&choices).unwrap_or(0)
    }

    fn hash(&mut self) -> u16 {
        self.rng
            .pick(&[
                alg::SHA256,
                alg::SHA256,
                alg::SHA256,
                alg::SHA1,
                alg::SHA384,
                alg::SHA512,
                alg::NULL,
            ])
            .unwrap_or(alg::SHA256)
    }

    fn scheme(&mut self) -> Vec<u8> {
        let hash = self.hash();
        let choices = [
            vec![alg::NULL],
            vec![alg::NULL],
            vec![alg::ECDSA, hash],
            vec![alg::RSASSA, hash],
            vec![alg::RSAPSS, hash],
            vec![alg::HMAC, hash],
            vec![alg::OAEP, hash],
            vec![alg::RSAES],
            vec![alg::ECDH, hash],
        ];
        build::scheme(&self.rng.pick(&choices).unwrap_or_default())
    }

    fn symmetric(&mut self) -> Vec<u8> {
        let choices = [
            vec![alg::NULL],
            vec![alg::AES, 128, alg::CFB],
            vec![alg::AES, 256, alg::CFB],
            vec![alg::AES, 128, alg::CBC],
            vec![alg::AES, 128, alg::NULL],
            vec![alg::XOR, alg::SHA256],
        ];
        build::scheme(&self.rng.pick(&choices).unwrap_or_default())
    }

    /// A public area, perhaps with a few attributes changed. None that is slow to make.
    pub(super) fn template(&mut self) -> Public {
        let hash = self
            .rng
            .pick(&[alg::SHA256, alg::SHA1, alg::SHA384])
            .unwrap_or(alg::SHA256);
        let choices = [
            Public::ecc_parent(),
            Public::symmetric_parent(),
            Public::sealed(),
            Public::hmac_key(hash),
            Public::symmetric(alg::AES, 128, alg::CFB),
            Public::symmetric(alg::AES, 256, alg::CBC),
            Public::ecc(curve::P256, &[alg::ECDSA, hash], oa::SIGN),
            Public::ecc(curve::P256, &[alg::ECDH, alg::SHA256], oa::DECRYPT),
            Public::ecc(curve::P384, &[alg::NULL], oa::SIGN),
        ];
        let mut public = self.rng.pick(&choices).unwrap_or_else(Public::sealed);
        while self.rng.one_in(3) {
            public.attributes ^= 1 << self.rng.below(20);
        }
        if self.rng.one_in(5) {
            public.name_alg = self.hash();
        }
        if self.rng.one_in(8) {
            public.policy = self.bytes();
        }
        public
    }

    /// A value of this type.
    fn value(&mut self, kind: &str) -> Vec<u8> {
        match kind {
            "u8" => self
                .rng
                .pick(&[0u8, 0, 1, 1, 2, 0x1F, 0x20, 0xFF])
                .map(|byte| vec![byte])
                .unwrap_or_default(),
            "u16" => self.number16().to_be_bytes().to_vec(),
            "u32" => {
                let number = u32::from(self.number16());
                let codes = [number, number, 0x100 + number, 0x144, 0x17B, 0xFFFF_FFFF, 0];
                self.rng.pick(&codes).unwrap_or(0).to_be_bytes().to_vec()
            }
            "u64" => self.rng.next_u64().to_be_bytes().to_vec(),
            "handle" => self.any_handle().to_be_bytes().to_vec(),
            "public" => Out::new().b2(&self.template().bytes()).0,
            "sensitivecreate" => {
                let data = if self.rng.one_in(3) { self.bytes() } else { Vec::new() };
                Out::new().b2(&build::sensitive_create(&[], &data)).0
            }
            "nvpublic" => {
                let index = 0x0100_0000 + u32::try_from(self.rng.below(8)).unwrap_or(0);
                let attributes = u32::try_from(self.rng.next_u64() >> 32).unwrap_or(0);
                let public = build::nv_public(index, self.hash(), attributes, &[], 8);
                Out::new().b2(&public).0
            }
            "point" => Out::new().b2(&build::point(&self.bytes(), &self.bytes())).0,
            "pcrs" => {
                let bank = self.hash();
                let pcr = u8::try_from(self.rng.below(24)).unwrap_or(0);
                build::pcrs(bank, &[pcr])
            }
            "sym" => self.symmetric(),
            "scheme" => self.scheme(),
            "parms" => {
                let public = self.template();
                Out::new().u16(public.kind).raw(&public.parameters).0
            }
            "sig" => match self.rng.below(3) {
                0 => build::signature_ecdsa(&self.bytes(), &self.bytes()),
                1 => build::signature_hmac(&self.rng.bytes(32)),
                _ => Out::new().u16(alg::RSASSA).u16(self.hash()).b2(&self.bytes()).0,
            },
            "ticket" => {
                let tag = 0x8021 + u16::try_from(self.rng.below(5)).unwrap_or(0);
                let hierarchy = self.hierarchy_handle();
                Out::new().u16(tag).u32(hierarchy).b2(&self.bytes()).0
            }
            "hashes" => {
                let (hash, size) = self
                    .rng
                    .pick(&[(alg::SHA1, 20), (alg::SHA256, 32), (alg::SHA384, 48)])
                    .unwrap_or((0, 0));
                build::digest_values(&[(hash, &self.rng.bytes(size))])
            }
            "digests" => build::digests(&[&self.rng.bytes(32), &self.bytes()]),
            "algs" => build::list16(&[self.number16()]),
            "ccs" => build::list32(&[0x100 + u32::from(self.number16())]),
            "context" => self.rng.bytes(40),
            // TPM2B of any kind.
            _ => Out::new().b2(&self.bytes()).0,
        }
    }

    /// An empty password for each handle that needs one.
    pub(super) fn with_values(&mut self, call: Call) -> Call {
        let Some(schema) = schema::find(call.code) else {
            return call;
        };
        let needing: Vec<u32> = schema
            .handles
            .iter()
            .zip(&call.handles)
            .filter(|((_, auth), _)| *auth != schema::Auth::None)
            .map(|(_, handle)| *handle)
            .collect();
        let mut call = call;
        for (position, handle) in needing.into_iter().enumerate() {
            let value = self.auth_of(handle);
            call = if position == 0 {
                self.authorize(call, 0, &value)
            } else {
                call.auth(position, Auth::password(&value))
            };
        }
        self.accompany(call)
    }
}
