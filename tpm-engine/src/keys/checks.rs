//! Consistency of public and sensitive areas (Part 1, 25–27; Part 2, 8.3 and 12; Part 3, 12.1).

use super::creation::check_auth_size;
use crate::alg::{BlockCipher, CipherMode, HashAlg};
use crate::bytes::Digest;
use crate::crypto::ecc;
use crate::crypto::hash::hash;
use crate::crypto::hmac::hmac;
use crate::crypto::symmetric::is_weak_tdes;
use crate::object::RsaCache;
use crate::rc::{Rc, RcResult};
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::{ObjectType, Public, PublicParms, Unique};
use crate::types::scheme::{Kdf, KeyedHashScheme, Scheme, SchemeId};
use crate::types::sensitive::{MAX_SEALED, Sensitive};
use crate::types::symmetric::CipherDef;

/// The numbers of the parameters that hold the two areas, for the codes about them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blame {
    pub(crate) public: u32,
    pub(crate) sensitive: u32,
}

/// Checks a template for creation (Part 3, 12.1 and 24.1). `parent` is `None` for a primary object, `data` the size of
/// the sensitive data that the caller gave. Codes come without a number.
pub(crate) fn check_template(parent: Option<&Public>, template: &Public, data: usize) -> RcResult<()> {
    let attributes = template.attributes;
    let origin = attributes.has(A::SENSITIVE_DATA_ORIGIN);
    if !origin && data == 0 {
        return Err(Rc::ATTRIBUTES);
    }
    // A primary key takes the data as one more input of its derivation.
    if parent.is_some() && origin && data != 0 {
        return Err(Rc::ATTRIBUTES);
    }
    let refused = match template.object_type() {
        // The TPM does not make up what it is to seal.
        ObjectType::KeyedHash if !attributes.any(A::SIGN.with(A::DECRYPT)) && origin => true,
        // A restricted key that others know may not look like one that only the TPM knows.
        ObjectType::KeyedHash | ObjectType::SymCipher => {
            attributes.has(A::RESTRICTED) && !origin && attributes.any(A::FIXED_PARENT.with(A::FIXED_TPM))
        }
        ObjectType::Rsa | ObjectType::Ecc => !origin,
    };
    if refused {
        return Err(Rc::ATTRIBUTES);
    }
    check_attributes(parent, template)
}

/// Checks the attributes of an object under its parent, `None` for a primary or external object, and then its schemes.
pub(crate) fn check_attributes(parent: Option<&Public>, public: &Public) -> RcResult<()> {
    let attributes = public.attributes;
    let name_alg = public.name_alg.ok_or(Rc::HASH)?;
    if !public.auth_policy.is_empty() && public.auth_policy.len() != name_alg.digest_size() {
        return Err(Rc::SIZE);
    }
    let fixed_tpm = attributes.has(A::FIXED_TPM);
    let parent_attributes = parent.map(|parent| parent.attributes);
    // The seed of a primary object counts as a parent that is fixedTPM.
    let parent_fixed = parent_attributes.is_none_or(|attributes| attributes.has(A::FIXED_TPM));
    if parent_fixed {
        if attributes.has(A::FIXED_PARENT) != fixed_tpm {
            return Err(Rc::ATTRIBUTES);
        }
    } else if fixed_tpm {
        return Err(Rc::ATTRIBUTES);
    }
    // Only a keyed hash can be for neither: it is then sealed data.
    if !attributes.any(A::SIGN.with(A::DECRYPT)) && public.object_type() != ObjectType::KeyedHash {
        return Err(Rc::ATTRIBUTES);
    }
    // A restricted key does one thing.
    if attributes.has(A::RESTRICTED) && attributes.has(A::DECRYPT) == attributes.has(A::SIGN) {
        return Err(Rc::ATTRIBUTES);
    }
    let encrypted = attributes.has(A::ENCRYPTED_DUPLICATION);
    if fixed_tpm && encrypted {
        return Err(Rc::ATTRIBUTES);
    }
    if let Some(parent_attributes) = parent_attributes
        && !parent_fixed
        && encrypted != parent_attributes.has(A::ENCRYPTED_DUPLICATION)
    {
        return Err(Rc::ATTRIBUTES);
    }
    if let Some(parent) = parent
        && parent.is_derivation_parent()
        && (fixed_tpm != parent_fixed || !attributes.has(A::FIXED_PARENT))
    {
        return Err(Rc::ATTRIBUTES);
    }
    check_schemes(parent, public)
}

/// Checks that schemes and symmetric algorithms suit what the object is for (Part 2, 12.2.3).
pub(crate) fn check_schemes(parent: Option<&Public>, public: &Public) -> RcResult<()> {
    let cipher = match &public.parms {
        PublicParms::KeyedHash(scheme) => return check_keyed_hash_scheme(public.attributes, *scheme),
        PublicParms::SymCipher(cipher) => {
            // A MAC cannot be decrypted.
            if cipher.mode == Some(CipherMode::Cmac) && public.attributes.has(A::DECRYPT) {
                return Err(Rc::SCHEME);
            }
            Some(*cipher)
        }
        PublicParms::Rsa(parms) => {
            check_asymmetric_scheme(public.attributes, parms.scheme.0, parms.symmetric, |id| {
                matches!(id, SchemeId::Rsaes | SchemeId::Oaep)
            })?;
            parms.symmetric
        }
        PublicParms::Ecc(parms) => {
            check_asymmetric_scheme(public.attributes, parms.scheme.0, parms.symmetric, |id| {
                matches!(id, SchemeId::Ecdh | SchemeId::Ecmqv | SchemeId::Sm2)
            })?;
            // No command uses a key's own KDF yet (Part 2, 12.2.3.6).
            if parms.kdf.0.is_some() {
                return Err(Rc::KDF);
            }
            parms.symmetric
        }
    };
    if !public.attributes.has(A::RESTRICTED.with(A::DECRYPT)) {
        return Ok(());
    }
    // A storage parent: it protects its children with a block cipher.
    let cipher = cipher.ok_or(Rc::SYMMETRIC)?;
    if let Some(parent) = parent
        && public.attributes.has(A::FIXED_PARENT)
    {
        // One that never leaves its parent is as strong as that (Part 1, 23.4).
        if public.name_alg != parent.name_alg {
            return Err(Rc::HASH);
        }
        if Some(cipher) != parent.parms.symmetric() {
            return Err(Rc::SYMMETRIC);
        }
    }
    Ok(())
}

fn check_keyed_hash_scheme(attributes: A, scheme: KeyedHashScheme) -> RcResult<()> {
    let suits = match (attributes.has(A::SIGN), attributes.has(A::DECRYPT)) {
        (true, true) | (false, false) => scheme == KeyedHashScheme::Null,
        (true, false) => matches!(scheme, KeyedHashScheme::Hmac(_)),
        (false, true) => match scheme {
            // Objects are derived with KDFa only.
            KeyedHashScheme::Xor(_, kdf) => !attributes.has(A::RESTRICTED) || kdf == Some(Kdf::Kdf1Sp800108),
            _ => false,
        },
    };
    if suits { Ok(()) } else { Err(Rc::SCHEME) }
}

fn check_asymmetric_scheme(
    attributes: A,
    scheme: Option<Scheme>,
    symmetric: Option<CipherDef>,
    decrypts: impl Fn(SchemeId) -> bool,
) -> RcResult<()> {
    let restricted = attributes.has(A::RESTRICTED);
    let suits = match (attributes.has(A::SIGN), attributes.has(A::DECRYPT), scheme) {
        // There is no way to name a scheme for each.
        (true, true, scheme) | (false, false, scheme) => scheme.is_none(),
        (true, false, Some(scheme)) => scheme.id.signs(),
        // A restricted signing key does not let the caller choose.
        (true, false, None) => !restricted,
        (false, true, Some(scheme)) => !restricted && decrypts(scheme.id),
        (false, true, None) => true,
    };
    if !suits {
        return Err(Rc::SCHEME);
    }
    let parent = attributes.has(A::RESTRICTED.with(A::DECRYPT));
    if !parent && symmetric.is_some() {
        return Err(Rc::SYMMETRIC);
    }
    Ok(())
}

/// Checks that a public and a sensitive area go together (Part 3, 12.2 and 12.3). `parent` is `None` for external
/// objects. Returns the prepared private key where checking needed it.
pub(crate) fn check_areas(
    parent: Option<&Public>,
    public: &Public,
    sensitive: Option<&Sensitive>,
    blame: Blame,
) -> RcResult<RsaCache> {
    match (sensitive, public.name_alg) {
        (Some(sensitive), Some(name_alg)) => {
            if sensitive.seed.len() > name_alg.digest_size() {
                return Err(Rc::KEY_SIZE.parameter(blame.sensitive));
            }
            check_auth_size(&sensitive.auth, Some(name_alg)).map_err(|code| code.parameter(blame.sensitive))?;
            check_attributes(parent, public)
        }
        // What has no Name or no secret cannot do what attributes allow.
        _ => check_schemes(None, public),
    }
    .map_err(|code| code.parameter(blame.public))?;
    // What a parent that never leaves this TPM has protected was checked before.
    if parent.is_some_and(|parent| parent.attributes.has(A::FIXED_TPM)) {
        return Ok(RsaCache::default());
    }
    check_keys(public, sensitive, blame)
}

/// Checks keys and sizes.
fn check_keys(public: &Public, sensitive: Option<&Sensitive>, blame: Blame) -> RcResult<RsaCache> {
    if let Some(sensitive) = sensitive
        && sensitive.object_type != public.object_type()
    {
        return Err(Rc::TYPE.parameter(blame.sensitive));
    }
    let mut prepared = RsaCache::default();
    match (&public.parms, &public.unique) {
        (PublicParms::Rsa(parms), Unique::Rsa(modulus)) => {
            let size = parms.key_bits.size();
            if modulus.len() != size || modulus.first().is_none_or(|first| *first < 0x80) {
                return Err(Rc::KEY.parameter(blame.public));
            }
            if parms.exponent != 0 && parms.exponent < 7 {
                return Err(Rc::VALUE.parameter(blame.public));
            }
            if let Some(sensitive) = sensitive {
                let prime = &sensitive.secret;
                if prime.len().saturating_mul(2) != size || prime.first().is_none_or(|first| *first < 0x80) {
                    return Err(Rc::KEY_SIZE.parameter(blame.sensitive));
                }
                prepared = RsaCache::prepare(modulus, parms.exponent, prime)?;
            }
        }
        (PublicParms::Ecc(parms), Unique::Ecc(point)) => {
            let (curve, size) = (parms.curve, parms.curve.size());
            match sensitive {
                None if point.x.len() != size || point.y.len() != size => {
                    return Err(Rc::KEY.parameter(blame.public));
                }
                None => {}
                Some(sensitive) => {
                    let derived = ecc::public(curve, &sensitive.secret).map_err(|_| Rc::KEY_SIZE)?;
                    if public.name_alg.is_some() && (*derived.x != *point.x || *derived.y != *point.y) {
                        return Err(Rc::BINDING);
                    }
                }
            }
            if public.name_alg.is_some() && !ecc::on_curve(curve, &point.x, &point.y) {
                return Err(Rc::ECC_POINT.parameter(blame.public));
            }
        }
        (_, Unique::Digest(unique)) => check_symmetric(public, unique, sensitive, blame)?,
        _ => return Err(Rc::TYPE.parameter(blame.public)),
    }
    check_parent_seed(public, sensitive, blame)?;
    Ok(prepared)
}

fn check_symmetric(public: &Public, unique: &[u8], sensitive: Option<&Sensitive>, blame: Blame) -> RcResult<()> {
    let Some(sensitive) = sensitive else {
        return if unique.len() == public.name_alg.map_or(0, HashAlg::digest_size) {
            Ok(())
        } else {
            Err(Rc::KEY.parameter(blame.public))
        };
    };
    let size = sensitive.secret.len();
    let fits = match &public.parms {
        PublicParms::SymCipher(cipher) => size == cipher.key_size(),
        PublicParms::KeyedHash(KeyedHashScheme::Hmac(hash) | KeyedHashScheme::Xor(hash, _)) => {
            size <= hash.block_size()
        }
        _ => size <= MAX_SEALED,
    };
    if !fits {
        return Err(Rc::KEY_SIZE.parameter(blame.sensitive));
    }
    if let PublicParms::SymCipher(cipher) = &public.parms
        && cipher.cipher == BlockCipher::Tdes
        && is_weak_tdes(&sensitive.secret)
    {
        return Err(Rc::KEY.parameter(blame.sensitive));
    }
    let Some(name_alg) = public.name_alg else {
        return Ok(());
    };
    if sensitive.seed.len() != name_alg.digest_size() {
        return Err(Rc::KEY_SIZE.parameter(blame.sensitive));
    }
    if *symmetric_unique(public, name_alg, sensitive) == *unique {
        Ok(())
    } else {
        Err(Rc::BINDING)
    }
}

/// The seed of a parent must be good enough to protect its children with.
fn check_parent_seed(public: &Public, sensitive: Option<&Sensitive>, blame: Blame) -> RcResult<()> {
    if let (Some(sensitive), Some(name_alg)) = (sensitive, public.name_alg)
        && public.attributes.has(A::RESTRICTED.with(A::DECRYPT))
        && sensitive.seed.len() < name_alg.digest_size() / 2
    {
        return Err(Rc::SIZE.parameter(blame.sensitive));
    }
    Ok(())
}

/// Whether a new RSA key may have this public exponent: 0 for the default, or a prime from 2^16 + 1 (Part 1, B.1).
pub(crate) fn is_public_exponent(exponent: u32) -> bool {
    exponent == 0
        || exponent > 1 << 16
            && !exponent.is_multiple_of(2)
            && (3..=u32::from(u16::MAX))
                .step_by(2)
                .all(|divisor| !exponent.is_multiple_of(divisor))
}

/// What identifies a keyed hash or symmetric key (Part 1, 27.5.3.2): a digest over its obfuscation value and its secret,
/// or for a parent, whose seed also protects others, an HMAC.
pub(crate) fn symmetric_unique(public: &Public, name_alg: HashAlg, sensitive: &Sensitive) -> Digest {
    if public.is_parent() {
        hmac(name_alg, &sensitive.seed, &[&sensitive.secret])
    } else {
        hash(name_alg, &[&sensitive.seed, &sensitive.secret])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_exponents_are_large_primes() {
        for good in [0, 65_537, 65_539, 4_294_967_291] {
            assert!(is_public_exponent(good), "{good}");
        }
        for bad in [1, 2, 3, 17, 65_521, 65_535, 65_536, 65_541, 4_294_836_223, u32::MAX] {
            assert!(!is_public_exponent(bad), "{bad}");
        }
    }
}
