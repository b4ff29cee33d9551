//! Attestation, credentials, duplication (Part 3, 13 and 18).

use anyhow::{Context, Result};

use super::{child, create, created, external, external_public, flush, known, primary, startup, storage};
use crate::build::{self, Auth, Public, null, null_ticket, pcrs, scheme};
use crate::client::{Answer, Tpm};
use crate::codes::{alg, oa, rh, sa, st};
use crate::crypto;
use crate::keys::Key;
use crate::session::Options;
use crate::wire::Out;

/// Whether an attestation is signed by the P-256 key with this scalar.
fn check(tpm: &mut Tpm, answer: &Answer, scalar: &[u8; 32]) -> Result<()> {
    let mut input = answer.read();
    let attest = input.b2()?;
    if input.u16()? != alg::ECDSA {
        return Ok(());
    }
    let digest = crypto::hash(input.u16()?, &[attest])?;
    let (x, y) = crypto::p256_public(scalar)?;
    let (r, s) = (input.b2()?, input.b2()?);
    let valid = digest.len() == 32 && crypto::p256_signature_is_valid(&x, &y, &digest, r, s)?;
    tpm.fact(&format!("the signature is valid: {valid}"));
    Ok(())
}

/// Schemes that a signer is given.
fn schemes() -> Vec<Vec<u8>> {
    let list = [
        vec![alg::NULL],
        vec![alg::ECDSA, alg::SHA256],
        vec![alg::ECDSA, alg::SHA1],
        vec![alg::ECDSA, alg::NULL],
        vec![alg::RSASSA, alg::SHA256],
        vec![alg::HMAC, alg::SHA256],
    ];
    list.iter().map(|numbers| scheme(numbers)).collect()
}

/// Signers of several kinds.
fn signers() -> Result<Vec<Key>> {
    let key = Key::ecdsa([3; 32])?;
    Ok(vec![
        key.clone(),
        key.clone().set(oa::RESTRICTED),
        Key::ecc([3; 32], &[alg::NULL], oa::SIGN, &[])?,
        Key::rsa(1024, &[alg::RSASSA, alg::SHA256], oa::SIGN, &[]),
        Key::hmac(alg::SHA256, &[7; 32], &[])?,
        key.set(oa::X509_SIGN),
        Key::sealed(b"data", &[])?,
        Key::ecc([3; 32], &[alg::ECDH, alg::SHA256], oa::DECRYPT, &[])?,
    ])
}

pub(super) fn quotes(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.ok(build::pcr_event(16, b"event"))?;
    let parent = storage(tpm)?;
    for key in signers()? {
        tpm.step("each signer and scheme");
        let handle = known(tpm, parent, &key)?;
        for given in schemes() {
            for selection in [pcrs(alg::SHA256, &[0, 16]), pcrs(alg::SHA1, &[16]), pcrs(0, &[])] {
                let answer = tpm.run(build::quote(handle, b"nonce", &given, &selection))?;
                if answer.rc == 0 {
                    check(tpm, &answer, &[3; 32])?;
                }
            }
        }
        tpm.run(build::get_time(rh::ENDORSEMENT, handle, b"nonce", &null()))?;
        flush(tpm, &[handle])?;
    }
    tpm.step("without a signer");
    tpm.run(build::quote(rh::NULL, b"nonce", &null(), &pcrs(alg::SHA256, &[0])))?;
    tpm.run(build::quote(
        rh::NULL,
        b"nonce",
        &scheme(&[alg::ECDSA, alg::SHA256]),
        &pcrs(alg::SHA256, &[0]),
    ))?;
    tpm.run(build::quote(rh::OWNER, b"nonce", &null(), &pcrs(alg::SHA256, &[0])))?;
    let handle = tpm.ok(external(&Key::ecdsa([3; 32])?))?.handle;
    tpm.run(build::quote(handle, &[1; 66], &null(), &pcrs(alg::SHA256, &[0])))?;
    tpm.run(build::quote(handle, &[1; 67], &null(), &pcrs(alg::SHA256, &[0])))?;
    tpm.run(build::quote(handle, b"nonce", &null(), &pcrs(alg::SHA256, &[0])).pw(b"wrong"))?;
    tpm.run(build::quote(
        handle,
        b"nonce",
        &null(),
        &Out::new().u32(1).raw(&[0, 6, 3, 1, 0, 0]).0,
    ))?;
    tpm.step("times");
    for privacy in [rh::ENDORSEMENT, rh::OWNER, rh::PLATFORM, rh::NULL] {
        tpm.run(build::get_time(privacy, handle, b"nonce", &null()))?;
        tpm.run(build::get_time(privacy, rh::NULL, b"nonce", &null()))?;
        tpm.run(build::get_session_audit_digest(
            privacy,
            handle,
            0x0200_0000,
            b"nonce",
            &null(),
        ))?;
    }
    tpm.ok(build::hierarchy_change_auth(rh::ENDORSEMENT, b"endorsement"))?;
    tpm.run(build::get_time(rh::ENDORSEMENT, handle, b"nonce", &null()))?;
    tpm.run(build::get_time(rh::ENDORSEMENT, handle, b"nonce", &null()).pw(b"endorsement"))?;
    Ok(())
}

pub(super) fn certifying(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let parent = storage(tpm)?;
    for key in signers()? {
        tpm.step("an object, by each signer");
        let signer = known(tpm, parent, &key)?;
        for given in schemes() {
            let answer = tpm.run(build::certify(parent, signer, b"nonce", &given))?;
            if answer.rc == 0 {
                check(tpm, &answer, &[3; 32])?;
            }
        }
        flush(tpm, &[signer])?;
    }
    tpm.step("objects of each kind");
    let signer = tpm.ok(external(&Key::ecdsa([3; 32])?))?.handle;
    for key in signers()? {
        let object = known(tpm, parent, &key)?;
        tpm.run(build::certify(object, signer, b"nonce", &null()))?;
        tpm.run(build::certify(object, rh::NULL, b"nonce", &null()))?;
        flush(tpm, &[object])?;
        let object = tpm.run(external_public(&key, rh::OWNER))?;
        if object.rc == 0 {
            tpm.run(build::certify(object.handle, signer, b"nonce", &null()))?;
            flush(tpm, &[object.handle])?;
        }
    }
    tpm.run(build::certify(parent, signer, b"nonce", &null()).pw(b"wrong"))?;
    tpm.run(build::certify(parent, signer, b"nonce", &null()).auth(1, Auth::password(b"wrong")))?;
    tpm.run(build::certify(rh::OWNER, signer, b"nonce", &null()))?;
    tpm.step("a creation");
    let answer = tpm.ok(create(parent, &[], b"data", &Public::sealed()))?;
    let (private, public) = created(&answer)?;
    let mut input = answer.read();
    input.b2()?;
    input.b2()?;
    let creation = input.b2()?.to_vec();
    let hash = input.b2()?.to_vec();
    let ticket = input.0.to_vec();
    tpm.fact(&format!(
        "the creation hash is right: {}",
        crypto::hash(alg::SHA256, &[&creation])? == hash
    ));
    let object = tpm.ok(build::load(parent, &private, &public))?.handle;
    for given in schemes() {
        tpm.run(build::certify_creation(
            signer, object, b"nonce", &hash, &given, &ticket,
        ))?;
    }
    tpm.step("not this creation");
    let other = [1; 32];
    for (signer, object, hash, ticket) in [
        (rh::NULL, object, &hash[..], &ticket),
        (signer, parent, &hash, &ticket),
        (signer, object, &other, &ticket),
        (signer, object, &hash, &null_ticket(st::CREATION)),
        (signer, object, &hash, &null_ticket(st::VERIFIED)),
    ] {
        tpm.run(build::certify_creation(signer, object, b"nonce", hash, &null(), ticket))?;
    }
    Ok(())
}

pub(super) fn credentials(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let key = tpm
        .ok(primary(rh::ENDORSEMENT, &[], &[], &Public::ecc_parent()))?
        .handle;
    let object = storage(tpm)?;
    let name = tpm.name(object)?;
    tpm.step("made and activated here");
    for (size, name) in [
        (32, &name[..]),
        (16, &name),
        (1, &name),
        (0, &name),
        (33, &name),
        (32, &name[..33]),
        (32, &[]),
    ] {
        let made = tpm.run(build::make_credential(key, &vec![0x5A; size], name))?;
        if made.rc != 0 {
            continue;
        }
        let mut input = made.read();
        let (blob, secret) = (input.b2()?.to_vec(), input.b2()?.to_vec());
        tpm.run(build::activate_credential(object, key, &blob, &secret))?;
        tpm.run(build::activate_credential(key, key, &blob, &secret))?;
        tpm.run(build::activate_credential(object, object, &blob, &secret))?;
        for position in [0, 1, 2, 33, 34, blob.len() - 1] {
            let mut damaged = blob.clone();
            damaged[position] ^= 1;
            tpm.run(build::activate_credential(object, key, &damaged, &secret))?;
        }
        for position in [0, 1, 2, 33, secret.len() - 1] {
            let mut damaged = secret.clone();
            damaged[position] ^= 1;
            tpm.run(build::activate_credential(object, key, &blob, &damaged))?;
        }
        tpm.run(build::activate_credential(object, key, &blob[..20], &secret))?;
        tpm.run(build::activate_credential(object, key, &[], &secret))?;
        tpm.run(build::activate_credential(object, key, &blob, &[]))?;
    }
    tpm.step("made elsewhere");
    let (seed, secret) = tpm.secret_for(key, "IDENTITY")?.context("a key")?;
    let mut credential = Out::new().b2(&[0x77; 24]).0;
    let sym = crypto::kdfa(alg::SHA256, &seed, "STORAGE", &name, &[], 128)?;
    crypto::aes_cfb(true, &sym, &[0; 16], &mut credential)?;
    let mac = crypto::kdfa(alg::SHA256, &seed, "INTEGRITY", &[], &[], 256)?;
    let integrity = crypto::hmac(alg::SHA256, &mac, &[&credential, &name])?;
    let blob = Out::new().b2(&integrity).raw(&credential).0;
    let answer = tpm.ok(build::activate_credential(object, key, &blob, &secret))?;
    tpm.fact(&format!("the credential is right: {}", answer.first()? == [0x77; 24]));
    tpm.step("keys that are not for it");
    for key in signers()? {
        let handle = known(tpm, object, &key)?;
        tpm.run(build::make_credential(handle, &[1; 16], &name))?;
        tpm.run(build::activate_credential(object, handle, &blob, &secret))?;
        flush(tpm, &[handle])?;
    }
    let rsa = tpm
        .ok(build::load_external(
            &[],
            &Key::rsa_parent(&[5; 32]).public.bytes(),
            rh::OWNER,
        ))?
        .handle;
    tpm.run(build::make_credential(rsa, &[1; 16], &name))?;
    Ok(())
}

pub(super) fn duplication(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let parent = storage(tpm)?;
    tpm.step("a policy for Duplicate");
    let trial = tpm.start(&Options::trial())?;
    tpm.ok(build::policy_command_code(trial, 0x14B))?;
    let digest = tpm.ok(build::policy_get_digest(trial))?.first()?;
    let session = tpm.start(&Options::policy())?;
    let public = Public::sealed().unset(oa::FIXED_TPM | oa::FIXED_PARENT).policy(&digest);
    let other = Key::ecc_parent([4; 32], &[5; 32])?;
    let aes = build::aes128_cfb();
    for (attributes, encrypted) in [(0, false), (oa::ENCRYPTED_DUPLICATION, true)] {
        let object = child(tpm, parent, b"auth", b"data", &public.clone().set(attributes))?;
        let name = tpm.name(object)?;
        let area = tpm.ok(build::read_public(object))?.first()?;
        tpm.fails(build::duplicate(object, rh::NULL, &[], &null()).pw(b"auth"))?;
        for target in [rh::NULL, parent] {
            for (key, cipher) in [
                (&[][..], &null()),
                (&[], &aes),
                (&[9; 16], &aes),
                (&[9; 15], &aes),
                (&[9; 16], &null()),
            ] {
                tpm.step("duplicated");
                tpm.run(build::policy_restart(session))?;
                tpm.ok(build::policy_command_code(session, 0x14B))?;
                let call = build::duplicate(object, target, key, cipher).session(session, sa::CONTINUE, &[]);
                let answer = tpm.run(call)?;
                if answer.rc != 0 {
                    continue;
                }
                tpm.step("imported");
                let mut input = answer.read();
                let (made, blob, seed) = (input.b2()?.to_vec(), input.b2()?.to_vec(), input.b2()?.to_vec());
                let key = if key.is_empty() { &made } else { key };
                let imported = tpm.run(build::import(parent, key, &area, &blob, &seed, cipher))?;
                if imported.rc == 0 {
                    let loaded = tpm.ok(build::load(parent, &imported.first()?, &area))?.handle;
                    tpm.ok(build::unseal(loaded).pw(b"auth"))?;
                    flush(tpm, &[loaded])?;
                }
                tpm.run(build::import(parent, &[], &area, &blob, &seed, &null()))?;
                tpm.run(build::import(parent, key, &area, &blob, &[], cipher))?;
                let mut damaged = blob.clone();
                if let Some(byte) = damaged.last_mut() {
                    *byte ^= 1;
                }
                tpm.run(build::import(parent, key, &area, &damaged, &seed, cipher))?;
                tpm.step("rewrapped");
                tpm.run(build::rewrap(parent, parent, &blob, &name, &seed))?;
                tpm.run(build::rewrap(parent, rh::NULL, &blob, &name, &seed))?;
                tpm.run(build::rewrap(rh::NULL, parent, &blob, &name, &seed))?;
            }
        }
        tpm.fact(&format!("encryptedDuplication: {encrypted}"));
        flush(tpm, &[object])?;
    }
    tpm.step("objects that stay");
    let fixed = child(tpm, parent, b"auth", b"data", &Public::sealed().policy(&digest))?;
    tpm.run(build::policy_restart(session))?;
    tpm.ok(build::policy_command_code(session, 0x14B))?;
    tpm.run(build::duplicate(fixed, parent, &[], &null()).session(session, sa::CONTINUE, &[]))?;
    flush(tpm, &[fixed])?;
    tpm.step("known keys, imported");
    for key in [
        Key::ecdsa([3; 32])?,
        Key::hmac(alg::SHA256, &[7; 32], &[])?,
        Key::sealed(b"data", b"auth")?,
        Key::symmetric(alg::AES, alg::CFB, &[7; 16], &[])?,
        Key::rsa(2048, &[alg::RSASSA, alg::SHA256], oa::SIGN, &[]),
        other.clone(),
    ] {
        let duplicate = Out::new().b2(&key.sensitive).0;
        let answer = tpm.run(build::import(
            parent,
            &[],
            &key.public.bytes(),
            &duplicate,
            &[],
            &null(),
        ))?;
        if answer.rc == 0 {
            let loaded = tpm.run(build::load(parent, &answer.first()?, &key.public.bytes()))?;
            if loaded.rc == 0 {
                tpm.ok(build::read_public(loaded.handle))?;
                flush(tpm, &[loaded.handle])?;
            }
        }
        for attributes in [
            oa::FIXED_TPM,
            oa::FIXED_PARENT,
            oa::FIXED_TPM | oa::FIXED_PARENT,
            oa::ENCRYPTED_DUPLICATION,
        ] {
            let public = key.public.clone().set(attributes).bytes();
            tpm.run(build::import(parent, &[], &public, &duplicate, &[], &null()))?;
        }
        tpm.step("under a secret made here");
        let name = key.public.name()?;
        let (seed, secret) = tpm.secret_for(parent, "DUPLICATE")?.context("a key")?;
        let mut blob = Out::new().b2(&key.sensitive).0;
        let sym = crypto::kdfa(alg::SHA256, &seed, "STORAGE", &name, &[], 128)?;
        crypto::aes_cfb(true, &sym, &[0; 16], &mut blob)?;
        let mac = crypto::kdfa(alg::SHA256, &seed, "INTEGRITY", &[], &[], 256)?;
        let integrity = crypto::hmac(alg::SHA256, &mac, &[&blob, &name])?;
        let blob = Out::new().b2(&integrity).raw(&blob).0;
        let answer = tpm.run(build::import(parent, &[], &key.public.bytes(), &blob, &secret, &null()))?;
        tpm.fact(&format!("imported: {:#x}", answer.rc));
        tpm.run(build::import(
            parent,
            &[],
            &other.public.bytes(),
            &blob,
            &secret,
            &null(),
        ))?;
        tpm.run(build::import(
            parent,
            &[],
            &key.public.bytes(),
            &blob[..40],
            &secret,
            &null(),
        ))?;
    }
    let signer = tpm.ok(external(&Key::ecdsa([3; 32])?))?.handle;
    tpm.run(build::import(
        signer,
        &[],
        &other.public.bytes(),
        &[1; 10],
        &[],
        &null(),
    ))?;
    Ok(())
}
