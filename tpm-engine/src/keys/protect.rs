//! Protection of what leaves the TPM (Part 1, 22 and 24): outer and inner wrappers of sensitive areas and credentials.

use zeroize::Zeroizing;

use crate::alg::{CipherMode, HashAlg};
use crate::bytes::{Bytes, Digest};
use crate::crypto::hash::hash;
use crate::crypto::hmac::hmac;
use crate::crypto::{kdf, symmetric};
use crate::handle::Name;
use crate::marshal::{Marshal, Reader, Sink, Sized2B, marshal_into, put_sized};
use crate::rc::{Rc, RcResult};
use crate::types::Private;
use crate::types::public::Public;
use crate::types::sensitive::Sensitive;
use crate::types::symmetric::CipherDef;

/// An initialization vector, or none.
pub(crate) type Iv = Bytes<16>;

/// Plain text on its way in or out.
pub(crate) type Plain = Zeroizing<Vec<u8>>;

/// A storage key as the protector of something: its algorithms, with its own seed or one that was shared for this.
#[derive(Clone, Copy)]
pub(crate) struct Protector<'a> {
    hash: HashAlg,
    cipher: CipherDef,
    seed: &'a [u8],
}

impl<'a> Protector<'a> {
    /// Protection with `seed` by the algorithms of a storage key.
    pub(crate) fn new(public: &Public, seed: &'a [u8]) -> RcResult<Self> {
        Ok(Self {
            hash: public.name_alg.ok_or(Rc::HASH)?,
            cipher: public.parms.symmetric().ok_or(Rc::SYMMETRIC)?,
            seed,
        })
    }

    /// The size of an initialization vector.
    pub(crate) const fn iv_size(&self) -> usize {
        self.cipher.cipher.block_size()
    }

    /// The key of the cipher (Part 1, 22.4): only for the object of this Name.
    fn cipher_key(&self, name: &Name) -> RcResult<Zeroizing<Digest>> {
        let mut key = Zeroizing::new(Digest::zeroed(self.cipher.key_size()).ok_or(Rc::FAILURE)?);
        let bits = u32::from(self.cipher.key_bits);
        kdf::kdfa(self.hash, self.seed, b"STORAGE", name, &[], bits, &mut key);
        Ok(key)
    }

    /// The outer integrity value (Part 1, 22.5): over what is encrypted, with its initialization vector, and the Name.
    fn integrity(&self, name: &Name, body: &[u8]) -> RcResult<Digest> {
        let size = self.hash.digest_size();
        let mut key = Zeroizing::new(Digest::zeroed(size).ok_or(Rc::FAILURE)?);
        let bits = u32::try_from(size.saturating_mul(8)).map_err(|_| Rc::FAILURE)?;
        kdf::kdfa(self.hash, self.seed, b"INTEGRITY", &[], &[], bits, &mut key);
        Ok(hmac(self.hash, &key, &[body, name]))
    }

    /// Encrypts `plain` and puts the integrity value before it. `iv` is written with it unless it is empty, in which
    /// case it counts as zeros: for seeds that are used once.
    pub(crate) fn wrap(&self, name: &Name, iv: &Iv, mut plain: Plain) -> RcResult<Vec<u8>> {
        encrypt(self.cipher, &self.cipher_key(name)?, iv, &mut plain)?;
        let before = size_of::<u16>().saturating_add(self.hash.digest_size());
        // Nothing that is wrapped is larger: it does not grow.
        let mut out = Vec::with_capacity(Private::CAPACITY);
        out.resize(before, 0);
        if !iv.is_empty() {
            iv.marshal(&mut out);
        }
        out.put(&plain);
        let (integrity, body) = out.split_at_mut_checked(before).ok_or(Rc::FAILURE)?;
        marshal_into(integrity, &self.integrity(name, body)?).ok_or(Rc::FAILURE)?;
        Ok(out)
    }

    /// Checks and takes off what [`Self::wrap`] put on; `with_iv`: whether there is an initialization vector.
    pub(crate) fn unwrap(&self, name: &Name, with_iv: bool, mut reader: Reader<'_>) -> RcResult<Plain> {
        let integrity: Digest = reader.read()?;
        if !self.integrity(name, reader.rest())?.ct_eq(&integrity) {
            return Err(Rc::INTEGRITY);
        }
        let mut iv = Iv::EMPTY;
        if with_iv {
            iv = reader.read()?;
            if iv.len() != self.iv_size() {
                return Err(Rc::VALUE);
            }
        }
        let mut plain = Zeroizing::new(reader.rest().to_vec());
        decrypt(self.cipher, &self.cipher_key(name)?, &iv, &mut plain)?;
        Ok(plain)
    }

    /// A child's sensitive area as it leaves the TPM: a TPM2B_PRIVATE.
    pub(crate) fn wrap_child(&self, child: &Public, iv: &Iv, sensitive: &Sensitive) -> RcResult<Private> {
        let wrapped = self.wrap(&child.name(), iv, padded(sensitive, child.name_alg))?;
        Private::new(&wrapped).ok_or(Rc::FAILURE)
    }

    /// The sensitive area of a child that was wrapped by [`Self::wrap_child`].
    pub(crate) fn unwrap_child(&self, child: &Public, reader: Reader<'_>) -> RcResult<Sensitive> {
        let profile = reader.profile;
        let plain = self.unwrap(&child.name(), true, reader)?;
        read_sensitive(Reader::new(&plain, profile))
    }
}

/// A sensitive area in a TPM2B. The authorization value is padded to a digest, so that the size does not tell how long it
/// is (Part 1, 22.3).
pub(crate) fn padded(sensitive: &Sensitive, name_alg: Option<HashAlg>) -> Plain {
    let mut sensitive = sensitive.clone();
    let size = name_alg.map_or(0, HashAlg::digest_size);
    if let Some(mut auth) = Digest::zeroed(size.max(sensitive.auth.len())) {
        for (to, from) in auth.iter_mut().zip(sensitive.auth.iter()) {
            *to = *from;
        }
        sensitive.auth = Zeroizing::new(auth);
    }
    Sized2B(sensitive).to_vec()
}

/// Reads what [`padded`] wrote.
pub(crate) fn read_sensitive(mut reader: Reader<'_>) -> RcResult<Sensitive> {
    // The size is about all there is, and wrong before anything inside can be.
    if usize::from(reader.read::<u16>()?) != reader.rest().len() {
        return Err(Rc::SIZE);
    }
    let mut sensitive: Sensitive = reader.read()?;
    reader.finish()?;
    sensitive.auth = trimmed(&sensitive.auth);
    Ok(sensitive)
}

/// An authorization value without the zeros at its end.
pub(crate) fn trimmed(auth: &Digest) -> Zeroizing<Digest> {
    Zeroizing::new(Digest::truncated(auth.without_trailing_zeros()))
}

/// Puts on the inner wrapper of a duplicate (Part 1, 22.6.2): a digest that ties the area to the Name, all encrypted.
pub(crate) fn wrap_inner(object: &Public, cipher: CipherDef, key: &[u8], plain: &[u8]) -> RcResult<Plain> {
    let alg = object.name_alg.ok_or(Rc::HASH)?;
    let mut out = Zeroizing::new(Vec::new());
    put_sized(&mut *out, &hash(alg, &[plain, &object.name()]));
    out.put(plain);
    encrypt(cipher, key, &Iv::EMPTY, &mut out)?;
    Ok(out)
}

/// Checks and takes off what [`wrap_inner`] put on.
pub(crate) fn unwrap_inner(object: &Public, cipher: CipherDef, key: &[u8], reader: Reader<'_>) -> RcResult<Plain> {
    let alg = object.name_alg.ok_or(Rc::HASH)?;
    let mut data = Zeroizing::new(reader.rest().to_vec());
    decrypt(cipher, key, &Iv::EMPTY, &mut data)?;
    let mut reader = Reader::new(&data, reader.profile);
    let digest: Digest = reader.read()?;
    if !hash(alg, &[reader.rest(), &object.name()]).ct_eq(&digest) {
        return Err(Rc::INTEGRITY);
    }
    Ok(Zeroizing::new(reader.rest().to_vec()))
}

fn encrypt(cipher: CipherDef, key: &[u8], iv: &Iv, data: &mut [u8]) -> RcResult<()> {
    let mut iv = full_iv(cipher, iv)?;
    symmetric::encrypt(cipher.cipher, key, CipherMode::Cfb, &mut iv, data).map_err(|_| Rc::FAILURE)
}

fn decrypt(cipher: CipherDef, key: &[u8], iv: &Iv, data: &mut [u8]) -> RcResult<()> {
    let mut iv = full_iv(cipher, iv)?;
    symmetric::decrypt(cipher.cipher, key, CipherMode::Cfb, &mut iv, data).map_err(|_| Rc::FAILURE)
}

fn full_iv(cipher: CipherDef, iv: &Iv) -> RcResult<Iv> {
    if iv.is_empty() {
        Iv::zeroed(cipher.cipher.block_size()).ok_or(Rc::FAILURE)
    } else {
        Ok(iv.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::Bytes;
    use crate::marshal::Unmarshal;
    use crate::testing::hex;
    use crate::types::public::ObjectType;

    fn reader(bytes: &[u8]) -> Reader<'_> {
        Reader::new(bytes, crate::profile::ProfileName::Default.newest())
    }

    fn parent() -> Public {
        // RSA-2048, SHA-256, restricted decryption, AES-128-CFB
        let bytes = hex("0001 000b 00030072 0000 0006 0080 0043 0010 0800 00000000 0000");
        Public::unmarshal(&mut reader(&bytes)).unwrap()
    }

    fn child() -> (Public, Sensitive) {
        let public = hex("0008 000b 00000052 0000 0010 0000");
        (
            Public::unmarshal(&mut reader(&public)).unwrap(),
            Sensitive {
                object_type: ObjectType::KeyedHash,
                auth: Zeroizing::new(Digest::truncated(b"auth")),
                seed: Zeroizing::new(Digest::truncated(&[7; 32])),
                secret: Zeroizing::new(Bytes::truncated(b"secret")),
            },
        )
    }

    #[test]
    fn a_child_comes_back_and_its_size_does_not_tell_the_auth_value() {
        let (public, sensitive) = child();
        let protector = Protector::new(&parent(), &[1; 32]).unwrap();
        let iv = Iv::truncated(&[9; 16]);
        let private = protector.wrap_child(&public, &iv, &sensitive).unwrap();
        let back = protector.unwrap_child(&public, reader(&private)).unwrap();
        assert!(back == sensitive);
        let mut other = sensitive;
        other.auth = Zeroizing::new(Digest::truncated(b"another"));
        let private_of_other = protector.wrap_child(&public, &iv, &other).unwrap();
        assert_eq!(private.len(), private_of_other.len());
        // integrity, IV, and a sensitive area with a padded authorization value
        assert_eq!(private.len(), 2 + 32 + 2 + 16 + 2 + 2 + 2 + 32 + 2 + 32 + 2 + 6);
    }

    #[test]
    fn every_changed_bit_and_every_other_name_is_noticed() {
        let (public, sensitive) = child();
        let protector = Protector::new(&parent(), &[1; 32]).unwrap();
        let private = protector
            .wrap_child(&public, &Iv::truncated(&[9; 16]), &sensitive)
            .unwrap();
        for byte in 2..private.len() {
            let mut changed = private.clone();
            changed[byte] ^= 1;
            assert_eq!(
                protector.unwrap_child(&public, reader(&changed)).unwrap_err(),
                Rc::INTEGRITY
            );
        }
        let mut renamed = public.clone();
        renamed.auth_policy = Digest::truncated(&[1; 32]);
        assert_eq!(
            protector.unwrap_child(&renamed, reader(&private)).unwrap_err(),
            Rc::INTEGRITY
        );
        let stranger = Protector::new(&parent(), &[2; 32]).unwrap();
        assert_eq!(
            stranger.unwrap_child(&public, reader(&private)).unwrap_err(),
            Rc::INTEGRITY
        );
        for cut in 0..34 {
            assert_eq!(
                protector.unwrap_child(&public, reader(&private[..cut])).unwrap_err(),
                Rc::INSUFFICIENT
            );
        }
    }

    #[test]
    fn the_inner_wrapper_ties_the_area_to_the_name() {
        let (public, sensitive) = child();
        let cipher = parent().parms.symmetric().unwrap();
        let plain = padded(&sensitive, public.name_alg);
        let wrapped = wrap_inner(&public, cipher, &[3; 16], &plain).unwrap();
        assert_eq!(wrapped.len(), plain.len() + 34);
        let unwrapped = unwrap_inner(&public, cipher, &[3; 16], reader(&wrapped)).unwrap();
        assert!(read_sensitive(reader(&unwrapped)).unwrap() == sensitive);
        let mut renamed = public.clone();
        renamed.auth_policy = Digest::truncated(&[1; 32]);
        assert_eq!(
            unwrap_inner(&renamed, cipher, &[3; 16], reader(&wrapped)).unwrap_err(),
            Rc::INTEGRITY
        );
        assert!(unwrap_inner(&public, cipher, &[4; 16], reader(&wrapped)).is_err());
    }
}
