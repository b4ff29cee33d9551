//! X.509 certificates in the making (Part 3, 18.8; RFC 5280, 4.1): what the caller writes of one, and what the TPM adds.

use arrayvec::ArrayVec;
use der::asn1::{AnyRef, BitStringRef, Null, ObjectIdentifier, OctetStringRef, UintRef};
use der::{Decode as _, Encode, Header, Length, Reader as _, SliceReader, Tag, TagNumber};

use super::secret::padded_point;
use crate::alg::{Curve, HashAlg};
use crate::crypto::rsa::pss_salt_size;
use crate::rc::{Rc, RcResult};
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::{Public, PublicParms, Unique};
use crate::types::scheme::{Scheme, SchemeId};

/// keyUsage (RFC 5280, 4.2.1.3).
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
/// tcg-tpmaObject: the TPMA_OBJECT of the certified key.
const TPMA_OBJECT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.10.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");

/// The explicit tag of a certificate's extensions.
const EXTENSIONS: Tag = explicit(3);

const fn explicit(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

/// What the caller writes of a certificate: its fields, encoded. What names and dates say is not looked at.
pub(crate) struct Partial<'a> {
    /// How it will be signed, where the caller says so.
    pub(crate) signature: Option<&'a [u8]>,
    pub(crate) issuer: &'a [u8],
    pub(crate) validity: &'a [u8],
    pub(crate) subject: &'a [u8],
    pub(crate) extensions: &'a [u8],
}

impl<'a> Partial<'a> {
    /// Takes the fields apart. A bare TPM_RC_SIZE for what is not just one SEQUENCE, TPM_RC_VALUE for other fields in it
    /// than these, in this order.
    pub(crate) fn parse(certificate: &'a [u8]) -> RcResult<Self> {
        if certificate.is_empty() {
            return Err(Rc::VALUE);
        }
        let whole = AnyRef::from_der(certificate)
            .ok()
            .filter(|whole| whole.header().tag() == Tag::Sequence)
            .ok_or(Rc::SIZE)?;
        let mut reader = SliceReader::new(whole.value()).map_err(|_| Rc::VALUE)?;
        let (mut fields, mut extensions) = (ArrayVec::<&[u8], 4>::new(), None);
        while !reader.is_finished() {
            let tag = Tag::peek(&reader).map_err(|_| Rc::VALUE)?;
            let field = reader.tlv_bytes().map_err(|_| Rc::VALUE)?;
            match (tag, extensions) {
                (Tag::Sequence, None) => fields.try_push(field).map_err(|_| Rc::VALUE)?,
                (EXTENSIONS, None) => extensions = Some(field),
                _ => return Err(Rc::VALUE),
            }
        }
        let (signature, [issuer, validity, subject]) = match *fields {
            [issuer, validity, subject] => (None, [issuer, validity, subject]),
            [signature, issuer, validity, subject] => (Some(signature), [issuer, validity, subject]),
            _ => return Err(Rc::VALUE),
        };
        Ok(Self {
            signature,
            issuer,
            validity,
            subject,
            extensions: extensions.ok_or(Rc::VALUE)?,
        })
    }

    /// Checks what the extensions claim of a key with these attributes. A bare TPM_RC_ATTRIBUTES if they state other ones;
    /// TPM_RC_VALUE if they are malformed, do not say what the key is for, or claim a use that it does not have;
    /// TPM_RC_RESERVED_BITS for a use that there is not.
    pub(crate) fn check_extensions(&self, attributes: A) -> RcResult<()> {
        let claims = Claims::of(self.extensions).map_err(|_| Rc::VALUE)?;
        if claims.attributes.is_some_and(|claimed| claimed != attributes.0) {
            return Err(Rc::ATTRIBUTES);
        }
        let usage = claims.usage.ok_or(Rc::VALUE)?;
        if usage & key_usage::RESERVED != 0 {
            return Err(Rc::RESERVED_BITS);
        }
        let fits = key_usage::NEEDED
            .iter()
            .all(|(uses, needed)| usage & uses == 0 || attributes.has(*needed));
        if fits { Ok(()) } else { Err(Rc::VALUE) }
    }
}

/// TPMA_X509_KEY_USAGE (Part 2, 8.11).
mod key_usage {
    use super::A;

    const DECIPHER_ONLY: u32 = 1 << 23;
    const ENCIPHER_ONLY: u32 = 1 << 24;
    const CRL_SIGN: u32 = 1 << 25;
    const KEY_CERT_SIGN: u32 = 1 << 26;
    const KEY_AGREEMENT: u32 = 1 << 27;
    const DATA_ENCIPHERMENT: u32 = 1 << 28;
    const KEY_ENCIPHERMENT: u32 = 1 << 29;
    const NON_REPUDIATION: u32 = 1 << 30;
    const DIGITAL_SIGNATURE: u32 = 1 << 31;
    pub(super) const RESERVED: u32 = DECIPHER_ONLY - 1;

    /// Uses, and the attributes that a key for one of them has.
    pub(super) const NEEDED: [(u32, A); 4] = [
        (DIGITAL_SIGNATURE | KEY_CERT_SIGN | CRL_SIGN, A::SIGN),
        (NON_REPUDIATION, A::FIXED_TPM),
        (KEY_ENCIPHERMENT, A::RESTRICTED.with(A::DECRYPT)),
        (
            DATA_ENCIPHERMENT | KEY_AGREEMENT | ENCIPHER_ONLY | DECIPHER_ONLY,
            A::DECRYPT,
        ),
    ];
}

/// What extensions say of a key.
#[derive(Default)]
struct Claims {
    usage: Option<u32>,
    attributes: Option<u32>,
}

impl Claims {
    /// Reads the encoded field. An extension that is there twice is malformed, too (RFC 5280, 4.2).
    fn of(extensions: &[u8]) -> Result<Self, der::Error> {
        let list: AnyRef<'_> = AnyRef::from_der(AnyRef::from_der(extensions)?.value())?;
        list.header().tag().assert_eq(Tag::Sequence)?;
        let mut reader = SliceReader::new(list.value())?;
        let mut claims = Self::default();
        while !reader.is_finished() {
            let (id, value) = reader.sequence(|reader| {
                let id = ObjectIdentifier::decode(reader)?;
                let _critical: Option<bool> = Option::decode(reader)?;
                Ok::<_, der::Error>((id, <&OctetStringRef>::decode(reader)?))
            })?;
            let claim = match id {
                KEY_USAGE => &mut claims.usage,
                TPMA_OBJECT => &mut claims.attributes,
                _ => continue,
            };
            if claim.replace(bits(value.as_bytes())?).is_some() {
                return Err(Tag::Sequence.value_error().into());
            }
        }
        Ok(claims)
    }
}

/// A BIT STRING of at most 32 bits, the first as the highest of the word.
fn bits(encoded: &[u8]) -> Result<u32, der::Error> {
    let string = BitStringRef::from_der(encoded)?;
    if string.bit_len() > 32 {
        return Err(Tag::BitString.length_error().into());
    }
    let set = string.bits().zip(0u32..).filter(|(bit, _)| *bit);
    Ok(set.fold(0, |word, (_, position)| word | (1 << 31u32) >> position))
}

/// subjectPublicKeyInfo (RFC 5280, 4.1.2.7). A bare TPM_RC_ASYMMETRIC for a key that has no such form.
pub(crate) fn public_key_info(public: &Public) -> RcResult<Vec<u8>> {
    let (algorithm, key) = match (&public.parms, &public.unique) {
        (PublicParms::Rsa(parms), Unique::Rsa(modulus)) => {
            let exponent = match parms.exponent {
                0 => 0x1_0001,
                exponent => exponent,
            };
            let key = sequence(&[&integer(modulus)?, &encode(&exponent)?])?;
            (sequence(&[&encode(&RSA_ENCRYPTION)?, &encode(&Null)?])?, key)
        }
        (PublicParms::Ecc(parms), Unique::Ecc(point)) => {
            let curve = curve_id(parms.curve).ok_or(Rc::ASYMMETRIC)?;
            let point = padded_point(parms.curve, point).ok_or(Rc::ASYMMETRIC)?;
            let key = [&[0x04], &*point.x, &*point.y].concat();
            (sequence(&[&encode(&EC_PUBLIC_KEY)?, &encode(&curve)?])?, key)
        }
        _ => return Err(Rc::ASYMMETRIC),
    };
    let key = BitStringRef::from_bytes(&key).map_err(|_| Rc::FAILURE)?;
    sequence(&[&algorithm, &encode(&key)?])
}

/// The AlgorithmIdentifier of a signature by this key with this scheme. A bare TPM_RC_SCHEME where there is none.
pub(crate) fn signature_algorithm(signer: &Public, scheme: Scheme) -> RcResult<Vec<u8>> {
    let hash = scheme.hash.ok_or(Rc::SCHEME)?;
    let ids = hash_ids(hash).ok_or(Rc::SCHEME)?;
    match (&signer.parms, scheme.id) {
        (PublicParms::Rsa(_), SchemeId::Rsassa) => sequence(&[&encode(&ids.rsassa)?, &encode(&Null)?]),
        (PublicParms::Rsa(parms), SchemeId::Rsapss) => {
            let salt = pss_salt_size(parms.key_bits.size(), hash).ok_or(Rc::SCHEME)?;
            sequence(&[&encode(&RSASSA_PSS)?, &pss_parameters(hash, &ids, salt)?])
        }
        (PublicParms::Ecc(_), SchemeId::Ecdsa) => sequence(&[&encode(&ids.ecdsa)?]),
        _ => Err(Rc::SCHEME),
    }
}

/// RSASSA-PSS-params (RFC 4055, 3.1). Values that are the default are left out.
fn pss_parameters(hash: HashAlg, ids: &HashIds, salt: usize) -> RcResult<Vec<u8>> {
    let mut parts = Vec::new();
    if hash != HashAlg::Sha1 {
        let id = match hash {
            HashAlg::Sha3_256 | HashAlg::Sha3_384 | HashAlg::Sha3_512 => sequence(&[&encode(&ids.digest)?])?,
            _ => sequence(&[&encode(&ids.digest)?, &encode(&Null)?])?,
        };
        parts.push(tlv(explicit(0), &[&id])?);
        parts.push(tlv(explicit(1), &[&sequence(&[&encode(&MGF1)?, &id])?])?);
    }
    if salt != 20 {
        let salt = u16::try_from(salt).map_err(|_| Rc::FAILURE)?;
        parts.push(tlv(explicit(2), &[&encode(&salt)?])?);
    }
    sequence(&[&parts.concat()])
}

/// The identifiers that go with a hash.
struct HashIds {
    digest: ObjectIdentifier,
    rsassa: ObjectIdentifier,
    ecdsa: ObjectIdentifier,
}

/// `None` for SM3, whose signatures in certificates are over more than a digest of the certificate.
fn hash_ids(hash: HashAlg) -> Option<HashIds> {
    let (digest, rsassa, ecdsa) = match hash {
        HashAlg::Sha1 => ("1.3.14.3.2.26", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1"),
        HashAlg::Sha256 => ("2.16.840.1.101.3.4.2.1", "1.2.840.113549.1.1.11", "1.2.840.10045.4.3.2"),
        HashAlg::Sha384 => ("2.16.840.1.101.3.4.2.2", "1.2.840.113549.1.1.12", "1.2.840.10045.4.3.3"),
        HashAlg::Sha512 => ("2.16.840.1.101.3.4.2.3", "1.2.840.113549.1.1.13", "1.2.840.10045.4.3.4"),
        HashAlg::Sha3_256 => (
            "2.16.840.1.101.3.4.2.8",
            "2.16.840.1.101.3.4.3.14",
            "2.16.840.1.101.3.4.3.10",
        ),
        HashAlg::Sha3_384 => (
            "2.16.840.1.101.3.4.2.9",
            "2.16.840.1.101.3.4.3.15",
            "2.16.840.1.101.3.4.3.11",
        ),
        HashAlg::Sha3_512 => (
            "2.16.840.1.101.3.4.2.10",
            "2.16.840.1.101.3.4.3.16",
            "2.16.840.1.101.3.4.3.12",
        ),
        HashAlg::Sm3 => return None,
    };
    Some(HashIds {
        digest: ObjectIdentifier::new(digest).ok()?,
        rsassa: ObjectIdentifier::new(rsassa).ok()?,
        ecdsa: ObjectIdentifier::new(ecdsa).ok()?,
    })
}

/// The name of a curve in certificates; the BN curves have none.
fn curve_id(curve: Curve) -> Option<ObjectIdentifier> {
    let id = match curve {
        Curve::P192 => "1.2.840.10045.3.1.1",
        Curve::P224 => "1.3.132.0.33",
        Curve::P256 => "1.2.840.10045.3.1.7",
        Curve::P384 => "1.3.132.0.34",
        Curve::P521 => "1.3.132.0.35",
        Curve::Sm2P256 => "1.2.156.10197.1.301",
        Curve::BnP256 | Curve::BnP638 => return None,
    };
    ObjectIdentifier::new(id).ok()
}

/// The version of a certificate with extensions: v3.
pub(crate) fn version() -> RcResult<Vec<u8>> {
    tlv(explicit(0), &[&encode(&2u8)?])
}

/// An unsigned number.
pub(crate) fn integer(number: &[u8]) -> RcResult<Vec<u8>> {
    encode(&UintRef::new(number).map_err(|_| Rc::FAILURE)?)
}

/// A SEQUENCE of what is encoded already.
pub(crate) fn sequence(parts: &[&[u8]]) -> RcResult<Vec<u8>> {
    tlv(Tag::Sequence, parts)
}

/// What is here is too small to be refused.
fn encode(value: &impl Encode) -> RcResult<Vec<u8>> {
    value.to_der().map_err(|_| Rc::FAILURE)
}

fn tlv(tag: Tag, parts: &[&[u8]]) -> RcResult<Vec<u8>> {
    let value = parts.concat();
    let length = Length::try_from(value.len()).map_err(|_| Rc::FAILURE)?;
    let mut out = encode(&Header::new(tag, length))?;
    out.extend(value);
    Ok(out)
}
