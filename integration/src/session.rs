//! The client's side of HMAC and policy sessions (Part 1, 19 and 21).

use anyhow::Result;

use crate::codes::{alg, rh, sa, se};
use crate::crypto;

/// How a session encrypts parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// Not at all.
    Null,
    /// XOR obfuscation with this hash.
    Xor(u16),
    /// AES-CFB with a key of this many bits.
    Aes(u16),
}

/// What TPM2_StartAuthSession is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// TPM_SE.
    pub kind: u8,
    /// The session's hash algorithm.
    pub hash: u16,
    /// Parameter encryption.
    pub cipher: Cipher,
    /// The key that the salt is encrypted to, or TPM_RH_NULL.
    pub salt_key: u32,
    /// The entity bound to, or TPM_RH_NULL.
    pub bind: u32,
    /// That entity's authValue.
    pub bind_auth: Vec<u8>,
}

impl Options {
    /// An unbound, unsalted session of SHA-256.
    #[must_use]
    pub fn new(kind: u8) -> Self {
        Self {
            kind,
            hash: alg::SHA256,
            cipher: Cipher::Null,
            salt_key: rh::NULL,
            bind: rh::NULL,
            bind_auth: Vec::new(),
        }
    }

    /// An unbound, unsalted HMAC session.
    #[must_use]
    pub fn hmac() -> Self {
        Self::new(se::HMAC)
    }

    /// A policy session.
    #[must_use]
    pub fn policy() -> Self {
        Self::new(se::POLICY)
    }

    /// A trial policy session.
    #[must_use]
    pub fn trial() -> Self {
        Self::new(se::TRIAL)
    }

    /// With parameter encryption.
    #[must_use]
    pub fn cipher(mut self, cipher: Cipher) -> Self {
        self.cipher = cipher;
        self
    }

    /// With this hash algorithm.
    #[must_use]
    pub fn hash(mut self, hash: u16) -> Self {
        self.hash = hash;
        self
    }

    /// Salted with a secret encrypted to this key.
    #[must_use]
    pub fn salted(mut self, key: u32) -> Self {
        self.salt_key = key;
        self
    }

    /// Bound to an entity.
    #[must_use]
    pub fn bound(mut self, entity: u32, auth: &[u8]) -> Self {
        (self.bind, self.bind_auth) = (entity, auth.to_vec());
        self
    }
}

/// A session as its client keeps it.
#[derive(Debug, Clone)]
pub struct Session {
    /// TPM_SE.
    pub kind: u8,
    /// The session's hash algorithm.
    pub hash: u16,
    /// Parameter encryption.
    pub cipher: Cipher,
    /// sessionKey.
    pub key: Vec<u8>,
    /// The newest nonceTPM.
    pub nonce_tpm: Vec<u8>,
    /// The newest nonceCaller.
    pub nonce_caller: Vec<u8>,
}

/// Which way a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the TPM.
    Command,
    /// From the TPM.
    Response,
}

impl Session {
    /// Encrypts or decrypts the content of a first parameter. `auth` is the authValue of the entity that the session
    /// authorizes, if any.
    ///
    /// # Errors
    /// The session has no cipher or its hash is unknown.
    pub fn cipher(&self, way: Way, auth: &[u8], data: &mut [u8]) -> Result<()> {
        let (newer, older) = match way {
            Way::Command => (&self.nonce_caller, &self.nonce_tpm),
            Way::Response => (&self.nonce_tpm, &self.nonce_caller),
        };
        let secret = [&self.key[..], auth].concat();
        match self.cipher {
            Cipher::Null => Ok(()),
            // The session's hash, whatever the definition of the cipher says.
            Cipher::Xor(_) => crypto::xor(self.hash, &secret, newer, older, data),
            Cipher::Aes(bits) => {
                let stream = crypto::kdfa(self.hash, &secret, "CFB", newer, older, u32::from(bits) + 128)?;
                let (key, iv) = stream.split_at(usize::from(bits / 8));
                crypto::aes_cfb(way == Way::Command, key, iv, data)
            }
        }
    }

    /// The HMAC of a command or response (Part 1, 19.6): `digest` is cpHash or rpHash, `extra` the nonces of the
    /// sessions that encrypt parameters.
    ///
    /// # Errors
    /// The session's hash is unknown.
    pub fn hmac(&self, way: Way, auth: &[u8], digest: &[u8], extra: &[u8], attributes: u8) -> Result<Vec<u8>> {
        let key = [&self.key[..], auth].concat();
        if key.is_empty() && self.kind != se::HMAC {
            return Ok(Vec::new());
        }
        let (newer, older) = match way {
            Way::Command => (&self.nonce_caller, &self.nonce_tpm),
            Way::Response => (&self.nonce_tpm, &self.nonce_caller),
        };
        crypto::hmac(self.hash, &key, &[digest, newer, older, extra, &[attributes]])
    }
}

/// Whether the attributes ask for parameter encryption in this direction.
#[must_use]
pub fn encrypts(attributes: u8, way: Way) -> bool {
    let flag = match way {
        Way::Command => sa::DECRYPT,
        Way::Response => sa::ENCRYPT,
    };
    attributes & flag != 0
}
