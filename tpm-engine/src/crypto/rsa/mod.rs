//! RSA (Part 1, annex B).

mod blinding;
mod padding;

pub(crate) use padding::pss_salt_size;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use ::rsa::hazmat::{rsa_decrypt, rsa_encrypt};
use ::rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use ::rsa::{BoxedUint, PrivateKey, PublicKey};
use crypto_bigint::modular::BoxedMontyForm;
use crypto_bigint::{MontyForm, MontyMultiplier as _, NonZero, Resize as _};
use zeroize::Zeroizing;

use self::blinding::Blinding;
use crate::alg::HashAlg;
use crate::bytes::Bytes;
use crate::crypto::CryptoError;
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::native::NativeRsa;
use crate::crypto::prime;

/// Largest modulus in bytes.
pub const MAX_MODULUS: usize = 512;
/// Sizes of a modulus in bytes.
const MODULUS_SIZES: &[usize] = &[128, 256, 384, 512];
/// The public exponent of a key whose public area says 0 (Part 2, 12.2.3.5).
pub const DEFAULT_EXPONENT: u32 = 65537;

/// A number below a modulus, or a message that is to become one: big-endian.
pub type Number = Bytes<MAX_MODULUS>;

/// A signature scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaSign {
    /// RSASSA-PKCS1-v1_5 (Part 1, B.6).
    Ssa,
    /// RSASSA-PSS (Part 1, B.7), with a salt as large as the hash, or as large as fits. A salt of any size verifies.
    Pss,
}

/// An encryption scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaPadding<'a> {
    /// None: the message is the number (Part 1, B.2).
    None,
    /// RSAES-PKCS1-v1_5 (Part 1, B.3).
    Pkcs1,
    /// RSAES-OAEP (Part 1, B.4) with MGF1 over the same hash.
    Oaep {
        /// The hash of label and mask.
        hash: HashAlg,
        /// The label as it is hashed: the TPM's labels include their final octet 0.
        label: &'a [u8],
    },
}

/// The exponent that a public area means.
#[must_use]
pub const fn effective_exponent(exponent: u32) -> u32 {
    if exponent == 0 { DEFAULT_EXPONENT } else { exponent }
}

/// A public key.
#[derive(Debug, Clone)]
pub struct RsaPublic(PublicKey);

impl RsaPublic {
    /// The key with this modulus, big-endian; an exponent of 0 means [`DEFAULT_EXPONENT`].
    ///
    /// # Errors
    /// [`CryptoError::Size`] if the modulus does not have 1024, 2048, 3072 or 4096 bits; [`CryptoError::Key`] if modulus
    /// or exponent is even, or the exponent below 3.
    pub fn new(modulus: &[u8], exponent: u32) -> Result<Self, CryptoError> {
        check_modulus(modulus)?;
        let exponent = effective_exponent(exponent);
        PublicKey::new_with_size_limits(number(modulus)?, BoxedUint::from(exponent), 1024..=4096)
            .map(Self)
            .map_err(|_| CryptoError::Key)
    }

    /// Size of the modulus in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// RSAEP (Part 1, B.2): `input` to the public exponent. The result has the size of the modulus.
    ///
    /// # Errors
    /// [`CryptoError::Size`] if `input` is larger than the modulus even without leading zeros;
    /// [`CryptoError::Value`] if its value is not below the modulus.
    pub fn raw(&self, input: &[u8]) -> Result<Number, CryptoError> {
        let input = below(&self.0, input)?;
        Ok(bytes(&self.power(&input), self.size()))
    }

    /// `input` to the public exponent, bit by bit. The exponent is no secret: the rsa crate goes through it in windows, as
    /// through a secret one, which takes 65537 twice as many multiplications.
    fn power(&self, input: &BoxedUint) -> BoxedUint {
        let (params, exponent) = (self.0.n_params(), self.0.e());
        let base = Zeroizing::new(BoxedMontyForm::new(input.clone(), params));
        let mut power = base.clone();
        let mut multiplier = <BoxedMontyForm as MontyForm>::Multiplier::from(params);
        for bit in (0..exponent.bit_width_vartime().saturating_sub(1)).rev() {
            multiplier.square_assign(&mut power);
            if exponent.bit_vartime(bit) {
                multiplier.mul_assign(&mut power, &base);
            }
        }
        power.retrieve()
    }

    /// Encrypts `message`. The result has the size of the modulus.
    ///
    /// # Errors
    /// [`CryptoError::Size`] for a message that is too long for key and padding; without padding those of
    /// [`RsaPublic::raw`].
    pub fn encrypt(&self, padding: RsaPadding<'_>, message: &[u8], rng: &mut HmacDrbg) -> Result<Number, CryptoError> {
        match padding {
            RsaPadding::None => self.raw(message),
            RsaPadding::Pkcs1 => self.raw(&padding::encode_rsaes(self.size(), message, rng)?),
            RsaPadding::Oaep { hash, label } => {
                self.raw(&padding::encode_oaep(self.size(), hash, label, message, rng)?)
            }
        }
    }

    /// Checks a signature of `digest`.
    ///
    /// # Errors
    /// [`CryptoError::Signature`] if it is not one.
    pub fn verify(&self, scheme: RsaSign, hash: HashAlg, digest: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        if signature.len() != self.size() || digest.len() != hash.digest_size() {
            return Err(CryptoError::Signature);
        }
        let mut encoded = self.raw(signature).map_err(|_| CryptoError::Signature)?;
        let valid = match scheme {
            RsaSign::Ssa => padding::encode_ssa(self.size(), hash, digest).is_ok_and(|expected| encoded == *expected),
            RsaSign::Pss => padding::verify_pss(&mut encoded, hash, digest),
        };
        if valid { Ok(()) } else { Err(CryptoError::Signature) }
    }
}

/// A private key, with what the Chinese remainder theorem needs computed. Wiped when the last copy is dropped.
#[derive(Clone)]
pub struct RsaPrivate(Arc<Prepared>);

struct Prepared {
    key: PrivateKey,
    /// The key in the hands of a library in C, if there is one that takes it: made when it is first used.
    native: OnceLock<Option<NativeRsa>>,
    blinding: blinding::Kept,
}

impl RsaPrivate {
    /// The key that `stream` yields: the same stream always yields the same key (see the source of `crypto::prime`).
    ///
    /// # Errors
    /// [`CryptoError::Key`] for a size other than 1024, 2048, 3072 or 4096 bits or an exponent that is even or below 3 (0
    /// means [`DEFAULT_EXPONENT`]); [`CryptoError::Cancelled`] if `cancel` was set before there was a key.
    pub fn generate(bits: u16, exponent: u32, stream: &mut HmacDrbg, cancel: &AtomicBool) -> Result<Self, CryptoError> {
        let exponent = effective_exponent(exponent);
        let (p, q) = prime::derive(bits, exponent, stream, cancel)?;
        Self::from_factors(number(&p)?, number(&q)?, exponent)
    }

    /// The key with this modulus and one of its primes, as the sensitive area of an object holds it. That the factors
    /// are prime is not checked.
    ///
    /// # Errors
    /// [`CryptoError::Size`] if the modulus does not have 1024, 2048, 3072 or 4096 bits, or the prime not half of them;
    /// [`CryptoError::Key`] if the prime does not divide the modulus or these are no factors for the exponent.
    pub fn from_prime(modulus: &[u8], exponent: u32, prime: &[u8]) -> Result<Self, CryptoError> {
        check_modulus(modulus)?;
        if prime.len().checked_mul(2) != Some(modulus.len()) || !starts_high(prime) {
            return Err(CryptoError::Size);
        }
        let p = number(prime)?;
        let divisor = NonZero::new(p.clone()).into_option().ok_or(CryptoError::Key)?;
        let (q, rest) = number(modulus)?.div_rem(&divisor);
        let q = q.try_resize(p.bits_precision()).ok_or(CryptoError::Key)?;
        if bool::from(rest.is_nonzero()) {
            return Err(CryptoError::Key);
        }
        let key = Self::from_factors(p, q, effective_exponent(exponent))?;
        if *key.modulus() == *modulus {
            Ok(key)
        } else {
            Err(CryptoError::Key)
        }
    }

    fn from_factors(p: BoxedUint, q: BoxedUint, exponent: u32) -> Result<Self, CryptoError> {
        PrivateKey::from_p_q(p, q, BoxedUint::from(exponent))
            .map(|key| {
                Self(Arc::new(Prepared {
                    key,
                    native: OnceLock::new(),
                    blinding: blinding::Kept::default(),
                }))
            })
            .map_err(|_| CryptoError::Key)
    }

    /// Size of the modulus in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.key.size()
    }

    /// The modulus, big-endian.
    #[must_use]
    pub fn modulus(&self) -> Number {
        bytes(self.0.key.n(), self.size())
    }

    /// The prime that stands for the private key in a sensitive area, big-endian.
    #[must_use]
    pub fn prime(&self) -> Zeroizing<Bytes<{ prime::MAX_PRIME }>> {
        let size = self.size() / 2;
        let prime = self.0.key.primes().first().map(|prime| bytes(prime, size));
        Zeroizing::new(Bytes::truncated(&Zeroizing::new(prime.unwrap_or_default())))
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> RsaPublic {
        RsaPublic(self.0.key.to_public_key())
    }

    /// RSADP (Part 1, B.2): `input` to the private exponent. Blinded with numbers from `rng`, or with its own where a
    /// library in C does it, and checked for faults. The result has the size of the modulus.
    ///
    /// # Errors
    /// [`CryptoError::Size`] if `input` is larger than the modulus even without leading zeros;
    /// [`CryptoError::Value`] if its value is not below the modulus; [`CryptoError::Key`] if the result is not right,
    /// which comes of factors that are not prime.
    pub fn raw(&self, input: &[u8], rng: &mut HmacDrbg) -> Result<Zeroizing<Number>, CryptoError> {
        let key = &self.0.key;
        let input = below(key, input)?;
        if let Some(native) = self.0.native.get_or_init(|| NativeRsa::new(key)) {
            let mut output = padding::zeroed(self.size())?;
            if native.raw(&Zeroizing::new(bytes(&input, self.size())), &mut output) {
                return Ok(output);
            }
        }
        let blinding = self.0.blinding.take().unwrap_or_else(|| Blinding::new(key, rng));
        let blinded = rsa_decrypt(None::<&mut HmacDrbg>, key, &blinding.blind(&input)).map_err(|_| CryptoError::Key)?;
        let output = Zeroizing::new(blinding.unblind(&Zeroizing::new(blinded)));
        // A fault in one half of the computation would give the factors away.
        if rsa_encrypt(key, &output).map_err(|_| CryptoError::Key)? != *input {
            return Err(CryptoError::Key);
        }
        self.0.blinding.put_next(blinding);
        Ok(Zeroizing::new(bytes(&output, self.size())))
    }

    /// Whether a library in C takes the key.
    #[cfg(all(test, any(feature = "aws-lc", feature = "aws-lc-fips")))]
    pub(in crate::crypto) fn is_native(&self) -> bool {
        self.0.native.get_or_init(|| NativeRsa::new(&self.0.key)).is_some()
    }

    /// Signs `digest`. The signature has the size of the modulus.
    ///
    /// # Errors
    /// [`CryptoError::Size`] if `digest` does not have the hash's size, or the key is too small for the hash;
    /// [`CryptoError::Key`] as for [`RsaPrivate::raw`].
    pub fn sign(
        &self,
        scheme: RsaSign,
        hash: HashAlg,
        digest: &[u8],
        rng: &mut HmacDrbg,
    ) -> Result<Number, CryptoError> {
        let encoded = match scheme {
            RsaSign::Ssa => padding::encode_ssa(self.size(), hash, digest)?,
            RsaSign::Pss => padding::encode_pss(self.size(), hash, digest, rng)?,
        };
        self.raw(&encoded, rng).map(|signature| (*signature).clone())
    }

    /// Decrypts `cipher`. Without padding the result has the size of the modulus.
    ///
    /// # Errors
    /// [`CryptoError::Size`] if `cipher` does not have the size of the modulus; [`CryptoError::Decrypt`] if it does not
    /// hold a message with this padding; otherwise those of [`RsaPrivate::raw`].
    pub fn decrypt(
        &self,
        padding: RsaPadding<'_>,
        cipher: &[u8],
        rng: &mut HmacDrbg,
    ) -> Result<Zeroizing<Number>, CryptoError> {
        if cipher.len() != self.size() {
            return Err(CryptoError::Size);
        }
        let mut encoded = self.raw(cipher, rng)?;
        match padding {
            RsaPadding::None => Ok(encoded),
            RsaPadding::Pkcs1 => padding::decode_rsaes(&encoded),
            RsaPadding::Oaep { hash, label } => padding::decode_oaep(&mut encoded, hash, label),
        }
    }
}

impl std::fmt::Debug for RsaPrivate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RsaPrivate")
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

fn check_modulus(modulus: &[u8]) -> Result<(), CryptoError> {
    if MODULUS_SIZES.contains(&modulus.len()) && starts_high(modulus) {
        Ok(())
    } else {
        Err(CryptoError::Size)
    }
}

/// Whether the highest bit is set: a number has all of its size.
fn starts_high(number: &[u8]) -> bool {
    number.first().is_some_and(|first| *first >= 0x80)
}

fn number(bytes: &[u8]) -> Result<BoxedUint, CryptoError> {
    let bits = u32::try_from(bytes.len())
        .map_err(|_| CryptoError::Size)?
        .saturating_mul(8);
    BoxedUint::from_be_slice(bytes, bits).map_err(|_| CryptoError::Size)
}

/// `input` as a number below the modulus, of its precision.
fn below(key: &impl ::rsa::traits::PublicKeyParts, input: &[u8]) -> Result<Zeroizing<BoxedUint>, CryptoError> {
    let start = input.iter().position(|byte| *byte != 0).unwrap_or(input.len());
    let input = input.get(start..).unwrap_or_default();
    let input = BoxedUint::from_be_slice(input, key.n().bits_precision()).map_err(|_| CryptoError::Size)?;
    let input = Zeroizing::new(input);
    if *input < **key.n() {
        Ok(input)
    } else {
        Err(CryptoError::Value)
    }
}

/// The last `size` bytes of `number`, big-endian.
fn bytes(number: &BoxedUint, size: usize) -> Number {
    let all = Zeroizing::new(number.to_be_bytes());
    let start = all.len().saturating_sub(size);
    Number::truncated(all.get(start..).unwrap_or_default())
}

#[cfg(test)]
mod tests;
