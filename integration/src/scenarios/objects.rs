//! Objects (Part 3, 12 and 24.1).

use anyhow::Result;

use super::{child, create, created, flush, primary, startup, storage};
use crate::build::{self, Patch, Public, pcrs, scheme, sensitive_create};
use crate::client::Tpm;
use crate::codes::{alg, curve, oa, rh};
use crate::wire::Out;

/// Templates, most of which both can make; RSA keys are few because they are slow.
fn templates() -> Vec<(&'static str, Vec<u8>, Public)> {
    let ecdsa = [alg::ECDSA, alg::SHA256];
    let mut list = vec![
        ("ECC parent", vec![], Public::ecc_parent()),
        ("symmetric parent", vec![], Public::symmetric_parent()),
        ("ECDSA", vec![], Public::ecc(curve::P256, &ecdsa, oa::SIGN)),
        (
            "restricted ECDSA",
            vec![],
            Public::ecc(curve::P256, &ecdsa, oa::SIGN | oa::RESTRICTED),
        ),
        (
            "restricted without a scheme",
            vec![],
            Public::ecc(curve::P256, &[alg::NULL], oa::SIGN | oa::RESTRICTED),
        ),
        (
            "P-384",
            vec![],
            Public::ecc(curve::P384, &[alg::ECDSA, alg::SHA384], oa::SIGN),
        ),
        (
            "ECDH",
            vec![],
            Public::ecc(curve::P256, &[alg::ECDH, alg::SHA256], oa::DECRYPT),
        ),
        (
            "for both",
            vec![],
            Public::ecc(curve::P256, &[alg::NULL], oa::DECRYPT | oa::SIGN),
        ),
        ("for neither", vec![], Public::ecc(curve::P256, &[alg::NULL], 0)),
        (
            "a scheme and both",
            vec![],
            Public::ecc(curve::P256, &ecdsa, oa::DECRYPT | oa::SIGN),
        ),
        (
            "ECDSA to decrypt",
            vec![],
            Public::ecc(curve::P256, &ecdsa, oa::DECRYPT),
        ),
        (
            "ECDH to sign",
            vec![],
            Public::ecc(curve::P256, &[alg::ECDH, alg::SHA256], oa::SIGN),
        ),
        ("no such curve", vec![], Public::ecc(0x77, &ecdsa, oa::SIGN)),
        (
            "no such scheme",
            vec![],
            Public::ecc(curve::P256, &[alg::RSASSA, alg::SHA256], oa::SIGN),
        ),
        (
            "no such hash",
            vec![],
            Public::ecc(curve::P256, &[alg::ECDSA, alg::NULL], oa::SIGN),
        ),
        ("sealed", b"data".to_vec(), Public::sealed()),
        ("sealed nothing", vec![], Public::sealed()),
        ("sealed too much", vec![1; 129], Public::sealed()),
        ("sealed as much as can be", vec![1; 128], Public::sealed()),
        ("sealed with a scheme", b"data".to_vec(), Public::sealed().set(oa::SIGN)),
        (
            "sealed, restricted",
            b"data".to_vec(),
            Public::sealed().set(oa::RESTRICTED),
        ),
        ("HMAC", vec![], Public::hmac_key(alg::SHA256)),
        (
            "HMAC from outside",
            vec![7; 32],
            Public::hmac_key(alg::SHA256).unset(oa::SENSITIVE_DATA_ORIGIN),
        ),
        ("HMAC with SHA-1", vec![], Public::hmac_key(alg::SHA1)),
        (
            "HMAC to decrypt",
            vec![],
            Public::hmac_key(alg::SHA256).set(oa::DECRYPT),
        ),
        ("AES", vec![], Public::symmetric(alg::AES, 128, alg::CFB)),
        ("AES-256-CBC", vec![], Public::symmetric(alg::AES, 256, alg::CBC)),
        ("AES in any mode", vec![], Public::symmetric(alg::AES, 128, alg::NULL)),
        ("AES of an odd size", vec![], Public::symmetric(alg::AES, 100, alg::CFB)),
        (
            "AES from outside",
            vec![7; 16],
            Public::symmetric(alg::AES, 128, alg::CFB).unset(oa::SENSITIVE_DATA_ORIGIN),
        ),
        (
            "AES too short",
            vec![7; 15],
            Public::symmetric(alg::AES, 128, alg::CFB).unset(oa::SENSITIVE_DATA_ORIGIN),
        ),
        (
            "AES, restricted to CBC",
            vec![],
            Public::symmetric(alg::AES, 128, alg::CBC).set(oa::RESTRICTED),
        ),
        (
            "data for an ECC key",
            b"data".to_vec(),
            Public::ecc(curve::P256, &ecdsa, oa::SIGN),
        ),
    ];
    for (what, attributes) in [
        ("parent not fixed", oa::FIXED_TPM),
        ("parent for duplication", oa::FIXED_TPM | oa::FIXED_PARENT),
        ("parent without authorization", oa::USER_WITH_AUTH),
    ] {
        list.push((what, vec![], Public::ecc_parent().unset(attributes)));
    }
    for bit in 0..32 {
        list.push((
            "ECDSA with one attribute more",
            vec![],
            Public::ecc(curve::P256, &ecdsa, oa::SIGN).set(1 << bit),
        ));
        list.push(("parent with one attribute changed", vec![], {
            let mut public = Public::ecc_parent();
            public.attributes ^= 1 << bit;
            public
        }));
        list.push((
            "sealed with one attribute more",
            b"data".to_vec(),
            Public::sealed().set(1 << bit),
        ));
    }
    for hash in [alg::SHA1, alg::SHA384, alg::SHA512, alg::NULL, alg::AES] {
        list.push((
            "another name algorithm",
            vec![],
            Public::ecc(curve::P256, &ecdsa, oa::SIGN).name_alg(hash),
        ));
        list.push((
            "another name algorithm, parent",
            vec![],
            Public::ecc_parent().name_alg(hash),
        ));
    }
    for size in [20, 31, 32, 33, 48] {
        list.push((
            "a policy",
            vec![],
            Public::ecc(curve::P256, &ecdsa, oa::SIGN).policy(&vec![7; size]),
        ));
    }
    for bits in [127, 256] {
        let mut public = Public::ecc_parent();
        public.parameters.splice(2..4, u16::to_be_bytes(bits));
        list.push(("a parent with another cipher", vec![], public));
    }
    for mode in [alg::CBC, alg::NULL, alg::ECB] {
        let mut public = Public::ecc_parent();
        public.parameters.splice(4..6, mode.to_be_bytes());
        list.push(("a parent with another mode", vec![], public));
    }
    for kdf in [alg::KDF1_56A, alg::KDF2, alg::MGF1, alg::KDF1_108] {
        let parameters = scheme(&[alg::NULL, alg::ECDH, alg::SHA256, curve::P256, kdf, alg::SHA256]);
        let mut public = Public::ecc(curve::P256, &[alg::NULL], oa::DECRYPT);
        public.parameters = parameters;
        list.push(("an ECC key with a KDF", vec![], public));
    }
    list
}

pub(super) fn primaries(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    for hierarchy in [rh::OWNER, rh::ENDORSEMENT, rh::PLATFORM, rh::NULL] {
        for (what, data, public) in templates() {
            tpm.step(what);
            let answer = tpm.run(primary(hierarchy, b"auth", &data, &public))?;
            if answer.rc == 0 {
                tpm.ok(build::read_public(answer.handle))?;
                flush(tpm, &[answer.handle])?;
            }
        }
    }
    tpm.step("the same template makes the same key, another unique field another");
    let unique = build::point(&[1; 32], &[2; 32]);
    for public in [
        Public::ecc_parent(),
        Public::ecc_parent().unique(unique),
        Public::ecc_parent(),
    ] {
        let first = tpm.ok(primary(rh::OWNER, &[], &[], &public))?;
        let second = tpm.ok(primary(rh::OWNER, b"another authValue", &[], &public))?;
        let same = first.read().b2()? == second.read().b2()?;
        tpm.fact(&format!("the same key: {same}"));
        flush(tpm, &[first.handle, second.handle])?;
    }
    Ok(())
}

pub(super) fn primary_parameters(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let public = Public::ecc_parent().bytes();
    let call = |hierarchy, sensitive: &[u8], outside: &[u8], selection: &[u8]| {
        build::create_primary(hierarchy, sensitive, &public, outside, selection)
    };
    let (empty, none) = (sensitive_create(&[], &[]), pcrs(0, &[]));
    tpm.step("creation data");
    for (outside, selection) in [
        (&[][..], pcrs(alg::SHA256, &[0, 1, 2])),
        (b"outside", pcrs(alg::SHA1, &[23])),
        (&[9; 64], none.clone()),
        (&[9; 66], none.clone()),
        (&[9; 67], none.clone()),
        (&[], Out::new().u32(2).raw(&[0, 0xB, 3, 1, 0, 0, 0, 4, 3, 1, 0, 0]).0),
        (&[], Out::new().u32(1).raw(&[0, 6, 3, 1, 0, 0]).0),
    ] {
        let answer = tpm.run(call(rh::OWNER, &empty, outside, &selection))?;
        if answer.rc == 0 {
            flush(tpm, &[answer.handle])?;
        }
    }
    tpm.step("authValues");
    for size in [32, 33, 64, 65] {
        let answer = tpm.run(call(rh::OWNER, &sensitive_create(&vec![9; size], &[]), &[], &none))?;
        if answer.rc == 0 {
            flush(tpm, &[answer.handle])?;
        }
    }
    tpm.step("malformed");
    tpm.fails(call(rh::OWNER, &[], &[], &none))?;
    tpm.fails(call(rh::OWNER, &[0, 0, 0], &[], &none))?;
    tpm.fails(call(rh::OWNER, &[&empty[..], &[0]].concat(), &[], &none))?;
    tpm.fails(build::create_primary(rh::OWNER, &empty, &[], &[], &none))?;
    tpm.fails(build::create_primary(
        rh::OWNER,
        &empty,
        &public[..public.len() - 1],
        &[],
        &none,
    ))?;
    tpm.fails(build::create_primary(
        rh::OWNER,
        &empty,
        &[&public[..], &[0]].concat(),
        &[],
        &none,
    ))?;
    tpm.fails(call(rh::LOCKOUT, &empty, &[], &none))?;
    tpm.fails(call(0x8000_0000, &empty, &[], &none))?;
    tpm.fails(call(rh::OWNER, &empty, &[], &none).pw(b"wrong"))?;
    tpm.fails(call(rh::OWNER, &empty, &[], &none).bare())?;
    tpm.fails(call(rh::OWNER, &empty, &[], &none).patch(Patch::Append(vec![0])))?;
    for kind in [alg::NULL, alg::SHA256, 0xFFFF] {
        let mut public = Public::ecc_parent();
        public.kind = kind;
        tpm.fails(primary(rh::OWNER, &[], &[], &public))?;
    }
    Ok(())
}

pub(super) fn rsa_primaries(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("RSA templates that are refused");
    let refused = [
        Public::rsa(2047, &[alg::RSASSA, alg::SHA256], oa::SIGN),
        Public::rsa(512, &[alg::RSASSA, alg::SHA256], oa::SIGN),
        Public::rsa(2048, &[alg::ECDSA, alg::SHA256], oa::SIGN),
        Public::rsa(2048, &[alg::RSASSA, alg::SHA256], oa::DECRYPT),
        Public::rsa(2048, &[alg::RSAES], oa::SIGN),
        Public::rsa(2048, &[alg::NULL], oa::SIGN | oa::RESTRICTED),
        Public::rsa(2048, &[alg::OAEP, alg::SHA256], oa::DECRYPT | oa::RESTRICTED),
        Public::rsa(2048, &[alg::OAEP, alg::SHA256], oa::DECRYPT | oa::SIGN),
    ];
    for public in refused {
        let answer = tpm.run(primary(rh::OWNER, &[], &[], &public))?;
        if answer.rc == 0 {
            flush(tpm, &[answer.handle])?;
        }
    }
    for exponent in [1u32, 3, 4, 65539, 0xFFFF_FFFF] {
        let mut public = Public::rsa(2048, &[alg::RSASSA, alg::SHA256], oa::SIGN);
        public.parameters.splice(8.., exponent.to_be_bytes());
        tpm.run(primary(rh::OWNER, &[], &[], &public))?;
    }
    tpm.step("RSA");
    let parent = tpm.ok(primary(rh::OWNER, &[], &[], &Public::rsa_parent(2048)))?.handle;
    tpm.ok(build::read_public(parent))?;
    let sealed = child(tpm, parent, b"auth", b"data", &Public::sealed())?;
    tpm.ok(build::unseal(sealed).pw(b"auth"))?;
    Ok(())
}

pub(super) fn creating(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let parent = storage(tpm)?;
    for (what, data, public) in templates() {
        tpm.step(what);
        let answer = tpm.run(create(parent, b"auth", &data, &public))?;
        if answer.rc == 0 {
            let (private, public) = created(&answer)?;
            let loaded = tpm.ok(build::load(parent, &private, &public))?.handle;
            tpm.ok(build::read_public(loaded))?;
            flush(tpm, &[loaded])?;
        }
        let answer = tpm.run(build::create_loaded(
            parent,
            &sensitive_create(b"auth", &data),
            &public.bytes(),
        ))?;
        if answer.rc == 0 {
            tpm.ok(build::read_public(answer.handle))?;
            flush(tpm, &[answer.handle])?;
        }
    }
    tpm.step("children of a symmetric parent");
    let symmetric = child(tpm, parent, &[], &[], &Public::symmetric_parent())?;
    let sealed = child(tpm, symmetric, b"auth", b"data", &Public::sealed())?;
    tpm.ok(build::unseal(sealed).pw(b"auth"))?;
    tpm.step("parents that are none");
    flush(tpm, &[sealed, symmetric])?;
    for public in [
        Public::ecc(curve::P256, &[alg::ECDSA, alg::SHA256], oa::SIGN),
        Public::sealed(),
    ] {
        let data = if public.kind == alg::ECC { &[][..] } else { b"data" };
        let other = child(tpm, parent, &[], data, &public)?;
        not_a_parent(tpm, other)?;
        flush(tpm, &[other])?;
    }
    for handle in [rh::OWNER, rh::NULL, 0x8000_0002, 0x8100_0001, 0x0100_0001] {
        not_a_parent(tpm, handle)?;
    }
    tpm.fails(create(parent, &[], b"data", &Public::sealed()).pw(b"wrong"))?;
    Ok(())
}

fn not_a_parent(tpm: &mut Tpm, handle: u32) -> Result<()> {
    tpm.run(create(handle, &[], b"data", &Public::sealed()))?;
    tpm.run(build::load(handle, &[0; 10], &Public::sealed().bytes()))?;
    let sensitive = sensitive_create(&[], b"data");
    let loaded = tpm.run(build::create_loaded(handle, &sensitive, &Public::sealed().bytes()))?;
    if loaded.rc == 0 {
        flush(tpm, &[loaded.handle])?;
    }
    Ok(())
}

pub(super) fn deriving(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("a derivation parent");
    let storage = storage(tpm)?;
    let mut public = Public::hmac_key(alg::SHA256).unset(oa::SIGN);
    public = public.set(oa::RESTRICTED | oa::DECRYPT);
    public.parameters = scheme(&[alg::XOR, alg::SHA256, alg::KDF1_108]);
    let parent = child(tpm, storage, &[], &[], &public)?;
    let derive = |public: &Public, label: &[u8], context: &[u8]| {
        let public = public
            .clone()
            .unset(oa::SENSITIVE_DATA_ORIGIN | oa::FIXED_TPM | oa::FIXED_PARENT);
        let template = public.unique(Out::new().b2(label).b2(context).0);
        build::create_loaded(parent, &sensitive_create(b"auth", &[]), &template.bytes())
    };
    for public in [
        Public::ecc(curve::P256, &[alg::ECDSA, alg::SHA256], oa::SIGN),
        Public::ecc(curve::P384, &[alg::ECDSA, alg::SHA384], oa::SIGN),
        Public::hmac_key(alg::SHA256),
        Public::symmetric(alg::AES, 128, alg::CFB),
        Public::symmetric(alg::AES, 256, alg::CBC),
        Public::sealed(),
        Public::rsa(2048, &[alg::RSASSA, alg::SHA256], oa::SIGN),
        Public::ecc_parent(),
    ] {
        for fixed in [0, oa::FIXED_PARENT] {
            let answer = tpm.run(derive(&public.clone().set(fixed), b"label", b"context"))?;
            if answer.rc == 0 {
                tpm.ok(build::read_public(answer.handle))?;
                flush(tpm, &[answer.handle])?;
            }
        }
    }
    tpm.step("labels");
    for (label, context) in [
        (&[][..], &[][..]),
        (&[1; 32], &[2; 32]),
        (&[1; 33], &[]),
        (b"label", b"other"),
    ] {
        let answer = tpm.run(derive(&Public::hmac_key(alg::SHA256), label, context))?;
        if answer.rc == 0 {
            flush(tpm, &[answer.handle])?;
        }
    }
    tpm.run(create(parent, &[], b"data", &Public::sealed()))?;
    Ok(())
}
