//! Contexts and persistent objects (Part 3, 28).

use anyhow::Result;

use super::{child, external, flush, primary, startup, storage};
use crate::build::{self, Patch, Public};
use crate::client::Tpm;
use crate::codes::{alg, cap, oa, rh, sa};
use crate::keys::Key;
use crate::session::Options;

pub(super) fn objects(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("objects");
    let parent = storage(tpm)?;
    let sealed = child(tpm, parent, b"auth", b"secret", &Public::sealed())?;
    let volatile = child(tpm, parent, &[], b"secret", &Public::sealed().set(oa::ST_CLEAR))?;
    let mut contexts = Vec::new();
    for handle in [parent, sealed, volatile] {
        contexts.push(tpm.ok(build::context_save(handle))?.params);
    }
    flush(tpm, &[parent, sealed, volatile])?;
    for context in &contexts {
        tpm.ok(build::context_load(context))?;
    }
    tpm.ok(build::unseal(0x8000_0001).pw(b"auth"))?;
    flush(tpm, &[parent])?;
    tpm.ok(build::context_load(&contexts[1]))?;
    tpm.ok(build::unseal(0x8000_0000).pw(b"auth"))?;
    flush(tpm, &[0x8000_0000])?;
    tpm.step("damaged");
    let context = &contexts[0];
    // Not the blob's size: each has its own.
    for position in [7, 8, 11, 15, 22, 60, context.len() - 1] {
        tpm.fails(build::context_load(context).patch(Patch::Flip(10 + position, 1)))?;
    }
    tpm.fails(build::context_load(context).patch(Patch::Append(vec![0])))?;
    tpm.fails(build::context_load(context).patch(Patch::Cut(40)))?;
    tpm.fails(build::context_load(&[]))?;
    tpm.fails(build::context_load(&[0; 18]))?;
    tpm.step("sessions and other handles");
    for handle in [
        0u32,
        rh::OWNER,
        0x0100_0000,
        0x8100_0000,
        0x8000_0002,
        0x0200_0000,
        0x0300_0000,
        rh::PW,
    ] {
        tpm.run(build::context_save(handle))?;
        tpm.run(build::flush_context(handle))?;
    }
    tpm.step("after Clear");
    tpm.ok(build::clear(rh::LOCKOUT))?;
    tpm.fails(build::context_load(&contexts[0]))?;
    tpm.step("the null hierarchy's end with a reset");
    let key = tpm.ok(external(&Key::ecdsa([3; 32])?))?.handle;
    let context = tpm.ok(build::context_save(key))?.params;
    flush(tpm, &[key])?;
    tpm.ok(build::context_load(&context))?;
    tpm.ok(build::shutdown(1))?;
    tpm.power_cycle()?;
    tpm.ok(build::startup(1))?;
    tpm.run(build::context_load(&context))?;
    tpm.ok(build::shutdown(0))?;
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    tpm.run(build::context_load(&context))?;
    Ok(())
}

pub(super) fn slots(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("until memory is full");
    for _ in 0..4 {
        tpm.run(external(&Key::sealed(b"data", &[])?))?;
    }
    tpm.run(build::hash_sequence_start(&[], alg::SHA256))?;
    tpm.run(primary(rh::OWNER, &[], &[], &Public::ecc_parent()))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x8000_0000, 10))?;
    tpm.step("the lowest free slot is taken");
    flush(tpm, &[0x8000_0001])?;
    tpm.ok(external(&Key::sealed(b"more", &[])?))?;
    tpm.step("a sequence's context");
    flush(tpm, &[0x8000_0000])?;
    let sequence = tpm.ok(build::hash_sequence_start(b"auth", alg::SHA256))?.handle;
    tpm.ok(build::sequence_update(sequence, b"one").pw(b"auth"))?;
    let context = tpm.ok(build::context_save(sequence))?.params;
    tpm.ok(build::sequence_update(sequence, b"two").pw(b"auth"))?;
    flush(tpm, &[sequence])?;
    let sequence = tpm.ok(build::context_load(&context))?.handle;
    tpm.ok(build::sequence_complete(sequence, b"two", rh::OWNER).pw(b"auth"))?;
    // Not that of a CMAC, with which the peer crashes.
    tpm.step("the context of a sequence with a key");
    flush(tpm, &[0x8000_0001])?;
    let key = tpm.ok(external(&Key::hmac(alg::SHA256, &[7; 32], &[])?))?.handle;
    let sequence = tpm.ok(build::hmac_start(key, b"auth", alg::NULL))?.handle;
    flush(tpm, &[key])?;
    tpm.ok(build::sequence_update(sequence, b"a part, not of whole blocks").pw(b"auth"))?;
    let context = tpm.ok(build::context_save(sequence))?.params;
    tpm.ok(build::sequence_update(sequence, b"two").pw(b"auth"))?;
    flush(tpm, &[sequence])?;
    let sequence = tpm.ok(build::context_load(&context))?.handle;
    tpm.ok(build::sequence_complete(sequence, b"two", rh::NULL).pw(b"auth"))?;
    Ok(())
}

pub(super) fn sessions(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("a session's context can be loaded once");
    let session = tpm.start(&Options::hmac())?;
    tpm.ok(build::get_random(4).with(session, sa::CONTINUE | sa::AUDIT))?;
    let context = tpm.ok(build::context_save(session))?.params;
    tpm.fails(build::get_random(4).with(session, sa::CONTINUE | sa::AUDIT))?;
    tpm.fails(build::context_save(session))?;
    tpm.ok(build::context_load(&context))?;
    tpm.ok(build::get_random(4).with(session, sa::CONTINUE | sa::AUDIT))?;
    tpm.fails(build::context_load(&context))?;
    tpm.step("a policy session keeps what was asserted");
    let policy = tpm.start(&Options::policy())?;
    tpm.ok(build::policy_command_code(policy, 0x15E))?;
    let context = tpm.ok(build::context_save(policy))?.params;
    tpm.ok(build::context_load(&context))?;
    tpm.ok(build::policy_get_digest(policy))?;
    tpm.step("flushed while saved");
    let context = tpm.ok(build::context_save(policy))?.params;
    tpm.ok(build::flush_context(policy))?;
    tpm.fails(build::context_load(&context))?;
    tpm.step("damaged");
    let context = tpm.ok(build::context_save(session))?.params;
    for position in [0, 7, 11, 15, 22, 60, context.len() - 1] {
        tpm.fails(build::context_load(&context).patch(Patch::Flip(10 + position, 1)))?;
    }
    tpm.ok(build::context_load(&context))?;
    tpm.step("after a reset");
    let context = tpm.ok(build::context_save(session))?.params;
    tpm.ok(build::shutdown(0))?;
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    tpm.fails(build::context_load(&context))?;
    Ok(())
}

pub(super) fn persistent(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let parent = storage(tpm)?;
    let sealed = child(tpm, parent, b"auth", b"secret", &Public::sealed())?;
    tpm.step("made persistent");
    tpm.ok(build::evict_control(rh::OWNER, parent, 0x8100_0001))?;
    tpm.ok(build::evict_control(rh::OWNER, sealed, 0x8100_0002))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x8100_0000, 10))?;
    tpm.ok(build::unseal(0x8100_0002).pw(b"auth"))?;
    tpm.step("refused");
    tpm.fails(build::evict_control(rh::OWNER, parent, 0x8100_0001))?;
    tpm.fails(build::evict_control(rh::OWNER, parent, 0x8180_0001))?;
    tpm.fails(build::evict_control(rh::PLATFORM, parent, 0x8180_0001))?;
    tpm.fails(build::evict_control(rh::PLATFORM, parent, 0x8100_0003))?;
    tpm.fails(build::evict_control(rh::OWNER, parent, 0x8000_0001))?;
    tpm.fails(build::evict_control(rh::OWNER, parent, 0x0100_0001))?;
    tpm.fails(build::evict_control(rh::ENDORSEMENT, parent, 0x8100_0003))?;
    tpm.fails(build::evict_control(rh::OWNER, 0x8100_0001, 0x8100_0002))?;
    tpm.fails(build::evict_control(rh::OWNER, 0x8100_0007, 0x8100_0007))?;
    tpm.fails(build::evict_control(rh::OWNER, parent, 0x8100_0003).pw(b"wrong"))?;
    let volatile = child(tpm, parent, &[], b"secret", &Public::sealed().set(oa::ST_CLEAR))?;
    tpm.fails(build::evict_control(rh::OWNER, volatile, 0x8100_0003))?;
    flush(tpm, &[volatile])?;
    let key = tpm.ok(external(&Key::ecdsa([3; 32])?))?.handle;
    tpm.fails(build::evict_control(rh::OWNER, key, 0x8100_0003))?;
    flush(tpm, &[key])?;
    tpm.step("persistent handles cannot be flushed or saved");
    tpm.fails(build::flush_context(0x8100_0001))?;
    tpm.fails(build::context_save(0x8100_0001))?;
    tpm.step("a platform object");
    let platform = tpm.run(primary(rh::PLATFORM, &[], &[], &Public::ecc_parent()))?;
    if platform.rc == 0 {
        tpm.ok(build::evict_control(rh::PLATFORM, platform.handle, 0x8180_0001))?;
        tpm.fails(build::evict_control(rh::OWNER, platform.handle, 0x8100_0005))?;
    }
    tpm.step("after a reset");
    tpm.ok(build::shutdown(0))?;
    tpm.power_cycle()?;
    tpm.ok(build::startup(0))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x8100_0000, 10))?;
    tpm.ok(build::unseal(0x8100_0002).pw(b"auth"))?;
    tpm.ok(build::read_public(0x8100_0001))?;
    child(tpm, 0x8100_0001, &[], b"secret", &Public::sealed())?;
    tpm.step("removed");
    tpm.fails(build::evict_control(rh::OWNER, 0x8100_0001, 0x8100_0009))?;
    tpm.ok(build::evict_control(rh::OWNER, 0x8100_0001, 0x8100_0001))?;
    tpm.fails(build::read_public(0x8100_0001))?;
    tpm.ok(build::clear(rh::PLATFORM))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x8100_0000, 10))?;
    Ok(())
}
