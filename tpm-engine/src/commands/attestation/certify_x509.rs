//! TPM2_CertifyX509 — Part 3, 18.8.

use crate::bytes::Digest;
use crate::crypto::hash::hash;
use crate::keys::certificate::{self, Partial};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::scheme::SigScheme;
use crate::types::signature::Signature;
use crate::types::{Data, MaxBuffer};

command! {
    /// TPM2_CertifyX509: signs an X.509 certificate for an object, which the caller has begun and the TPM completes.
    CertifyX509 = 0x197, [];
    handles { object: Object @ Admin, signer: ObjectOrNull @ User }
    params {
        reserved: Data,
        in_scheme: SigScheme,
        partial_certificate: MaxBuffer,
    }
    reply {
        added_to_certificate: MaxBuffer,
        tbs_digest: Digest,
        signature: Signature,
    }
}

/// The most bytes of a serial number (RFC 5280, 4.1.2.2).
const SERIAL_SIZE: usize = 20;

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    if !params.reserved.is_empty() {
        return Err(Rc::SIZE.parameter(1));
    }
    // TPM_RH_NULL signs nothing, and a certificate without a signature is none.
    let scheme = tpm
        .attestation_scheme((handles.signer, 2), (params.in_scheme.0, 2))?
        .ok_or(Rc::KEY.handle(2))?;
    let signer = tpm.object(handles.signer).cloned().ok_or(Rc::KEY.handle(2))?;
    let object = tpm.object(handles.object).ok_or(Rc::ASYMMETRIC.handle(1))?;
    let public_key = certificate::public_key_info(&object.public.0).map_err(|code| code.handle(1))?;
    let partial = Partial::parse(&params.partial_certificate).map_err(|code| code.parameter(3))?;
    let own_algorithm = match partial.signature {
        Some(_) => Vec::new(),
        None => certificate::signature_algorithm(&signer.public.0, scheme).map_err(|code| code.handle(2))?,
    };
    partial
        .check_extensions(object.public.0.attributes)
        .map_err(|code| match code {
            Rc::ATTRIBUTES => code.handle(1),
            code => code.parameter(3),
        })?;
    let scheme_hash = scheme.hash.ok_or(Rc::SCHEME.parameter(2))?;
    let fields = [
        partial.signature.unwrap_or(&own_algorithm),
        partial.issuer,
        partial.validity,
        partial.subject,
        &public_key,
        partial.extensions,
    ]
    .concat();
    // The same certificate has the same number, and no other has it. The sign bit is not used.
    let mut serial = hash(
        signer.public.0.name_alg.unwrap_or(scheme_hash),
        &[&fields, &signer.name, &object.name],
    );
    serial.truncate(SERIAL_SIZE);
    if let Some(first) = serial.first_mut() {
        *first &= 0x7F;
    }
    let head = [certificate::version()?, certificate::integer(&serial)?].concat();
    let tbs_digest = hash(scheme_hash, &[&certificate::sequence(&[&head, &fields])?]);
    let added = certificate::sequence(&[&head, &own_algorithm, &public_key])?;
    let signature = tpm.sign(&signer, scheme, &tbs_digest)?;
    Ok(Reply {
        added_to_certificate: MaxBuffer::new(&added).ok_or(Rc::FAILURE)?,
        tbs_digest,
        signature,
    })
}

#[cfg(test)]
mod tests {
    use x509_cert::Certificate;
    use x509_cert::der::asn1::AnyRef;
    use x509_cert::der::{Decode as _, Encode as _, Reader as _, SliceReader};

    use crate::profile::ProfileName;
    use crate::testing::keys::{NULL, OWNER, Parts, Template, attr, sha256, sized};
    use crate::testing::{Bench, hex, plain, with_passwords};

    const CERTIFY_X509: u32 = 0x197;
    const TPMA_OBJECT: [u8; 9] = [6, 7, 0x67, 0x81, 5, 10, 1, 1, 1];
    const KEY_USAGE: [u8; 5] = [6, 3, 0x55, 0x1D, 0x0F];
    const SIGNER: u32 = attr::OWN | attr::SIGN;

    fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let length = match value.len() {
            len @ 0..0x80 => vec![len as u8],
            len @ 0x80..0x100 => vec![0x81, len as u8],
            len => [&[0x82][..], &(len as u16).to_be_bytes()].concat(),
        };
        [&[tag][..], &length, &value].concat()
    }

    fn seq(parts: &[&[u8]]) -> Vec<u8> {
        tlv(0x30, parts)
    }

    fn name() -> Vec<u8> {
        let common_name = seq(&[&[6, 3, 0x55, 4, 3], &tlv(0x0C, &[b"a name"])]);
        seq(&[&tlv(0x31, &[&common_name])])
    }

    fn validity() -> Vec<u8> {
        seq(&[&tlv(0x17, &[b"260101000000Z"]), &tlv(0x17, &[b"360101000000Z"])])
    }

    /// An extension with a BIT STRING: how many bits of it are unused, and its bytes.
    fn extension(id: &[u8], bits: &[u8]) -> Vec<u8> {
        seq(&[id, &[1, 1, 0xFF], &tlv(4, &[&tlv(3, &[bits])])])
    }

    /// keyUsage with the one use of this number in RFC 5280.
    fn usage(number: u8) -> Vec<u8> {
        let mut bits = vec![7 - number % 8];
        bits.resize(usize::from(number / 8) + 1, 0);
        bits.push(0x80 >> (number % 8));
        extension(&KEY_USAGE, &bits)
    }

    fn attributes(word: u32) -> Vec<u8> {
        extension(&TPMA_OBJECT, &[&[0][..], &word.to_be_bytes()].concat())
    }

    fn extensions(parts: &[&[u8]]) -> Vec<u8> {
        tlv(0xA3, &[&seq(parts)])
    }

    fn partial(parts: &[&[u8]]) -> Vec<u8> {
        seq(&[&name(), &validity(), &name(), &extensions(parts)])
    }

    fn params(scheme: &str, partial: &[u8]) -> Vec<u8> {
        [sized(&[b""]), hex(scheme), sized(&[partial])].concat()
    }

    fn code(tpm: &mut Bench, (object, signer): (u32, u32), scheme: &str, partial: &[u8]) -> u32 {
        tpm.code_with(CERTIFY_X509, &[object, signer], &params(scheme, partial))
    }

    fn value(encoded: &[u8]) -> &[u8] {
        AnyRef::from_der(encoded).unwrap().value()
    }

    /// Has a certificate made, puts it together, has its signature verified, and reads it. `algorithm` is given where the
    /// TPM is not to write it.
    fn certify(tpm: &mut Bench, (object, signer): (u32, u32), scheme: &str, algorithm: Option<&[u8]>) -> Certificate {
        let (name, validity, extensions) = (name(), validity(), extensions(&[&usage(0)]));
        let begun = seq(&[algorithm.unwrap_or_default(), &name, &validity, &name, &extensions]);
        let reply = tpm.ok_with(CERTIFY_X509, &[object, signer], &[b"", b""], &params(scheme, &begun));
        let mut parts = Parts(&reply);
        let (added, digest, signature) = (parts.take(), parts.take(), parts.0);
        let mut added = SliceReader::new(value(added)).unwrap();
        let [version, serial] = [(); 2].map(|()| added.tlv_bytes().unwrap());
        let algorithm = algorithm.unwrap_or_else(|| added.tlv_bytes().unwrap());
        let key = added.tlv_bytes().unwrap();
        assert!(added.is_finished());

        let tbs = seq(&[version, serial, algorithm, &name, &validity, &name, key, &extensions]);
        if digest.len() == 32 {
            assert_eq!(digest, sha256(&[&tbs]));
        }
        let verify = [&signer.to_be_bytes()[..], &sized(&[digest]), signature].concat();
        assert_eq!(tpm.run(&plain(0x177, &verify)).0, 0);
        let whole = seq(&[&tbs, algorithm, &tlv(3, &[&[0], signature])]);
        Certificate::from_der(&whole).unwrap()
    }

    #[test]
    fn finished_certificates_verify_and_are_about_the_object() {
        let mut tpm = Bench::started();
        let ecc = tpm.primary(OWNER, &Template::ecc(SIGNER));
        let rsa = tpm.primary(OWNER, &Template::rsa(SIGNER));
        let p521 = tpm.primary(OWNER, &Template::ecc(SIGNER).with_parms("0010 0010 0005 0010"));
        for (object, signer, scheme, id) in [
            (ecc, ecc, "0018 000b", "1.2.840.10045.4.3.2"),
            (rsa, ecc, "0018 000c", "1.2.840.10045.4.3.3"),
            (ecc, p521, "0018 0028", "2.16.840.1.101.3.4.3.11"),
            (p521, rsa, "0014 000b", "1.2.840.113549.1.1.11"),
            (rsa, rsa, "0014 000d", "1.2.840.113549.1.1.13"),
            (ecc, rsa, "0016 000b", "1.2.840.113549.1.1.10"),
        ] {
            let certificate = certify(&mut tpm, (object, signer), scheme, None);
            let made = certificate.tbs_certificate();
            assert_eq!(made.signature().oid.to_string(), id);
            let (_, public) = tpm.run(&plain(0x173, &object.to_be_bytes()));
            let public = Parts(&public[10..]).take();
            // A point with its octet before it, or the modulus after its headers.
            let key = made.subject_public_key_info().subject_public_key.raw_bytes();
            let (own, theirs) = match made.subject_public_key_info().algorithm.oid.to_string().as_str() {
                "1.2.840.10045.2.1" => {
                    let size = (key.len() - 1) / 2;
                    let (x, y) = key[1..].split_at(size);
                    (sized(&[x, y]), &public[public.len() - 2 * size - 4..])
                }
                _ => (
                    key[key.len() - 256 - 5..][..256].to_vec(),
                    &public[public.len() - 256..],
                ),
            };
            assert_eq!(own, theirs);
        }
    }

    #[test]
    fn pss_parameters_are_those_of_openssl() {
        let mut tpm = Bench::made(ProfileName::Compat);
        tpm.run_ok("8001 0000000c 00000144 0000");
        let rsa = tpm.primary(OWNER, &Template::rsa(SIGNER));
        for (scheme, expected) in [
            ("0016 0004", "3000"),
            (
                "0016 000b",
                "3034 a00f300d06096086480165030402010500 \
                 a11c301a06092a864886f70d010108300d06096086480165030402010500 a203020120",
            ),
        ] {
            let certificate = certify(&mut tpm, (rsa, rsa), scheme, None);
            let parameters = &certificate.tbs_certificate().signature().parameters;
            assert_eq!(parameters.to_der().unwrap(), hex(expected), "{scheme}");
        }
    }

    #[test]
    fn the_same_certificate_has_the_same_serial_number() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::ecc(SIGNER));
        let other = tpm.primary(OWNER, &Template::ecc(SIGNER).with_unique(&sized(&[b"another", b""])));
        let serial = |tpm: &mut Bench, pair| {
            let certificate = certify(tpm, pair, "0018 000b", None);
            certificate.tbs_certificate().serial_number().clone()
        };
        let first = serial(&mut tpm, (key, key));
        assert_eq!(serial(&mut tpm, (key, key)), first);
        assert_ne!(serial(&mut tpm, (other, key)), first);
        assert_ne!(serial(&mut tpm, (key, other)), first);
    }

    #[test]
    fn the_caller_may_name_the_algorithm() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::ecc(SIGNER));
        let given = seq(&[&[6, 3, 0x2A, 3, 4]]);
        // Also for a scheme that the TPM has no identifier of.
        for scheme in ["0018 000b", "001c 000b", "001b 000b"] {
            let certificate = certify(&mut tpm, (key, key), scheme, Some(&given));
            assert_eq!(certificate.signature_algorithm().to_der().unwrap(), given);
        }
        for scheme in ["001c 000b", "001b 000b", "001a 000b 0001", "0018 0012"] {
            assert_eq!(
                code(&mut tpm, (key, key), scheme, &partial(&[&usage(0)])),
                0x292,
                "{scheme}"
            );
        }
    }

    #[test]
    fn refuses_signers_objects_and_schemes_that_do_not_suit() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::attestation_key());
        let good = partial(&[&usage(0)]);
        assert_eq!(code(&mut tpm, (key, key), "0010", &good), 0);
        assert_eq!(code(&mut tpm, (key, NULL), "0010", &good), 0x29C);
        assert_eq!(code(&mut tpm, (key, key), "0018 000c", &good), 0x2D2);
        assert_eq!(code(&mut tpm, (key, key), "0014 000b", &good), 0x2D2);
        let reserved = [sized(&[b"x"]), hex("0010"), sized(&[&good])].concat();
        assert_eq!(tpm.code_with(CERTIFY_X509, &[key, key], &reserved), 0x1D5);
        for (as_object, as_signer, template) in [
            (0x3C4, 0x29C, Template::srk()),
            (0x181, 0x292, Template::keyed_hash(SIGNER).with_parms("0005 000b")),
            (0x181, 0x29C, Template::aes(SIGNER)),
            (0x181, 0, Template::ecc(SIGNER).with_parms("0010 0018 000b 0010 0010")),
            (
                0,
                0,
                Template::ecc(SIGNER | attr::X509).with_parms("0010 0018 000b 0003 0010"),
            ),
        ] {
            let other = tpm.primary(OWNER, &template);
            assert_eq!(code(&mut tpm, (other, key), "0010", &good), as_object, "{template:x?}");
            assert_eq!(code(&mut tpm, (key, other), "0010", &good), as_signer, "{template:x?}");
            assert_eq!(tpm.run(&plain(0x165, &other.to_be_bytes())).0, 0);
        }
    }

    #[test]
    fn needs_the_authorization_of_both_keys() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::ecc(SIGNER).with_parms("0010 0018 000b 0003 0010"));
        let good = params("0010", &partial(&[&usage(0)]));
        for (passwords, code) in [([&b"wrong"[..], b""], 0x9A2), ([b"", b"wrong"], 0xAA2), ([b"", b""], 0)] {
            assert_eq!(
                tpm.run(&with_passwords(CERTIFY_X509, &[key, key], &passwords, &good)).0,
                code
            );
        }
        assert_eq!(
            tpm.run(&with_passwords(CERTIFY_X509, &[key, key], &[b""], &good)).0,
            0x125
        );
    }

    #[test]
    fn refuses_what_is_not_the_beginning_of_a_certificate() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::ecc(SIGNER).with_parms("0010 0018 000b 0003 0010"));
        let (name, validity, good) = (name(), validity(), extensions(&[&usage(0)]));
        let whole = partial(&[&usage(0)]);
        let with = |extensions: &[&[u8]]| partial(extensions);
        let bits = |bits: &[u8]| partial(&[&extension(&KEY_USAGE, bits)]);
        let octets = |octets: &[u8]| partial(&[&seq(&[&KEY_USAGE, &tlv(4, &[octets])])]);
        for (expected, given) in [
            (0x3C4, Vec::new()),
            (0x3D5, whole[..whole.len() - 1].to_vec()),
            (0x3D5, [&whole[..], &[0]].concat()),
            (0x3D5, [&[0x31], &whole[1..]].concat()),
            (0x3D5, vec![0x30]),
            (0x3C4, vec![0x30, 0]),
            (0x3C4, seq(&[&name, &validity, &good])),
            (0x3C4, seq(&[&name, &name, &name, &validity, &name, &good])),
            (0x3C4, seq(&[&name, &validity, &name])),
            (0x3C4, seq(&[&name, &validity, &name, &good, &good])),
            (0x3C4, seq(&[&good, &name, &validity, &name])),
            (0x3C4, seq(&[&name, &validity, &name, &tlv(0x81, &[&[0, 1]]), &good])),
            (0x3C4, seq(&[&name, &validity, &name, &good, &[5]])),
            (0x3C4, seq(&[&name, &validity, &name, &tlv(0xA3, &[])])),
            (0x3C4, seq(&[&name, &validity, &name, &tlv(0xA3, &[&[0x31, 0]])])),
            (0x3C4, with(&[])),
            (0x3C4, with(&[&attributes(SIGNER)])),
            (0x3C4, with(&[&usage(0), &usage(0)])),
            (0x3C4, with(&[&usage(0), &[4, 0]])),
            (0x3C4, with(&[&usage(0), &seq(&[])])),
            (0x3C4, with(&[&usage(0), &seq(&[&TPMA_OBJECT])])),
            (
                0x3C4,
                with(&[&seq(&[&KEY_USAGE, &tlv(4, &[&[3, 2, 7, 0x80]]), &[5, 0]])]),
            ),
            (0x3C4, octets(&[])),
            (0x3C4, octets(&[5, 0])),
            (0x3C4, octets(&[3, 0])),
            (0x3C4, octets(&[3, 2, 7, 0x80, 5, 0])),
            (0x3C4, bits(&[8, 0x80])),
            (0x3C4, bits(&[1])),
            (0x3C4, bits(&[0, 0x80, 0, 0, 0, 0])),
            (0x3E1, bits(&[0, 0x80, 0x40])),
            (0x182, with(&[&usage(0), &attributes(SIGNER | attr::X509)])),
            (0x182, with(&[&attributes(SIGNER ^ attr::SIGN)])),
            (0x182, with(&[&extension(&TPMA_OBJECT, &[0, 0, 4, 4]), &usage(0)])),
            (0, bits(&[0])),
            (0, bits(&[0, 0x80, 0, 0, 0])),
            (0, with(&[&usage(0), &attributes(SIGNER)])),
            (
                0,
                with(&[&seq(&[&[6, 3, 0x55, 0x1D, 0x13], &tlv(4, &[&[0x30, 0]])]), &usage(0)]),
            ),
            (0, seq(&[&[0x30, 0], &[0x30, 0], &[0x30, 0], &good])),
        ] {
            assert_eq!(code(&mut tpm, (key, key), "0010", &given), expected, "{given:x?}");
        }
    }

    #[test]
    fn a_key_is_certified_only_for_what_it_can_do() {
        let mut tpm = Bench::started();
        let signer = tpm.primary(OWNER, &Template::attestation_key());
        let loose = attr::OWN & !(attr::FIXED_TPM | attr::FIXED_PARENT);
        for (template, uses) in [
            (Template::ecc(SIGNER), &[0, 1, 5, 6][..]),
            (Template::ecc(loose | attr::SIGN), &[0, 5, 6]),
            (Template::ecc(attr::OWN | attr::DECRYPT), &[1, 3, 4, 7, 8]),
            (Template::ecc(loose | attr::DECRYPT), &[3, 4, 7, 8]),
            (Template::ecc(SIGNER | attr::DECRYPT), &[0, 1, 3, 4, 5, 6, 7, 8]),
            (Template::srk(), &[1, 2, 3, 4, 7, 8]),
        ] {
            let object = tpm.primary(OWNER, &template);
            for number in 0..12 {
                let expected = match number {
                    9.. => 0x3E1,
                    number if uses.contains(&number) => 0,
                    _ => 0x3C4,
                };
                let answer = code(&mut tpm, (object, signer), "0010", &partial(&[&usage(number)]));
                assert_eq!(answer, expected, "use {number} of {template:x?}");
            }
            assert_eq!(tpm.run(&plain(0x165, &object.to_be_bytes())).0, 0);
        }
    }
}
