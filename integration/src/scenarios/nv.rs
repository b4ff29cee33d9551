//! NV indices (Part 3, 31).

use anyhow::Result;

use super::{external, flush, startup, storage};
use crate::build::{self, Auth, Call, Patch, nv_public};
use crate::client::Tpm;
use crate::codes::{alg, cap, na, rh, sa};
use crate::keys::Key;
use crate::session::Options;
use crate::wire::Out;

const INDEX: u32 = 0x0100_0001;
const PLAIN: u32 = na::AUTHREAD | na::AUTHWRITE | na::NO_DA;

fn define(index: u32, attributes: u32, size: u16) -> Call {
    build::nv_define_space(rh::OWNER, &[], &nv_public(index, alg::SHA256, attributes, &[], size))
}

pub(super) fn defining(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let drop = |tpm: &mut Tpm, auth, rc| {
        if rc == 0 {
            tpm.run(build::nv_undefine_space(auth, INDEX)).map(drop)
        } else {
            Ok(())
        }
    };
    tpm.step("each attribute by itself");
    for bit in 0..32 {
        let rc = tpm.run(define(INDEX, 1 << bit, 8))?.rc;
        drop(tpm, rh::OWNER, rc)?;
        let rc = tpm.run(define(INDEX, PLAIN ^ (1 << bit), 8))?.rc;
        drop(tpm, rh::OWNER, rc)?;
        let public = nv_public(INDEX, alg::SHA256, na::PLATFORMCREATE | (PLAIN ^ (1 << bit)), &[], 8);
        let rc = tpm.run(build::nv_define_space(rh::PLATFORM, &[], &public))?.rc;
        drop(tpm, rh::PLATFORM, rc)?;
    }
    tpm.step("each type and size");
    for kind in 0..16 {
        for size in [0, 1, 7, 8, 9, 20, 32, 64] {
            let rc = tpm.run(define(INDEX, PLAIN | kind << 4, size))?.rc;
            drop(tpm, rh::OWNER, rc)?;
        }
        let rc = tpm
            .run(define(INDEX, na::AUTHREAD | na::OWNERWRITE | na::NO_DA | kind << 4, 8))?
            .rc;
        drop(tpm, rh::OWNER, rc)?;
        let rc = tpm
            .run(define(
                INDEX,
                na::AUTHREAD | na::OWNERWRITE | na::ORDERLY | kind << 4,
                8,
            ))?
            .rc;
        drop(tpm, rh::OWNER, rc)?;
        let rc = tpm.run(define(INDEX, PLAIN | na::CLEAR_STCLEAR | kind << 4, 8))?.rc;
        drop(tpm, rh::OWNER, rc)?;
    }
    tpm.step("sizes");
    for size in [1024, 2048, 2049, 4096, 0xFFFF] {
        let rc = tpm.run(define(INDEX, PLAIN, size))?.rc;
        drop(tpm, rh::OWNER, rc)?;
    }
    tpm.step("name algorithms, policies, handles");
    for hash in [alg::SHA1, alg::SHA384, alg::SHA512, alg::NULL, alg::AES] {
        for policy in [&[][..], &[1; 20], &[1; 32], &[1; 48]] {
            let public = nv_public(INDEX, hash, PLAIN, policy, 8);
            let rc = tpm.run(build::nv_define_space(rh::OWNER, &[], &public))?.rc;
            if rc == 0 {
                tpm.ok(build::nv_read_public(INDEX))?;
            }
            drop(tpm, rh::OWNER, rc)?;
        }
    }
    for index in [
        0u32,
        0x0200_0000,
        0x4000_0001,
        0x8000_0000,
        0x8100_0000,
        0x0140_0000,
        0x01FF_FFFF,
        0x01C0_0001,
    ] {
        tpm.run(define(index, PLAIN, 8))?;
    }
    tpm.ok(build::get_capability(cap::HANDLES, 0x0100_0000, 10))?;
    for index in [0x0140_0000u32, 0x01FF_FFFF, 0x01C0_0001] {
        tpm.run(build::nv_undefine_space(rh::OWNER, index))?;
    }
    tpm.step("authorization");
    for auth in [rh::ENDORSEMENT, rh::LOCKOUT, rh::NULL, INDEX] {
        tpm.run(build::nv_define_space(
            auth,
            &[],
            &nv_public(INDEX, alg::SHA256, PLAIN, &[], 8),
        ))?;
    }
    for size in [1, 32, 33, 64] {
        let public = nv_public(INDEX, alg::SHA256, PLAIN, &[], 8);
        let rc = tpm.run(build::nv_define_space(rh::OWNER, &vec![9; size], &public))?.rc;
        drop(tpm, rh::OWNER, rc)?;
    }
    tpm.step("twice, and away");
    let rc = tpm.run(define(INDEX, PLAIN, 8))?.rc;
    tpm.fact(&format!("defined: {rc:#x}"));
    tpm.fails(define(INDEX, PLAIN, 8))?;
    tpm.ok(build::nv_read_public(INDEX))?;
    tpm.fails(build::nv_undefine_space(rh::OWNER, INDEX).pw(b"wrong"))?;
    tpm.fails(build::nv_undefine_space(rh::ENDORSEMENT, INDEX))?;
    tpm.fails(build::nv_undefine_space(rh::OWNER, INDEX + 1))?;
    tpm.fails(build::nv_undefine_space_special(INDEX, rh::PLATFORM))?;
    tpm.run(build::nv_undefine_space(rh::PLATFORM, INDEX))?;
    tpm.run(build::nv_undefine_space(rh::OWNER, INDEX))?;
    tpm.run(build::nv_read_public(INDEX))?;
    tpm.run(build::nv_define_space(rh::OWNER, &[], &[]))?;
    tpm.fails(define(INDEX, PLAIN, 8).patch(Patch::Append(vec![0])))?;
    Ok(())
}

pub(super) fn ordinary(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.ok(define(INDEX, PLAIN, 16))?;
    let read = |size, offset| build::nv_read(INDEX, INDEX, size, offset);
    let write = |data: &[u8], offset| build::nv_write(INDEX, INDEX, data, offset);
    tpm.step("before it is written");
    tpm.fails(read(4, 0))?;
    tpm.ok(build::nv_read_public(INDEX))?;
    tpm.step("ranges");
    for (size, offset) in [
        (0, 0),
        (4, 2),
        (16, 0),
        (17, 0),
        (1, 16),
        (0, 16),
        (0, 17),
        (1, 15),
        (2, 15),
        (8, 0xFFFF),
    ] {
        tpm.run(write(&vec![0x33; size], offset))?;
        tpm.run(read(u16::try_from(size)?, offset))?;
        tpm.run(read(16, 0))?;
    }
    tpm.ok(build::nv_read_public(INDEX))?;
    tpm.run(read(1025, 0))?;
    tpm.step("written in part");
    let mut index = INDEX + 0x10;
    for kind in [0, na::PIN_FAIL, na::PIN_PASS] {
        for attributes in [kind, kind | na::ORDERLY] {
            for (data, offset) in [(&b""[..], 0), (&[1; 2], 0), (&[1; 3], 5), (&[0; 4], 4)] {
                // Not one in the place of another: the peer leaves a PIN what was there before.
                index += 1;
                let attributes = na::AUTHREAD | na::OWNERREAD | na::OWNERWRITE | na::NO_DA | attributes;
                tpm.ok(define(index, attributes, 8))?;
                tpm.run(build::nv_write(rh::OWNER, index, data, offset))?;
                tpm.run(build::nv_read(rh::OWNER, index, 8, 0))?;
                tpm.run(build::nv_read(index, index, 8, 0))?;
                tpm.run(build::nv_read(index, index, 0, 9))?;
            }
        }
    }
    tpm.step("operations of other types");
    tpm.fails(build::nv_increment(INDEX, INDEX))?;
    tpm.fails(build::nv_set_bits(INDEX, INDEX, 1))?;
    tpm.fails(build::nv_extend(INDEX, INDEX, b"data"))?;
    tpm.step("who may");
    for auth in [rh::OWNER, rh::PLATFORM, rh::ENDORSEMENT, rh::NULL, INDEX + 1, 0] {
        tpm.run(build::nv_read(auth, INDEX, 4, 0))?;
        tpm.run(build::nv_write(auth, INDEX, b"data", 0))?;
    }
    tpm.fails(read(4, 0).bare())?;
    tpm.fails(read(4, 0).pw(b"wrong"))?;
    tpm.step("owner and platform");
    let attributes = na::OWNERREAD | na::PPWRITE | na::PLATFORMCREATE | na::NO_DA;
    tpm.ok(build::nv_define_space(
        rh::PLATFORM,
        &[],
        &nv_public(INDEX + 1, alg::SHA256, attributes, &[], 8),
    ))?;
    for auth in [rh::OWNER, rh::PLATFORM, INDEX + 1] {
        tpm.run(build::nv_write(auth, INDEX + 1, b"data", 0))?;
        tpm.run(build::nv_read(auth, INDEX + 1, 4, 0))?;
    }
    tpm.fails(build::nv_undefine_space(rh::OWNER, INDEX + 1))?;
    tpm.step("all or nothing");
    tpm.ok(define(INDEX + 2, PLAIN | na::WRITEALL, 8))?;
    tpm.fails(build::nv_write(INDEX + 2, INDEX + 2, b"data", 0))?;
    tpm.ok(build::nv_write(INDEX + 2, INDEX + 2, b"all data", 0))?;
    tpm.step("a large one");
    tpm.ok(define(INDEX + 3, PLAIN, 2048))?;
    tpm.ok(build::nv_write(INDEX + 3, INDEX + 3, &[1; 1024], 1024))?;
    tpm.ok(build::nv_read(INDEX + 3, INDEX + 3, 1024, 1000))?;
    tpm.run(build::nv_write(INDEX + 3, INDEX + 3, &[1; 1025], 0))?;
    tpm.step("the hierarchy is off");
    tpm.ok(build::hierarchy_control(rh::OWNER, rh::OWNER, 0))?;
    tpm.run(read(4, 0))?;
    tpm.run(build::nv_read_public(INDEX))?;
    tpm.run(build::nv_read(rh::OWNER, INDEX + 1, 4, 0))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x0100_0000, 10))?;
    Ok(())
}

pub(super) fn types(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("a counter");
    tpm.ok(define(INDEX, PLAIN | na::COUNTER, 8))?;
    tpm.fails(build::nv_read(INDEX, INDEX, 8, 0))?;
    for _ in 0..3 {
        tpm.ok(build::nv_increment(INDEX, INDEX))?;
        tpm.ok(build::nv_read(INDEX, INDEX, 8, 0))?;
    }
    tpm.fails(build::nv_write(INDEX, INDEX, &[0; 8], 0))?;
    tpm.ok(build::nv_undefine_space(rh::OWNER, INDEX))?;
    tpm.step("a new counter goes on from the highest that was");
    tpm.ok(define(INDEX, PLAIN | na::COUNTER, 8))?;
    tpm.ok(build::nv_increment(INDEX, INDEX))?;
    tpm.ok(build::nv_read(INDEX, INDEX, 8, 0))?;
    tpm.step("bits");
    let bits = INDEX + 1;
    tpm.ok(define(bits, PLAIN | na::BITS, 8))?;
    for value in [0, 1, 0x8000_0000_0000_0000, 0] {
        tpm.ok(build::nv_set_bits(bits, bits, value))?;
        tpm.ok(build::nv_read(bits, bits, 8, 0))?;
    }
    tpm.fails(build::nv_write(bits, bits, &[0; 8], 0))?;
    tpm.step("extended");
    for (number, hash, size) in [
        (2, alg::SHA1, 20),
        (3, alg::SHA256, 32),
        (4, alg::SHA384, 48),
        (5, alg::SHA512, 64),
    ] {
        let index = INDEX + number;
        let attributes = PLAIN | na::EXTEND;
        tpm.ok(build::nv_define_space(
            rh::OWNER,
            &[],
            &nv_public(index, hash, attributes, &[], size),
        ))?;
        tpm.fails(build::nv_read(index, index, size, 0))?;
        for data in [&b"data"[..], &[], &[1; 1024]] {
            tpm.ok(build::nv_extend(index, index, data))?;
            tpm.ok(build::nv_read(index, index, size, 0))?;
        }
        tpm.fails(build::nv_write(index, index, &[0; 20], 0))?;
        tpm.fails(build::nv_increment(index, index))?;
        tpm.ok(build::nv_read_public(index))?;
    }
    tpm.step("PINs");
    for (number, kind) in [(6, na::PIN_FAIL), (7, na::PIN_PASS)] {
        let index = INDEX + number;
        let attributes = na::AUTHREAD | na::OWNERWRITE | na::OWNERREAD | na::NO_DA | kind;
        let public = nv_public(index, alg::SHA256, attributes, &[], 8);
        tpm.ok(build::nv_define_space(rh::OWNER, b"pin", &public))?;
        let session = tpm.start(&Options::policy())?;
        let prove = |pin: &[u8]| build::policy_secret(index, session, &[], &[], &[], 0).pw(pin);
        tpm.run(prove(b"pin"))?;
        tpm.run(build::nv_write(rh::OWNER, index, &[0; 4], 0))?;
        tpm.run(build::nv_write(rh::OWNER, index, &Out::new().u32(0).u32(2).0, 0))?;
        for pin in [
            &b"pin"[..],
            b"wrong",
            b"wrong",
            b"pin",
            b"wrong",
            b"pin",
            b"pin",
            b"pin",
        ] {
            tpm.run(prove(pin))?;
            tpm.run(build::nv_read(rh::OWNER, index, 8, 0))?;
            tpm.run(build::nv_read(index, index, 8, 0).pw(b"pin"))?;
        }
        tpm.run(build::nv_write(rh::OWNER, index, &Out::new().u32(5).u32(2).0, 0))?;
        tpm.run(prove(b"pin"))?;
        flush(tpm, &[session])?;
    }
    Ok(())
}

pub(super) fn locks(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    for (number, attributes) in [
        (0, 0),
        (1, na::READ_STCLEAR),
        (2, na::WRITE_STCLEAR),
        (3, na::WRITEDEFINE),
        (4, na::GLOBALLOCK),
        (
            5,
            na::READ_STCLEAR | na::WRITE_STCLEAR | na::WRITEDEFINE | na::GLOBALLOCK,
        ),
        (6, na::CLEAR_STCLEAR | na::WRITE_STCLEAR),
        (7, na::ORDERLY | na::WRITE_STCLEAR | na::READ_STCLEAR),
    ] {
        let index = INDEX + number;
        tpm.ok(define(index, PLAIN | attributes, 8))?;
        tpm.step("locks before the first write");
        tpm.run(build::nv_write_lock(index, index))?;
        tpm.run(build::nv_write(index, index, b"data", 0))?;
        tpm.run(build::nv_read_lock(index, index))?;
        tpm.run(build::nv_read(index, index, 4, 0))?;
        tpm.run(build::nv_write_lock(index, index))?;
        tpm.run(build::nv_write_lock(index, index))?;
        tpm.run(build::nv_read_lock(index, index))?;
        tpm.ok(build::nv_read_public(index))?;
    }
    let look = |tpm: &mut Tpm| -> Result<()> {
        for number in 0..8 {
            let index = INDEX + number;
            tpm.run(build::nv_read(index, index, 4, 0))?;
            tpm.run(build::nv_write(index, index, b"more", 0))?;
            tpm.run(build::nv_read_public(index))?;
        }
        Ok(())
    };
    tpm.step("the global lock");
    tpm.fails(build::nv_global_write_lock(rh::ENDORSEMENT))?;
    tpm.ok(build::nv_global_write_lock(rh::OWNER))?;
    look(tpm)?;
    tpm.ok(build::nv_global_write_lock(rh::PLATFORM))?;
    look(tpm)?;
    for (kind, what) in [(1, "resume"), (0, "reset")] {
        tpm.step(what);
        tpm.ok(build::shutdown(kind))?;
        tpm.power_cycle()?;
        tpm.ok(build::startup(kind))?;
        look(tpm)?;
    }
    tpm.step("restart");
    tpm.ok(build::shutdown(1))?;
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    look(tpm)?;
    tpm.step("after a power failure");
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    look(tpm)
}

pub(super) fn authorization(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("changing the authValue needs a policy for the command");
    let trial = tpm.start(&Options::trial())?;
    tpm.ok(build::policy_command_code(trial, 0x13B))?;
    let digest = tpm.ok(build::policy_get_digest(trial))?.first()?;
    let public = nv_public(INDEX, alg::SHA256, PLAIN, &digest, 8);
    tpm.ok(build::nv_define_space(rh::OWNER, b"old", &public))?;
    tpm.fails(build::nv_change_auth(INDEX, b"new").pw(b"old"))?;
    let session = tpm.start(&Options::policy())?;
    tpm.fails(build::nv_change_auth(INDEX, b"new").session(session, sa::CONTINUE, &[]))?;
    tpm.ok(build::policy_command_code(session, 0x13B))?;
    tpm.fails(build::nv_change_auth(INDEX, &[1; 33]).session(session, sa::CONTINUE, &[]))?;
    tpm.ok(build::nv_change_auth(INDEX, b"new").session(session, sa::CONTINUE, &[]))?;
    tpm.ok(build::nv_write(INDEX, INDEX, b"data", 0).pw(b"new"))?;
    tpm.fails(build::nv_write(INDEX, INDEX, b"data", 0).pw(b"old"))?;
    tpm.step("removal by policy only");
    tpm.ok(build::policy_restart(trial))?;
    tpm.ok(build::policy_command_code(trial, 0x11F))?;
    let digest = tpm.ok(build::policy_get_digest(trial))?.first()?;
    let special = INDEX + 1;
    let attributes = na::PPREAD | na::PPWRITE | na::PLATFORMCREATE | na::POLICY_DELETE;
    tpm.ok(build::nv_define_space(
        rh::PLATFORM,
        &[],
        &nv_public(special, alg::SHA256, attributes, &digest, 8),
    ))?;
    tpm.fails(build::nv_undefine_space(rh::PLATFORM, special))?;
    tpm.fails(build::nv_undefine_space_special(special, rh::PLATFORM))?;
    tpm.ok(build::policy_restart(session))?;
    tpm.fails(build::nv_undefine_space_special(special, rh::PLATFORM).session(session, sa::CONTINUE, &[]))?;
    tpm.ok(build::policy_command_code(session, 0x11F))?;
    tpm.ok(build::nv_undefine_space_special(special, rh::PLATFORM).session(session, sa::CONTINUE, &[]))?;
    tpm.step("policy access");
    tpm.ok(build::policy_restart(trial))?;
    tpm.ok(build::policy_auth_value(trial))?;
    let digest = tpm.ok(build::policy_get_digest(trial))?.first()?;
    for (number, attributes) in [
        (2, na::POLICYREAD | na::POLICYWRITE),
        (3, na::AUTHREAD | na::POLICYWRITE),
    ] {
        let index = INDEX + number;
        let public = nv_public(index, alg::SHA256, attributes | na::NO_DA, &digest, 8);
        tpm.ok(build::nv_define_space(rh::OWNER, b"auth", &public))?;
        let auth = Auth::session(session, sa::CONTINUE, b"auth");
        tpm.ok(build::policy_restart(session))?;
        tpm.ok(build::policy_auth_value(session))?;
        tpm.run(build::nv_write(index, index, b"data", 0).auth(0, auth.clone()))?;
        tpm.run(build::nv_write(index, index, b"data", 0).pw(b"auth"))?;
        tpm.run(build::policy_restart(session))?;
        tpm.run(build::policy_auth_value(session))?;
        tpm.run(build::nv_read(index, index, 4, 0).auth(0, auth))?;
        tpm.run(build::nv_read(index, index, 4, 0).pw(b"auth"))?;
    }
    tpm.step("dictionary-attack protection");
    let guarded = INDEX + 4;
    let public = nv_public(guarded, alg::SHA256, na::AUTHREAD | na::AUTHWRITE, &[], 8);
    tpm.ok(build::nv_define_space(rh::OWNER, b"auth", &public))?;
    for password in [&b"auth"[..], b"wrong", b"auth", b"wrong", b"wrong", b"wrong", b"auth"] {
        tpm.run(build::nv_write(guarded, guarded, b"data", 0).pw(password))?;
        tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x20E, 1))?;
    }
    tpm.ok(build::dictionary_attack_lock_reset(rh::LOCKOUT))?;
    tpm.ok(build::nv_write(guarded, guarded, b"data", 0).pw(b"auth"))?;
    Ok(())
}

pub(super) fn certifying(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let key = tpm.ok(external(&Key::ecdsa([3; 32])?))?.handle;
    tpm.ok(define(INDEX, PLAIN, 16))?;
    let certify = |size, offset| build::nv_certify(key, INDEX, INDEX, b"nonce", &build::null(), size, offset);
    tpm.fails(certify(8, 0))?;
    tpm.ok(build::nv_write(INDEX, INDEX, b"some data in it!", 0))?;
    tpm.step("contents, and a digest of them");
    for (size, offset) in [(8, 0), (16, 0), (17, 0), (4, 14), (0, 0), (0, 4), (1, 16)] {
        tpm.run(certify(size, offset))?;
    }
    tpm.ok(build::nv_certify(
        rh::NULL,
        INDEX,
        INDEX,
        b"nonce",
        &build::null(),
        8,
        0,
    ))?;
    let parent = storage(tpm)?;
    tpm.fails(build::nv_certify(parent, INDEX, INDEX, b"nonce", &build::null(), 8, 0))?;
    tpm.fails(certify(8, 0).pw(b"wrong"))?;
    tpm.fails(certify(8, 0).auth(1, Auth::password(b"wrong")))?;
    tpm.fails(build::nv_certify(key, INDEX, INDEX, &[1; 67], &build::null(), 8, 0))?;
    Ok(())
}
