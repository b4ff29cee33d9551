//! Authorization by others, and what policies demand when they are used (Part 3, 23; Part 1, 19.7).

use anyhow::Result;

use super::{child, external, external_public, flush, startup, storage};
use crate::build::{self, Auth, Call, Public, pcrs};
use crate::client::Tpm;
use crate::codes::{alg, oa, rh, sa, st};
use crate::crypto;
use crate::keys::Key;
use crate::session::Options;

const KEEP: u8 = sa::CONTINUE;
const NV_READ: u32 = 0x14E;
const UNSEAL: u32 = 0x15E;

pub(super) fn secret(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.ok(build::hierarchy_change_auth(rh::OWNER, b"owner"))?;
    for options in [Options::policy(), Options::trial()] {
        let session = tpm.start(&options)?;
        let secret = |nonce: &[u8], cp: &[u8], reference: &[u8], expiration: i32| {
            build::policy_secret(rh::OWNER, session, nonce, cp, reference, expiration.cast_unsigned()).pw(b"owner")
        };
        tpm.step("assertions");
        tpm.ok(secret(&[], &[], &[], 0))?;
        tpm.ok(secret(&[], &[], b"reference", 0))?;
        tpm.ok(build::policy_get_digest(session))?;
        tpm.step("expiration");
        tpm.run(secret(&[], &[], b"reference", 100))?;
        tpm.run(secret(&[], &[], b"reference", -100))?;
        tpm.ok(build::policy_get_digest(session))?;
        let nonce = tpm
            .sessions
            .get(&session)
            .map(|session| session.nonce_tpm.clone())
            .unwrap_or_default();
        tpm.run(secret(&nonce, &[], b"reference", 100))?;
        tpm.run(secret(&nonce, &[], b"reference", -100))?;
        tpm.step("wrong values");
        tpm.run(secret(&[1; 32], &[], b"reference", 0))?;
        tpm.run(secret(&[1; 20], &[], b"reference", 0))?;
        tpm.run(secret(&[], &[1; 20], b"reference", 0))?;
        tpm.run(secret(&[], &[1; 32], b"reference", 0))?;
        tpm.run(secret(&[], &[2; 32], b"reference", 0))?;
        tpm.fails(secret(&[], &[], &[], 0).pw(b"wrong"))?;
        tpm.fails(secret(&[], &[], &[], 0).bare())?;
        tpm.ok(build::policy_get_digest(session))?;
        let hmac = tpm.start(&Options::hmac())?;
        tpm.ok(secret(&[], &[], b"by HMAC", 0).session(hmac, KEEP, b"owner"))?;
        tpm.ok(build::policy_get_digest(session))?;
        flush(tpm, &[session, hmac])?;
    }
    tpm.step("other entities");
    let parent = tpm
        .ok(super::primary(rh::PLATFORM, b"parent", &[], &Public::ecc_parent()))?
        .handle;
    let session = tpm.start(&Options::policy())?;
    for entity in [
        rh::ENDORSEMENT,
        rh::PLATFORM,
        rh::LOCKOUT,
        rh::NULL,
        0,
        16,
        20,
        parent,
        0x0100_0020,
    ] {
        tpm.run(build::policy_secret(entity, session, &[], &[], &[], 0))?;
        tpm.ok(build::policy_get_digest(session))?;
    }
    tpm.ok(build::policy_secret(parent, session, &[], &[], &[], 0).pw(b"parent"))?;
    Ok(())
}

pub(super) fn signed(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let scalar = [3; 32];
    let key = tpm.ok(external_public(&Key::ecdsa(scalar)?, rh::OWNER))?.handle;
    let sign = |nonce: &[u8], expiration: i32, cp: &[u8], reference: &[u8]| -> Result<Vec<u8>> {
        let digest = crypto::hash(alg::SHA256, &[nonce, &expiration.to_be_bytes(), cp, reference])?;
        let (r, s) = crypto::p256_sign(&scalar, &digest)?;
        Ok(build::signature_ecdsa(&r, &s))
    };
    for options in [Options::policy(), Options::trial()] {
        let session = tpm.start(&options)?;
        let nonce = tpm
            .sessions
            .get(&session)
            .map(|session| session.nonce_tpm.clone())
            .unwrap_or_default();
        for (what, nonce, expiration, cp) in [
            ("plain", &[][..], 0, &[][..]),
            ("with the session's nonce", &nonce, 0, &[]),
            ("with an expiration", &nonce, 100, &[]),
            ("with a ticket", &nonce, -100, &[]),
            ("with an expiration but no nonce", &[], 100, &[]),
            ("with another nonce", &[5; 32], 0, &[]),
            ("with a cpHash", &[], 0, &[9; 32]),
            ("with another cpHash", &[], 0, &[8; 32]),
            ("with a short cpHash", &[], 0, &[8; 20]),
        ] {
            tpm.step(what);
            let signature = sign(nonce, expiration, cp, b"ref")?;
            let expiration = expiration.cast_unsigned();
            tpm.run(build::policy_signed(
                key, session, nonce, cp, b"ref", expiration, &signature,
            ))?;
            tpm.ok(build::policy_get_digest(session))?;
        }
        tpm.step("a signature over something else");
        let signature = sign(&[], 0, &[], b"other")?;
        let mac = build::signature_hmac(&[1; 32]);
        for (key, signature) in [
            (key, &signature),
            (key, &mac),
            (key, &build::null()),
            (0x8000_0002, &signature),
            (rh::OWNER, &signature),
        ] {
            tpm.run(build::policy_signed(key, session, &[], &[], b"ref", 0, signature))?;
        }
        flush(tpm, &[session])?;
    }
    tpm.step("an HMAC key");
    let hmac_key = Key::hmac(alg::SHA256, &[7; 32], &[])?;
    let loaded = tpm.ok(external(&hmac_key))?.handle;
    let session = tpm.start(&Options::policy())?;
    let digest = crypto::hash(alg::SHA256, &[&0u32.to_be_bytes(), b"ref"])?;
    let signature = build::signature_hmac(&crypto::hmac(alg::SHA256, &[7; 32], &[&digest])?);
    tpm.ok(build::policy_signed(loaded, session, &[], &[], b"ref", 0, &signature))?;
    tpm.ok(build::policy_get_digest(session))?;
    Ok(())
}

pub(super) fn tickets(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("a ticket of PolicySecret");
    let session = tpm.start(&Options::policy())?;
    let answer = tpm.ok(build::policy_secret(
        rh::OWNER,
        session,
        &[],
        &[],
        b"ref",
        (-1000i32).cast_unsigned(),
    ))?;
    let mut input = answer.read();
    let timeout = input.b2()?.to_vec();
    let ticket = input.0.to_vec();
    tpm.ok(build::policy_get_digest(session))?;
    let owner = rh::OWNER.to_be_bytes();
    let other = tpm.start(&Options::policy())?;
    tpm.run(build::policy_ticket(other, &timeout, &[], b"ref", &owner, &ticket))?;
    tpm.ok(build::policy_get_digest(other))?;
    tpm.step("used wrongly");
    tpm.fails(build::policy_ticket(other, &timeout, &[], b"other", &owner, &ticket))?;
    tpm.fails(build::policy_ticket(other, &timeout, &[1; 32], b"ref", &owner, &ticket))?;
    tpm.fails(build::policy_ticket(other, &[0; 8], &[], b"ref", &owner, &ticket))?;
    tpm.fails(build::policy_ticket(other, &[], &[], b"ref", &owner, &ticket))?;
    let platform = rh::PLATFORM.to_be_bytes();
    tpm.fails(build::policy_ticket(other, &timeout, &[], b"ref", &platform, &ticket))?;
    for tag in [st::AUTH_SECRET, st::AUTH_SIGNED, st::HASHCHECK] {
        let ticket = build::null_ticket(tag);
        tpm.fails(build::policy_ticket(other, &timeout, &[], b"ref", &owner, &ticket))?;
    }
    let trial = tpm.start(&Options::trial())?;
    tpm.run(build::policy_ticket(trial, &timeout, &[], b"ref", &owner, &ticket))?;
    Ok(())
}

pub(super) fn authorize(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let key = Key::ecdsa([3; 32])?;
    let name = key.public.name()?;
    let loaded = tpm.ok(external_public(&key, rh::OWNER))?.handle;
    tpm.step("an approved policy");
    let session = tpm.start(&Options::policy())?;
    tpm.ok(build::policy_auth_value(session))?;
    let approved = tpm.ok(build::policy_get_digest(session))?.first()?;
    let digest = crypto::hash(alg::SHA256, &[&approved, b"ref"])?;
    let (r, s) = crypto::p256_sign(&[3; 32], &digest)?;
    let ticket = tpm
        .ok(build::verify_signature(
            loaded,
            &digest,
            &build::signature_ecdsa(&r, &s),
        ))?
        .params;
    tpm.ok(build::policy_authorize(session, &approved, b"ref", &name, &ticket))?;
    tpm.ok(build::policy_get_digest(session))?;
    tpm.step("not approved");
    tpm.fails(build::policy_authorize(session, &approved, b"ref", &name, &ticket))?;
    tpm.ok(build::policy_restart(session))?;
    tpm.ok(build::policy_auth_value(session))?;
    tpm.fails(build::policy_authorize(session, &approved, b"other", &name, &ticket))?;
    for (name, ticket) in [
        (&name[..], &build::null_ticket(st::VERIFIED)),
        (&name, &build::null_ticket(st::HASHCHECK)),
        (&name[..20], &ticket),
        (&[], &ticket),
        (&[0xFF; 34], &ticket),
    ] {
        tpm.fails(build::policy_authorize(session, &approved, b"ref", name, ticket))?;
    }
    tpm.step("in a trial");
    let trial = tpm.start(&Options::trial())?;
    tpm.run(build::policy_authorize(
        trial,
        &approved,
        b"ref",
        &name,
        &build::null_ticket(st::VERIFIED),
    ))?;
    tpm.ok(build::policy_get_digest(trial))?;
    tpm.run(build::policy_authorize(
        trial,
        &[1; 20],
        b"ref",
        &name,
        &build::null_ticket(st::VERIFIED),
    ))?;
    Ok(())
}

pub(super) fn enforcement(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let parent = storage(tpm)?;
    let use_policy =
        |tpm: &mut Tpm, what: &str, steps: &[&dyn Fn(u32) -> Call], auth: &[u8], plain: bool| -> Result<()> {
            tpm.step(what);
            let trial = tpm.start(&Options::trial())?;
            for step in steps {
                tpm.run(step(trial))?;
            }
            let digest = tpm.ok(build::policy_get_digest(trial))?.first()?;
            flush(tpm, &[trial])?;
            let sealed = child(
                tpm,
                parent,
                b"auth",
                b"secret",
                &Public::sealed().policy(&digest).unset(oa::USER_WITH_AUTH),
            )?;
            let session = tpm.start(&Options::policy())?;
            let authorize = |attributes| {
                let auth = auth.to_vec();
                Auth::Session {
                    handle: session,
                    attributes,
                    auth,
                    auth_after: None,
                    bound: false,
                    plain,
                }
            };
            tpm.fails(build::unseal(sealed).auth(0, authorize(KEEP)))?;
            for step in steps {
                tpm.run(step(session))?;
            }
            tpm.run(build::object_change_auth(sealed, parent, b"new").auth(0, authorize(KEEP)))?;
            tpm.run(build::unseal(sealed).auth(0, authorize(KEEP)))?;
            tpm.run(build::unseal(sealed).auth(0, authorize(0)))?;
            tpm.run(build::unseal(sealed).auth(0, authorize(0)))?;
            tpm.run(build::flush_context(session))?;
            flush(tpm, &[sealed])
        };
    use_policy(tpm, "PolicyAuthValue", &[&build::policy_auth_value], b"auth", false)?;
    use_policy(
        tpm,
        "PolicyAuthValue, wrong value",
        &[&build::policy_auth_value],
        b"wrong",
        false,
    )?;
    use_policy(tpm, "PolicyPassword", &[&build::policy_password], b"auth", true)?;
    use_policy(
        tpm,
        "PolicyPassword, wrong value",
        &[&build::policy_password],
        b"wrong",
        true,
    )?;
    use_policy(
        tpm,
        "PolicyCommandCode",
        &[&|s| build::policy_command_code(s, UNSEAL)],
        &[],
        false,
    )?;
    use_policy(
        tpm,
        "PolicyCommandCode, another",
        &[&|s| build::policy_command_code(s, NV_READ)],
        &[],
        false,
    )?;
    use_policy(tpm, "PolicyLocality", &[&|s| build::policy_locality(s, 1)], &[], false)?;
    use_policy(
        tpm,
        "PolicyLocality, another",
        &[&|s| build::policy_locality(s, 2)],
        &[],
        false,
    )?;
    use_policy(
        tpm,
        "PolicyPCR",
        &[&|s| build::policy_pcr(s, &[], &pcrs(alg::SHA256, &[16]))],
        &[],
        false,
    )?;
    use_policy(
        tpm,
        "PolicyPhysicalPresence",
        &[&build::policy_physical_presence],
        &[],
        false,
    )?;
    use_policy(
        tpm,
        "PolicyCpHash",
        &[&|s| build::policy_cp_hash(s, &[5; 32])],
        &[],
        false,
    )?;
    use_policy(
        tpm,
        "PolicyNameHash",
        &[&|s| build::policy_name_hash(s, &[5; 32])],
        &[],
        false,
    )?;
    use_policy(
        tpm,
        "PolicyTemplate",
        &[&|s| build::policy_template(s, &[5; 32])],
        &[],
        false,
    )?;
    use_policy(
        tpm,
        "PolicyNvWritten",
        &[&|s| build::policy_nv_written(s, 1)],
        &[],
        false,
    )?;
    use_policy(
        tpm,
        "PolicySecret",
        &[&|s| build::policy_secret(rh::OWNER, s, &[], &[], &[], 0)],
        &[],
        false,
    )?;
    use_policy(
        tpm,
        "PolicyDuplicationSelect",
        &[&|s| build::policy_duplication_select(s, &[1; 34], &[2; 34], 0)],
        &[],
        false,
    )?;
    tpm.step("a PCR changes before use");
    let trial = tpm.start(&Options::trial())?;
    tpm.ok(build::policy_pcr(trial, &[], &pcrs(alg::SHA256, &[1])))?;
    let digest = tpm.ok(build::policy_get_digest(trial))?.first()?;
    let sealed = child(tpm, parent, &[], b"secret", &Public::sealed().policy(&digest))?;
    let session = tpm.start(&Options::policy())?;
    tpm.ok(build::policy_pcr(session, &[], &pcrs(alg::SHA256, &[1])))?;
    tpm.ok(build::unseal(sealed).session(session, KEEP, &[]))?;
    tpm.ok(build::policy_pcr(session, &[], &pcrs(alg::SHA256, &[1])))?;
    tpm.ok(build::pcr_event(1, b"event"))?;
    tpm.fails(build::unseal(sealed).session(session, KEEP, &[]))?;
    tpm.step("a policy of another hash");
    let session = tpm.start(&Options::policy().hash(alg::SHA1))?;
    tpm.run(build::unseal(sealed).session(session, KEEP, &[]))?;
    Ok(())
}
