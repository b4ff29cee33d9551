//! What objects are used for.

use anyhow::Result;

use super::Generator;
use super::model::{Object, Role};
use crate::build::{self, null, scheme};
use crate::client::Tpm;
use crate::codes::{alg, rh};
use crate::crypto;

impl Generator {
    fn data(&mut self) -> Vec<u8> {
        let size = self.rng.pick(&[0, 1, 16, 20, 32, 33, 64, 200]).unwrap_or(0);
        self.rng.bytes(size)
    }

    /// A command that the object is good for, mostly.
    pub(super) fn use_object(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("using objects");
        let Some(object) = self.any_object() else {
            return self.object(tpm);
        };
        let (handle, data) = (object.handle, self.data());
        let digest = self.rng.bytes(32);
        let call = match (self.rng.below(8), object.role) {
            (0, _) => build::read_public(handle),
            (1, _) => {
                let parent = self.pick_object(Role::Parent).map_or(handle, |parent| parent.handle);
                build::object_change_auth(handle, parent, b"changed")
            }
            (_, Role::Sealed | Role::Parent) => build::unseal(handle),
            (_, Role::Hmac) if self.rng.one_in(2) => build::hmac(handle, &data, alg::NULL),
            (_, Role::Cipher) => {
                let decrypt = u8::try_from(self.rng.below(2))?;
                build::encrypt_decrypt2(handle, &data, decrypt, alg::NULL, &[3; 16])
            }
            (_, Role::EccDecrypt) if self.rng.one_in(2) => build::ecdh_keygen(handle),
            (_, Role::EccDecrypt) => {
                let (x, y) = crypto::p256_public(&[u8::try_from(1 + self.rng.below(9))?; 32])?;
                build::ecdh_zgen(handle, &build::point(&x, &y))
            }
            (_, Role::RsaDecrypt) if self.rng.one_in(2) => {
                let given = self
                    .rng
                    .pick(&[vec![alg::NULL], vec![alg::RSAES], vec![alg::OAEP, alg::SHA1]]);
                build::rsa_encrypt(handle, &data, &scheme(&given.unwrap_or_default()), b"label\0")
            }
            (_, Role::RsaDecrypt) => {
                let mut cipher = self.rng.bytes(128);
                cipher[0] &= 0x7F;
                build::rsa_decrypt(handle, &cipher, &null(), &[])
            }
            (_, Role::Sequence | Role::Event) => build::sequence_update(handle, &data),
            (choice, Role::EccSign | Role::RsaSign | Role::Hmac) => {
                return self.sign_and_verify(tpm, &object, choice > 4, &digest);
            }
        };
        let call = self.with_values(call);
        self.send(tpm, call)?;
        Ok(())
    }

    fn sign_and_verify(&mut self, tpm: &mut Tpm, object: &Object, free: bool, digest: &[u8]) -> Result<()> {
        let hash = self
            .rng
            .pick(&[alg::SHA256, alg::SHA256, alg::SHA1, alg::SHA384])
            .unwrap_or(alg::SHA256);
        let given = match object.role {
            Role::RsaSign => scheme(&[if free { alg::RSASSA } else { alg::RSAPSS }, hash]),
            Role::EccSign if free => scheme(&[alg::ECDSA, hash]),
            _ => null(),
        };
        let digest = digest.get(..crypto::size(hash)?.min(32)).unwrap_or_default();
        let call = build::sign(object.handle, digest, &given, &build::no_hash_check());
        let call = self.with_values(call);
        let answer = self.send(tpm, call)?;
        if answer.rc == 0 {
            // A signature that one TPM made is good for the other if it is good for this one: both have the key.
            let call = build::verify_signature(object.handle, digest, &answer.params);
            self.send(tpm, call)?;
        }
        Ok(())
    }

    /// Quote, Certify, GetTime, NV_Certify, audit digests.
    pub(super) fn attest(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("attestation");
        let signer = match self.rng.below(4) {
            0 => None,
            1 => self.pick_object(Role::Hmac),
            _ => self.pick_object(Role::EccSign),
        };
        let signer = signer.map_or(rh::NULL, |signer| signer.handle);
        let pcr = u8::try_from(self.rng.below(24))?;
        let given = if self.rng.one_in(4) {
            scheme(&[alg::ECDSA, alg::SHA256])
        } else {
            null()
        };
        let call = match self.rng.below(6) {
            0 | 1 => build::quote(signer, b"nonce", &given, &build::pcrs(alg::SHA256, &[pcr])),
            2 => {
                let object = self.any_object().map_or(0x8000_0000, |object| object.handle);
                build::certify(object, signer, b"nonce", &given)
            }
            3 => build::get_time(rh::ENDORSEMENT, signer, b"nonce", &given),
            4 => {
                let index = self
                    .rng
                    .pick(&self.model.indices)
                    .map_or(0x0100_0000, |index| index.handle);
                build::nv_certify(signer, index, index, b"nonce", &given, 4, 0)
            }
            _ => build::get_command_audit_digest(rh::ENDORSEMENT, signer, b"nonce", &given),
        };
        let call = self.with_values(call);
        self.send(tpm, call)?;
        Ok(())
    }

    /// MakeCredential, ActivateCredential.
    pub(super) fn credential(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("credentials");
        let (Some(key), Some(object)) = (self.pick_object(Role::Parent), self.any_object()) else {
            return Ok(());
        };
        // The name of a persistent object cannot be read from the peer while its slots are full.
        if object.handle >> 24 == 0x81 {
            return Ok(());
        }
        let name = tpm.name(object.handle)?;
        let credential = self.data();
        let answer = self.send(tpm, build::make_credential(key.handle, &credential, &name))?;
        if answer.rc == 0 {
            let mut input = answer.read();
            let (blob, secret) = (input.b2()?.to_vec(), input.b2()?.to_vec());
            let call = build::activate_credential(object.handle, key.handle, &blob, &secret);
            let call = self.with_values(call);
            self.send(tpm, call)?;
        }
        Ok(())
    }

    /// Hash, HMAC and event sequences.
    pub(super) fn sequence(&mut self, tpm: &mut Tpm) -> Result<()> {
        tpm.step("sequences");
        let data = self.data();
        if let Some(sequence) = self.pick_object(Role::Sequence) {
            let hierarchy = self.hierarchy_handle();
            let call = build::sequence_complete(sequence.handle, &data, hierarchy);
            let call = self.with_values(call);
            if self.send(tpm, call)?.rc == 0 {
                self.model.objects.retain(|object| object.handle != sequence.handle);
            }
            return Ok(());
        }
        if let Some(sequence) = self.pick_object(Role::Event) {
            let pcr = u32::try_from(self.rng.below(24))?;
            let call = build::event_sequence_complete(pcr, sequence.handle, &data);
            let call = self.with_values(call);
            if self.send(tpm, call)?.rc == 0 {
                self.model.objects.retain(|object| object.handle != sequence.handle);
            }
            return Ok(());
        }
        self.room(tpm)?;
        let key = self.pick_object(Role::Hmac);
        let (role, call) = match (self.rng.below(3), key) {
            (0, Some(key)) => (Role::Sequence, build::hmac_start(key.handle, b"value", alg::NULL)),
            (1, _) => (Role::Event, build::hash_sequence_start(b"value", alg::NULL)),
            _ => (Role::Sequence, build::hash_sequence_start(b"value", alg::SHA256)),
        };
        let call = self.with_values(call);
        let answer = self.send(tpm, call)?;
        if answer.rc == 0 {
            self.model.objects.retain(|object| object.handle != answer.handle);
            self.model.objects.push(Object {
                handle: answer.handle,
                auth: b"value".to_vec(),
                role,
            });
        }
        Ok(())
    }
}
