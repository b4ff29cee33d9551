//! What the commands change, who may give them, and that they change nothing when the store fails.

use std::sync::atomic::Ordering;

use crate::handle::{Handle, Hierarchy};
use crate::state::persistent::HierarchyRecord;
use crate::testing::{Bench, hex, plain, with_passwords};

const OWNER: u32 = 0x4000_0001;
const NULL: u32 = 0x4000_0007;
const LOCKOUT: u32 = 0x4000_000A;
const ENDORSEMENT: u32 = 0x4000_000B;
const PLATFORM: u32 = 0x4000_000C;
const PLATFORM_NV: u32 = 0x4000_000D;

const CHANGE_EPS: u32 = 0x124;
const CHANGE_PPS: u32 = 0x125;
const CLEAR: u32 = 0x126;
const CLEAR_CONTROL: u32 = 0x127;
const CHANGE_AUTH: u32 = 0x129;
const CONTROL: u32 = 0x121;
const SET_POLICY: u32 = 0x12E;

fn give(tpm: &mut Bench, code: u32, by: u32, password: &[u8], params: &[u8]) -> u32 {
    tpm.run(&with_passwords(code, &[by], &[password], params)).0
}

fn change_auth(tpm: &mut Bench, by: u32, old: &[u8], new: &[u8]) -> u32 {
    let params = [&(new.len() as u16).to_be_bytes(), new].concat();
    give(tpm, CHANGE_AUTH, by, old, &params)
}

fn control(tpm: &mut Bench, by: u32, what: u32, state: u8) -> u32 {
    let params = [&what.to_be_bytes()[..], &[state]].concat();
    give(tpm, CONTROL, by, b"", &params)
}

/// Defines an index of 8 bytes that the owner or the platform made.
fn define(tpm: &mut Bench, by: u32, index: u32, attributes: u32) -> u32 {
    let made = if by == PLATFORM { 1 << 30 } else { 0 };
    let attributes: u32 = attributes | made | 0x0004_0004;
    let public = [
        &index.to_be_bytes()[..],
        &[0, 0x0B],
        &attributes.to_be_bytes(),
        &[0, 0, 0, 8],
    ]
    .concat();
    let params = [&[0, 0, 0, public.len() as u8], &public[..]].concat();
    give(tpm, 0x12A, by, b"", &params)
}

/// The seed, proof and authorization value of a hierarchy as they are stored.
fn record(tpm: &Bench, hierarchy: Hierarchy) -> HierarchyRecord {
    tpm.tpm.nv.hierarchies.get(hierarchy).unwrap().clone()
}

fn power_cycle(tpm: Bench, shutdown: u8, startup: u8) -> Bench {
    let mut tpm = tpm;
    assert_eq!(tpm.run(&plain(0x145, &[0, shutdown])).0, 0);
    let mut tpm = Bench::on(tpm.memory.clone());
    assert_eq!(tpm.run(&plain(0x144, &[0, startup])).0, 0);
    tpm
}

#[test]
fn clear_removes_what_is_the_owners_and_keeps_the_endorsement_seed() {
    let mut tpm = Bench::started();
    for (by, password) in [(OWNER, b"own"), (ENDORSEMENT, b"end"), (LOCKOUT, b"loc")] {
        assert_eq!(change_auth(&mut tpm, by, b"", password), 0);
    }
    assert_eq!(define(&mut tpm, PLATFORM, 0x0100_0001, 0), 0);
    let mut tpm = power_cycle(tpm, 1, 1);
    assert_eq!(change_auth(&mut tpm, OWNER, b"own", b""), 0);
    for (index, attributes) in [(0x0100_0002, 0), (0x0100_0003, 1 << 26)] {
        assert_eq!(define(&mut tpm, OWNER, index, attributes), 0);
    }
    tpm.clock.0.store(5000, Ordering::Relaxed);
    let before = [Hierarchy::Owner, Hierarchy::Endorsement, Hierarchy::Platform].map(|h| record(&tpm, h));
    let pcr_counter = tpm.tpm.reset.pcr_counter;
    assert_eq!(give(&mut tpm, CLEAR, LOCKOUT, b"loc", &[]), 0);
    let after = [Hierarchy::Owner, Hierarchy::Endorsement, Hierarchy::Platform].map(|h| record(&tpm, h));
    let seeds = |records: &[HierarchyRecord; 3]| records.clone().map(|record| record.seed.seed.to_vec());
    let proofs = |records: &[HierarchyRecord; 3]| records.clone().map(|record| record.proof.to_vec());
    assert_eq!(
        std::array::from_fn(|i| seeds(&before)[i] == seeds(&after)[i]),
        [false, true, true]
    );
    assert_eq!(
        std::array::from_fn(|i| proofs(&before)[i] == proofs(&after)[i]),
        [false, false, true]
    );
    for by in [OWNER, ENDORSEMENT, LOCKOUT] {
        assert!(tpm.tpm.auth_value(Handle(by)).is_empty());
    }
    assert_eq!(tpm.run(&plain(0x169, &0x0100_0001u32.to_be_bytes())).0, 0);
    for index in [0x0100_0002u32, 0x0100_0003] {
        assert_eq!(tpm.run(&plain(0x169, &index.to_be_bytes())).0, 0x18B);
    }
    assert!(tpm.tpm.orderly_nv.0.is_empty());
    assert_eq!((tpm.tpm.timer.clock, tpm.tpm.timer.safe), (0, true));
    assert_eq!((tpm.tpm.nv.counters.reset_count, tpm.tpm.reset.restart_count), (0, 0));
    assert_eq!(tpm.tpm.reset.pcr_counter, pcr_counter + 1);
}

#[test]
fn clear_enables_again_and_is_void_after_a_failed_commit() {
    let mut tpm = Bench::started();
    assert_eq!(control(&mut tpm, OWNER, OWNER, 0), 0);
    tpm.clock.0.store(5000, Ordering::Relaxed);
    tpm.run(&plain(0x17B, &[0, 1]));
    let proof = record(&tpm, Hierarchy::Owner).proof;
    tpm.memory.broken.store(true, Ordering::Relaxed);
    assert_eq!(give(&mut tpm, CLEAR, PLATFORM, b"", &[]), 0x923);
    assert_eq!(
        (record(&tpm, Hierarchy::Owner).proof, tpm.tpm.timer.clock),
        (proof, 5000)
    );
    assert!(!tpm.tpm.hierarchy_enabled(Hierarchy::Owner));
    tpm.memory.broken.store(false, Ordering::Relaxed);
    assert_eq!(give(&mut tpm, CLEAR, PLATFORM, b"", &[]), 0);
    assert!(tpm.tpm.hierarchy_enabled(Hierarchy::Owner));
}

#[test]
fn clear_can_be_forbidden_and_only_the_platform_allows_it_again() {
    let mut tpm = Bench::started();
    assert_eq!(give(&mut tpm, CLEAR_CONTROL, LOCKOUT, b"", &[0]), 0x08E);
    assert_eq!(give(&mut tpm, CLEAR_CONTROL, OWNER, b"", &[1]), 0x184);
    assert_eq!(give(&mut tpm, CLEAR_CONTROL, LOCKOUT, b"", &[2]), 0x1C4);
    assert_eq!(give(&mut tpm, CLEAR_CONTROL, LOCKOUT, b"", &[1]), 0);
    assert_eq!(give(&mut tpm, CLEAR, LOCKOUT, b"", &[]), 0x120);
    let mut tpm = power_cycle(tpm, 0, 0);
    assert_eq!(give(&mut tpm, CLEAR, PLATFORM, b"", &[]), 0x120);
    assert_eq!(give(&mut tpm, CLEAR_CONTROL, PLATFORM, b"", &[0]), 0);
    assert_eq!(give(&mut tpm, CLEAR, LOCKOUT, b"", &[]), 0);
    assert_eq!(give(&mut tpm, CLEAR, OWNER, b"", &[]), 0x184);
}

#[test]
fn a_hierarchy_disables_itself_and_the_platform_enables_it() {
    let mut tpm = Bench::started();
    for (by, what, state, code) in [
        (OWNER, PLATFORM, 0, 0x124),
        (OWNER, PLATFORM_NV, 0, 0x124),
        (OWNER, ENDORSEMENT, 0, 0x124),
        (ENDORSEMENT, OWNER, 1, 0x124),
        (OWNER, OWNER, 1, 0),
        (OWNER, OWNER, 0, 0),
        (OWNER, OWNER, 1, 0x185),
        (ENDORSEMENT, OWNER, 1, 0x124),
        (PLATFORM, OWNER, 1, 0),
        (ENDORSEMENT, ENDORSEMENT, 0, 0),
        (PLATFORM, ENDORSEMENT, 1, 0),
        (PLATFORM, NULL, 0, 0x1C4),
        (PLATFORM, LOCKOUT, 0, 0x1C4),
        (PLATFORM, OWNER, 2, 0x2C4),
        (PLATFORM, PLATFORM_NV, 0, 0),
    ] {
        assert_eq!(control(&mut tpm, by, what, state), code, "{by:#x} {what:#x} {state}");
    }
    assert_eq!(define(&mut tpm, PLATFORM, 0x0100_0001, 0), 0x185);
    assert_eq!(define(&mut tpm, OWNER, 0x0100_0001, 0), 0);
    // The index of a disabled hierarchy is not there.
    assert_eq!(control(&mut tpm, OWNER, OWNER, 0), 0);
    assert_eq!(tpm.run(&plain(0x169, &0x0100_0001u32.to_be_bytes())).0, 0x18B);
    assert_eq!(control(&mut tpm, PLATFORM, PLATFORM, 0), 0);
    assert_eq!(control(&mut tpm, PLATFORM, PLATFORM, 1), 0x185);
}

#[test]
fn switches_last_over_resume_and_not_over_restart() {
    let mut tpm = Bench::started();
    assert_eq!(control(&mut tpm, OWNER, OWNER, 0), 0);
    assert_eq!(change_auth(&mut tpm, PLATFORM, b"", b"boot"), 0);
    let mut tpm = power_cycle(tpm, 1, 1);
    assert_eq!(control(&mut tpm, OWNER, OWNER, 0), 0x185);
    assert_eq!(change_auth(&mut tpm, PLATFORM, b"", b""), 0x9A2);
    assert_eq!(change_auth(&mut tpm, PLATFORM, b"boot", b"boot"), 0);
    let mut tpm = power_cycle(tpm, 1, 0);
    assert_eq!(control(&mut tpm, OWNER, OWNER, 0), 0);
    assert_eq!(change_auth(&mut tpm, PLATFORM, b"", b""), 0);
}

#[test]
fn authorization_values_change_and_persist() {
    let mut tpm = Bench::started();
    for by in [OWNER, ENDORSEMENT, LOCKOUT] {
        assert_eq!(change_auth(&mut tpm, by, b"", &[0x61; 64]), 0);
        assert_eq!(change_auth(&mut tpm, by, &[0x61; 64], b"ab\0\0"), 0);
    }
    assert_eq!(change_auth(&mut tpm, OWNER, b"ab", &[0x61; 65]), 0x1D5);
    assert_eq!(change_auth(&mut tpm, OWNER, b"", b""), 0x9A2);
    assert_eq!(change_auth(&mut tpm, NULL, b"", b""), 0x184);
    let mut tpm = power_cycle(tpm, 0, 0);
    for by in [OWNER, ENDORSEMENT, LOCKOUT] {
        assert_eq!(change_auth(&mut tpm, by, b"ab", b""), 0);
    }
}

#[test]
fn policies_fit_their_hash() {
    let mut tpm = Bench::started();
    let digest = [&[0, 32][..], &[7; 32]].concat();
    let with_alg = |digest: &[u8], alg: u16| [digest, &alg.to_be_bytes()].concat();
    for by in [OWNER, ENDORSEMENT, LOCKOUT, PLATFORM] {
        assert_eq!(give(&mut tpm, SET_POLICY, by, b"", &with_alg(&digest, 0x0B)), 0);
        let (alg, value) = tpm.tpm.auth_policy(Handle(by)).unwrap();
        assert_eq!((alg, &value[..]), (crate::alg::HashAlg::Sha256, &[7; 32][..]));
    }
    for (digest, alg, code) in [
        (&digest[..], 0x04, 0x1D5),
        (&digest[..], 0x10, 0x1D5),
        (&[0, 0][..], 0x0B, 0x1D5),
        (&[0, 0][..], 0x99, 0x2C3),
        (&[0, 0][..], 0x10, 0),
    ] {
        assert_eq!(give(&mut tpm, SET_POLICY, OWNER, b"", &with_alg(digest, alg)), code);
    }
    assert!(tpm.tpm.auth_policy(Handle::OWNER).is_none());
    assert_eq!(give(&mut tpm, SET_POLICY, NULL, b"", &hex("0000 0010")), 0x184);
}

#[test]
fn new_primary_seeds_void_what_was_made_under_the_old_ones() {
    let mut tpm = Bench::started();
    assert_eq!(define(&mut tpm, OWNER, 0x0100_0001, 0), 0);
    assert_eq!(define(&mut tpm, PLATFORM, 0x0100_0002, 0), 0);
    assert_eq!(change_auth(&mut tpm, PLATFORM, b"", b"boot"), 0);
    assert_eq!(change_auth(&mut tpm, ENDORSEMENT, b"", b"end"), 0);
    let policy = [&[0, 32][..], &[7; 32], &[0, 0x0B]].concat();
    assert_eq!(give(&mut tpm, SET_POLICY, PLATFORM, b"boot", &policy), 0);
    let before = [Hierarchy::Platform, Hierarchy::Endorsement].map(|h| record(&tpm, h));
    assert_eq!(give(&mut tpm, CHANGE_PPS, PLATFORM, b"boot", &[]), 0);
    assert_eq!(give(&mut tpm, CHANGE_EPS, PLATFORM, b"boot", &[]), 0);
    let after = [Hierarchy::Platform, Hierarchy::Endorsement].map(|h| record(&tpm, h));
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before.seed.seed, after.seed.seed);
        assert_ne!(before.proof, after.proof);
    }
    assert!(tpm.tpm.auth_policy(Handle::PLATFORM).is_none());
    assert!(tpm.tpm.auth_value(Handle::ENDORSEMENT).is_empty());
    // Indices are no keys: they stay.
    for index in [0x0100_0001u32, 0x0100_0002] {
        assert_eq!(tpm.run(&plain(0x169, &index.to_be_bytes())).0, 0);
    }
    assert_eq!(give(&mut tpm, CHANGE_PPS, OWNER, b"", &[]), 0x184);
    assert_eq!(give(&mut tpm, CHANGE_EPS, OWNER, b"", &[]), 0x184);
}

/// An HMAC key under the hierarchy.
fn primary(tpm: &mut Bench, hierarchy: u32) -> u32 {
    let params = hex("0004 00000000 0010 0008 000b 00040472 0000 0005 000b 0000 0000 00000000");
    let (code, response) = tpm.run(&with_passwords(0x131, &[hierarchy], &[b""], &params));
    assert_eq!(code, 0);
    u32::from_be_bytes(response[10..14].try_into().unwrap())
}

#[test]
fn objects_go_with_their_hierarchy() {
    const HIERARCHIES: [u32; 4] = [OWNER, ENDORSEMENT, PLATFORM, NULL];
    /// Where those of owner, endorsement and platform are made persistent.
    const PERSISTENT: [u32; 3] = [0x8100_0001, 0x8100_0002, 0x8180_0001];
    let disable = |what: u32| with_passwords(CONTROL, &[PLATFORM], &[b""], &[&what.to_be_bytes()[..], &[0]].concat());
    let by_platform = |code: u32| with_passwords(code, &[PLATFORM], &[b""], &[]);
    for (command, kept) in [
        (by_platform(CLEAR), [false, false, true, true]),
        (by_platform(CHANGE_EPS), [true, false, true, true]),
        (by_platform(CHANGE_PPS), [true, true, false, true]),
        (disable(OWNER), [false, true, true, true]),
        (disable(ENDORSEMENT), [true, false, true, true]),
        (disable(PLATFORM), [true, true, false, true]),
        (disable(PLATFORM_NV), [true, true, true, true]),
    ] {
        let mut tpm = Bench::started();
        let keys = HIERARCHIES.map(|hierarchy| primary(&mut tpm, hierarchy));
        for ((by, key), persistent) in [OWNER, OWNER, PLATFORM].into_iter().zip(keys).zip(PERSISTENT) {
            let evict = with_passwords(0x120, &[by, key], &[b""], &persistent.to_be_bytes());
            assert_eq!(tpm.run(&evict).0, 0);
        }
        assert_eq!(tpm.run(&command).0, 0);
        let mut readable = |key: u32| tpm.run(&plain(0x173, &key.to_be_bytes())).0 == 0;
        assert_eq!(keys.map(&mut readable), kept, "{command:02x?}");
        // A persistent handle of the owner's range is one of the owner's, whatever the object under it.
        let owner = tpm.tpm.hierarchy_enabled(Hierarchy::Owner);
        let mut readable = |key: u32| tpm.run(&plain(0x173, &key.to_be_bytes())).0 == 0;
        assert_eq!(
            PERSISTENT.map(&mut readable),
            [kept[0] && owner, kept[1] && owner, kept[2]],
            "{command:02x?}"
        );
    }
}
