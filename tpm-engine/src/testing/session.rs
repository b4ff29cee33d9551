//! The other end of a session: what a caller computes (Part 1, 19.6 and 21), written from the specification and not
//! from the pipeline.

use super::{Bench, command, hex};
use crate::alg::{BlockCipher, CipherMode, HashAlg};
use crate::commands;
use crate::crypto::hash::hash;
use crate::crypto::hmac::hmac;
use crate::crypto::symmetric;

/// TPM_SE.
pub(crate) const HMAC: u8 = 0;
pub(crate) const POLICY: u8 = 1;
pub(crate) const TRIAL: u8 = 3;

/// TPMA_SESSION.
pub(crate) const CONTINUE: u8 = 0x01;
pub(crate) const EXCLUSIVE: u8 = 0x02;
pub(crate) const RESET: u8 = 0x04;
pub(crate) const DECRYPT: u8 = 0x20;
pub(crate) const ENCRYPT: u8 = 0x40;
pub(crate) const AUDIT: u8 = 0x80;

const NULL: u32 = 0x4000_0007;

/// Something that a command's handle names, with what a caller knows of it.
#[derive(Clone)]
pub(crate) struct Entity {
    pub(crate) handle: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) auth: Vec<u8>,
    /// The authorization value that the command gives it.
    pub(crate) new_auth: Option<Vec<u8>>,
}

impl Entity {
    /// An entity whose Name is its handle, with an empty authorization value.
    pub(crate) fn of(handle: u32) -> Self {
        Self::named(handle, &handle.to_be_bytes())
    }

    /// An object or NV index.
    pub(crate) fn named(handle: u32, name: &[u8]) -> Self {
        Self {
            handle,
            name: name.to_vec(),
            auth: Vec::new(),
            new_auth: None,
        }
    }

    /// The entity of a handle that `bench` has, whose Name its caller knows.
    pub(crate) fn known(bench: &Bench, handle: u32) -> Self {
        Self::named(handle, &bench.tpm.name(crate::handle::Handle(handle)))
    }

    /// The command changes the authorization value to this.
    pub(crate) fn becomes(mut self, auth: &[u8]) -> Self {
        self.new_auth = Some(auth.to_vec());
        self
    }

    pub(crate) fn auth(mut self, auth: &[u8]) -> Self {
        self.auth = auth.to_vec();
        self
    }
}

/// How a session encrypts parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cipher {
    None,
    Xor,
    Aes(u16),
}

/// Parameters of TPM2_StartAuthSession.
pub(crate) struct Start {
    pub(crate) kind: u8,
    pub(crate) hash: HashAlg,
    pub(crate) cipher: Cipher,
    pub(crate) nonce_size: usize,
    pub(crate) bind: Option<Entity>,
    /// The handle of the key, the salt, and the salt encrypted for the key.
    pub(crate) salt: Option<(u32, Vec<u8>, Vec<u8>)>,
}

impl Start {
    pub(crate) fn of(kind: u8) -> Self {
        Self {
            kind,
            hash: HashAlg::Sha256,
            cipher: Cipher::None,
            nonce_size: 16,
            bind: None,
            salt: None,
        }
    }

    pub(crate) fn hmac() -> Self {
        Self::of(HMAC)
    }

    pub(crate) fn policy() -> Self {
        Self::of(POLICY)
    }

    pub(crate) fn bound(mut self, entity: &Entity) -> Self {
        self.bind = Some(entity.clone());
        self
    }

    pub(crate) fn cipher(mut self, cipher: Cipher) -> Self {
        self.cipher = cipher;
        self
    }

    /// Sends the command; the response code if it fails.
    pub(crate) fn run(self, bench: &mut Bench) -> Result<Session, u32> {
        let nonce_caller = bench.nonce(self.nonce_size);
        let (key_handle, salt, encrypted) = self.salt.unwrap_or((NULL, Vec::new(), Vec::new()));
        let mut params = sized(&nonce_caller);
        params.extend(sized(&encrypted));
        params.push(self.kind);
        params.extend(match self.cipher {
            Cipher::None => hex("0010"),
            Cipher::Xor => [hex("000a"), self.hash.id().to_be_bytes().to_vec()].concat(),
            Cipher::Aes(bits) => [hex("0006"), bits.to_be_bytes().to_vec(), hex("0043")].concat(),
        });
        params.extend(self.hash.id().to_be_bytes());
        let bind_handle = self.bind.as_ref().map_or(NULL, |bind| bind.handle);
        let (code, response) = bench.run(&command(0x8001, 0x176, &[key_handle, bind_handle], &[], &params));
        if code != 0 {
            return Err(code);
        }
        let handle = u32::from_be_bytes(response[10..14].try_into().unwrap());
        let nonce_tpm = take_sized(&mut &response[14..]);
        assert_eq!(nonce_tpm.len(), nonce_caller.len());
        let key = if self.bind.is_none() && salt.is_empty() {
            Vec::new()
        } else {
            let auth = self.bind.as_ref().map_or(Vec::new(), |bind| bind.auth.clone());
            let bits = self.hash.digest_size() * 8;
            kdfa(
                self.hash,
                &[auth, salt].concat(),
                "ATH",
                &nonce_tpm,
                &nonce_caller,
                bits,
            )
        };
        Ok(Session {
            handle,
            hash: self.hash,
            cipher: self.cipher,
            key,
            nonce_tpm,
            nonce_caller,
            bound: self.bind.filter(|_| self.kind == HMAC),
            policy: self.kind != HMAC,
            attributes: CONTINUE,
            auth_value: false,
            password: false,
            spoilt: false,
            reply_attributes: 0,
        })
    }
}

/// A session as its caller sees it.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) handle: u32,
    pub(crate) hash: HashAlg,
    pub(crate) cipher: Cipher,
    pub(crate) key: Vec<u8>,
    pub(crate) nonce_tpm: Vec<u8>,
    pub(crate) nonce_caller: Vec<u8>,
    pub(crate) bound: Option<Entity>,
    pub(crate) policy: bool,
    /// Attributes of the next command.
    pub(crate) attributes: u8,
    /// TPM2_PolicyAuthValue or TPM2_PolicyPassword has been called.
    pub(crate) auth_value: bool,
    pub(crate) password: bool,
    /// The next HMAC is wrong in one bit.
    pub(crate) spoilt: bool,
    /// Attributes of the last response.
    pub(crate) reply_attributes: u8,
}

impl Session {
    pub(crate) fn with(&mut self, attributes: u8) -> &mut Self {
        self.attributes = attributes;
        self
    }

    /// The key of this session's HMAC when it authorizes `entity`: in the command, or in its response.
    fn hmac_key(&self, entity: Option<&Entity>, response: bool) -> Vec<u8> {
        let mut key = self.key.clone();
        if let Some(entity) = entity {
            let bound = |bind: &Entity| bind.name == entity.name && bind.auth == entity.auth;
            let included = if self.policy {
                self.auth_value
            } else {
                !self.bound.as_ref().is_some_and(bound)
            };
            if included {
                let changed = entity.new_auth.as_ref().filter(|_| response);
                key.extend(changed.unwrap_or(&entity.auth));
            }
        }
        key
    }

    fn crypt(&self, entity: Option<&Entity>, command: bool, data: &mut [u8]) {
        let key = [
            self.key.clone(),
            entity.map_or(Vec::new(), |entity| entity.auth.clone()),
        ]
        .concat();
        let (newer, older) = if command {
            (&self.nonce_caller, &self.nonce_tpm)
        } else {
            (&self.nonce_tpm, &self.nonce_caller)
        };
        match self.cipher {
            Cipher::None => panic!("the session cannot encrypt"),
            Cipher::Xor => {
                let mask = kdfa(self.hash, &key, "XOR", newer, older, data.len() * 8);
                data.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            }
            Cipher::Aes(bits) => {
                let bits = usize::from(bits);
                let mut material = kdfa(self.hash, &key, "CFB", newer, older, bits + 128);
                let mut iv = material.split_off(bits / 8);
                let crypt = if command {
                    symmetric::encrypt
                } else {
                    symmetric::decrypt
                };
                crypt(BlockCipher::Aes, &material, CipherMode::Cfb, &mut iv, data).unwrap();
            }
        }
    }
}

impl Bench {
    /// A new nonce.
    fn nonce(&mut self, size: usize) -> Vec<u8> {
        self.nonces += 1;
        (0..size).map(|index| (self.nonces as u8) ^ (index as u8)).collect()
    }

    /// Sends a command with sessions, the first of which authorize its first handles, and checks the answer's HMACs.
    /// Gives what the response has after its header, without sizes of parameters and sessions, and decrypted.
    pub(crate) fn send(
        &mut self,
        code: u32,
        entities: &[Entity],
        sessions: &mut [&mut Session],
        params: &[u8],
    ) -> Result<Vec<u8>, u32> {
        self.send_at(0, code, entities, sessions, params)
    }

    pub(crate) fn send_at(
        &mut self,
        locality: u8,
        code: u32,
        entities: &[Entity],
        sessions: &mut [&mut Session],
        params: &[u8],
    ) -> Result<Vec<u8>, u32> {
        let info = commands::find(self.tpm.profile, code).unwrap();
        let authorized = |index: usize| entities.get(index).filter(|_| index < info.auth_handles());
        let mut params = params.to_vec();
        for (index, session) in sessions.iter_mut().enumerate() {
            session.nonce_caller = self.nonce(session.nonce_tpm.len());
            if session.attributes & DECRYPT != 0 {
                let size = usize::from(u16::from_be_bytes([params[0], params[1]]));
                session.crypt(authorized(index), true, &mut params[2..2 + size]);
            }
        }
        let names: Vec<u8> = entities.iter().flat_map(|entity| entity.name.clone()).collect();
        let cp_hash = |alg| hash(alg, &[&code.to_be_bytes(), &names, &params]).to_vec();
        let mut area = Vec::new();
        for (index, session) in sessions.iter().enumerate() {
            let mut proof = match authorized(index) {
                Some(entity) if session.password => entity.auth.clone(),
                entity => {
                    let with = |attribute| sessions.iter().position(|other| other.attributes & attribute != 0);
                    let mut extra = Vec::new();
                    if index == 0 && entity.is_some() {
                        let (decrypt, encrypt) = (with(DECRYPT), with(ENCRYPT));
                        for other in [decrypt, encrypt.filter(|_| encrypt != decrypt)].into_iter().flatten() {
                            if other != 0 {
                                extra.extend(&sessions[other].nonce_tpm);
                            }
                        }
                    }
                    let parts: [&[u8]; 5] = [
                        &cp_hash(session.hash),
                        &session.nonce_caller,
                        &session.nonce_tpm,
                        &extra,
                        &[session.attributes],
                    ];
                    hmac(session.hash, &session.hmac_key(entity, false), &parts).to_vec()
                }
            };
            if session.spoilt {
                proof[0] ^= 1;
            }
            area.extend(session.handle.to_be_bytes());
            area.extend(sized(&session.nonce_caller));
            area.push(session.attributes);
            area.extend(sized(&proof));
        }
        let handles: Vec<u32> = entities.iter().map(|entity| entity.handle).collect();
        let (rc, response) = self.run_at(locality, &command(0x8002, code, &handles, &area, &params));
        if rc != 0 {
            return Err(rc);
        }
        assert_eq!(response[..2], [0x80, 0x02]);
        let mut rest = &response[10..];
        let mut out = Vec::new();
        if info.response_handle {
            out.extend(take(&mut rest, 4));
        }
        let size = u32::from_be_bytes(take(&mut rest, 4).try_into().unwrap());
        let mut reply = take(&mut rest, size as usize);
        let rp_hash = |alg| hash(alg, &[&[0; 4], &code.to_be_bytes(), &reply]).to_vec();
        for (index, session) in sessions.iter_mut().enumerate() {
            session.nonce_tpm = take_sized(&mut rest);
            session.reply_attributes = take(&mut rest, 1)[0];
            let proof = take_sized(&mut rest);
            let entity = authorized(index);
            let expected = if session.password && entity.is_some() {
                Vec::new()
            } else {
                let parts: [&[u8]; 4] = [
                    &rp_hash(session.hash),
                    &session.nonce_tpm,
                    &session.nonce_caller,
                    &[session.reply_attributes],
                ];
                hmac(session.hash, &session.hmac_key(entity, true), &parts).to_vec()
            };
            assert_eq!(proof, expected, "the HMAC of session {index} in the response");
            assert_eq!(session.nonce_tpm.len(), session.nonce_caller.len());
        }
        assert!(rest.is_empty());
        if let Some(index) = sessions.iter().position(|session| session.attributes & ENCRYPT != 0) {
            let size = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
            sessions[index].crypt(authorized(index), false, &mut reply[2..2 + size]);
        }
        out.extend(reply);
        Ok(out)
    }

    /// Runs a policy command without sessions.
    pub(crate) fn policy(&mut self, session: u32, code: u32, params: &str) -> Result<Vec<u8>, u32> {
        self.unauthorized(code, &[session], &hex(params))
    }

    /// Runs a command without sessions; what follows the header, or the response code.
    pub(crate) fn unauthorized(&mut self, code: u32, handles: &[u32], params: &[u8]) -> Result<Vec<u8>, u32> {
        match self.run(&command(0x8001, code, handles, &[], params)) {
            (0, response) => Ok(response[10..].to_vec()),
            (code, _) => Err(code),
        }
    }

    /// The policyDigest of a session with SHA-256 (TPM2_PolicyGetDigest).
    pub(crate) fn policy_digest(&mut self, session: u32) -> [u8; 32] {
        let response = self.policy(session, 0x189, "").unwrap();
        response[2..].try_into().unwrap()
    }
}

/// KDFa (Part 1, 11.4.10.2), for whole bytes.
fn kdfa(alg: HashAlg, key: &[u8], label: &str, u: &[u8], v: &[u8], bits: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for counter in 1u32.. {
        if out.len() * 8 >= bits {
            break;
        }
        let label = [label.as_bytes(), &[0]].concat();
        let parts: [&[u8]; 5] = [&counter.to_be_bytes(), &label, u, v, &(bits as u32).to_be_bytes()];
        out.extend_from_slice(&hmac(alg, key, &parts));
    }
    out.truncate(bits / 8);
    out
}

/// A TPM2B.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn take(rest: &mut &[u8], len: usize) -> Vec<u8> {
    let (head, tail) = rest.split_at(len);
    *rest = tail;
    head.to_vec()
}

/// The next TPM2B of a response.
pub(crate) fn take_sized(rest: &mut &[u8]) -> Vec<u8> {
    let len = u16::from_be_bytes(take(rest, 2).try_into().unwrap());
    take(rest, usize::from(len))
}
