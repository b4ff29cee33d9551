//! Enhanced authorization (Part 3, 23; Part 1, 19.7).

use anyhow::Result;

use super::{flush, primary, startup};
use crate::build::{self, Call, Patch, Public, digests, pcrs};
use crate::client::Tpm;
use crate::codes::{alg, cap, eo, na, oa, rh, sa};
use crate::crypto;
use crate::session::Options;
use crate::wire::Out;

const KEEP: u8 = sa::CONTINUE;
const NV_READ: u32 = 0x14E;
const UNSEAL: u32 = 0x15E;

/// Runs `assertions` in a trial and in a policy session of each hash, and reads the digest after each.
fn digests_of(tpm: &mut Tpm, assertions: &[&dyn Fn(u32) -> Call]) -> Result<()> {
    for hash in [alg::SHA1, alg::SHA256, alg::SHA384, alg::SHA512] {
        for options in [Options::trial(), Options::policy()] {
            let session = tpm.start(&options.hash(hash))?;
            for assertion in assertions {
                tpm.run(assertion(session))?;
                tpm.ok(build::policy_get_digest(session))?;
            }
            tpm.ok(build::policy_restart(session))?;
            tpm.ok(build::policy_get_digest(session))?;
            flush(tpm, &[session])?;
        }
    }
    Ok(())
}

pub(super) fn simple_assertions(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("assertions one upon the other");
    digests_of(
        tpm,
        &[
            &build::policy_auth_value,
            &build::policy_password,
            &|session| build::policy_command_code(session, NV_READ),
            &|session| build::policy_command_code(session, NV_READ),
            &|session| build::policy_command_code(session, UNSEAL),
            &|session| build::policy_locality(session, 3),
            &|session| build::policy_locality(session, 1),
            &|session| build::policy_locality(session, 4),
            &|session| build::policy_nv_written(session, 1),
            &|session| build::policy_nv_written(session, 1),
            &|session| build::policy_nv_written(session, 0),
            &build::policy_physical_presence,
            &|session| build::policy_counter_timer(session, &[0; 8], 0, eo::UNSIGNED_GE),
        ],
    )?;
    tpm.step("values out of range");
    digests_of(
        tpm,
        &[
            &|session| build::policy_command_code(session, 0x11E),
            &|session| build::policy_command_code(session, 0x2000_0000),
            &|session| build::policy_locality(session, 0),
            &|session| build::policy_locality(session, 32),
            &|session| build::policy_locality(session, 33),
            &|session| build::policy_locality(session, 31),
            &|session| build::policy_locality(session, 255),
            &|session| build::policy_nv_written(session, 2),
        ],
    )?;
    tpm.step("handles that are no policy session");
    let hmac = tpm.start(&Options::hmac())?;
    for handle in [hmac, 0x0300_0007, 0x0200_0007, rh::OWNER, 0x8000_0000, rh::PW, rh::NULL] {
        tpm.run(build::policy_auth_value(handle))?;
        tpm.run(build::policy_get_digest(handle))?;
        tpm.run(build::policy_restart(handle))?;
        tpm.run(build::policy_command_code(handle, UNSEAL))?;
    }
    tpm.step("with sessions");
    let policy = tpm.start(&Options::policy())?;
    tpm.ok(build::policy_auth_value(policy).with(hmac, KEEP | sa::AUDIT))?;
    tpm.run(build::policy_auth_value(policy).with(policy, KEEP))?;
    tpm.fails(build::policy_password(policy).patch(Patch::Append(vec![0])))?;
    Ok(())
}

pub(super) fn hashes(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    for [first, second] in [
        [0, 1],
        [1, 0],
        [0, 2],
        [2, 0],
        [1, 2],
        [3, 0],
        [0, 3],
        [3, 1],
        [0, 0],
        [1, 1],
        [2, 2],
        [3, 3],
    ] {
        tpm.step(&format!(
            "cpHash, nameHash, template, parameters: {first} then {second}"
        ));
        let session = tpm.start(&Options::policy())?;
        for which in [first, second] {
            let value = &[0x5A; 32];
            let call = match which {
                0 => build::policy_cp_hash(session, value),
                1 => build::policy_name_hash(session, value),
                2 => build::policy_template(session, value),
                _ => build::policy_duplication_select(session, value, value, 1),
            };
            tpm.run(call)?;
            tpm.ok(build::policy_get_digest(session))?;
        }
        flush(tpm, &[session])?;
    }
    tpm.step("digests of the wrong size");
    let session = tpm.start(&Options::policy())?;
    for size in [0, 20, 31, 33, 64] {
        tpm.run(build::policy_cp_hash(session, &vec![1; size]))?;
        tpm.run(build::policy_name_hash(session, &vec![1; size]))?;
        tpm.run(build::policy_template(session, &vec![1; size]))?;
        tpm.run(build::policy_parameters(session, &vec![1; size]))?;
    }
    tpm.run(build::policy_cp_hash(session, &[2; 32]))?;
    tpm.run(build::policy_cp_hash(session, &[3; 32]))?;
    tpm.ok(build::policy_get_digest(session))?;
    Ok(())
}

pub(super) fn or_and_pcr(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("PolicyOR");
    let zero = [0; 32];
    let session = tpm.start(&Options::policy())?;
    for list in [
        digests(&[]),
        digests(&[&zero]),
        digests(&[&[1; 32], &[2; 32]]),
        digests(&[&zero, &[2; 32]]),
        digests(&[&[1; 32][..]; 8]),
        digests(&[&[1; 32][..]; 9]),
        digests(&[&[1; 20], &zero]),
        digests(&[&zero, &[]]),
    ] {
        tpm.run(build::policy_or(session, &list))?;
        tpm.ok(build::policy_get_digest(session))?;
    }
    let trial = tpm.start(&Options::trial())?;
    tpm.ok(build::policy_or(trial, &digests(&[&[1; 32], &[2; 32], &[3; 20]])))?;
    tpm.ok(build::policy_get_digest(trial))?;
    flush(tpm, &[session, trial])?;
    tpm.step("PolicyPCR");
    let now = crypto::hash(alg::SHA256, &[&[0; 32]])?;
    for (digest, selection) in [
        (&[][..], pcrs(alg::SHA256, &[0])),
        (&now, pcrs(alg::SHA256, &[0])),
        (&[1; 32], pcrs(alg::SHA256, &[0])),
        (&[1; 20], pcrs(alg::SHA256, &[0])),
        (&[], pcrs(alg::SHA1, &[0, 7, 23])),
        (&[], pcrs(alg::SHA256, &[])),
        (&[], Out::new().u32(1).u16(alg::SHA256).u8(2).raw(&[1, 0]).0),
        (&[], Out::new().u32(1).u16(alg::SHA256).u8(4).raw(&[1, 0, 0, 0]).0),
        (&[], Out::new().u32(1).u16(alg::AES).u8(3).raw(&[1, 0, 0]).0),
        (&[], Out::new().u32(2).raw(&[0, 0xB, 3, 1, 0, 0, 0, 4, 3, 1, 0, 0]).0),
    ] {
        for options in [Options::policy(), Options::trial()] {
            let session = tpm.start(&options)?;
            tpm.run(build::policy_pcr(session, digest, &selection))?;
            tpm.ok(build::policy_get_digest(session))?;
            flush(tpm, &[session])?;
        }
    }
    tpm.step("a PCR changes after the assertion");
    let session = tpm.start(&Options::policy())?;
    tpm.ok(build::policy_pcr(session, &[], &pcrs(alg::SHA256, &[16])))?;
    tpm.ok(build::policy_pcr(session, &[], &pcrs(alg::SHA256, &[16])))?;
    tpm.ok(build::pcr_event(0, b"event"))?;
    tpm.run(build::policy_pcr(session, &[], &pcrs(alg::SHA256, &[16])))?;
    tpm.run(build::policy_pcr(session, &[], &pcrs(alg::SHA256, &[17])))?;
    tpm.ok(build::policy_get_digest(session))?;
    Ok(())
}

pub(super) fn nv(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let index = 0x0100_0030;
    let attributes = na::AUTHREAD | na::AUTHWRITE | na::OWNERREAD | na::OWNERWRITE | na::NO_DA;
    let policy = |session, operand: &[u8], offset, operation| {
        build::policy_nv(index, index, session, operand, offset, operation).pw(b"index")
    };
    let session = tpm.start(&Options::policy())?;
    tpm.step("no such index");
    tpm.fails(policy(session, &[1], 0, eo::EQ))?;
    tpm.ok(build::nv_define_space(
        rh::OWNER,
        b"index",
        &build::nv_public(index, alg::SHA256, attributes, &[], 8),
    ))?;
    tpm.step("not written");
    tpm.fails(policy(session, &[1], 0, eo::EQ))?;
    tpm.ok(build::nv_write(index, index, &[0x80, 2, 3, 4, 5, 6, 7, 8], 0).pw(b"index"))?;
    tpm.step("each comparison");
    for operation in 0..13 {
        for operand in [[0x80, 2], [0x7F, 2], [0x01, 3], [0, 0], [0x7F, 0xFF]] {
            tpm.run(policy(session, &operand, 0, operation))?;
        }
        tpm.ok(build::policy_get_digest(session))?;
    }
    tpm.step("ranges");
    tpm.run(policy(session, &[], 0, eo::EQ))?;
    tpm.run(policy(session, &[8], 7, eo::EQ))?;
    tpm.run(policy(session, &[8], 8, eo::EQ))?;
    tpm.run(policy(session, &[7, 8, 9], 6, eo::EQ))?;
    tpm.run(policy(session, &[7; 33], 0, eo::NEQ))?;
    tpm.step("authorization");
    tpm.fails(policy(session, &[0x80], 0, eo::EQ).pw(b"wrong"))?;
    tpm.ok(build::policy_nv(rh::OWNER, index, session, &[0x80], 0, eo::EQ))?;
    tpm.run(build::policy_nv(rh::PLATFORM, index, session, &[0x80], 0, eo::EQ))?;
    tpm.run(build::policy_nv(0x0100_0031, index, session, &[0x80], 0, eo::EQ))?;
    let trial = tpm.start(&Options::trial())?;
    tpm.ok(policy(trial, &[1], 0, eo::EQ))?;
    tpm.run(policy(trial, &[1; 40], 50, 99))?;
    tpm.ok(build::policy_get_digest(trial))?;
    tpm.step("a policy in an index");
    let holder = 0x0100_0032;
    tpm.ok(build::nv_define_space(
        rh::OWNER,
        &[],
        &build::nv_public(holder, alg::SHA256, attributes, &[], 34),
    ))?;
    tpm.run(build::policy_authorize_nv(holder, holder, trial))?;
    let digest = tpm.ok(build::policy_get_digest(session))?.first()?;
    tpm.fails(build::policy_authorize_nv(holder, holder, session))?;
    tpm.ok(build::nv_write(
        holder,
        holder,
        &Out::new().u16(alg::SHA256).raw(&digest).0,
        0,
    ))?;
    tpm.ok(build::policy_authorize_nv(holder, holder, session))?;
    tpm.ok(build::policy_get_digest(session))?;
    tpm.fails(build::policy_authorize_nv(holder, holder, session))?;
    tpm.ok(build::nv_write(
        holder,
        holder,
        &Out::new().u16(alg::SHA1).raw(&digest).0,
        0,
    ))?;
    tpm.fails(build::policy_authorize_nv(holder, holder, session))?;
    tpm.step("both negative");
    for operation in [eo::SIGNED_GT, eo::SIGNED_LT, eo::SIGNED_GE, eo::SIGNED_LE] {
        tpm.run(policy(session, &[0x80, 3], 0, operation))?;
    }
    Ok(())
}

pub(super) fn counter_timer_and_capability(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let session = tpm.start(&Options::policy())?;
    tpm.step("counters and timers");
    for operation in 0..13 {
        tpm.run(build::policy_counter_timer(session, &[0xFF; 4], 0, operation))?;
        tpm.run(build::policy_counter_timer(session, &[0; 4], 16, operation))?;
        tpm.run(build::policy_counter_timer(session, &[1], 24, operation))?;
    }
    for (size, offset) in [
        (1, 24),
        (1, 25),
        (2, 24),
        (25, 0),
        (26, 0),
        (0, 0),
        (0, 25),
        (33, 0),
        (8, 20),
    ] {
        tpm.run(build::policy_counter_timer(session, &vec![0; size], offset, eo::NEQ))?;
        tpm.run(build::policy_counter_timer(session, &vec![0xFF; size], offset, eo::EQ))?;
    }
    let trial = tpm.start(&Options::trial())?;
    tpm.run(build::policy_counter_timer(trial, &[1; 30], 40, eo::EQ))?;
    tpm.run(build::policy_counter_timer(trial, &[1; 8], 0, eo::EQ))?;
    tpm.ok(build::policy_get_digest(trial))?;
    tpm.step("capabilities");
    tpm.run(build::policy_capability(
        session,
        &[0, 0, 1, 0],
        0,
        eo::EQ,
        cap::TPM_PROPERTIES,
        0x100,
    ))?;
    tpm.run(build::policy_capability(session, &[0], 0, eo::NEQ, cap::ALGS, 1))?;
    Ok(())
}

pub(super) fn templates(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("a policy for one template");
    let allowed = crypto::hash(alg::SHA256, &[&Public::sealed().bytes()])?;
    let trial = tpm.start(&Options::trial())?;
    tpm.ok(build::policy_template(trial, &allowed))?;
    let digest = tpm.ok(build::policy_get_digest(trial))?.first()?;
    flush(tpm, &[trial])?;
    tpm.ok(build::set_primary_policy(rh::OWNER, &digest, alg::SHA256))?;
    let parent = tpm
        .ok(primary(rh::PLATFORM, &[], &[], &Public::ecc_parent().policy(&digest)))?
        .handle;
    let sensitive = build::sensitive_create(&[], b"data");
    for public in [
        Public::sealed(),
        Public::sealed().set(oa::NO_DA),
        Public::sealed().policy(&digest),
    ] {
        let none = pcrs(0, &[]);
        for call in [
            build::create_primary(rh::OWNER, &sensitive, &public.bytes(), &[], &none),
            build::create(parent, &sensitive, &public.bytes(), &[], &none),
            build::create_loaded(parent, &sensitive, &public.bytes()),
            build::create_loaded(rh::OWNER, &sensitive, &public.bytes()),
            build::hierarchy_change_auth(rh::OWNER, &[]),
            build::load(parent, &sensitive, &public.bytes()),
        ] {
            tpm.step("used for what it is for, and for others");
            let session = tpm.start(&Options::policy())?;
            tpm.ok(build::policy_template(session, &allowed))?;
            tpm.run(call.session(session, 0, &[]))?;
            tpm.run(build::flush_context(session))?;
            tpm.run(build::flush_context(0x8000_0001))?;
        }
    }
    Ok(())
}
