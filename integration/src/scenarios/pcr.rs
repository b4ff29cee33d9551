//! PCRs (Part 3, 22).

use anyhow::Result;

use super::startup;
use crate::build::{self, Patch, digest_values, pcrs};
use crate::client::Tpm;
use crate::codes::{alg, cap, rh};
use crate::session::Options;
use crate::wire::Out;

const BANKS: [(u16, usize); 4] = [(alg::SHA1, 20), (alg::SHA256, 32), (alg::SHA384, 48), (alg::SHA512, 64)];

fn read_all(tpm: &mut Tpm) -> Result<()> {
    for (bank, _) in BANKS {
        for first in (0u8..24).step_by(8) {
            let numbers: Vec<u8> = (first..first + 8).collect();
            tpm.run(build::pcr_read(&pcrs(bank, &numbers)))?;
        }
    }
    Ok(())
}

pub(super) fn banks(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("each PCR after reset");
    read_all(tpm)?;
    tpm.step("all at once");
    let all = BANKS
        .iter()
        .fold(Out::new().u32(4), |out, (bank, _)| out.u16(*bank).u8(3).raw(&[0xFF; 3]));
    tpm.ok(build::pcr_read(&all.0))?;
    tpm.step("selections");
    tpm.ok(build::pcr_read(&pcrs(alg::SHA256, &[])))?;
    tpm.run(build::pcr_read(&Out::new().u32(1).u16(alg::SHA256).u8(0).0))?;
    tpm.run(build::pcr_read(
        &Out::new().u32(1).u16(alg::SHA256).u8(2).raw(&[1, 0]).0,
    ))?;
    tpm.run(build::pcr_read(
        &Out::new().u32(1).u16(alg::SHA256).u8(4).raw(&[1, 0, 0, 0]).0,
    ))?;
    tpm.run(build::pcr_read(
        &Out::new().u32(1).u16(alg::SHA256).u8(4).raw(&[1, 0, 0, 1]).0,
    ))?;
    tpm.run(build::pcr_read(
        &Out::new().u32(1).u16(alg::AES).u8(3).raw(&[1, 0, 0]).0,
    ))?;
    tpm.run(build::pcr_read(
        &Out::new().u32(1).u16(alg::NULL).u8(3).raw(&[1, 0, 0]).0,
    ))?;
    tpm.run(build::pcr_read(
        &Out::new().u32(17).u16(alg::SHA256).u8(3).raw(&[1, 0, 0]).0,
    ))?;
    tpm.run(build::pcr_read(
        &Out::new().u32(2).u16(alg::SHA256).u8(3).raw(&[1, 0, 0]).0,
    ))?;
    Ok(())
}

pub(super) fn extend(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("each bank");
    for (bank, size) in BANKS {
        tpm.ok(build::pcr_extend(5, &digest_values(&[(bank, &vec![0xA5; size])])))?;
    }
    tpm.step("several banks, one of them twice");
    let twice = digest_values(&[(alg::SHA256, &[1; 32]), (alg::SHA1, &[2; 20]), (alg::SHA256, &[3; 32])]);
    tpm.ok(build::pcr_extend(6, &twice))?;
    tpm.step("nothing");
    tpm.run(build::pcr_extend(6, &digest_values(&[])))?;
    tpm.step("each PCR at locality 0");
    for pcr in 0..25 {
        tpm.run(build::pcr_extend(pcr, &digest_values(&[(alg::SHA256, &[9; 32])])))?;
    }
    tpm.run(build::pcr_extend(rh::NULL, &digest_values(&[(alg::SHA256, &[9; 32])])))?;
    read_all(tpm)?;
    tpm.step("malformed");
    tpm.fails(build::pcr_extend(0, &digest_values(&[(alg::AES, &[9; 32])])))?;
    tpm.fails(build::pcr_extend(0, &digest_values(&[(alg::NULL, &[9; 32])])))?;
    tpm.fails(build::pcr_extend(
        0,
        &Out::new().u32(17).u16(alg::SHA256).raw(&[9; 32]).0,
    ))?;
    tpm.fails(build::pcr_extend(0, &digest_values(&[(alg::SHA256, &[9; 31])])))?;
    tpm.fails(build::pcr_extend(0, &digest_values(&[(alg::SHA256, &[9; 33])])))?;
    tpm.fails(build::pcr_extend(rh::OWNER, &digest_values(&[(alg::SHA256, &[9; 32])])))?;
    tpm.fails(build::pcr_extend(
        0x8000_0000,
        &digest_values(&[(alg::SHA256, &[9; 32])]),
    ))?;
    tpm.step("authorization");
    let good = digest_values(&[(alg::SHA256, &[9; 32])]);
    tpm.fails(build::pcr_extend(0, &good).bare())?;
    tpm.fails(build::pcr_extend(0, &good).pw(b"wrong"))?;
    let session = tpm.start(&Options::hmac())?;
    tpm.ok(build::pcr_extend(0, &good).session(session, 1, &[]))?;
    tpm.fails(build::pcr_extend(0, &good).session(session, 1, b"wrong"))?;
    tpm.fails(build::pcr_extend(0, &good).patch(Patch::Append(vec![0])))?;
    Ok(())
}

pub(super) fn events(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("events");
    tpm.ok(build::pcr_event(7, b"event"))?;
    tpm.ok(build::pcr_event(7, &[]))?;
    tpm.ok(build::pcr_event(7, &[1; 1024]))?;
    tpm.fails(build::pcr_event(7, &[1; 1025]))?;
    tpm.ok(build::pcr_event(rh::NULL, b"event"))?;
    tpm.ok(build::pcr_event(16, b"event"))?;
    tpm.fails(build::pcr_event(17, b"event"))?;
    tpm.fails(build::pcr_event(24, b"event"))?;
    tpm.fails(build::pcr_event(7, b"event").bare())?;
    tpm.fails(build::pcr_event(7, b"event").pw(b"wrong"))?;
    read_all(tpm)
}

pub(super) fn resets(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("each PCR from locality 0");
    for pcr in 0..25 {
        tpm.run(build::pcr_event(pcr, b"event"))?;
        tpm.run(build::pcr_reset(pcr))?;
    }
    tpm.run(build::pcr_reset(rh::NULL))?;
    tpm.fails(build::pcr_reset(16).bare())?;
    tpm.fails(build::pcr_reset(16).pw(b"wrong"))?;
    read_all(tpm)
}

pub(super) fn values_and_policies(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("an authValue");
    for pcr in [0u32, 16, 20, 23, rh::NULL] {
        tpm.run(build::pcr_set_auth_value(pcr, b"value"))?;
        tpm.run(build::pcr_event(pcr, b"event").pw(b"value"))?;
    }
    tpm.step("a policy");
    for pcr in [0u32, 16, 20, 23, rh::NULL] {
        tpm.run(build::pcr_set_auth_policy(rh::PLATFORM, &[7; 32], alg::SHA256, pcr))?;
        tpm.run(build::pcr_event(pcr, b"event"))?;
    }
    tpm.run(build::pcr_set_auth_policy(rh::PLATFORM, &[7; 31], alg::SHA256, 20))?;
    tpm.run(build::pcr_set_auth_policy(rh::PLATFORM, &[], alg::NULL, 20))?;
    tpm.run(build::pcr_set_auth_policy(rh::OWNER, &[], alg::NULL, 20))?;
    Ok(())
}

pub(super) fn allocate(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let bank = |bank, mask: [u8; 3]| Out::new().u16(bank).u8(3).raw(&mask).0;
    let list = |entries: &[Vec<u8>]| {
        let count = u32::try_from(entries.len()).unwrap_or(0);
        Out::new().u32(count).raw(&entries.concat()).0
    };
    tpm.step("refused");
    tpm.fails(build::pcr_allocate(rh::OWNER, &list(&[])))?;
    tpm.run(build::pcr_allocate(
        rh::PLATFORM,
        &list(&[bank(alg::SHA256, [1, 0, 0])]),
    ))?;
    tpm.run(build::pcr_allocate(rh::PLATFORM, &list(&[bank(alg::NULL, [1, 0, 0])])))?;
    tpm.step("two banks, from the next reset on");
    let two = [
        bank(alg::SHA1, [0, 0, 0]),
        bank(alg::SHA256, [0xFF; 3]),
        bank(alg::SHA384, [0xFF; 3]),
        bank(alg::SHA512, [0, 0, 0]),
    ];
    tpm.ok(build::pcr_allocate(rh::PLATFORM, &list(&two)))?;
    tpm.ok(build::get_capability(cap::PCRS, 0, 10))?;
    read_all(tpm)?;
    tpm.ok(build::shutdown(0))?;
    tpm.power_cycle()?;
    startup(tpm)?;
    tpm.ok(build::get_capability(cap::PCRS, 0, 10))?;
    read_all(tpm)?;
    tpm.step("a bank that is not there");
    tpm.run(build::pcr_extend(0, &digest_values(&[(alg::SHA1, &[1; 20])])))?;
    tpm.ok(build::pcr_event(0, b"event"))?;
    read_all(tpm)
}

pub(super) fn localities(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    for locality in 0..5 {
        tpm.locality(locality)?;
        tpm.step(&format!("extending at locality {locality}"));
        for pcr in 16..24 {
            tpm.run(build::pcr_event(pcr, b"event"))?;
        }
        tpm.ok(build::pcr_read(&pcrs(alg::SHA256, &[16, 17, 18, 19, 20, 21, 22, 23])))?;
        tpm.step(&format!("resetting at locality {locality}"));
        // At locality 4 the peer resets less; what follows must not depend on it.
        for pcr in if locality < 4 { 15..24 } else { 0..0 } {
            tpm.run(build::pcr_reset(pcr))?;
        }
        tpm.ok(build::pcr_read(&pcrs(alg::SHA256, &[16, 17, 18, 19, 20, 21, 22, 23])))?;
    }
    tpm.locality(0)?;
    tpm.step("the H-CRTM sequence after start-up");
    tpm.control().measure(b"dynamic root")?;
    read_all(tpm)?;
    let established = tpm.control().established()?;
    tpm.fact(&format!("tpmEstablished is {established}"));
    tpm.control().reset_established(3)?;
    let established = tpm.control().established()?;
    tpm.fact(&format!("tpmEstablished is {established}"));
    tpm.step("the H-CRTM sequence before start-up");
    tpm.power_cycle()?;
    tpm.control().measure(b"static root")?;
    let established = tpm.control().established()?;
    tpm.fact(&format!("tpmEstablished is {established}"));
    startup(tpm)?;
    read_all(tpm)?;
    tpm.step("resetting at locality 4");
    tpm.locality(4)?;
    for pcr in 15..24 {
        tpm.run(build::pcr_reset(pcr))?;
    }
    Ok(())
}
