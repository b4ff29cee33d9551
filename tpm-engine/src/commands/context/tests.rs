//! Contexts of sessions, objects and sequences, and persistent objects.

use super::{MAX_BLOB, SAVED_OBJECT, SAVED_SEQUENCE, SAVED_ST_CLEAR};
use crate::bytes::Bytes;
use crate::handle::Handle;
use crate::marshal::{Marshal, Reader};
use crate::session::{CONTEXT_GAP_MAX, MAX_ACTIVE_SESSIONS, MAX_LOADED_SESSIONS};
use crate::testing::session::{AUDIT, CONTINUE, Start};
use crate::testing::{Bench, hex, with_passwords};

const OWNER: u32 = 0x4000_0001;
const NULL: u32 = 0x4000_0007;
const ENDORSEMENT: u32 = 0x4000_000B;
const PLATFORM: u32 = 0x4000_000C;

const FLUSH: u32 = 0x165;

type Context = super::Context<Bytes<MAX_BLOB>>;

fn save(bench: &mut Bench, handle: u32) -> Result<Context, u32> {
    let bytes = bench.unauthorized(0x162, &[handle], &[])?;
    Ok(Reader::new(&bytes, bench.tpm.profile).read().unwrap())
}

fn load(bench: &mut Bench, context: &Context) -> Result<u32, u32> {
    let bytes = bench.unauthorized(0x161, &[], &context.to_vec())?;
    Ok(u32::from_be_bytes(bytes.try_into().unwrap()))
}

fn flush(bench: &mut Bench, handle: u32) -> Result<(), u32> {
    bench.unauthorized(FLUSH, &[], &handle.to_be_bytes()).map(|_| ())
}

fn evict(bench: &mut Bench, auth: u32, object: u32, persistent: u32) -> u32 {
    bench
        .run(&with_passwords(
            0x120,
            &[auth, object],
            &[b""],
            &persistent.to_be_bytes(),
        ))
        .0
}

/// A primary storage key on P-256; `attributes` go to the usual ones.
fn primary(bench: &mut Bench, hierarchy: u32, attributes: u32) -> u32 {
    let template = format!(
        "001a 0023 000b {:08x} 0000 0006 0080 0043 0010 0003 0010 0000 0000",
        0x0003_0472 | attributes
    );
    let params = hex(&format!("0004 0000 0000 {template} 0000 00000000"));
    let (code, response) = bench.run(&with_passwords(0x131, &[hierarchy], &[b""], &params));
    assert_eq!(code, 0, "TPM2_CreatePrimary");
    u32::from_be_bytes(response[10..14].try_into().unwrap())
}

fn reset(bench: &mut Bench, shutdown: &str, startup: &str) {
    if !shutdown.is_empty() {
        bench.run_ok(&format!("8001 0000000c 00000145 {shutdown}"));
    }
    bench.tpm.power_on();
    bench.run_ok(&format!("8001 0000000c 00000144 {startup}"));
}

fn name(bench: &mut Bench, handle: u32) -> Vec<u8> {
    bench.unauthorized(0x173, &[handle], &[]).unwrap()
}

#[test]
fn a_session_leaves_with_its_context_and_comes_back() {
    let mut bench = Bench::started();
    let mut session = Start::hmac().run(&mut bench).unwrap();
    let context = save(&mut bench, session.handle).unwrap();
    assert_eq!(context.saved_handle.0.0, session.handle);
    assert_eq!(context.hierarchy.handle(), Handle::NULL);
    let refused = bench.send(0x17B, &[], &mut [session.clone().with(AUDIT)], &hex("0004"));
    assert_eq!(refused, Err(0x918));
    assert_eq!(save(&mut bench, session.handle), Err(0x910));
    assert_eq!(load(&mut bench, &context), Ok(session.handle));
    bench
        .send(0x17B, &[], &mut [session.with(AUDIT | CONTINUE)], &hex("0004"))
        .unwrap();
    // The context was used up: the nonce has rolled since.
    assert_eq!(load(&mut bench, &context), Err(0x1CB));
    let newer = save(&mut bench, session.handle).unwrap();
    assert!(newer.sequence > context.sequence);
    assert_eq!(load(&mut bench, &context), Err(0x1CB));
    assert_eq!(load(&mut bench, &newer), Ok(session.handle));
}

#[test]
fn a_changed_context_is_refused() {
    let mut bench = Bench::started();
    let object = primary(&mut bench, OWNER, 0);
    let session = Start::hmac().run(&mut bench).unwrap();
    for handle in [object, session.handle] {
        let good = save(&mut bench, handle).unwrap();
        let bytes = good.to_vec();
        for place in [0, 8, 12].into_iter().chain(18..bytes.len()) {
            let mut bad = bytes.clone();
            bad[place] ^= 1;
            let code = bench.unauthorized(0x161, &[], &bad).unwrap_err();
            let expected = match place {
                // Neither the handle nor the hierarchy reads.
                8 if handle == object => 0x1C4,
                12 => 0x1C4,
                _ => 0x1DF,
            };
            assert_eq!(code, expected, "byte {place}");
        }
        for (place, other) in [(7, 9), (15, 0x0B), (11, 0x09)] {
            let mut bad = bytes.clone();
            bad[place] = other;
            let code = bench.unauthorized(0x161, &[], &bad).unwrap_err();
            let expected = if place == 11 && handle == object { 0x1C4 } else { 0x1DF };
            assert_eq!(code, expected);
        }
        for size in [0, 1, 32] {
            let blob = Bytes::new(&good.blob[..size]).unwrap();
            assert_eq!(load(&mut bench, &Context { blob, ..good.clone() }), Err(0x1D5));
        }
        let mut short = good.clone();
        short.blob.truncate(40);
        assert_eq!(load(&mut bench, &short), Err(0x1DF));
        load(&mut bench, &good).unwrap();
    }
}

#[test]
fn another_tpm_refuses_the_context() {
    let (mut bench, mut other) = (Bench::started(), Bench::started());
    // Both have the same randomness: one more reset makes them differ.
    reset(&mut other, "", "0000");
    other.run_ok("8001 0000000c 0000017b 0020");
    reset(&mut other, "", "0000");
    let session = Start::hmac().run(&mut bench).unwrap();
    let context = save(&mut bench, session.handle).unwrap();
    assert_eq!(load(&mut other, &context), Err(0x1DF));
}

#[test]
fn objects_come_back_as_often_as_wanted_until_reset() {
    let mut bench = Bench::started();
    let object = primary(&mut bench, OWNER, 0);
    let before = name(&mut bench, object);
    let context = save(&mut bench, object).unwrap();
    assert_eq!(context.saved_handle.0, SAVED_OBJECT);
    assert_eq!(context.hierarchy.handle().0, OWNER);
    let copy = load(&mut bench, &context).unwrap();
    assert_ne!(copy, object);
    assert_eq!(name(&mut bench, copy), before);
    flush(&mut bench, object).unwrap();
    flush(&mut bench, copy).unwrap();
    assert_eq!(flush(&mut bench, copy), Err(0x1CB));
    for (shutdown, startup) in [("0001", "0001"), ("0001", "0000")] {
        reset(&mut bench, shutdown, startup);
        let copy = load(&mut bench, &context).unwrap();
        assert_eq!(name(&mut bench, copy), before);
    }
    let later = save(&mut bench, 0x8000_0000).unwrap();
    assert!(later.sequence > context.sequence);
    reset(&mut bench, "0000", "0000");
    assert_eq!(load(&mut bench, &context), Err(0x1DF));
}

#[test]
fn an_st_clear_object_ends_with_a_restart() {
    let mut bench = Bench::started();
    let object = primary(&mut bench, OWNER, 4);
    let context = save(&mut bench, object).unwrap();
    assert_eq!(context.saved_handle.0, SAVED_ST_CLEAR);
    assert_eq!(evict(&mut bench, OWNER, object, 0x8100_0001), 0x282);
    reset(&mut bench, "0001", "0001");
    load(&mut bench, &context).unwrap();
    reset(&mut bench, "0001", "0000");
    assert_eq!(load(&mut bench, &context), Err(0x1DF));
}

#[test]
fn a_context_needs_its_hierarchy_and_a_free_slot() {
    let mut bench = Bench::started();
    let object = primary(&mut bench, ENDORSEMENT, 0);
    let context = save(&mut bench, object).unwrap();
    while load(&mut bench, &context).is_ok() {}
    assert_eq!(load(&mut bench, &context), Err(0x902));
    // TPM2_HierarchyControl turns the endorsement hierarchy off.
    let control = with_passwords(0x121, &[PLATFORM], &[b""], &hex("4000000b 00"));
    assert_eq!(bench.run(&control).0, 0);
    assert_eq!(load(&mut bench, &context), Err(0x1C5));
}

#[test]
fn a_sequence_goes_on_from_its_context() {
    // TPM2_HashSequenceStart with SHA-256, and without an algorithm for an event; TPM2_HMAC_Start needs a key.
    for (start, complete) in [("0000 000b", 0x13E), ("0000 0010", 0x185)] {
        let mut bench = Bench::started();
        let started = bench.unauthorized(0x186, &[], &hex(start)).unwrap();
        let handle = u32::from_be_bytes(started.try_into().unwrap());
        let update = |handle| with_passwords(0x15C, &[handle], &[b""], &hex("0003 616263"));
        let end = |handle| {
            if complete == 0x13E {
                with_passwords(complete, &[handle], &[b""], &hex("0000 40000007"))
            } else {
                with_passwords(complete, &[NULL, handle], &[b"", b""], &hex("0000"))
            }
        };
        assert_eq!(bench.run(&update(handle)).0, 0);
        let context = save(&mut bench, handle).unwrap();
        assert_eq!(context.saved_handle.0, SAVED_SEQUENCE);
        let (code, expected) = bench.run(&end(handle));
        assert_eq!(code, 0);
        let copy = load(&mut bench, &context).unwrap();
        let (code, digest) = bench.run(&end(copy));
        assert_eq!((code, &digest), (0, &expected));
        let copy = load(&mut bench, &context).unwrap();
        assert_eq!(bench.run(&update(copy)).0, 0);
        let (_, other) = bench.run(&end(copy));
        assert_ne!(other, expected);
    }
}

#[test]
fn flushing_takes_sessions_loaded_or_saved() {
    let mut bench = Bench::started();
    let hmac = Start::hmac().run(&mut bench).unwrap().handle;
    assert_eq!(flush(&mut bench, hmac + 0x0100_0000), Err(0x1CB));
    flush(&mut bench, hmac).unwrap();
    assert_eq!(flush(&mut bench, hmac), Err(0x1CB));
    let policy = Start::policy().run(&mut bench).unwrap().handle;
    let context = save(&mut bench, policy).unwrap();
    // A list of saved sessions has the handles of HMAC sessions.
    flush(&mut bench, policy - 0x0100_0000).unwrap();
    assert_eq!(load(&mut bench, &context), Err(0x1CB));
    assert_eq!(flush(&mut bench, 0x8100_0000), Err(0x1C4));
    assert_eq!(flush(&mut bench, 0x4000_0001), Err(0x1C4));
    assert_eq!(flush(&mut bench, 0x0200_0040), Err(0x1CB));
}

#[test]
fn sessions_have_their_limits() {
    let mut bench = Bench::started();
    let mut saved = Vec::new();
    for _ in 0..MAX_ACTIVE_SESSIONS - MAX_LOADED_SESSIONS {
        let handle = Start::policy().run(&mut bench).unwrap().handle;
        saved.push(save(&mut bench, handle).unwrap());
    }
    let loaded: Vec<u32> = (0..MAX_LOADED_SESSIONS)
        .map(|_| Start::hmac().run(&mut bench).unwrap().handle)
        .collect();
    assert_eq!(Start::hmac().run(&mut bench).err(), Some(0x903));
    assert_eq!(load(&mut bench, &saved[0]), Err(0x903));
    save(&mut bench, loaded[0]).unwrap();
    assert_eq!(Start::hmac().run(&mut bench).err(), Some(0x905));
    load(&mut bench, &saved[0]).unwrap();
}

#[test]
fn a_full_gap_waits_for_the_oldest_context() {
    let mut bench = Bench::started();
    let sessions: Vec<u32> = (0..4).map(|_| Start::hmac().run(&mut bench).unwrap().handle).collect();
    let oldest = save(&mut bench, sessions[0]).unwrap();
    bench.tpm.sessions.context_counter = oldest.sequence + CONTEXT_GAP_MAX;
    let newest = save(&mut bench, sessions[1]).unwrap();
    assert_eq!(save(&mut bench, sessions[2]).err(), Some(0x901));
    assert_eq!(Start::hmac().run(&mut bench).err(), Some(0x901));
    load(&mut bench, &oldest).unwrap();
    save(&mut bench, sessions[2]).unwrap();
    load(&mut bench, &newest).unwrap();
    Start::hmac().run(&mut bench).unwrap();
}

#[test]
fn the_last_room_is_for_the_oldest_context() {
    let mut bench = Bench::started();
    let sessions: Vec<u32> = (0..MAX_LOADED_SESSIONS)
        .map(|_| Start::hmac().run(&mut bench).unwrap().handle)
        .collect();
    let oldest = save(&mut bench, sessions[0]).unwrap();
    let second = save(&mut bench, sessions[1]).unwrap();
    Start::hmac().run(&mut bench).unwrap();
    bench.tpm.sessions.context_counter = oldest.sequence + CONTEXT_GAP_MAX + 1;
    assert_eq!(load(&mut bench, &second), Err(0x901));
    load(&mut bench, &oldest).unwrap();
    flush(&mut bench, sessions[0]).unwrap();
    load(&mut bench, &second).unwrap();
}

#[test]
fn numbers_of_contexts_end() {
    let mut bench = Bench::started();
    let session = Start::hmac().run(&mut bench).unwrap().handle;
    bench.tpm.sessions.context_counter = u64::MAX;
    assert_eq!(save(&mut bench, session).err(), Some(0x12E));
    let object = primary(&mut bench, NULL, 0);
    bench.tpm.reset.change().object_context_id = u64::MAX;
    assert_eq!(save(&mut bench, object).err(), Some(0x12E));
}

#[test]
fn saved_sessions_survive_resume_and_restart_but_not_reset() {
    for (shutdown, startup, survives) in [("0001", "0001", true), ("0001", "0000", true), ("0000", "0000", false)] {
        let mut bench = Bench::started();
        let session = Start::hmac().run(&mut bench).unwrap().handle;
        let lost = Start::hmac().run(&mut bench).unwrap().handle;
        let context = save(&mut bench, session).unwrap();
        reset(&mut bench, shutdown, startup);
        assert_eq!(flush(&mut bench, lost), Err(0x1CB));
        assert_eq!(load(&mut bench, &context).is_ok(), survives);
    }
}

#[test]
fn a_session_context_after_a_shutdown_makes_it_void() {
    type Act = fn(&mut Bench, u32, &Context);
    let acts: [Act; 3] = [
        |bench, other, _| assert!(save(bench, other).is_ok()),
        |bench, _, context| assert!(load(bench, context).is_ok()),
        |bench, _, context| flush(bench, context.saved_handle.0.0).unwrap(),
    ];
    for act in acts {
        let mut bench = Bench::started();
        let session = Start::hmac().run(&mut bench).unwrap().handle;
        let other = Start::hmac().run(&mut bench).unwrap().handle;
        let context = save(&mut bench, session).unwrap();
        bench.run_ok("8001 0000000c 00000145 0001");
        act(&mut bench, other, &context);
        bench.tpm.power_on();
        assert_eq!(bench.code("8001 0000000c 00000144 0001"), 0x1C4);
    }
}

#[test]
fn a_session_stays_when_its_context_cannot_be_saved() {
    let mut bench = Bench::started();
    let session = Start::hmac().run(&mut bench).unwrap().handle;
    bench.run_ok("8001 0000000c 00000145 0001");
    bench.memory.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(save(&mut bench, session).err(), Some(0x923));
    bench.memory.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    save(&mut bench, session).unwrap();
}

#[test]
fn context_commands_take_no_sessions() {
    let mut bench = Bench::started();
    let session = Start::hmac().run(&mut bench).unwrap().handle;
    for (code, handles) in [(0x162, vec![session]), (0x161, vec![]), (FLUSH, vec![])] {
        assert_eq!(bench.run(&with_passwords(code, &handles, &[b""], &[])).0, 0x145);
    }
}

#[test]
fn each_makes_its_own_objects_persistent_in_its_own_range() {
    let mut bench = Bench::started();
    let owned = primary(&mut bench, OWNER, 0);
    assert_eq!(evict(&mut bench, OWNER, owned, 0x8180_0000), 0x1CD);
    assert_eq!(evict(&mut bench, PLATFORM, owned, 0x8180_0000), 0x285);
    assert_eq!(evict(&mut bench, OWNER, owned, 0x8000_0000), 0x1C4);
    assert_eq!(evict(&mut bench, OWNER, owned, 0x8100_0001), 0);
    assert_eq!(evict(&mut bench, OWNER, owned, 0x8100_0001), 0x14C);
    assert_eq!(name(&mut bench, 0x8100_0001), name(&mut bench, owned));
    flush(&mut bench, owned).unwrap();
    let platform = primary(&mut bench, PLATFORM, 0);
    assert_eq!(evict(&mut bench, OWNER, platform, 0x8100_0002), 0x285);
    assert_eq!(evict(&mut bench, PLATFORM, platform, 0x8100_0002), 0x1CD);
    assert_eq!(evict(&mut bench, PLATFORM, platform, 0x8180_0001), 0);
    let (null, endorsed) = (primary(&mut bench, NULL, 0), primary(&mut bench, ENDORSEMENT, 0));
    assert_eq!(evict(&mut bench, OWNER, null, 0x8100_0003), 0x282);
    assert_eq!(evict(&mut bench, OWNER, endorsed, 0x8100_0003), 0);
    let sequence = bench.unauthorized(0x186, &[], &hex("0000 000b")).unwrap();
    let sequence = u32::from_be_bytes(sequence.try_into().unwrap());
    assert_eq!(evict(&mut bench, OWNER, sequence, 0x8100_0004), 0x282);
    reset(&mut bench, "", "0000");
    for handle in [0x8100_0001, 0x8100_0003, 0x8180_0001] {
        name(&mut bench, handle);
    }
}

#[test]
fn persistent_objects_are_removed_by_their_own_handle() {
    let mut bench = Bench::started();
    let object = primary(&mut bench, OWNER, 0);
    for handle in [0x8100_0001, 0x8100_0002] {
        assert_eq!(evict(&mut bench, OWNER, object, handle), 0);
    }
    let platform = primary(&mut bench, PLATFORM, 0);
    assert_eq!(evict(&mut bench, PLATFORM, platform, 0x8180_0001), 0);
    assert_eq!(evict(&mut bench, OWNER, 0x8100_0001, 0x8100_0002), 0x28B);
    assert_eq!(evict(&mut bench, OWNER, 0x8180_0001, 0x8180_0001), 0x285);
    assert_eq!(evict(&mut bench, OWNER, 0x8100_0001, 0x8100_0001), 0);
    assert_eq!(evict(&mut bench, OWNER, 0x8100_0001, 0x8100_0001), 0x28B);
    // The platform removes what it likes.
    assert_eq!(evict(&mut bench, PLATFORM, 0x8100_0002, 0x8100_0002), 0);
    assert_eq!(evict(&mut bench, PLATFORM, 0x8180_0001, 0x8180_0001), 0);
    assert!(bench.tpm.nv.objects.is_empty());
}

#[test]
fn an_endorsement_key_is_removed_even_while_its_hierarchy_is_off() {
    let mut bench = Bench::started();
    let object = primary(&mut bench, ENDORSEMENT, 0);
    assert_eq!(evict(&mut bench, OWNER, object, 0x8100_0001), 0);
    let off = |bench: &mut Bench, hierarchy: &str| {
        let control = with_passwords(0x121, &[PLATFORM], &[b""], &hex(&format!("{hierarchy} 00")));
        assert_eq!(bench.run(&control).0, 0);
    };
    off(&mut bench, "4000000b");
    assert_eq!(bench.unauthorized(0x173, &[0x8100_0001], &[]), Err(0x18B));
    assert_eq!(evict(&mut bench, OWNER, 0x8100_0001, 0x8100_0001), 0);
}
