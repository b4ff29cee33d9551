//! Context management (Part 3, 28; Part 1, 30): objects and sessions outside of the TPM, and objects that stay.

pub(crate) mod evict_control;
pub(crate) mod flush;
pub(crate) mod load;
pub(crate) mod save;
#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

use crate::alg::{BlockCipher, CipherMode, HashAlg};
use crate::bytes::Digest;
use crate::crypto::hmac::hmac;
use crate::crypto::{kdf, symmetric};
use crate::handle::{Handle, Hierarchy};
use crate::marshal::{Borrowed, Marshal, Reader, Sink, Unmarshal, put_sized};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

/// How contexts are protected (TPM_PT_CONTEXT_HASH, TPM_PT_CONTEXT_SYM and TPM_PT_CONTEXT_SYM_SIZE).
pub(crate) const HASH: HashAlg = HashAlg::Sha256;
pub(crate) const CIPHER: BlockCipher = BlockCipher::Aes;
pub(crate) const KEY_BITS: u32 = 256;
const KEY_SIZE: usize = KEY_BITS as usize / 8;

/// Form of what is in a context.
const VERSION: u8 = 1;

/// Bytes of the largest TPM2B_CONTEXT_DATA: version, integrity value and what is encrypted.
pub(crate) const MAX_BLOB: usize = 3072;
/// Where in it that begins which is encrypted.
const ENCRYPTED_AT: usize = 1 + HASH.digest_size();

/// savedHandle of objects (Part 2, 14.5): which kind of object was saved.
pub(crate) const SAVED_OBJECT: Handle = Handle(Handle::FIRST_TRANSIENT);
pub(crate) const SAVED_SEQUENCE: Handle = Handle(Handle::FIRST_TRANSIENT + 1);
pub(crate) const SAVED_ST_CLEAR: Handle = Handle(Handle::FIRST_TRANSIENT + 2);

/// TPMI_DH_SAVED (Part 2, 9.12): a session, or what kind of object was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SavedHandle(pub(crate) Handle);

impl Unmarshal<'_> for SavedHandle {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let handle: Handle = reader.read()?;
        if handle.is_session() || [SAVED_OBJECT, SAVED_SEQUENCE, SAVED_ST_CLEAR].contains(&handle) {
            Ok(Self(handle))
        } else {
            Err(Rc::VALUE)
        }
    }
}

impl Marshal for SavedHandle {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.0.marshal(sink);
    }
}

/// TPMS_CONTEXT (Part 2, 14.5), with its TPM2B_CONTEXT_DATA as a [`Blob`] or where it is in a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Context<B> {
    pub(crate) sequence: u64,
    pub(crate) saved_handle: SavedHandle,
    pub(crate) hierarchy: Hierarchy,
    pub(crate) blob: B,
}

/// A context that a command brings.
pub(crate) type Given<'c> = Context<Borrowed<'c, MAX_BLOB>>;

impl<'a, B: Unmarshal<'a>> Unmarshal<'a> for Context<B> {
    fn unmarshal(reader: &mut Reader<'a>) -> RcResult<Self> {
        Ok(Self {
            sequence: reader.read()?,
            saved_handle: reader.read()?,
            hierarchy: reader.read()?,
            blob: reader.read()?,
        })
    }
}

impl<B: Marshal> Marshal for Context<B> {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let Self {
            sequence,
            saved_handle,
            hierarchy,
            blob,
        } = self;
        sequence.marshal(sink);
        saved_handle.marshal(sink);
        hierarchy.marshal(sink);
        blob.marshal(sink);
    }
}

/// A TPM2B_CONTEXT_DATA of at most [`MAX_BLOB`] bytes: not in place, as it is large to be moved about.
pub(crate) struct Blob(Vec<u8>);

impl Marshal for Blob {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        put_sized(sink, &self.0);
    }
}

/// The keys of one context: nothing else is ever protected with them.
struct Keys {
    cipher: Zeroizing<[u8; KEY_SIZE]>,
    iv: [u8; CIPHER.block_size()],
    integrity: Zeroizing<[u8; KEY_SIZE]>,
}

impl Tpm {
    /// The keys for a context (Part 1, 30.3): of the hierarchy's proof, the context's number and its handle.
    fn context_keys(&self, sequence: u64, handle: Handle, hierarchy: Hierarchy) -> RcResult<Keys> {
        const SIZE: usize = KEY_SIZE + CIPHER.block_size() + KEY_SIZE;
        let mut material = Zeroizing::new([0; SIZE]);
        let (number, handle) = (sequence.to_be_bytes(), handle.0.to_be_bytes());
        let bits = u32::try_from(SIZE.saturating_mul(8)).map_err(|_| Rc::FAILURE)?;
        let proof = self.proof(hierarchy);
        kdf::kdfa(HASH, proof, b"CONTEXT", &number, &handle, bits, &mut *material);
        let mut reader = Reader::new(&*material, self.profile);
        Ok(Keys {
            cipher: Zeroizing::new(reader.array()?),
            iv: reader.array()?,
            integrity: Zeroizing::new(reader.array()?),
        })
    }

    /// The integrity value (Part 1, 30.3.1): over all that must not have changed since the context was saved. Contexts end
    /// with TPM Reset, and those of stClear objects with TPM Restart, too.
    fn context_integrity(&self, keys: &Keys, handle: Handle, hierarchy: Hierarchy, encrypted: &[u8]) -> Digest {
        let resets = self.nv.counters.total_reset_count.to_be_bytes();
        let clears = if handle == SAVED_ST_CLEAR {
            self.reset.clear_count
        } else {
            0
        };
        let hierarchy = hierarchy.handle().0.to_be_bytes();
        let parts: [&[u8]; 5] = [&[VERSION], &resets, &clears.to_be_bytes(), &hierarchy, encrypted];
        hmac(HASH, &*keys.integrity, &parts)
    }

    /// Protects a context.
    fn seal_context(
        &self,
        sequence: u64,
        handle: Handle,
        hierarchy: Hierarchy,
        value: &impl Marshal,
    ) -> RcResult<Context<Blob>> {
        let keys = self.context_keys(sequence, handle, hierarchy)?;
        let mut blob = value.to_vec_behind(ENCRYPTED_AT);
        if blob.len() > MAX_BLOB {
            return Err(Rc::FAILURE);
        }
        let (head, data) = blob.split_at_mut_checked(ENCRYPTED_AT).ok_or(Rc::FAILURE)?;
        let mut iv = keys.iv;
        symmetric::encrypt(CIPHER, &*keys.cipher, CipherMode::Cfb, &mut iv, data).map_err(|_| Rc::FAILURE)?;
        let (version, integrity) = head.split_first_mut().ok_or(Rc::FAILURE)?;
        *version = VERSION;
        integrity.copy_from_slice(&self.context_integrity(&keys, handle, hierarchy, data));
        Ok(Context {
            sequence,
            saved_handle: SavedHandle(handle),
            hierarchy,
            blob: Blob(std::mem::take(&mut blob)),
        })
    }

    /// What is in a context; a bare TPM_RC_SIZE or TPM_RC_INTEGRITY when this TPM did not save it as it is.
    fn open_context(&self, context: &Given<'_>) -> RcResult<Zeroizing<Vec<u8>>> {
        let handle = context.saved_handle.0;
        let mut reader = Reader::new(&context.blob, self.profile);
        let version: u8 = reader.read().map_err(|_| Rc::SIZE)?;
        let integrity = reader.bytes(HASH.digest_size()).map_err(|_| Rc::SIZE)?;
        let encrypted = reader.rest();
        let keys = self.context_keys(context.sequence, handle, context.hierarchy)?;
        let expected = self.context_integrity(&keys, handle, context.hierarchy, encrypted);
        if version != VERSION || !expected.ct_eq(integrity) {
            return Err(Rc::INTEGRITY);
        }
        let mut data = Zeroizing::new(encrypted.to_vec());
        let mut iv = keys.iv;
        symmetric::decrypt(CIPHER, &*keys.cipher, CipherMode::Cfb, &mut iv, &mut data).map_err(|_| Rc::FAILURE)?;
        Ok(data)
    }
}
