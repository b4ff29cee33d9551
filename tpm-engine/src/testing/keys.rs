//! Templates and keys for tests.

use super::{Bench, plain, with_passwords};
use crate::alg::HashAlg;
use crate::marshal::{Marshal, put_sized};

pub(crate) const OWNER: u32 = 0x4000_0001;
pub(crate) const NULL: u32 = 0x4000_0007;
pub(crate) const ENDORSEMENT: u32 = 0x4000_000B;

/// TPMA_OBJECT bits, for templates in tests.
pub(crate) mod attr {
    pub(crate) const FIXED_TPM: u32 = 1 << 1;
    pub(crate) const FIXED_PARENT: u32 = 1 << 4;
    pub(crate) const ORIGIN: u32 = 1 << 5;
    pub(crate) const USER: u32 = 1 << 6;
    pub(crate) const NO_DA: u32 = 1 << 10;
    pub(crate) const ENCRYPTED_DUPLICATION: u32 = 1 << 11;
    pub(crate) const RESTRICTED: u32 = 1 << 16;
    pub(crate) const DECRYPT: u32 = 1 << 17;
    pub(crate) const SIGN: u32 = 1 << 18;
    pub(crate) const X509: u32 = 1 << 19;
    /// What most keys of a TPM's own have.
    pub(crate) const OWN: u32 = FIXED_TPM | FIXED_PARENT | ORIGIN | USER | NO_DA;
    /// What a storage parent has besides.
    pub(crate) const STORAGE: u32 = RESTRICTED | DECRYPT;
}

/// A public area in the making.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) object_type: u16,
    pub(crate) name_alg: u16,
    pub(crate) attributes: u32,
    pub(crate) policy: Vec<u8>,
    /// In hex.
    pub(crate) parms: &'static str,
    /// As it is marshalled.
    pub(crate) unique: Vec<u8>,
}

impl Template {
    const fn new(object_type: u16, attributes: u32, parms: &'static str, unique: Vec<u8>) -> Self {
        Self {
            object_type,
            name_alg: 0x000B,
            attributes,
            policy: Vec::new(),
            parms,
            unique,
        }
    }

    /// An ECC P-256 key: a storage parent with AES-128 in CFB mode, by its attributes, or else a key without a scheme.
    pub(crate) fn ecc(attributes: u32) -> Self {
        let parms = if attributes & attr::STORAGE == attr::STORAGE {
            "0006 0080 0043  0010  0003  0010"
        } else {
            "0010  0010  0003  0010"
        };
        Self::new(0x0023, attributes, parms, vec![0; 4])
    }

    /// An RSA-2048 key, otherwise like [`Self::ecc`].
    pub(crate) fn rsa(attributes: u32) -> Self {
        let parms = if attributes & attr::STORAGE == attr::STORAGE {
            "0006 0080 0043  0010  0800  00000000"
        } else {
            "0010  0010  0800  00000000"
        };
        Self::new(0x0001, attributes, parms, vec![0; 2])
    }

    /// A keyed hash without a scheme: sealed data, unless it signs or decrypts.
    pub(crate) fn keyed_hash(attributes: u32) -> Self {
        Self::new(0x0008, attributes, "0010", vec![0; 2])
    }

    /// An AES-128 key in CFB mode.
    pub(crate) fn aes(attributes: u32) -> Self {
        Self::new(0x0025, attributes, "0006 0080 0043", vec![0; 2])
    }

    /// The storage root key of the tests: ECC P-256.
    pub(crate) fn srk() -> Self {
        Self::ecc(attr::OWN | attr::STORAGE)
    }

    /// A restricted signing key with ECDSA and SHA-256.
    pub(crate) fn attestation_key() -> Self {
        Self::ecc(attr::OWN | attr::RESTRICTED | attr::SIGN).with_parms("0010  0018 000b  0003  0010")
    }

    pub(crate) const fn with_parms(mut self, parms: &'static str) -> Self {
        self.parms = parms;
        self
    }

    pub(crate) fn with_unique(mut self, unique: &[u8]) -> Self {
        self.unique = unique.to_vec();
        self
    }

    /// TPMT_PUBLIC.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.object_type.marshal(&mut out);
        self.name_alg.marshal(&mut out);
        self.attributes.marshal(&mut out);
        put_sized(&mut out, &self.policy);
        out.extend(super::hex(self.parms));
        out.extend(&self.unique);
        out
    }
}

/// Byte strings as TPM2B structures, one after the other.
pub(crate) fn sized(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        put_sized(&mut out, part);
    }
    out
}

/// TPM2B_SENSITIVE_CREATE.
pub(crate) fn sensitive(auth: &[u8], data: &[u8]) -> Vec<u8> {
    sized(&[&sized(&[auth, data])])
}

/// The parameters of TPM2_Create and TPM2_CreatePrimary without outside information or PCR.
pub(crate) fn creation(template: &Template, auth: &[u8], data: &[u8]) -> Vec<u8> {
    [sensitive(auth, data), sized(&[&template.bytes(), b""]), vec![0; 4]].concat()
}

/// Takes TPM2B structures off a response.
pub(crate) struct Parts<'a>(pub(crate) &'a [u8]);

impl<'a> Parts<'a> {
    /// The contents of the next one.
    pub(crate) fn take(&mut self) -> &'a [u8] {
        let size = usize::from(u16::from_be_bytes([self.0[0], self.0[1]]));
        let (part, rest) = self.0[2..].split_at(size);
        self.0 = rest;
        part
    }
}

/// A created object as TPM2_Create hands it out.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    pub(crate) private: Vec<u8>,
    pub(crate) public: Vec<u8>,
}

impl Bench {
    /// Sends a command whose handles are authorized with empty passwords; its code.
    pub(crate) fn code_with(&mut self, code: u32, handles: &[u32], params: &[u8]) -> u32 {
        let passwords = vec![&b""[..]; handles.len()];
        self.run(&with_passwords(code, handles, &passwords, params)).0
    }

    /// Sends a command, the first of whose handles are authorized with passwords, that must succeed. Returns its
    /// parameters, without the handle that `has_handle` says there is.
    pub(crate) fn ok_with(&mut self, code: u32, handles: &[u32], passwords: &[&[u8]], params: &[u8]) -> Vec<u8> {
        let (rc, response) = self.run(&with_passwords(code, handles, passwords, params));
        assert_eq!(rc, 0, "response code {rc:#x} of command {code:#x}");
        let size = u32::from_be_bytes(response[10..14].try_into().unwrap()) as usize;
        response[14..14 + size].to_vec()
    }

    /// Sends a command that answers with a handle; returns that and the parameters.
    pub(crate) fn ok_handle(&mut self, code: u32, handles: &[u32], password: &[u8], params: &[u8]) -> (u32, Vec<u8>) {
        let (rc, response) = self.run(&with_passwords(code, handles, &[password], params));
        assert_eq!(rc, 0, "response code {rc:#x} of command {code:#x}");
        let handle = u32::from_be_bytes(response[10..14].try_into().unwrap());
        let size = u32::from_be_bytes(response[14..18].try_into().unwrap()) as usize;
        (handle, response[18..18 + size].to_vec())
    }

    /// A primary object without authorization value.
    pub(crate) fn primary(&mut self, hierarchy: u32, template: &Template) -> u32 {
        self.ok_handle(0x131, &[hierarchy], b"", &creation(template, b"", b""))
            .0
    }

    /// An object under a parent that has no authorization value.
    pub(crate) fn create(&mut self, parent: u32, template: &Template, auth: &[u8], data: &[u8]) -> Blob {
        let reply = self.ok_with(0x153, &[parent], &[b""], &creation(template, auth, data));
        let mut parts = Parts(&reply);
        Blob {
            private: parts.take().to_vec(),
            public: parts.take().to_vec(),
        }
    }

    /// Loads what [`Self::create`] made.
    pub(crate) fn load(&mut self, parent: u32, blob: &Blob) -> u32 {
        self.ok_handle(0x157, &[parent], b"", &sized(&[&blob.private, &blob.public]))
            .0
    }

    /// Creates an object and loads it.
    pub(crate) fn child(&mut self, parent: u32, template: &Template, auth: &[u8], data: &[u8]) -> u32 {
        let blob = self.create(parent, template, auth, data);
        self.load(parent, &blob)
    }

    /// Loads an external object in the null hierarchy; its handle or the response code.
    pub(crate) fn external(&mut self, private: &[u8], public: &[u8]) -> Result<u32, u32> {
        let body = [sized(&[private, public]), Vec::from(NULL.to_be_bytes())].concat();
        match self.run(&plain(0x167, &body)) {
            (0, response) => Ok(u32::from_be_bytes(response[10..14].try_into().unwrap())),
            (code, _) => Err(code),
        }
    }

    /// The Name and the Qualified Name of a loaded object.
    pub(crate) fn names(&mut self, handle: u32) -> (Vec<u8>, Vec<u8>) {
        let (code, response) = self.run(&plain(0x173, &handle.to_be_bytes()));
        assert_eq!(code, 0);
        let mut parts = Parts(&response[10..]);
        parts.take();
        (parts.take().to_vec(), parts.take().to_vec())
    }
}

/// SHA-256.
pub(crate) fn sha256(parts: &[&[u8]]) -> Vec<u8> {
    let digest = crate::crypto::hash::hash(HashAlg::Sha256, parts);
    digest[..].to_vec()
}
