//! Certificates (Part 3, 18.8).

use anyhow::{Context, Result};

use super::{external, flush, known, primary, startup, storage};
use crate::build::{self, Public, null, scheme};
use crate::client::{Answer, Tpm};
use crate::codes::{alg, curve, oa, rh};
use crate::crypto;
use crate::keys::Key;
use crate::wire::In;

/// OBJECT IDENTIFIERs: keyUsage, tcg-tpmaObject, basicConstraints and commonName.
const KEY_USAGE: &[u8] = &[6, 3, 0x55, 0x1D, 0x0F];
const TPMA_OBJECT: &[u8] = &[6, 7, 0x67, 0x81, 5, 10, 1, 1, 1];
const BASIC_CONSTRAINTS: &[u8] = &[6, 3, 0x55, 0x1D, 0x13];
const COMMON_NAME: &[u8] = &[6, 3, 0x55, 4, 3];

/// A value of this tag in DER.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = u16::try_from(value.len()).unwrap_or_default().to_be_bytes();
    let head: &[u8] = match length {
        [0, short @ 0..0x80] => &[tag, short],
        [0, short] => &[tag, 0x81, short],
        [high, low] => &[tag, 0x82, high, low],
    };
    [head, &value].concat()
}

fn seq(parts: &[&[u8]]) -> Vec<u8> {
    der(0x30, parts)
}

/// Takes the first value off its siblings.
fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let mut input = In(rest);
    input.u8()?;
    let (head, length) = match input.u8()? {
        0x81 => (3, usize::from(input.u8()?)),
        0x82 => (4, usize::from(input.u16()?)),
        short => (2, usize::from(short)),
    };
    let (value, after) = rest.split_at_checked(head + length).context("a value that is cut")?;
    *rest = after;
    Ok(value)
}

/// The contents of a value.
fn inside(value: &[u8]) -> &[u8] {
    let head = match value.get(1) {
        Some(0x81) => 3,
        Some(0x82) => 4,
        _ => 2,
    };
    value.get(head..).unwrap_or_default()
}

fn name() -> Vec<u8> {
    seq(&[&der(0x31, &[&seq(&[COMMON_NAME, &der(0x0C, &[b"a name"])])])])
}

fn validity() -> Vec<u8> {
    seq(&[&der(0x17, &[b"260101000000Z"]), &der(0x17, &[b"360101000000Z"])])
}

/// An extension with a BIT STRING, the first byte of which says how many bits at its end are unused.
fn extension(id: &[u8], bits: &[u8]) -> Vec<u8> {
    seq(&[id, &[1, 1, 0xFF], &der(4, &[&der(3, &[bits])])])
}

fn usage(bits: &[u8]) -> Vec<u8> {
    extension(KEY_USAGE, bits)
}

/// keyUsage: digitalSignature.
fn signs() -> Vec<u8> {
    usage(&[7, 0x80])
}

fn attributes(word: u32) -> Vec<u8> {
    extension(TPMA_OBJECT, &[&[0][..], &word.to_be_bytes()].concat())
}

fn extensions(parts: &[&[u8]]) -> Vec<u8> {
    der(0xA3, &[&seq(parts)])
}

/// A certificate that is begun, with these extensions.
fn begun(parts: &[&[u8]]) -> Vec<u8> {
    seq(&[&name(), &validity(), &name(), &extensions(parts)])
}

fn certify(tpm: &mut Tpm, object: u32, signer: u32, scheme: &[u8], certificate: &[u8]) -> Result<Answer> {
    tpm.run(build::certify_x509(object, signer, &[], scheme, certificate))
}

/// Puts a certificate by the P-256 key of this scalar together, and notes what of it is the same for every TPM.
fn finish(tpm: &mut Tpm, answer: &Answer, scalar: &[u8; 32]) -> Result<()> {
    if answer.rc != 0 {
        return Ok(());
    }
    let mut input = answer.read();
    let (added, digest) = (input.b2()?, input.b2()?);
    let (kind, hash) = (input.u16()?, input.u16()?);
    let mut fields = inside(added);
    let (version, serial) = (take(&mut fields)?, take(&mut fields)?);
    let (algorithm, key) = (take(&mut fields)?, take(&mut fields)?);
    tpm.fact(&format!("added: {version:x?} {algorithm:x?} {key:x?}"));
    let size = inside(serial).len();
    tpm.fact(&format!("a serial number: {}", (8..=21).contains(&size)));
    let (name, validity, extensions) = (name(), validity(), extensions(&[&signs()]));
    let whole = seq(&[version, serial, algorithm, &name, &validity, &name, key, &extensions]);
    let expected = crypto::hash(hash, &[&whole])?;
    tpm.fact(&format!(
        "the digest is that of the certificate: {}",
        digest == expected
    ));
    if kind == alg::ECDSA && digest.len() == 32 {
        let (x, y) = crypto::p256_public(scalar)?;
        let (r, s) = (input.b2()?, input.b2()?);
        let valid = crypto::p256_signature_is_valid(&x, &y, digest, r, s)?;
        tpm.fact(&format!("the signature is valid: {valid}"));
    }
    Ok(())
}

pub(super) fn certificates(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let key = tpm
        .ok(external(&Key::ecc([3; 32], &[alg::NULL], oa::SIGN, &[])?))?
        .handle;
    let good = begun(&[&signs()]);
    tpm.step("each scheme of an ECC key");
    for given in [
        vec![alg::ECDSA, alg::SHA256],
        vec![alg::ECDSA, alg::SHA1],
        vec![alg::ECDSA, alg::SHA384],
        vec![alg::ECDSA, alg::SHA512],
        vec![alg::ECSCHNORR, alg::SHA256],
        vec![alg::SM2, alg::SHA256],
        vec![alg::ECDAA, alg::SHA256, 0],
        vec![alg::RSASSA, alg::SHA256],
        vec![alg::ECDSA, alg::NULL],
        vec![alg::NULL],
    ] {
        let answer = certify(tpm, key, key, &scheme(&given), &good)?;
        finish(tpm, &answer, &[3; 32])?;
    }
    tpm.step("each scheme of an RSA key");
    let rsa = tpm.ok(external(&Key::rsa(2048, &[alg::NULL], oa::SIGN, &[])))?.handle;
    let ecdsa = scheme(&[alg::ECDSA, alg::SHA256]);
    // PSS with SHA-1 is left out: the peer writes NULL where RFC 4055, 3.1, has an empty SEQUENCE.
    for given in [
        [alg::RSASSA, alg::SHA1],
        [alg::RSASSA, alg::SHA256],
        [alg::RSASSA, alg::SHA512],
        [alg::RSAPSS, alg::SHA256],
        [alg::RSAPSS, alg::SHA384],
        [alg::ECDSA, alg::SHA256],
    ] {
        let answer = certify(tpm, key, rsa, &scheme(&given), &good)?;
        finish(tpm, &answer, &[3; 32])?;
    }
    let answer = certify(tpm, rsa, key, &ecdsa, &good)?;
    finish(tpm, &answer, &[3; 32])?;
    tpm.run(build::certify_x509(key, key, b"x", &ecdsa, &good))?;
    tpm.run(build::certify_x509(key, key, &[], &ecdsa, &good).pw(b"wrong"))?;
    tpm.step("an algorithm of the caller's");
    let given = seq(&[&[6, 3, 0x2A, 3, 4]]);
    let named = seq(&[&given, &name(), &validity(), &name(), &extensions(&[&signs()])]);
    for scheme in [&ecdsa, &scheme(&[alg::ECSCHNORR, alg::SHA256])] {
        certify(tpm, key, key, scheme, &named)?;
    }
    flush(tpm, &[rsa])?;
    tpm.step("other signers and objects");
    let parent = storage(tpm)?;
    for other in [
        Key::ecdsa([4; 32])?,
        Key::ecdsa([4; 32])?.set(oa::RESTRICTED),
        Key::ecdsa([4; 32])?.set(oa::X509_SIGN),
        Key::ecc([4; 32], &[alg::ECDH, alg::SHA256], oa::DECRYPT, &[])?,
        Key::hmac(alg::SHA256, &[7; 32], &[])?,
        Key::symmetric(alg::AES, alg::CFB, &[7; 16], &[])?,
        Key::sealed(b"data", &[])?,
    ] {
        let handle = known(tpm, parent, &other)?;
        certify(tpm, handle, key, &ecdsa, &good)?;
        certify(tpm, key, handle, &null(), &good)?;
        flush(tpm, &[handle])?;
    }
    flush(tpm, &[parent])?;
    tpm.step("each curve");
    for id in [curve::P192, curve::P224, curve::P384, curve::BN256, curve::SM2_P256] {
        let public = Public::ecc(id, &[alg::NULL], oa::SIGN);
        let handle = tpm.ok(primary(rh::OWNER, &[], &[], &public))?.handle;
        certify(tpm, handle, key, &ecdsa, &good)?;
        flush(tpm, &[handle])?;
    }
    Ok(())
}

pub(super) fn malformed(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let key = Key::ecdsa([3; 32])?;
    let word = key.public.attributes;
    let key = tpm.ok(external(&key))?.handle;
    let (name, validity, good) = (name(), validity(), extensions(&[&signs()]));
    let whole = begun(&[&signs()]);
    let octets = |octets: &[u8]| begun(&[&seq(&[KEY_USAGE, &der(4, &[octets])])]);
    tpm.step("not a certificate");
    for given in [
        Vec::new(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], &[0]].concat(),
        [&[0x31], &whole[1..]].concat(),
        vec![0x30],
        vec![0x30, 0],
        [&[0x30, 0x80], &whole[2..]].concat(),
        seq(&[&name, &validity, &good]),
        seq(&[&name, &name, &name, &validity, &name, &good]),
        seq(&[&name, &validity, &name]),
        seq(&[&name, &validity, &name, &good, &good]),
        seq(&[&name, &validity, &name, &der(0x81, &[&[0, 1]]), &good]),
        seq(&[&name, &validity, &name, &der(0xA3, &[])]),
        seq(&[&name, &validity, &name, &der(0xA3, &[&[0x31, 0]])]),
        seq(&[&[0x30, 0], &[0x30, 0], &[0x30, 0], &good]),
    ] {
        certify(tpm, key, key, &null(), &given)?;
    }
    tpm.step("extensions");
    for given in [
        begun(&[]),
        begun(&[&attributes(word)]),
        begun(&[&signs(), &attributes(word)]),
        begun(&[&attributes(word), &signs()]),
        begun(&[&signs(), &attributes(word ^ oa::SIGN)]),
        begun(&[&attributes(word ^ oa::X509_SIGN)]),
        begun(&[&extension(TPMA_OBJECT, &[0, 0, 4]), &signs()]),
        begun(&[&seq(&[TPMA_OBJECT]), &signs()]),
        begun(&[&signs(), &der(4, &[b"x"])]),
        begun(&[&seq(&[BASIC_CONSTRAINTS, &der(4, &[&[0x30, 0]])]), &signs()]),
        octets(&[]),
        octets(&[5, 0]),
        begun(&[&usage(&[])]),
        begun(&[&usage(&[0])]),
        begun(&[&usage(&[1])]),
        begun(&[&usage(&[8, 0x80])]),
        begun(&[&usage(&[0, 0x80, 0, 0, 0])]),
    ] {
        certify(tpm, key, key, &null(), &given)?;
    }
    tpm.step("loosely formed");
    for given in [
        seq(&[&good, &name, &validity, &name]),
        octets(&[3, 2, 7, 0x80, 5, 0]),
        begun(&[&seq(&[KEY_USAGE, &der(4, &[&[3, 2, 7, 0x80]]), &[5, 0]])]),
        begun(&[&signs(), &seq(&[])]),
        begun(&[&signs(), &usage(&[5, 0x20])]),
        begun(&[&usage(&[0, 0x80, 0, 0, 0, 0])]),
    ] {
        certify(tpm, key, key, &null(), &given)?;
    }
    Ok(())
}

pub(super) fn uses(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let signer = tpm.ok(external(&Key::ecdsa([3; 32])?))?.handle;
    let parent = storage(tpm)?;
    let fixed = oa::FIXED_TPM | oa::FIXED_PARENT;
    for (what, attributes) in [
        ("a key that signs", oa::SIGN),
        ("a key that decrypts", oa::DECRYPT),
        ("a key for both", oa::SIGN | oa::DECRYPT),
        ("a key that leaves its TPM", oa::SIGN | oa::DECRYPT),
        ("a parent", 0),
    ] {
        let object = match what {
            "a parent" => parent,
            "a key that leaves its TPM" => {
                tpm.ok(external(&Key::ecc([4; 32], &[alg::NULL], attributes, &[])?))?
                    .handle
            }
            _ => {
                let public = Public::ecc(curve::P256, &[alg::NULL], attributes | fixed);
                tpm.ok(primary(rh::OWNER, &[], &[], &public))?.handle
            }
        };
        for number in 0..12u8 {
            tpm.step(&format!("{what} used for {number}"));
            let mut bits = vec![7 - number % 8];
            bits.resize(usize::from(number / 8) + 1, 0);
            bits.push(0x80 >> (number % 8));
            certify(tpm, object, signer, &null(), &begun(&[&usage(&bits)]))?;
        }
        if object != parent {
            flush(tpm, &[object])?;
        }
    }
    Ok(())
}
