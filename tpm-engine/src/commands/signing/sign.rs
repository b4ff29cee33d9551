//! TPM2_Sign — Part 3, 20.2.

use crate::bytes::Digest;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;
use crate::types::ticket::HashcheckTicket;

command! {
    /// TPM2_Sign: a signature of a digest.
    Sign = 0x15D, [];
    handles { key: Object @ User }
    params {
        digest: Digest,
        in_scheme: SigScheme,
        validation: HashcheckTicket,
    }
    reply { signature: Signature }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).cloned().ok_or(Rc::KEY.handle(1))?;
    let attributes = key.public.0.attributes;
    if !key.public.0.is_signer() {
        return Err(Rc::KEY.handle(1));
    }
    // Such a key signs certificates by TPM2_CertifyX509 only.
    if attributes.has(A::X509_SIGN) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    let scheme = tpm
        .choose_sign_scheme(&key, params.in_scheme.0)
        .map_err(|code| code.parameter(2))?
        .ok_or(Rc::SCHEME.parameter(2))?;
    let hash = scheme.hash.ok_or(Rc::SCHEME.parameter(2))?;
    let ticket = &params.validation.0;
    if !ticket.digest.is_empty() || attributes.has(A::RESTRICTED) {
        // A restricted key signs only what this TPM has hashed, and found not to look like its own word.
        tpm.check_ticket(ticket, &[&hash.id().to_be_bytes(), &params.digest])
            .map_err(|code| code.parameter(3))?;
    } else if params.digest.len() != hash.digest_size() {
        return Err(Rc::SIZE.parameter(1));
    }
    Ok(Reply {
        signature: tpm.sign(&key, scheme, &params.digest)?,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::keys::{OWNER, Parts, Template, attr, sha256, sized};
    use crate::testing::{Bench, hex, plain, with_passwords};

    const SIGN: u32 = 0x15D;
    const VERIFY: u32 = 0x177;
    const HASH: u32 = 0x17D;
    const NO_TICKET: &str = "8024 40000007 0000";

    fn sign(tpm: &mut Bench, key: u32, digest: &[u8], scheme: &str, ticket: &[u8]) -> Result<Vec<u8>, u32> {
        let params = [sized(&[digest]), hex(scheme), ticket.to_vec()].concat();
        match tpm.run(&with_passwords(SIGN, &[key], &[b""], &params)) {
            (0, response) => {
                let size = u32::from_be_bytes(response[10..14].try_into().unwrap()) as usize;
                Ok(response[14..14 + size].to_vec())
            }
            (code, _) => Err(code),
        }
    }

    fn verify(tpm: &mut Bench, key: u32, digest: &[u8], signature: &[u8]) -> Result<Vec<u8>, u32> {
        let body = [&key.to_be_bytes()[..], &sized(&[digest]), signature].concat();
        match tpm.run(&plain(VERIFY, &body)) {
            (0, response) => Ok(response[10..].to_vec()),
            (code, _) => Err(code),
        }
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else() {
        let mut tpm = Bench::started();
        let both = attr::OWN | attr::SIGN | attr::DECRYPT;
        let digest = sha256(&[b"message"]);
        for (template, scheme) in [
            (Template::ecc(attr::OWN | attr::SIGN), "0018 000b"),
            (Template::rsa(attr::OWN | attr::SIGN), "0014 000b"),
            (Template::rsa(attr::OWN | attr::SIGN), "0016 000b"),
            (Template::keyed_hash(both), "0005 000b"),
        ] {
            let key = tpm.primary(OWNER, &template);
            let signature = sign(&mut tpm, key, &digest, scheme, &hex(NO_TICKET)).unwrap();
            let ticket = verify(&mut tpm, key, &digest, &signature).unwrap();
            assert_eq!(ticket[..8], hex("8022 40000001 0040"), "{scheme}");
            let other = sha256(&[b"another message"]);
            assert_eq!(verify(&mut tpm, key, &other, &signature), Err(0x2DB), "{scheme}");
            let mut changed = signature.clone();
            *changed.last_mut().unwrap() ^= 1;
            assert_eq!(verify(&mut tpm, key, &digest, &changed), Err(0x2DB), "{scheme}");
            tpm.tpm.objects.clear();
        }
    }

    #[test]
    fn schemes_suit_the_key() {
        let mut tpm = Bench::started();
        let digest = sha256(&[b"message"]);
        let open = tpm.primary(OWNER, &Template::ecc(attr::OWN | attr::SIGN));
        let bound = Template::ecc(attr::OWN | attr::SIGN).with_parms("0010 0018 000b 0003 0010");
        let bound = tpm.primary(OWNER, &bound);
        let ticket = hex(NO_TICKET);
        for (code, key, scheme) in [
            (Some(0x2D2), open, "0010"),
            (Some(0x2D2), open, "0014 000b"),
            (Some(0x2D2), open, "0005 000b"),
            (Some(0x2C3), open, "0018 0010"),
            (Some(0x2D2), open, "0019 000b"),
            (None, bound, "0010"),
            (None, bound, "0018 000b"),
            (Some(0x2D2), bound, "0018 000c"),
        ] {
            assert_eq!(sign(&mut tpm, key, &digest, scheme, &ticket).err(), code, "{scheme}");
        }
        assert_eq!(sign(&mut tpm, open, &digest[1..], "0018 000b", &ticket), Err(0x1D5));
        assert_eq!(verify(&mut tpm, open, &digest, &hex("0014 000b 0001 01")), Err(0x2D2));
        assert_eq!(verify(&mut tpm, open, &digest, &hex("0010")), Err(0x2D2));
    }

    #[test]
    fn only_signing_keys_sign() {
        let mut tpm = Bench::started();
        let digest = sha256(&[b"message"]);
        let ticket = hex(NO_TICKET);
        for (code, template) in [
            (0x19C, Template::srk()),
            (0x19C, Template::ecc(attr::OWN | attr::DECRYPT)),
            (0x19C, Template::aes(attr::OWN | attr::SIGN)),
            (0x182, Template::ecc(attr::OWN | attr::SIGN | attr::X509)),
        ] {
            let key = tpm.primary(OWNER, &template);
            assert_eq!(
                sign(&mut tpm, key, &digest, "0018 000b", &ticket),
                Err(code),
                "{template:x?}"
            );
            tpm.tpm.objects.clear();
        }
    }

    #[test]
    fn a_restricted_key_signs_only_what_this_tpm_has_hashed() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::attestation_key());
        let mut hashed = |data: &[u8]| {
            let body = [sized(&[data]), hex("000b 40000001")].concat();
            let (code, response) = tpm.run(&plain(HASH, &body));
            assert_eq!(code, 0);
            let mut parts = Parts(&response[10..]);
            (parts.take().to_vec(), parts.0.to_vec())
        };
        let (digest, ticket) = hashed(b"message");
        let (forged, no_ticket) = hashed(b"\xFFTCG an attestation of one's own");
        assert!(sign(&mut tpm, key, &digest, "0010", &ticket).is_ok());
        assert_eq!(sign(&mut tpm, key, &digest, "0010", &hex(NO_TICKET)), Err(0x3E0));
        assert_eq!(sign(&mut tpm, key, &sha256(&[b"x"]), "0010", &ticket), Err(0x3E0));
        assert_eq!(sign(&mut tpm, key, &forged, "0010", &no_ticket), Err(0x3E0));
        assert_eq!(
            sign(&mut tpm, key, &digest, "0010", &hex("8021 40000007 0000")),
            Err(0x3D7)
        );
    }
}
