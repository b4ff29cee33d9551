//! A client of one TPM that writes down all it says and hears.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::build::{self, Auth, Call};
use crate::codes::{alg, curve, rc, rh, sa, st};
use crate::crypto::{self, Rng};
use crate::patch::{Built, apply, assemble};
use crate::peer::Peer;
use crate::schema::{self, Schema};
use crate::session::{Cipher, Options, Session, Way, encrypts};
use crate::wire::{In, Out};

/// What was said and heard.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A command and its response.
    Command {
        /// What the scenario calls it.
        step: String,
        /// The bytes sent.
        command: Vec<u8>,
        /// The same before parameter encryption.
        plain_command: Vec<u8>,
        /// The bytes received.
        response: Vec<u8>,
        /// The same after parameter decryption.
        plain_response: Vec<u8>,
    },
    /// Something that the client found out: a signature's or HMAC's validity, a control command's result.
    Fact {
        /// What it is about.
        step: String,
        /// What it is.
        fact: String,
    },
}

/// A response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The response code.
    pub rc: u32,
    /// The response's handle.
    pub handle: u32,
    /// The response's parameters, decrypted.
    pub params: Vec<u8>,
}

impl Answer {
    /// The parameters, to be read.
    #[must_use]
    pub fn read(&self) -> In<'_> {
        In(&self.params)
    }

    /// The first parameter, a TPM2B.
    ///
    /// # Errors
    /// There is none.
    pub fn first(&self) -> Result<Vec<u8>> {
        Ok(self.read().b2()?.to_vec())
    }
}

/// A TPM with what its client remembers of it.
#[derive(Debug)]
pub struct Tpm {
    peer: Peer,
    /// All that was said, in order.
    pub transcript: Vec<Entry>,
    /// The source of nonces and of what scenarios choose: the same on both sides.
    pub rng: Rng,
    /// Sessions by handle.
    pub sessions: BTreeMap<u32, Session>,
    names: BTreeMap<u32, Vec<u8>>,
    step: String,
}

impl Tpm {
    /// A client of this TPM.
    #[must_use]
    pub fn new(peer: Peer, seed: u64) -> Self {
        Self {
            peer,
            transcript: Vec::new(),
            rng: Rng(seed),
            sessions: BTreeMap::new(),
            names: BTreeMap::new(),
            step: String::new(),
        }
    }

    /// The process behind.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Names what follows.
    pub fn step(&mut self, step: &str) {
        step.clone_into(&mut self.step);
    }

    /// Writes down something that both sides must agree on.
    pub fn fact(&mut self, fact: &str) {
        let (step, fact) = (self.step.clone(), fact.to_owned());
        self.transcript.push(Entry::Fact { step, fact });
    }

    /// Sends a command that must succeed.
    ///
    /// # Errors
    /// It does not, or the TPM is gone.
    pub fn ok(&mut self, call: Call) -> Result<Answer> {
        let code = call.code;
        let answer = self.run(call)?;
        if answer.rc != rc::SUCCESS {
            bail!("{}: {} answered {:#x}", self.step, schema::name(code), answer.rc);
        }
        Ok(answer)
    }

    /// Sends a command that must not succeed.
    ///
    /// # Errors
    /// It does, or the TPM is gone.
    pub fn fails(&mut self, call: Call) -> Result<Answer> {
        let code = call.code;
        let answer = self.run(call)?;
        if answer.rc == rc::SUCCESS {
            bail!("{}: {} succeeded", self.step, schema::name(code));
        }
        Ok(answer)
    }

    /// Sends a command. While the TPM answers TPM_RC_RETRY it is sent again.
    ///
    /// # Errors
    /// The TPM is gone or answers what is not a response.
    pub fn run(&mut self, call: Call) -> Result<Answer> {
        let built = self.build(&call)?;
        // A patch may have made another command of it.
        let code = In(built.command.get(6..).unwrap_or_default())
            .u32()
            .unwrap_or(call.code);
        let schema = schema::find(code);
        let mut response = self.peer.execute(&built.command)?;
        let mut tries = 0;
        while response.get(6..10) == Some(&rc::RETRY.to_be_bytes()) && tries < 100 {
            response = self.peer.execute(&built.command)?;
            tries += 1;
        }
        let untouched = call.patches.is_empty();
        let (answer, plain_response, valid) = self.receive(schema, &call, &built, &response)?;
        if answer.rc == rc::SUCCESS {
            self.remember(schema, &call, &answer);
        }
        self.transcript.push(Entry::Command {
            step: self.step.clone(),
            command: built.command,
            plain_command: built.plain,
            response,
            plain_response,
        });
        if !valid && untouched {
            self.fact("the response's HMAC is wrong");
        }
        Ok(answer)
    }

    /// The bytes of a command, to be sent as they are and without what this client remembers of it.
    ///
    /// # Errors
    /// A session that it names does not exist.
    pub fn encode(&mut self, call: &Call) -> Result<Vec<u8>> {
        Ok(self.build(call)?.command)
    }

    /// Sends these bytes as they are.
    ///
    /// # Errors
    /// The TPM is gone or answers what is not a response.
    pub fn raw(&mut self, command: &[u8]) -> Result<Answer> {
        let response = self.peer.execute(command)?;
        let mut input = In(&response);
        input.take(6)?;
        let rc = input.u32()?;
        self.transcript.push(Entry::Command {
            step: self.step.clone(),
            command: command.to_vec(),
            plain_command: command.to_vec(),
            plain_response: response.clone(),
            response: response.clone(),
        });
        Ok(Answer {
            rc,
            handle: 0,
            params: input.0.to_vec(),
        })
    }

    /// Cuts the power and gives it back; TPM2_Startup is the caller's.
    ///
    /// # Errors
    /// The TPM refuses or is gone.
    pub fn power_cycle(&mut self) -> Result<()> {
        self.names.clear();
        self.peer.control.init(false)
    }

    /// Sets the locality of what follows.
    ///
    /// # Errors
    /// The TPM is gone.
    pub fn locality(&mut self, locality: u8) -> Result<()> {
        self.peer.control.set_locality(locality)
    }

    /// The control channel.
    pub fn control(&mut self) -> &mut crate::peer::Control {
        &mut self.peer.control
    }

    /// Starts a session.
    ///
    /// # Errors
    /// The TPM refuses or is gone.
    pub fn start(&mut self, options: &Options) -> Result<u32> {
        match self.try_start(options)? {
            (_, Some(handle)) => Ok(handle),
            (answer, None) => bail!("{}: StartAuthSession answered {:#x}", self.step, answer.rc),
        }
    }

    /// Starts a session if the TPM lets us.
    ///
    /// # Errors
    /// The TPM is gone.
    pub fn try_start(&mut self, options: &Options) -> Result<(Answer, Option<u32>)> {
        let nonce = self.rng.bytes(crypto::size(options.hash)?);
        let (salt, encrypted) = self.salt(options)?;
        let symmetric = match options.cipher {
            Cipher::Null => build::null(),
            Cipher::Xor(hash) => build::scheme(&[alg::XOR, hash]),
            Cipher::Aes(bits) => build::scheme(&[alg::AES, bits, alg::CFB]),
        };
        let answer = self.run(build::start_auth_session(
            options.salt_key,
            options.bind,
            &nonce,
            &encrypted,
            options.kind,
            &symmetric,
            options.hash,
        ))?;
        if answer.rc != rc::SUCCESS {
            return Ok((answer, None));
        }
        let nonce_tpm = answer.first()?;
        let secret = [&options.bind_auth[..], &salt].concat();
        let key = if options.salt_key == rh::NULL && options.bind == rh::NULL {
            Vec::new()
        } else {
            let bits = u32::try_from(crypto::size(options.hash)? * 8)?;
            crypto::kdfa(options.hash, &secret, "ATH", &nonce_tpm, &nonce, bits)?
        };
        let session = Session {
            kind: options.kind,
            hash: options.hash,
            cipher: options.cipher,
            key,
            nonce_tpm,
            nonce_caller: nonce,
        };
        self.sessions.insert(answer.handle, session);
        let handle = answer.handle;
        Ok((answer, Some(handle)))
    }

    /// A salt and what encrypts it (Part 1, annexes B.10.2 and C.6.1).
    fn salt(&mut self, options: &Options) -> Result<(Vec<u8>, Vec<u8>)> {
        if options.salt_key == rh::NULL {
            return Ok((Vec::new(), Vec::new()));
        }
        // The TPM will say what it thinks of a key that is not there.
        Ok(self
            .secret_for(options.salt_key, "SECRET")?
            .unwrap_or((Vec::new(), vec![1; 32])))
    }

    /// A secret for the holder of a key, and what encrypts it; nothing if no such key of P-256 or RSA is loaded.
    ///
    /// # Errors
    /// The TPM is gone.
    pub fn secret_for(&mut self, key: u32, label: &str) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let Some(public) = self.peek(&build::read_public(key))? else {
            return Ok(None);
        };
        let mut input = In(In(&public).b2()?);
        let (kind, hash) = (input.u16()?, input.u16()?);
        input.take(4)?;
        input.b2()?;
        // A storage key has a cipher with details, another key has none.
        if input.u16()? != alg::NULL {
            input.take(4)?;
        }
        if input.u16()? != alg::NULL {
            input.take(2)?;
        }
        if kind == alg::RSA {
            input.take(6)?;
            let secret = self.rng.bytes(crypto::size(hash)?);
            let seed = self.rng.bytes(64);
            let encrypted = crypto::oaep(hash, input.b2()?, label, &secret, &seed)?;
            return Ok(Some((secret, encrypted)));
        }
        if input.u16()? != curve::P256 {
            return Ok(None);
        }
        input.take(2)?;
        let (x, y) = (input.b2()?, input.b2()?);
        let scalar: [u8; 32] = self.rng.bytes(32).try_into().unwrap_or([1; 32]);
        let (our_x, our_y) = crypto::p256_public(&scalar)?;
        let z = crypto::p256_ecdh(&scalar, x, y)?;
        let secret = crypto::kdfe(hash, &z, label, &our_x, x)?;
        Ok(Some((secret, build::point(&our_x, &our_y))))
    }

    /// Sends a command that stays out of the transcript; the response's parameters if it succeeds.
    fn peek(&mut self, call: &Call) -> Result<Option<Vec<u8>>> {
        let built = self.build(call)?;
        let response = self.peer.execute(&built.command)?;
        let mut input = In(&response);
        input.take(6)?;
        Ok((input.u32()? == rc::SUCCESS).then(|| input.0.to_vec()))
    }

    /// The name of an entity (Part 1, 16).
    ///
    /// # Errors
    /// The TPM is gone.
    pub fn name(&mut self, handle: u32) -> Result<Vec<u8>> {
        match handle >> 24 {
            0x80 | 0x81 => {
                if let Some(name) = self.names.get(&handle) {
                    return Ok(name.clone());
                }
                // A sequence object has no public area and an empty name.
                let Some(reply) = self.peek(&build::read_public(handle))? else {
                    return Ok(Vec::new());
                };
                let mut input = In(&reply);
                input.b2()?;
                let name = input.b2()?.to_vec();
                self.names.insert(handle, name.clone());
                Ok(name)
            }
            0x01 => {
                let Some(reply) = self.peek(&build::nv_read_public(handle))? else {
                    return Ok(Vec::new());
                };
                let mut input = In(&reply);
                input.b2()?;
                Ok(input.b2()?.to_vec())
            }
            _ => Ok(handle.to_be_bytes().to_vec()),
        }
    }

    /// cpHash (Part 1, 16.7) of a command with these parameters.
    ///
    /// # Errors
    /// The TPM is gone.
    pub fn cp_hash(&mut self, hash: u16, call: &Call) -> Result<Vec<u8>> {
        let mut names = Vec::new();
        for handle in &call.handles {
            names.extend(self.name(*handle)?);
        }
        crypto::hash(hash, &[&call.code.to_be_bytes(), &names, &call.params])
    }

    fn build(&mut self, call: &Call) -> Result<Built> {
        let mut call = call.clone();
        let plain = call.bytes();
        self.renew_nonces(&call);
        if let Some((session, auth)) = self.ciphering(&call, Way::Command) {
            let size = usize::from(In(&call.params).u16().unwrap_or(0));
            if let Some(content) = call.params.get_mut(2..2 + size) {
                session.cipher(Way::Command, &auth, content)?;
            }
        }
        let area = self.area(&call)?;
        let mut command = assemble(&call, &area);
        for patch in &call.patches {
            apply(&mut command, patch);
        }
        Ok(Built { command, plain })
    }

    fn renew_nonces(&mut self, call: &Call) {
        for auth in &call.auths {
            if let Auth::Session { handle, .. } = auth
                && let Some(session) = self.sessions.get_mut(handle)
            {
                session.nonce_caller = self.rng.bytes(session.nonce_caller.len());
            }
        }
    }

    /// The session that encrypts parameters in this direction, with the authValue that goes into its key.
    fn ciphering(&self, call: &Call, way: Way) -> Option<(Session, Vec<u8>)> {
        let needed = schema::find(call.code).map_or(0, Schema::authorized);
        call.auths.iter().enumerate().find_map(|(position, auth)| {
            let Auth::Session {
                handle,
                attributes,
                auth,
                auth_after,
                ..
            } = auth
            else {
                return None;
            };
            if !encrypts(*attributes, way) {
                return None;
            }
            let auth = match (way, auth_after) {
                (Way::Response, Some(after)) => after,
                _ => auth,
            };
            let auth = if position < needed { auth.clone() } else { Vec::new() };
            Some((self.sessions.get(handle)?.clone(), auth))
        })
    }

    fn area(&mut self, call: &Call) -> Result<Vec<u8>> {
        let needed = schema::find(call.code).map_or(0, Schema::authorized);
        let mut out = Out::new();
        for (position, auth) in call.auths.iter().enumerate() {
            out = match auth {
                Auth::Password(password) => out.u32(rh::PW).u16(0).u8(0).b2(password),
                Auth::Raw(bytes) => out.raw(bytes),
                Auth::Session {
                    handle,
                    attributes,
                    auth,
                    bound,
                    plain,
                    ..
                } => {
                    let Some(session) = self.sessions.get(handle).cloned() else {
                        out = out.u32(*handle).u16(0).u8(*attributes).b2(auth);
                        continue;
                    };
                    let hmac = if *plain {
                        auth.clone()
                    } else {
                        let digest = self.cp_hash(session.hash, call)?;
                        let extra = if position == 0 && needed > 0 {
                            self.extra_nonces(call, *handle)
                        } else {
                            Vec::new()
                        };
                        let auth = if *bound { &[][..] } else { auth };
                        session.hmac(Way::Command, auth, &digest, &extra, *attributes)?
                    };
                    out.u32(*handle).b2(&session.nonce_caller).u8(*attributes).b2(&hmac)
                }
            };
        }
        Ok(out.0)
    }

    /// nonceTPM of the sessions other than the first that decrypt or encrypt, which go into the HMAC of the first if it
    /// authorizes a handle (Part 1, 19.6.5).
    fn extra_nonces(&self, call: &Call, first: u32) -> Vec<u8> {
        let mut nonces: Vec<u8> = Vec::new();
        let mut seen = vec![first];
        for way in [Way::Command, Way::Response] {
            for auth in &call.auths {
                if let Auth::Session { handle, attributes, .. } = auth
                    && encrypts(*attributes, way)
                    && !seen.contains(handle)
                    && let Some(session) = self.sessions.get(handle)
                {
                    nonces.extend(&session.nonce_tpm);
                    seen.push(*handle);
                }
            }
        }
        nonces
    }

    /// Takes a response apart; also its bytes after decryption, and whether its HMACs are right.
    fn receive(
        &mut self,
        schema: Option<&Schema>,
        call: &Call,
        built: &Built,
        response: &[u8],
    ) -> Result<(Answer, Vec<u8>, bool)> {
        let mut input = In(response);
        let (tag, _, code) = (input.u16()?, input.u32()?, input.u32()?);
        let mut answer = Answer {
            rc: code,
            handle: 0,
            params: Vec::new(),
        };
        if code != rc::SUCCESS {
            return Ok((answer, response.to_vec(), true));
        }
        if schema.is_some_and(|schema| schema.reply_handle.is_some()) {
            answer.handle = input.u32()?;
        }
        if tag != st::SESSIONS {
            answer.params = input.0.to_vec();
            return Ok((answer, response.to_vec(), true));
        }
        let size = usize::try_from(input.u32()?)?;
        let start = response.len() - input.0.len();
        answer.params = input.take(size)?.to_vec();
        let valid =
            built.command.get(6..10) != Some(&call.code.to_be_bytes()) || self.check_sessions(call, &answer, input)?;
        if let Some((session, auth)) = self.ciphering(call, Way::Response) {
            let size = usize::from(In(&answer.params).u16()?);
            let content = answer
                .params
                .get_mut(2..2 + size)
                .context("a first parameter that ends")?;
            session.cipher(Way::Response, &auth, content)?;
        }
        let mut plain = response.to_vec();
        plain.splice(start..start + size, answer.params.iter().copied());
        for auth in &call.auths {
            if let Auth::Session { handle, attributes, .. } = auth
                && attributes & sa::CONTINUE == 0
            {
                self.sessions.remove(handle);
            }
        }
        Ok((answer, plain, valid))
    }

    fn check_sessions(&mut self, call: &Call, answer: &Answer, mut input: In<'_>) -> Result<bool> {
        let mut valid = true;
        for auth in &call.auths {
            let (nonce, attributes, hmac) = (input.b2()?, input.u8()?, input.b2()?);
            let Auth::Session {
                handle,
                auth,
                auth_after,
                bound,
                plain,
                ..
            } = auth
            else {
                continue;
            };
            let Some(session) = self.sessions.get_mut(handle) else {
                continue;
            };
            session.nonce_tpm = nonce.to_vec();
            let auth = auth_after.as_ref().unwrap_or(auth);
            let auth = if *bound { &[][..] } else { auth };
            let head = [answer.rc.to_be_bytes(), call.code.to_be_bytes()].concat();
            let digest = crypto::hash(session.hash, &[&head, &answer.params])?;
            let expected = session.hmac(Way::Response, auth, &digest, &[], attributes)?;
            valid &= *plain || expected == hmac;
        }
        Ok(valid && input.0.is_empty())
    }

    /// Keeps the names of new objects, forgets those of gone ones.
    fn remember(&mut self, schema: Option<&Schema>, call: &Call, answer: &Answer) {
        if schema.is_some_and(|schema| schema.reply_handle.is_some()) {
            self.names.remove(&answer.handle);
        }
        if call.code == build::flush_context(0).code {
            let handle = In(&call.params).u32().unwrap_or(0);
            self.names.remove(&handle);
            self.sessions.remove(&handle);
        }
        if call.code == build::evict_control(0, 0, 0).code {
            self.names.retain(|handle, _| handle >> 24 != 0x81);
        }
    }
}
