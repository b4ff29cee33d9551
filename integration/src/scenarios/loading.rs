//! Loading objects (Part 3, 12.2 to 12.8).

use anyhow::Result;

use super::{create, created, external_public, flush, primary, startup, storage};
use crate::build::{self, Public, sensitive};
use crate::client::Tpm;
use crate::codes::{alg, oa, rh};
use crate::keys::Key;

pub(super) fn loading(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let parent = storage(tpm)?;
    let other = tpm
        .ok(primary(rh::ENDORSEMENT, &[], &[], &Public::ecc_parent()))?
        .handle;
    tpm.step("what was made here");
    let (private, public) = created(&tpm.ok(create(parent, b"auth", b"data", &Public::sealed()))?)?;
    let loaded = tpm.ok(build::load(parent, &private, &public))?.handle;
    flush(tpm, &[loaded])?;
    tpm.step("damaged or elsewhere");
    tpm.fails(build::load(other, &private, &public))?;
    for position in [0, 1, 2, 20, 34, 40, private.len() - 1] {
        let mut damaged = private.clone();
        damaged[position] ^= 1;
        tpm.fails(build::load(parent, &damaged, &public))?;
    }
    for position in [0, 1, 3, 5, 7, 9, public.len() - 1] {
        let mut damaged = public.clone();
        damaged[position] ^= 1;
        tpm.fails(build::load(parent, &private, &damaged))?;
    }
    for length in [0, 1, 2, 33, 34, private.len() - 1] {
        tpm.fails(build::load(parent, &private[..length], &public))?;
        tpm.fails(build::load(parent, &private, &public[..length.min(public.len() - 1)]))?;
    }
    tpm.fails(build::load(parent, &private, &public).pw(b"wrong"))?;
    tpm.step("ReadPublic");
    for handle in [
        parent,
        other,
        0x8000_0002,
        0x8100_0009,
        rh::OWNER,
        0,
        0x0100_0000,
        0x0200_0000,
    ] {
        tpm.run(build::read_public(handle))?;
    }
    tpm.step("ObjectChangeAuth");
    let sealed = tpm.ok(build::load(parent, &private, &public))?.handle;
    let renewed = tpm
        .ok(build::object_change_auth(sealed, parent, b"new").pw(b"auth"))?
        .first()?;
    tpm.ok(build::unseal(sealed).pw(b"auth"))?;
    tpm.fails(build::object_change_auth(sealed, other, b"new").pw(b"auth"))?;
    tpm.fails(build::object_change_auth(parent, other, b"new"))?;
    tpm.fails(build::object_change_auth(sealed, parent, &[1; 33]).pw(b"auth"))?;
    flush(tpm, &[sealed])?;
    let sealed = tpm.ok(build::load(parent, &renewed, &public))?.handle;
    tpm.fails(build::unseal(sealed).pw(b"auth"))?;
    tpm.ok(build::unseal(sealed).pw(b"new"))?;
    tpm.fails(build::unseal(parent))?;
    Ok(())
}

pub(super) fn external_objects(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let keys = [
        Key::ecdsa([3; 32])?,
        Key::ecc_parent([4; 32], &[5; 32])?,
        Key::hmac(alg::SHA256, &[7; 32], b"auth")?,
        Key::hmac(alg::SHA1, &[7; 20], &[])?,
        Key::sealed(b"data", b"auth")?,
        Key::symmetric(alg::AES, alg::CFB, &[7; 16], &[])?,
        Key::rsa(1024, &[alg::RSASSA, alg::SHA256], oa::SIGN, &[]),
        Key::rsa(2048, &[alg::RSAPSS, alg::SHA256], oa::SIGN, &[]),
        Key::rsa(2048, &[alg::OAEP, alg::SHA256], oa::DECRYPT, &[]),
        Key::rsa_parent(&[5; 32]),
    ];
    for key in &keys {
        for hierarchy in [rh::NULL, rh::OWNER, rh::ENDORSEMENT, rh::PLATFORM, rh::LOCKOUT] {
            tpm.step("whole and public only");
            for private in [&key.sensitive[..], &[]] {
                let answer = tpm.run(build::load_external(private, &key.public.bytes(), hierarchy))?;
                if answer.rc == 0 {
                    tpm.ok(build::read_public(answer.handle))?;
                    flush(tpm, &[answer.handle])?;
                }
            }
        }
        tpm.step("attributes");
        for bit in 0..32 {
            let mut public = key.public.clone();
            public.attributes ^= 1 << bit;
            for private in [&key.sensitive[..], &[]] {
                let answer = tpm.run(build::load_external(private, &public.bytes(), rh::NULL))?;
                if answer.rc == 0 {
                    flush(tpm, &[answer.handle])?;
                }
            }
        }
        tpm.step("damaged");
        for position in 0..key.sensitive.len().min(40) {
            let mut damaged = key.sensitive.clone();
            damaged[position] ^= 1;
            let answer = tpm.run(build::load_external(&damaged, &key.public.bytes(), rh::NULL))?;
            if answer.rc == 0 {
                flush(tpm, &[answer.handle])?;
            }
        }
        let bytes = key.public.bytes();
        for position in (0..bytes.len().min(40)).chain([bytes.len() - 1]) {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            let answer = tpm.run(build::load_external(&key.sensitive, &damaged, rh::NULL))?;
            if answer.rc == 0 {
                flush(tpm, &[answer.handle])?;
            }
        }
    }
    tpm.step("halves that do not fit");
    tpm.run(build::load_external(
        &keys[0].sensitive,
        &keys[2].public.bytes(),
        rh::NULL,
    ))?;
    tpm.run(build::load_external(
        &sensitive(alg::ECC, &[], &[], &[0; 32]),
        &keys[0].public.bytes(),
        rh::NULL,
    ))?;
    tpm.run(build::load_external(
        &sensitive(alg::ECC, &[], &[], &[0xFF; 32]),
        &keys[0].public.bytes(),
        rh::NULL,
    ))?;
    let off = keys[0].public.clone().unique(build::point(&[1; 32], &[1; 32]));
    tpm.run(build::load_external(&[], &off.bytes(), rh::NULL))?;
    tpm.run(build::load_external(&keys[0].sensitive, &off.bytes(), rh::NULL))?;
    tpm.run(build::load_external(&[], &[], rh::NULL))?;
    tpm.step("a public area signs nothing");
    let public = tpm.ok(external_public(&keys[0], rh::OWNER))?.handle;
    tpm.run(build::sign(public, &[1; 32], &build::null(), &build::no_hash_check()))?;
    Ok(())
}

/// Keys for TDES: parity does not matter, but weak ones and parts that are the same are refused.
pub(super) fn tdes_keys(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let [one, two, three] = [*b"\x10\x10\x13\x14\x16\x17\x19\x19", [0x32; 8], [0x51; 8]];
    let flipped = one.map(|byte| byte ^ 1);
    for (what, parts) in [
        ("two parts", &[one, two][..]),
        ("three parts", &[one, two, three]),
        ("no parity", &[flipped, two]),
        ("the same twice", &[one, one]),
        ("the same but for parity", &[one, flipped]),
        ("the first two the same", &[one, one, two]),
        ("the last two the same", &[one, two, two]),
        ("the outer two the same", &[one, two, one]),
        ("weak first", &[[0x01; 8], two]),
        ("weak last", &[one, two, [0xFE; 8]]),
        ("zero", &[[0; 8], two]),
        ("semi-weak", &[one, *b"\x01\xfe\x01\xfe\x01\xfe\x01\xfe"]),
        ("one part", &[one]),
    ] {
        tpm.step(what);
        let secret = parts.concat();
        let key = Key::symmetric(alg::TDES, alg::CFB, &secret, &[])?;
        // The two may differ in whether there is anything to flush: they are told the same all the same.
        tpm.run(build::load_external(&key.sensitive, &key.public.bytes(), rh::NULL))?;
        tpm.run(build::flush_context(0x8000_0000))?;
        let mut template = key.public;
        template = template
            .unset(oa::SENSITIVE_DATA_ORIGIN)
            .set(oa::FIXED_TPM | oa::FIXED_PARENT);
        template.unique = Vec::from([0, 0]);
        tpm.run(primary(rh::OWNER, &[], &secret, &template))?;
        tpm.run(build::flush_context(0x8000_0000))?;
    }
    Ok(())
}
