//! Start-up and shut-down (Part 3, 9; Part 1, 12.2).

use anyhow::Result;

use super::{primary, startup};
use crate::build::{self, Patch, Public, digest_values, pcrs};
use crate::client::Tpm;
use crate::codes::{alg, cap, na, rh};
use crate::session::Options;

pub(super) fn before_startup(tpm: &mut Tpm) -> Result<()> {
    tpm.step("commands before TPM2_Startup");
    tpm.fails(build::get_random(8))?;
    tpm.fails(build::shutdown(0))?;
    tpm.fails(build::pcr_read(&pcrs(alg::SHA256, &[0])))?;
    tpm.run(build::get_capability(cap::TPM_PROPERTIES, 0x100, 1))?;
    tpm.run(build::self_test(1))?;
    tpm.run(build::get_test_result())?;
    tpm.step("no such types");
    tpm.fails(build::startup(2))?;
    tpm.fails(build::startup(0xFFFF))?;
    tpm.fails(build::startup(0).patch(Patch::Cut(11)))?;
    tpm.fails(build::startup(0).patch(Patch::Append(vec![0])))?;
    tpm.step("resume without a saved state");
    tpm.fails(build::startup(1))?;
    tpm.step("sessions are refused");
    tpm.run(build::startup(0).pw(&[]))?;
    tpm.ok(build::startup(0))?;
    tpm.step("a second time");
    tpm.fails(build::startup(0))?;
    tpm.fails(build::startup(1))?;
    Ok(())
}

/// What survives which kind of start.
fn look(tpm: &mut Tpm) -> Result<()> {
    for number in [0, 9, 16, 17, 20, 23] {
        tpm.ok(build::pcr_read(&pcrs(alg::SHA256, &[number])))?;
    }
    tpm.run(build::nv_read(0x0100_0001, 0x0100_0001, 8, 0))?;
    tpm.run(build::nv_read(0x0100_0002, 0x0100_0002, 8, 0))?;
    tpm.run(build::nv_read(0x0100_0003, 0x0100_0003, 8, 0))?;
    tpm.run(build::nv_read_public(0x0100_0001))?;
    tpm.run(build::nv_read_public(0x0100_0002))?;
    tpm.run(build::read_public(0x8000_0000))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x8000_0000, 8))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x0200_0000, 8))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x0300_0000, 8))?;
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 2))?;
    tpm.ok(build::read_clock())?;
    // The platform's authorization is lost when the platform restarts, the owner's is kept.
    tpm.run(build::hierarchy_control(rh::PLATFORM, rh::ENDORSEMENT, 1).pw(b"platform"))?;
    tpm.run(build::set_primary_policy(rh::OWNER, &[], alg::NULL).pw(b"owner"))?;
    Ok(())
}

fn prepare(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    for (number, attributes) in [(1, 0), (2, na::ORDERLY), (3, na::CLEAR_STCLEAR)] {
        let index = 0x0100_0000 + number;
        let attributes = na::AUTHREAD | na::AUTHWRITE | na::NO_DA | na::READ_STCLEAR | na::WRITE_STCLEAR | attributes;
        tpm.ok(build::nv_define_space(
            rh::OWNER,
            &[],
            &build::nv_public(index, alg::SHA256, attributes, &[], 8),
        ))?;
        tpm.ok(build::nv_write(index, index, &[0x55; 8], 0))?;
    }
    tpm.ok(build::nv_write_lock(0x0100_0001, 0x0100_0001))?;
    tpm.ok(primary(rh::OWNER, &[], b"sealed", &Public::sealed()))?;
    tpm.start(&Options::hmac())?;
    let session = tpm.start(&Options::policy())?;
    tpm.ok(build::policy_auth_value(session))?;
    tpm.ok(build::context_save(session))?;
    for pcr in [0, 9, 16, 23] {
        tpm.ok(build::pcr_extend(pcr, &digest_values(&[(alg::SHA256, &[7; 32])])))?;
    }
    tpm.ok(build::hierarchy_change_auth(rh::PLATFORM, b"platform"))?;
    tpm.ok(build::hierarchy_change_auth(rh::OWNER, b"owner"))?;
    tpm.ok(build::hierarchy_control(rh::PLATFORM, rh::ENDORSEMENT, 0).pw(b"platform"))?;
    look(tpm)
}

pub(super) fn resets(tpm: &mut Tpm) -> Result<()> {
    prepare(tpm)?;
    tpm.step("after an orderly reset");
    tpm.ok(build::shutdown(0))?;
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    look(tpm)?;
    tpm.step("after a reset that was not orderly");
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    look(tpm)
}

pub(super) fn restarts_and_resumes(tpm: &mut Tpm) -> Result<()> {
    prepare(tpm)?;
    tpm.step("restart");
    tpm.ok(build::shutdown(1))?;
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    look(tpm)?;
    tpm.step("resume");
    tpm.ok(build::pcr_extend(0, &digest_values(&[(alg::SHA256, &[8; 32])])))?;
    tpm.ok(build::pcr_extend(16, &digest_values(&[(alg::SHA256, &[8; 32])])))?;
    tpm.ok(build::shutdown(1))?;
    tpm.power_cycle()?;
    tpm.ok(build::startup(1))?;
    look(tpm)?;
    tpm.step("resume twice");
    tpm.power_cycle()?;
    tpm.fails(build::startup(1))?;
    tpm.ok(build::startup(0))?;
    look(tpm)
}

pub(super) fn shutdowns(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("no such types");
    tpm.fails(build::shutdown(2))?;
    tpm.fails(build::shutdown(0).patch(Patch::Append(vec![1])))?;
    tpm.step("a command after shut-down takes it back");
    tpm.ok(build::shutdown(1))?;
    tpm.ok(build::get_random(1))?;
    tpm.power_cycle()?;
    tpm.run(build::startup(1))?;
    tpm.run(build::startup(0))?;
    tpm.step("a change after shut-down takes it back");
    tpm.ok(build::shutdown(1))?;
    tpm.ok(build::pcr_extend(3, &digest_values(&[(alg::SHA256, &[7; 32])])))?;
    tpm.power_cycle()?;
    tpm.run(build::startup(1))?;
    tpm.run(build::startup(0))?;
    tpm.step("an audit session on shut-down");
    let session = tpm.start(&Options::hmac())?;
    tpm.run(build::shutdown(0).with(session, 0x81))?;
    Ok(())
}
