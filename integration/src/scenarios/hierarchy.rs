//! Hierarchies, the dictionary-attack logic, clocks and other settings (Part 3, 24 to 29).

use anyhow::Result;

use super::{primary, startup, storage};
use crate::build::{self, Auth, Public, list32, nv_public};
use crate::client::Tpm;
use crate::codes::{alg, cap, na, rh, sa};
use crate::session::Options;

const ALL: [u32; 7] = [
    rh::OWNER,
    rh::ENDORSEMENT,
    rh::PLATFORM,
    rh::PLATFORM_NV,
    rh::LOCKOUT,
    rh::NULL,
    0x8000_0000,
];

pub(super) fn control(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    for auth in [rh::OWNER, rh::ENDORSEMENT, rh::PLATFORM, rh::LOCKOUT, rh::NULL] {
        for enable in ALL {
            for state in [0, 1, 2] {
                if (auth, enable, state) == (rh::PLATFORM, rh::PLATFORM, 0) {
                    continue;
                }
                tpm.step("who may switch what");
                tpm.run(build::hierarchy_control(auth, enable, state))?;
                tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 2))?;
            }
        }
        for hierarchy in [rh::OWNER, rh::ENDORSEMENT, rh::PLATFORM_NV] {
            tpm.run(build::hierarchy_control(rh::PLATFORM, hierarchy, 1))?;
        }
    }
    tpm.step("objects of a hierarchy that is switched off");
    let key = storage(tpm)?;
    tpm.ok(build::evict_control(rh::OWNER, key, 0x8100_0001))?;
    tpm.ok(build::hierarchy_control(rh::OWNER, rh::OWNER, 0))?;
    tpm.run(build::read_public(key))?;
    tpm.run(build::read_public(0x8100_0001))?;
    tpm.run(primary(rh::OWNER, &[], &[], &Public::ecc_parent()))?;
    tpm.run(build::evict_control(rh::OWNER, key, 0x8100_0001))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x8100_0000, 4))?;
    tpm.step("the platform's indices");
    let public = nv_public(
        0x0100_0001,
        alg::SHA256,
        na::PPREAD | na::PPWRITE | na::PLATFORMCREATE | na::AUTHREAD,
        &[],
        8,
    );
    tpm.ok(build::nv_define_space(rh::PLATFORM, &[], &public))?;
    tpm.ok(build::nv_write(rh::PLATFORM, 0x0100_0001, b"data", 0))?;
    tpm.ok(build::hierarchy_control(rh::PLATFORM, rh::PLATFORM_NV, 0))?;
    tpm.run(build::nv_read(rh::PLATFORM, 0x0100_0001, 4, 0))?;
    tpm.run(build::nv_read(0x0100_0001, 0x0100_0001, 4, 0))?;
    tpm.step("the platform itself");
    tpm.ok(build::hierarchy_control(rh::PLATFORM, rh::PLATFORM, 0))?;
    for hierarchy in ALL {
        tpm.run(build::hierarchy_control(rh::PLATFORM, hierarchy, 1))?;
    }
    tpm.run(primary(rh::PLATFORM, &[], &[], &Public::ecc_parent()))?;
    tpm.run(build::clear(rh::PLATFORM))?;
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 2))?;
    tpm.ok(build::shutdown(0))?;
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 2))?;
    tpm.run(build::read_public(0x8100_0001))?;
    Ok(())
}

pub(super) fn auth_values(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    for hierarchy in ALL {
        tpm.step("by password");
        tpm.run(build::hierarchy_change_auth(hierarchy, b"new"))?;
        tpm.run(build::hierarchy_change_auth(hierarchy, b"newer").pw(b"wrong"))?;
        tpm.run(build::hierarchy_change_auth(hierarchy, b"newer").pw(b"new"))?;
        tpm.run(build::hierarchy_change_auth(hierarchy, b"trailing zeros\0\0").pw(b"newer"))?;
        tpm.run(build::hierarchy_change_auth(hierarchy, &[]).pw(b"trailing zeros"))?;
    }
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 1))?;
    tpm.step("sizes");
    for size in [20, 32, 48, 63, 64, 65] {
        let answer = tpm.run(build::hierarchy_change_auth(rh::OWNER, &vec![9; size]))?;
        if answer.rc == 0 {
            tpm.ok(build::hierarchy_change_auth(rh::OWNER, &[]).pw(&vec![9; size]))?;
        }
    }
    tpm.step("by HMAC session: the response is under the new value");
    let session = tpm.start(&Options::hmac())?;
    let (auth, after) = (Vec::new(), Some(b"new".to_vec()));
    let auth = Auth::Session {
        handle: session,
        attributes: 1,
        auth,
        auth_after: after,
        bound: false,
        plain: false,
    };
    tpm.ok(build::hierarchy_change_auth(rh::OWNER, b"new").auth(0, auth))?;
    tpm.ok(build::clear_control(rh::PLATFORM, 1))?;
    tpm.ok(build::set_primary_policy(rh::OWNER, &[], alg::NULL).session(session, 1, b"new"))?;
    tpm.step("policies");
    for hierarchy in ALL {
        tpm.run(build::set_primary_policy(hierarchy, &[7; 32], alg::SHA256))?;
        tpm.run(build::set_primary_policy(hierarchy, &[7; 20], alg::SHA256))?;
        tpm.run(build::set_primary_policy(hierarchy, &[], alg::SHA256))?;
        tpm.run(build::set_primary_policy(hierarchy, &[7; 20], alg::NULL))?;
        tpm.run(build::set_primary_policy(hierarchy, &[7; 20], alg::AES))?;
        tpm.run(build::get_capability(cap::AUTH_POLICIES, rh::OWNER, 20))?;
    }
    tpm.step("authorization by a hierarchy's policy");
    let trial = tpm.start(&Options::trial())?;
    tpm.ok(build::policy_command_code(trial, 0x121))?;
    let digest = tpm.ok(build::policy_get_digest(trial))?.first()?;
    tpm.ok(build::set_primary_policy(rh::PLATFORM, &digest, alg::SHA256))?;
    let policy = tpm.start(&Options::policy())?;
    let control = build::hierarchy_control(rh::PLATFORM, rh::OWNER, 1).session(policy, sa::CONTINUE, &[]);
    tpm.fails(control.clone())?;
    tpm.ok(build::policy_command_code(policy, 0x121))?;
    tpm.ok(control)?;
    tpm.fails(build::clear(rh::PLATFORM).session(policy, sa::CONTINUE, &[]))?;
    Ok(())
}

pub(super) fn clearing(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let key = storage(tpm)?;
    tpm.ok(build::evict_control(rh::OWNER, key, 0x8100_0001))?;
    tpm.ok(primary(rh::PLATFORM, &[], &[], &Public::ecc_parent()))?;
    for (number, auth, attributes) in [(1, rh::OWNER, 0), (2, rh::PLATFORM, na::PLATFORMCREATE)] {
        let attributes = na::AUTHREAD | na::AUTHWRITE | na::NO_DA | attributes;
        tpm.ok(build::nv_define_space(
            auth,
            &[],
            &nv_public(0x0100_0000 + number, alg::SHA256, attributes, &[], 8),
        ))?;
    }
    tpm.ok(build::hierarchy_change_auth(rh::OWNER, b"owner"))?;
    tpm.ok(build::hierarchy_change_auth(rh::ENDORSEMENT, b"endorsement"))?;
    tpm.ok(build::set_primary_policy(rh::LOCKOUT, &[7; 32], alg::SHA256))?;
    tpm.step("who may forbid it");
    for auth in ALL {
        tpm.run(build::clear_control(auth, 1))?;
        tpm.run(build::clear(rh::LOCKOUT))?;
        tpm.run(build::clear_control(rh::LOCKOUT, 0))?;
        tpm.run(build::clear_control(rh::PLATFORM, 0))?;
    }
    tpm.run(build::clear_control(rh::PLATFORM, 2))?;
    tpm.step("cleared");
    for auth in ALL {
        tpm.run(build::clear(auth))?;
        tpm.run(build::read_public(0x8100_0001))?;
        tpm.run(build::read_public(0x8000_0000))?;
        tpm.run(build::read_public(0x8000_0001))?;
        tpm.ok(build::get_capability(cap::HANDLES, 0x0100_0000, 4))?;
        tpm.ok(build::get_capability(cap::HANDLES, 0x8000_0000, 4))?;
        tpm.run(build::set_primary_policy(rh::OWNER, &[], alg::NULL))?;
        tpm.ok(build::read_clock())?;
        tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 2))?;
    }
    tpm.step("new seeds");
    for auth in ALL {
        if auth != rh::PLATFORM {
            tpm.run(build::change_eps(auth))?;
            tpm.run(build::change_pps(auth))?;
        }
    }
    tpm.ok(primary(rh::ENDORSEMENT, &[], &[], &Public::ecc_parent()))?;
    tpm.ok(build::hierarchy_change_auth(rh::ENDORSEMENT, b"endorsement"))?;
    tpm.ok(build::change_eps(rh::PLATFORM))?;
    tpm.run(build::get_capability(cap::HANDLES, 0x8000_0000, 10))?;
    tpm.run(build::hierarchy_change_auth(rh::ENDORSEMENT, b"endorsement"))?;
    tpm.ok(build::set_primary_policy(rh::PLATFORM, &[7; 32], alg::SHA256))?;
    tpm.ok(build::change_pps(rh::PLATFORM))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x8000_0000, 10))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x0100_0000, 10))?;
    tpm.run(build::get_capability(cap::AUTH_POLICIES, rh::OWNER, 20))?;
    Ok(())
}

pub(super) fn dictionary_attack(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.ok(build::hierarchy_change_auth(rh::LOCKOUT, b"lockout"))?;
    tpm.step("parameters");
    for (tries, recovery, lockout) in [
        (2, 1000, 1000),
        (0, 1000, 1000),
        (5, 0, 1000),
        (5, 1000, 0),
        (10, 100, 100),
    ] {
        tpm.ok(build::dictionary_attack_parameters(rh::LOCKOUT, tries, recovery, lockout).pw(b"lockout"))?;
        tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x20E, 4))?;
    }
    for auth in [rh::OWNER, rh::PLATFORM, rh::ENDORSEMENT, rh::NULL] {
        tpm.fails(build::dictionary_attack_parameters(auth, 1, 1, 1))?;
        tpm.fails(build::dictionary_attack_lock_reset(auth))?;
    }
    tpm.step("locked out");
    tpm.ok(build::dictionary_attack_parameters(rh::LOCKOUT, 2, 1000, 1000).pw(b"lockout"))?;
    let guarded = Public::sealed();
    let sealed = tpm.ok(primary(rh::OWNER, b"auth", b"data", &guarded))?.handle;
    for password in [&b"auth"[..], b"wrong", b"auth", b"wrong", b"auth", b"wrong"] {
        tpm.run(build::unseal(sealed).pw(password))?;
        tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 1))?;
        tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x20E, 1))?;
    }
    let session = tpm.start(&Options::hmac())?;
    tpm.run(build::unseal(sealed).session(session, 1, b"auth"))?;
    tpm.step("released");
    tpm.ok(build::dictionary_attack_lock_reset(rh::LOCKOUT).pw(b"lockout"))?;
    tpm.ok(build::unseal(sealed).pw(b"auth"))?;
    tpm.step("a restart that was not orderly counts as a failure");
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x20E, 1))?;
    let sealed = tpm.ok(primary(rh::OWNER, b"auth", b"data", &guarded))?.handle;
    tpm.run(build::unseal(sealed).pw(b"auth"))?;
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x20E, 1))?;
    tpm.step("the lockout authorization itself");
    tpm.fails(build::dictionary_attack_lock_reset(rh::LOCKOUT).pw(b"wrong"))?;
    tpm.fails(build::dictionary_attack_lock_reset(rh::LOCKOUT).pw(b"lockout"))?;
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 1))?;
    tpm.ok(build::clear(rh::PLATFORM))?;
    tpm.run(build::dictionary_attack_lock_reset(rh::LOCKOUT))?;
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x20E, 4))?;
    Ok(())
}

pub(super) fn clocks(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("setting the clock");
    for (auth, time) in [
        (rh::OWNER, 1),
        (rh::PLATFORM, 2),
        (rh::ENDORSEMENT, 3),
        (rh::LOCKOUT, 4),
    ] {
        tpm.run(build::clock_set(auth, time * 1_000_000))?;
    }
    for time in [
        0,
        999_999,
        0xFFFF_0000_0000_0000,
        0xFFFF_0000_0000_0001,
        u64::MAX,
        10_000_000,
    ] {
        tpm.run(build::clock_set(rh::OWNER, time))?;
    }
    tpm.ok(build::read_clock())?;
    tpm.step("its rate");
    for rate in [0, 1, 2, 3, 4, 0xFD, 0xFE, 0xFF, 0xFC] {
        tpm.run(build::clock_rate_adjust(rh::OWNER, rate))?;
        tpm.run(build::clock_rate_adjust(rh::PLATFORM, rate))?;
    }
    tpm.fails(build::clock_rate_adjust(rh::ENDORSEMENT, 0))?;
    tpm.ok(build::read_clock())?;
    tpm.fails(build::read_clock().pw(&[]))?;
    Ok(())
}

pub(super) fn settings(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let none = list32(&[]);
    tpm.step("physical presence");
    for auth in ALL {
        tpm.run(build::pp_commands(auth, &list32(&[0x126]), &none))?;
    }
    tpm.ok(build::get_capability(cap::PP_COMMANDS, 0, 100))?;
    for code in [0x11F, 0x120, 0x12D, 0x13B, 0x13D, 0x144, 0x17B, 0x9999] {
        tpm.run(build::pp_commands(rh::PLATFORM, &list32(&[code]), &none))?;
    }
    tpm.ok(build::get_capability(cap::PP_COMMANDS, 0, 100))?;
    tpm.step("audited commands");
    for auth in [rh::OWNER, rh::PLATFORM, rh::ENDORSEMENT] {
        tpm.run(build::set_command_code_audit_status(
            auth,
            alg::NULL,
            &list32(&[0x17B]),
            &none,
        ))?;
        tpm.run(build::set_command_code_audit_status(
            auth,
            alg::NULL,
            &none,
            &list32(&[0x140, 0x17B]),
        ))?;
        tpm.run(build::set_command_code_audit_status(auth, alg::SHA1, &none, &none))?;
        tpm.run(build::set_command_code_audit_status(
            auth,
            alg::SHA1,
            &list32(&[0x17B]),
            &none,
        ))?;
        tpm.run(build::set_command_code_audit_status(auth, alg::SHA256, &none, &none))?;
        tpm.run(build::set_command_code_audit_status(
            auth,
            alg::NULL,
            &list32(&[0x17B, 0x9999, 0x145]),
            &none,
        ))?;
        tpm.ok(build::get_capability(cap::AUDIT_COMMANDS, 0, 100))?;
    }
    tpm.ok(build::get_random(4))?;
    tpm.ok(build::get_command_audit_digest(
        rh::ENDORSEMENT,
        rh::NULL,
        b"nonce",
        &build::null(),
    ))?;
    tpm.step("algorithm sets");
    for auth in [rh::PLATFORM, rh::OWNER] {
        tpm.run(build::set_algorithm_set(auth, 0))?;
        tpm.run(build::set_algorithm_set(auth, 1))?;
    }
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 30))?;
    Ok(())
}
