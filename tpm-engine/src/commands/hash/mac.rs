//! TPM2_HMAC and TPM2_HMAC_Start, which are also TPM2_MAC and TPM2_MAC_Start — Part 3, 15.5, 15.6, 17.1 and 17.2.

use crate::alg::{CipherMode, HashAlg};
use crate::bytes::Digest;
use crate::crypto::cmac::Cmac;
use crate::handle::Handle;
use crate::marshal::{Reader, Unmarshal};
use crate::object::Object;
use crate::rc::{Rc, RcResult};
use crate::sequence::SequenceKind;
use crate::tpm::Tpm;
use crate::types::ALG_NULL;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::PublicParms;
use crate::types::scheme::KeyedHashScheme;

/// TPMI_ALG_MAC_SCHEME (Part 2, 9.36).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mac {
    Hmac(HashAlg),
    Cmac,
}

/// TPMI_ALG_MAC_SCHEME+: TPM_ALG_NULL is `None`; TPM_RC_SYMMETRIC for what is no MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MacScheme(Option<Mac>);

impl Unmarshal<'_> for MacScheme {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let raw = reader.read::<u16>()?;
        if raw == ALG_NULL {
            return Ok(Self(None));
        }
        let profile = reader.profile;
        let mac = match HashAlg::from_id(raw) {
            Some(alg) if profile.hashes.contains(&alg) => Some(Mac::Hmac(alg)),
            None if raw == CipherMode::Cmac.id() && profile.modes.contains(&CipherMode::Cmac) => Some(Mac::Cmac),
            _ => None,
        };
        mac.ok_or(Rc::SYMMETRIC).map(|mac| Self(Some(mac)))
    }
}

/// The key, and the MAC that it and the command agree on.
fn agree(tpm: &Tpm, handle: Handle, given: MacScheme) -> RcResult<(&Object, Mac)> {
    let object = tpm.object(handle).ok_or(Rc::TYPE.handle(1))?;
    let public = &object.public.0;
    let of_key = match public.parms {
        PublicParms::KeyedHash(KeyedHashScheme::Hmac(hash) | KeyedHashScheme::Xor(hash, _)) => Some(Mac::Hmac(hash)),
        PublicParms::KeyedHash(KeyedHashScheme::Null) => None,
        PublicParms::SymCipher(cipher) => match cipher.mode {
            Some(CipherMode::Cmac) => Some(Mac::Cmac),
            // A key for encryption agrees with no MAC.
            Some(_) => return Err(if given.0.is_some() { Rc::VALUE } else { Rc::SCHEME }.parameter(2)),
            None => None,
        },
        _ => return Err(Rc::TYPE.handle(1)),
    };
    let mac = match (of_key, given.0) {
        (Some(of_key), Some(given)) if of_key != given => return Err(Rc::VALUE.parameter(2)),
        (of_key, given) => given.or(of_key).ok_or(Rc::VALUE.parameter(2))?,
    };
    let suits = match public.parms {
        PublicParms::SymCipher(_) => mac == Mac::Cmac,
        _ => mac != Mac::Cmac,
    };
    if !suits {
        return Err(Rc::SCHEME.parameter(2));
    }
    if public.attributes.has(A::RESTRICTED) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    if !public.attributes.has(A::SIGN) {
        return Err(Rc::KEY.handle(1));
    }
    Ok((object, mac))
}

/// A CMAC under the key.
fn cmac(key: &Object) -> RcResult<Cmac> {
    let PublicParms::SymCipher(cipher) = key.public.0.parms else {
        return Err(Rc::SCHEME.parameter(2));
    };
    Cmac::new(cipher.cipher, &key.sensitive()?.secret).map_err(|_| Rc::KEY.handle(1))
}

/// The result of an HMAC or CMAC; `None` for other sequences.
pub(super) fn finish(kind: SequenceKind) -> RcResult<Option<Digest>> {
    match kind {
        SequenceKind::Hmac(hmac) => Ok(Some(hmac.finish())),
        SequenceKind::Cmac(cmac) => cmac_of(cmac).map(Some),
        SequenceKind::Hash { .. } | SequenceKind::Event(_) => Ok(None),
    }
}

fn cmac_of(cmac: Cmac) -> RcResult<Digest> {
    let mac = cmac.finish().map_err(|_| Rc::FAILURE)?;
    Ok(Digest::truncated(&mac))
}

pub(crate) mod whole {
    //! TPM2_HMAC — Part 3, 15.5.

    use super::{Mac, MacScheme, agree, cmac, cmac_of};
    use crate::bytes::Digest;
    use crate::crypto::hmac::hmac;
    use crate::marshal::Borrowed;
    use crate::rc::{Rc, RcResult};
    use crate::tpm::Tpm;
    use crate::types::MaxBuffer;

    command! {
        /// TPM2_HMAC: the HMAC of data.
        Hmac = 0x155, [];
        handles { key: Object @ User }
        params<'c> { buffer: Borrowed<'c, { MaxBuffer::CAPACITY }>, scheme: MacScheme }
        reply { mac: Digest }
    }

    fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
        let (key, scheme) = agree(tpm, handles.key, params.scheme)?;
        let mac = match scheme {
            Mac::Hmac(alg) => hmac(alg, &key.sensitive()?.secret, &[&params.buffer]),
            Mac::Cmac => {
                let mut cmac = cmac(key)?;
                cmac.update(&params.buffer).map_err(|_| Rc::FAILURE)?;
                cmac_of(cmac)?
            }
        };
        Ok(Reply { mac })
    }
}

pub(crate) mod start {
    //! TPM2_HMAC_Start — Part 3, 17.1.

    use zeroize::Zeroizing;

    use super::super::start::insert;
    use super::{Mac, MacScheme, agree, cmac};
    use crate::bytes::Digest;
    use crate::crypto::hmac::Hmac;
    use crate::rc::RcResult;
    use crate::sequence::SequenceKind;
    use crate::tpm::Tpm;

    command! {
        /// TPM2_HMAC_Start: begins an HMAC over data that comes in pieces.
        HmacStart = 0x15B, [];
        handles { key: Object @ User }
        params { auth: Zeroizing<Digest>, scheme: MacScheme }
        reply handle sequence {}
    }

    fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
        let (key, scheme) = agree(tpm, handles.key, params.scheme)?;
        let mac = match scheme {
            Mac::Hmac(alg) => SequenceKind::Hmac(Hmac::new(alg, &key.sensitive()?.secret)),
            Mac::Cmac => SequenceKind::Cmac(cmac(key)?),
        };
        let sequence = insert(tpm, params.auth, mac)?;
        Ok(Reply { sequence })
    }
}

#[cfg(test)]
mod tests {
    use crate::crypto::cmac::Cmac;
    use crate::crypto::hmac::hmac;
    use crate::testing::{Bench, hex, with_passwords};

    const KEY: u32 = 0x8000_0000;
    const SEQUENCE: u32 = 0x8000_0001;

    /// A TPM with a primary key of this template, whose secret is its sensitive data; the template's size is filled in.
    fn bench(secret: &[u8], template: &str) -> Bench {
        let mut tpm = Bench::started();
        let template = hex(template);
        let mut params = (4 + secret.len() as u16).to_be_bytes().to_vec();
        params.extend_from_slice(&[0, 0]);
        params.extend_from_slice(&(secret.len() as u16).to_be_bytes());
        params.extend_from_slice(secret);
        params.extend_from_slice(&(template.len() as u16).to_be_bytes());
        params.extend_from_slice(&template);
        params.extend_from_slice(&[0; 6]);
        let create = with_passwords(0x131, &[0x4000_0007], &[b""], &params);
        assert_eq!(tpm.run(&create).0, 0, "{template:02x?}");
        tpm
    }

    fn mac(tpm: &mut Bench, params: &str) -> (u32, Vec<u8>) {
        let (code, response) = tpm.run(&with_passwords(0x155, &[KEY], &[b""], &hex(params)));
        (code, response.get(16..response.len() - 5).unwrap_or_default().to_vec())
    }

    /// The same in two pieces.
    fn sequence(tpm: &mut Bench, scheme: &str) -> Vec<u8> {
        let start = with_passwords(0x15B, &[KEY], &[b""], &hex(&format!("0001 61 {scheme}")));
        assert_eq!(tpm.run(&start).0, 0);
        let update = with_passwords(0x15C, &[SEQUENCE], &[b"a"], &hex("0002 6162"));
        assert_eq!(tpm.run(&update).0, 0);
        let complete = with_passwords(0x13E, &[SEQUENCE], &[b"a"], &hex("0001 63 40000001"));
        let (code, response) = tpm.run(&complete);
        assert_eq!(code, 0);
        let (result, ticket) = response[16..response.len() - 5].split_at(response.len() - 29);
        assert_eq!(ticket, hex("8024 40000007 0000"), "no ticket, whatever the hierarchy");
        result.to_vec()
    }

    #[test]
    fn hmac_is_that_of_the_secret() {
        let secret = b"a secret of some size";
        let expected = hmac(crate::alg::HashAlg::Sha256, secret, &[b"abc"]);
        let mut tpm = bench(secret, "0008 000b 00040040 0000 0005 000b 0000");
        for scheme in ["000b", "0010"] {
            assert_eq!(mac(&mut tpm, &format!("0003 616263 {scheme}")), (0, expected.to_vec()));
            assert_eq!(sequence(&mut tpm, scheme), &*expected);
        }
    }

    #[test]
    fn cmac_is_that_of_the_key() {
        let key = [7; 16];
        let mut expected = Cmac::new(crate::alg::BlockCipher::Aes, &key).unwrap();
        expected.update(b"abc").unwrap();
        let expected = expected.finish().unwrap();
        // With the scheme in the key, and with any.
        for (mode, attributes) in [("003f", "00040040"), ("0010", "00060040")] {
            let mut tpm = bench(&key, &format!("0025 000b {attributes} 0000 0006 0080 {mode} 0000"));
            assert_eq!(mac(&mut tpm, "0003 616263 003f"), (0, expected.to_vec()), "{mode}");
            assert_eq!(sequence(&mut tpm, "003f"), &*expected);
        }
    }

    #[test]
    fn scheme_and_key_must_agree() {
        let hmac = "0008 000b 00040040 0000 0005 000b 0000";
        let cmac = "0025 000b 00040040 0000 0006 0080 003f 0000";
        let any = "0025 000b 00060040 0000 0006 0080 0010 0000";
        let cfb = "0025 000b 00020040 0000 0006 0080 0043 0000";
        for (template, scheme, code) in [
            (hmac, "0004", 0x2C4),
            (hmac, "003f", 0x2C4),
            (hmac, "0006", 0x2D6),
            (hmac, "0043", 0x2D6),
            (cmac, "000b", 0x2C4),
            (any, "0010", 0x2C4),
            (any, "000b", 0x2D2),
            (cfb, "003f", 0x2C4),
            (cfb, "0010", 0x2D2),
            ("0008 000b 00000040 0000 0010 0000", "000b", 0x19C),
            ("0008 000b 00050040 0000 0005 000b 0000", "0010", 0x182),
        ] {
            let mut tpm = bench(&[7; 16], template);
            assert_eq!(
                mac(&mut tpm, &format!("0003 616263 {scheme}")).0,
                code,
                "{template} with {scheme}"
            );
        }
    }
}
