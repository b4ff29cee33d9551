//! Every command of the table: with nothing behind its header, cut short, with too much, with other handles.

use anyhow::Result;

use super::startup;
use crate::build::{self, Auth, Call, Patch};
use crate::client::Tpm;
use crate::codes::rh;
use crate::schema;
use crate::wire::Out;

/// Commands that would end what the others need; they have scenarios of their own.
const APART: [&str; 2] = ["Startup", "Shutdown"];

/// One handle of each kind, none of which is there.
const HANDLES: [u32; 14] = [
    0,
    24,
    0x0100_0055,
    0x0200_003F,
    0x0300_003F,
    rh::OWNER,
    rh::NULL,
    rh::PW,
    rh::LOCKOUT,
    rh::PLATFORM,
    0x8000_0002,
    0x8100_0055,
    0x9000_0000,
    0xFFFF_FFFF,
];

fn commands() -> impl Iterator<Item = &'static schema::Schema> {
    schema::all().filter(|schema| !APART.contains(&&schema.name[..]))
}

pub(super) fn bare_headers(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    for schema in commands() {
        tpm.step(&schema.name);
        tpm.run(Call::new(schema.code, &[], Vec::new()).bare())?;
        tpm.run(
            Call::new(schema.code, &[], Vec::new())
                .bare()
                .auth(0, Auth::password(&[])),
        )?;
    }
    tpm.step("codes that are no commands");
    for code in [
        0u32,
        0x11E,
        0x12F,
        0x141,
        0x15A,
        0x166,
        0x175,
        0x179,
        0x1A2,
        0x2000_0000,
        0x2000_1000,
        0x8000_0000,
    ] {
        tpm.run(Call::new(code, &[], Vec::new()))?;
        tpm.run(Call::new(code, &[], Vec::new()).pw(&[]))?;
    }
    Ok(())
}

pub(super) fn handles(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    for schema in commands() {
        tpm.step(&schema.name);
        for position in 0..schema.handles.len() {
            for handle in HANDLES {
                // The other handles are ones that many commands take.
                let mut handles = vec![rh::OWNER; schema.handles.len()];
                if let Some(slot) = handles.get_mut(position) {
                    *slot = handle;
                }
                if schema.params.is_empty() && handle == rh::PLATFORM {
                    continue;
                }
                tpm.run(Call::new(schema.code, &handles, Vec::new()))?;
                tpm.run(Call::new(schema.code, &handles, Vec::new()).bare())?;
            }
        }
    }
    Ok(())
}

pub(super) fn headers(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let good = Out::new().u16(0x8001).u32(12).u32(0x17B).u16(4).0;
    tpm.step("cut short");
    for length in 10..good.len() {
        tpm.raw(&good[..length])?;
    }
    tpm.step("sizes that lie");
    for size in [10u32, 11, 13] {
        tpm.raw(&Out::new().u16(0x8001).u32(size).u32(0x17B).u16(4).0)?;
    }
    tpm.step("tags");
    for tag in [0, 0xC1, 0xC4, 0x8000, 0x8003, 0x8014, 0xFFFF] {
        tpm.raw(&Out::new().u16(tag).u32(12).u32(0x17B).u16(4).0)?;
    }
    tpm.step("authorization areas that lie");
    for size in [0u32, 1, 8, 9, 10, 11, 0xFF, 0xFFFF_FFFF] {
        let area = Out::new().u32(rh::PW).u16(0).u8(0).u16(0).0;
        let body = Out::new().u32(rh::LOCKOUT).u32(size).raw(&area).0;
        let length = u32::try_from(body.len() + 10)?;
        tpm.raw(&Out::new().u16(0x8002).u32(length).u32(0x139).raw(&body).0)?;
    }
    tpm.step("extra bytes");
    for extra in 1..4 {
        tpm.run(build::get_random(4).patch(Patch::Append(vec![0; extra])))?;
        tpm.run(build::read_clock().patch(Patch::Append(vec![0; extra])))?;
    }
    Ok(())
}
