use std::path::Path;

use proptest::prelude::*;

use super::{Kind, Snapshot, SnapshotError, VERSION, close};
use crate::alg::HashAlg;
use crate::crypto::hash::hash;
use crate::crypto::self_test;
use crate::testing::keys::{NULL, OWNER, Parts, Template, attr, sha256, sized};
use crate::testing::session::{AUDIT, CONTINUE, Entity, Session, Start};
use crate::testing::{Bench, Memory, command, hex, plain};
use crate::tpm::{Phase, StartError, Tpm};

const PRIMARY: u32 = 0x8000_0000;
const SEALED: u32 = 0x8000_0001;
const SIGNER: u32 = 0x8000_0002;
/// Sequences of SHA-256, SHA3-384, an event and an HMAC.
const SEQUENCES: [u32; 4] = [0x8000_0004, 0x8000_0005, 0x8000_0006, 0x8000_0007];
const POLICY: u32 = 0x0300_0000;
const PERSISTENT: u32 = 0x8100_0001;
const COUNTER: u32 = 0x0100_0001;
const ACT_0: u32 = 0x4000_0110;
const MAC_KEY: &[u8] = b"a key of an HMAC";
const SECRET: &[u8] = b"what was sealed";

/// TPM2_HashSequenceStart.
fn start(bench: &mut Bench, alg: &str) -> u32 {
    let reply = bench
        .unauthorized(0x186, &[], &[hex("0000"), hex(alg)].concat())
        .unwrap();
    u32::from_be_bytes(reply[..4].try_into().unwrap())
}

/// The digest of a sequence that ends.
fn complete(bench: &mut Bench, sequence: u32, data: &[u8]) -> Vec<u8> {
    let params = [sized(&[data]), NULL.to_be_bytes().to_vec()].concat();
    let reply = bench.ok_with(0x13E, &[sequence], &[b""], &params);
    Parts(&reply).take().to_vec()
}

fn pcr(bench: &mut Bench, number: u8) -> Vec<u8> {
    let mut bits = [0; 3];
    bits[usize::from(number / 8)] = 1 << (number % 8);
    let reply = bench
        .unauthorized(0x17E, &[], &[hex("00000001 000b 03"), bits.to_vec()].concat())
        .unwrap();
    reply[reply.len() - 32..].to_vec()
}

fn counter(bench: &mut Bench) -> u64 {
    let reply = bench.ok_with(0x14E, &[COUNTER, COUNTER], &[b""], &hex("0008 0000"));
    u64::from_be_bytes(reply[2..10].try_into().unwrap())
}

/// A TPM in the middle of everything. What it has can be told without knowing its random numbers, so that a fixture can be
/// checked by [`goes_on`].
fn in_the_middle() -> Bench {
    let mut bench = Bench::started();
    bench.pass(5000);
    bench.ok_with(
        0x182,
        &[16],
        &[b""],
        &[hex("00000001 000b"), sha256(&[b"measured"])].concat(),
    );
    assert_eq!(bench.primary(OWNER, &Template::srk()), PRIMARY);
    bench.ok_with(0x120, &[OWNER, PRIMARY], &[b""], &PERSISTENT.to_be_bytes());

    let session = Start::policy().run(&mut bench).unwrap();
    assert_eq!(session.handle, POLICY);
    bench.policy(POLICY, 0x17F, "0000 00000001 000b 03 000001").unwrap();
    let mut sealed = Template::keyed_hash(attr::FIXED_TPM | attr::FIXED_PARENT | attr::NO_DA);
    sealed.policy = bench.policy_digest(POLICY).to_vec();
    assert_eq!(bench.child(PRIMARY, &sealed, b"", SECRET), SEALED);
    let signer = Template::ecc(attr::OWN | attr::SIGN).with_parms("0010  0018 000b  0003  0010");
    assert_eq!(bench.child(PRIMARY, &signer, b"", b""), SIGNER);

    let key = Template::keyed_hash(attr::OWN & !attr::ORIGIN | attr::SIGN).with_parms("0005 000b");
    let key = bench.child(PRIMARY, &key, b"", MAC_KEY);
    let made = [
        start(&mut bench, "000b"),
        start(&mut bench, "0028"),
        start(&mut bench, "0010"),
        bench.ok_handle(0x15B, &[key], b"", &hex("0000 000b")).0,
    ];
    assert_eq!(made, SEQUENCES);
    for sequence in SEQUENCES {
        bench.ok_with(0x15C, &[sequence], &[b""], &sized(&[&[b'x'; 200]]));
    }
    bench.run_ok("8001 0000000e 00000165 80000003");
    // NT counter, AUTHWRITE, AUTHREAD, NO_DA, ORDERLY.
    let public = [COUNTER.to_be_bytes().to_vec(), hex("000b 06040014 0000 0008")].concat();
    bench.ok_with(0x12A, &[OWNER], &[b""], &sized(&[b"", &public]));
    for _ in 0..3 {
        bench.ok_with(0x134, &[COUNTER, COUNTER], &[b""], &[]);
    }
    bench.ok_with(0x198, &[ACT_0], &[b""], &100u32.to_be_bytes());
    bench.pass(7000);
    bench
}

/// The TPM of [`in_the_middle`] goes on as if nothing had happened.
fn goes_on(bench: &mut Bench) {
    assert_eq!(bench.tpm.timer.time, 12_000);
    assert_eq!(pcr(bench, 16), sha256(&[&[0; 32], &sha256(&[b"measured"])]));
    // The policy session still knows that PCR 16 was right.
    let area = hex("03000000 0000 01 0000");
    let (code, response) = bench.run(&command(0x8002, 0x15E, &[SEALED], &area, &[]));
    assert_eq!(code, 0);
    assert_eq!(Parts(&response[14..]).take(), SECRET);

    let digest = sha256(&[b"message"]);
    let params = [sized(&[&digest]), hex("0010 8024 40000007 0000")].concat();
    let signature = bench.ok_with(0x15D, &[SIGNER], &[b""], &params);
    bench
        .unauthorized(0x177, &[SIGNER], &[sized(&[&digest]), signature].concat())
        .unwrap();

    let data = [&[b'x'; 200][..], b"end"].concat();
    let [sha256_sequence, sha3, event, mac] = SEQUENCES;
    assert_eq!(complete(bench, sha256_sequence, b"end"), sha256(&[&data]));
    assert_eq!(complete(bench, sha3, b"end"), *hash(HashAlg::Sha3_384, &[&data]));
    let hmac = crate::crypto::hmac::hmac(HashAlg::Sha256, MAC_KEY, &[&data]);
    assert_eq!(complete(bench, mac, b"end"), *hmac);
    let before = pcr(bench, 16);
    bench.ok_with(0x185, &[16, event], &[b"", b""], &sized(&[b"end"]));
    assert_eq!(pcr(bench, 16), sha256(&[&before, &sha256(&[&data])]));

    let count = counter(bench);
    bench.ok_with(0x134, &[COUNTER, COUNTER], &[b""], &[]);
    assert_eq!((count, counter(bench)), (3, 4));
    bench.unauthorized(0x173, &[PERSISTENT], &[]).unwrap();
    assert_eq!(bench.tpm.signaled_timers(), 0);
    bench.pass(93_000);
    assert_eq!(bench.tpm.signaled_timers(), 1);
}

fn save(bench: &mut Bench) -> (Vec<u8>, Vec<u8>) {
    let permanent = bench.tpm.save_permanent().to_vec();
    (permanent, bench.tpm.save_volatile().unwrap().to_vec())
}

/// A TPM in a new store, with other random numbers.
fn adopt((permanent, volatile): &(Vec<u8>, Vec<u8>)) -> Bench {
    let snapshot = Snapshot::decode(permanent, Some(volatile)).unwrap();
    assert!(snapshot.is_live());
    Bench::with(Memory::default(), 99, |platform| {
        Tpm::adopt(platform, snapshot).unwrap()
    })
}

fn moved(bench: &mut Bench) -> Bench {
    adopt(&save(bench))
}

#[test]
fn a_tpm_goes_on_elsewhere() {
    let mut bench = in_the_middle();
    let saved = save(&mut bench);
    let mut there = adopt(&saved);
    assert!(save(&mut there) == saved, "a snapshot of a snapshot is the same");
    let records = |bench: &Bench| bench.memory.records.lock().unwrap().clone().into_iter().collect();
    assert!(bench.tpm.is_stored_as(records(&there)));
    goes_on(&mut there);
    // Nothing of that persists; a new authorization value of the lockout hierarchy does.
    assert!(bench.tpm.is_stored_as(records(&there)));
    there.ok_with(0x129, &[0x4000_000A], &[b""], &sized(&[b"new"]));
    assert!(!bench.tpm.is_stored_as(records(&there)));
    // Saving changed nothing here, and what was written there is durable there.
    goes_on(&mut bench);
    let mut again = Bench::on(there.memory.clone());
    assert_eq!(again.code("8001 0000000c 00000144 0000"), 0);
    again.unauthorized(0x173, &[PERSISTENT], &[]).unwrap();
}

/// A TPM saved by each version that was ever released: its permanent and its volatile state.
const RELEASED: &[(&[u8], &[u8])] = &[(include_bytes!("v1-permanent.bin"), include_bytes!("v1-volatile.bin"))];

/// Every version that was ever released. If this fails, a guest that was saved by an earlier release is lost: read the old
/// version, never change its fixture. The fixture of a new version is written to the folder that `SNAPSHOT_FIXTURE` names.
#[test]
fn snapshots_of_released_versions_go_on() {
    for (permanent, volatile) in RELEASED {
        goes_on(&mut adopt(&(permanent.to_vec(), volatile.to_vec())));
    }
    if let Some(folder) = std::env::var_os("SNAPSHOT_FIXTURE") {
        let (permanent, volatile) = save(&mut in_the_middle());
        for (half, blob) in [("permanent", permanent), ("volatile", volatile)] {
            std::fs::write(Path::new(&folder).join(format!("v{VERSION}-{half}.bin")), blob).unwrap();
        }
    }
    // The newest version is what this program writes, byte by byte.
    let (permanent, volatile) = RELEASED.last().unwrap();
    let newest = (permanent.to_vec(), volatile.to_vec());
    let mut bench = adopt(&newest);
    assert!(save(&mut bench) == newest, "the form changed without a new version");
}

#[test]
fn sessions_go_on_with_their_nonces_and_digests() {
    let mut bench = Bench::started();
    let owner = Entity::of(OWNER);
    let mut bound = Start::hmac().bound(&owner).run(&mut bench).unwrap();
    let mut audit = Start::hmac().run(&mut bench).unwrap();
    let kept = Start::hmac().run(&mut bench).unwrap();
    let context = bench.unauthorized(0x162, &[kept.handle], &[]).unwrap();
    let change = |bench: &mut Bench, sessions: &mut [&mut Session]| {
        // TPM2_SetPrimaryPolicy of the owner, to nothing.
        bench.send(0x12E, &[Entity::of(OWNER)], sessions, &hex("0000 0010"))
    };
    change(&mut bench, &mut [&mut bound]).unwrap();
    audit.with(AUDIT | CONTINUE);
    bench.send(0x17B, &[], &mut [&mut audit], &hex("0008")).unwrap();
    assert_eq!(bench.tpm.exclusive_audit.map(|handle| handle.0), Some(audit.handle));
    let mut there = moved(&mut bench);
    assert_eq!(there.tpm.exclusive_audit.map(|handle| handle.0), Some(audit.handle));
    bench.send(0x17B, &[], &mut [&mut audit.clone()], &hex("0008")).unwrap();
    there.send(0x17B, &[], &mut [&mut audit], &hex("0008")).unwrap();
    change(&mut there, &mut [&mut bound]).unwrap();
    // A context that was outside of the TPM comes back into the slot that it left.
    let loaded = there.unauthorized(0x161, &[], &context).unwrap();
    assert_eq!(loaded, kept.handle.to_be_bytes());
    assert!(there.unauthorized(0x161, &[], &context).is_err(), "only once");
}

#[test]
fn the_null_hierarchy_is_the_same_elsewhere() {
    let mut bench = Bench::started();
    let before = bench.primary(NULL, &Template::srk());
    let name = bench.names(before).0;
    let mut there = moved(&mut bench);
    let after = there.primary(NULL, &Template::srk());
    assert_eq!(there.names(after).0, name);
}

#[test]
fn random_numbers_differ_after_a_move() {
    let mut bench = Bench::started();
    let mut there = moved(&mut bench);
    let draw = |bench: &mut Bench| bench.run_ok("8001 0000000c 0000017b 0020");
    assert_ne!(draw(&mut bench), draw(&mut there));
}

#[test]
fn an_hcrtm_sequence_goes_on() {
    let measure = |interrupted: bool| {
        let mut bench = Bench::unstarted();
        bench.tpm.hash_start();
        bench.tpm.hash_data(b"the first half");
        if interrupted {
            bench = moved(&mut bench);
        }
        bench.tpm.hash_data(b" and the second");
        bench.tpm.hash_end();
        bench = if interrupted { moved(&mut bench) } else { bench };
        bench.run_ok("8001 0000000c 00000144 0000");
        pcr(&mut bench, 0)
    };
    assert_eq!(measure(true), measure(false));
}

#[test]
fn a_drtm_stays_established_and_a_failed_tpm_failed() {
    let mut bench = Bench::started();
    bench.tpm.hash_start();
    bench.tpm.hash_end();
    assert!(moved(&mut bench).tpm.established());
    for reason in [self_test::ALL[0].name, "something else"] {
        bench.tpm.fail(reason);
        let mut there = moved(&mut bench);
        assert_eq!(there.run(&plain(0x17B, &[0, 8])).0, 0x101);
        let known = there.tpm.phase == Phase::Failed(reason);
        assert_eq!(known, reason != "something else");
    }
}

#[test]
fn a_shutdown_before_the_move_counts_after_it() {
    let mut bench = Bench::started();
    bench.run_ok("8001 0000000c 00000145 0001");
    let mut there = moved(&mut bench);
    there.run_ok("8001 0000000c 0000017b 0008");
    there.tpm.power_on();
    there.run_ok("8001 0000000c 00000144 0001");
}

#[test]
fn without_power_there_is_no_volatile_state() {
    let bench = Bench::started();
    let permanent = bench.tpm.save_permanent();
    let snapshot = Snapshot::decode(&permanent, None).unwrap();
    assert!(!snapshot.is_live());
    assert_eq!(snapshot.profile_name(), "default-v1");
    let mut there = Bench::with(Memory::default(), 2, |platform| Tpm::adopt(platform, snapshot).unwrap());
    assert!(there.tpm.save_volatile().is_none());
    there.tpm.power_on();
    there.run_ok("8001 0000000c 00000144 0000");
}

#[test]
fn another_tpm_takes_the_place_of_one_or_nothing_changes() {
    let mut source = in_the_middle();
    let (permanent, volatile) = save(&mut source);
    let snapshot = || Snapshot::decode(&permanent, Some(&volatile)).unwrap();
    let mut bench = Bench::started();
    let handle = bench.primary(OWNER, &Template::srk());
    bench.ok_with(0x120, &[OWNER, handle], &[b""], &0x8100_0002u32.to_be_bytes());
    bench.memory.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    bench.tpm.replace(snapshot()).unwrap_err();
    bench.memory.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    bench.unauthorized(0x173, &[0x8100_0002], &[]).unwrap();
    bench.unauthorized(0x173, &[handle], &[]).unwrap();
    bench.tpm.replace(snapshot()).unwrap();
    assert!(bench.unauthorized(0x173, &[0x8100_0002], &[]).is_err());
    let mut again = Bench::on(bench.memory.clone());
    again.run_ok("8001 0000000c 00000144 0000");
    assert!(again.unauthorized(0x173, &[0x8100_0002], &[]).is_err());
    again.unauthorized(0x173, &[PERSISTENT], &[]).unwrap();
    goes_on(&mut bench);
    Bench::with(again.memory.clone(), 1, |platform| {
        let refused = Tpm::adopt(platform, snapshot());
        assert!(matches!(refused, Err(StartError::AlreadyManufactured)));
        bench.tpm
    });
}

#[test]
fn another_process_goes_on_from_stored_volatile_state_once() {
    let mut bench = in_the_middle();
    bench.tpm.store_volatile().unwrap();
    bench.tpm.flush().unwrap();
    let load = |memory: &Memory| Bench::with(memory.clone(), 5, |platform| Tpm::load(platform).unwrap());
    let mut there = load(&bench.memory);
    assert!(there.tpm.resume().unwrap());
    goes_on(&mut there);
    assert!(!load(&there.memory).tpm.resume().unwrap());
}

#[test]
fn a_state_that_went_on_elsewhere_is_another() {
    let mut bench = Bench::started();
    bench.primary(OWNER, &Template::rsa(attr::OWN | attr::STORAGE));
    bench.tpm.flush().unwrap();
    let stored = |bench: &Bench| bench.memory.records.lock().unwrap().clone();
    let is_stored_as = |bench: &Bench, records: std::collections::BTreeMap<Vec<u8>, Vec<u8>>| {
        bench.tpm.is_stored_as(records.into_iter().rev().collect())
    };
    let mut records = stored(&bench);
    assert!(records.contains_key(b"K".as_slice()), "the primary key is kept");
    assert!(is_stored_as(&bench, records.clone()));
    records.remove(b"K".as_slice());
    assert!(is_stored_as(&bench, records.clone()), "which is no part of the state");
    bench.tpm.store_volatile().unwrap();
    assert!(is_stored_as(&bench, stored(&bench)));
    assert!(!is_stored_as(&bench, records), "somebody has gone on from here");
}

#[test]
fn stored_volatile_state_is_void_when_its_tpm_goes_on() {
    let mut bench = Bench::started();
    bench.tpm.store_volatile().unwrap();
    bench.memory.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    // TPM_RC_NV_UNAVAILABLE: nobody may go on from two states.
    assert_eq!(bench.code("8001 0000000c 0000017b 0008"), 0x923);
    bench.memory.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    bench.run_ok("8001 0000000c 0000017b 0008");
    let load = |memory: &Memory| Bench::with(memory.clone(), 5, |platform| Tpm::load(platform).unwrap());
    assert!(!load(&bench.memory).tpm.resume().unwrap());
    // State that was stored is refused beside permanent state of another moment.
    bench.tpm.store_volatile().unwrap();
    let record = bench.memory.records.lock().unwrap()[&b"V".to_vec()].clone();
    bench.ok_with(0x129, &[OWNER], &[b""], &sized(&[b"new"]));
    bench.memory.records.lock().unwrap().insert(b"V".to_vec(), record);
    let mut there = load(&bench.memory);
    assert!(matches!(there.tpm.resume(), Err(StartError::State(_))));
}

/// A blob with contents changed and its checksum made right again.
fn forged(blob: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut contents = blob[16..blob.len() - 32].to_vec();
    change(&mut contents);
    let kind = if blob[11] == 1 { Kind::Permanent } else { Kind::Volatile };
    close(kind, &contents).to_vec()
}

#[test]
fn what_is_no_whole_snapshot_is_refused() {
    let (permanent, volatile) = save(&mut in_the_middle());
    for blob in [&permanent, &volatile] {
        let decode = |changed: &[u8]| match std::ptr::eq(blob, &permanent) {
            true => Snapshot::decode(changed, Some(&volatile)),
            false => Snapshot::decode(&permanent, Some(changed)),
        };
        decode(blob).unwrap();
        for len in (0..100).chain((100..blob.len()).step_by(97)) {
            assert!(decode(&blob[..len]).is_err(), "cut to {len}");
        }
        assert!(matches!(
            decode(&[blob, &b"\0"[..]].concat()),
            Err(SnapshotError::Size(_))
        ));
        for at in (0..60).chain((60..blob.len()).step_by(89)) {
            let mut bad = blob.clone();
            bad[at] ^= 0x10;
            assert!(decode(&bad).is_err(), "byte {at}");
        }
        let mut newer = blob.clone();
        newer[9] += 1;
        assert!(matches!(decode(&newer), Err(SnapshotError::Version(2))));
        assert!(decode(&forged(blob, |contents| contents.push(0))).is_err());
    }
    assert!(matches!(Snapshot::decode(&volatile, None), Err(SnapshotError::Kind)));
    let (_, other) = save(&mut Bench::started());
    assert!(matches!(
        Snapshot::decode(&permanent, Some(&other)),
        Err(SnapshotError::Mismatch)
    ));
    Snapshot::check_permanent(&permanent).unwrap();
    Snapshot::check_volatile(&volatile).unwrap();
    assert!(Snapshot::check_permanent(&volatile).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the contents, decoding ends, and a TPM that comes of it serves.
    #[test]
    fn hostile_contents_never_panic(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<bool>(), half in any::<bool>()) {
        let (permanent, volatile) = RELEASED[0]; let good = [permanent, volatile];
        let changed = forged(good[usize::from(half)], |contents| {
            let from = if half { 32 } else { 0 };
            for (place, value) in &places {
                let at = from + place.index(contents.len() - from);
                contents[at] = *value;
            }
            if cut {
                let at = from + places[0].0.index(contents.len() - from);
                contents.truncate(at);
            }
        });
        let (permanent, volatile) = if half { (good[0], changed) } else {
            let digest = sha256(&[&changed[16..changed.len() - 32]]);
            (&changed[..], forged(good[1], |contents| contents[..32].copy_from_slice(&digest)))
        };
        if let Ok(snapshot) = Snapshot::decode(permanent, Some(&volatile)) {
            let mut bench = Bench::with(Memory::default(), 1, |platform| Tpm::adopt(platform, snapshot).unwrap());
            for command in ["8001 0000000c 0000017b 0008", "8001 0000000e 00000165 80000001", "8001 00000016 0000017a 00000001 80000000 00000010"] {
                bench.run(&hex(command));
            }
            for sequence in SEQUENCES {
                bench.code_with(0x13E, &[sequence], &[0, 0, 0x40, 0, 0, 7]);
            }
            bench.code_with(0x15D, &[SIGNER], &[sized(&[&[7; 32]]), hex("0010 8024 40000007 0000")].concat());
            bench.run(&command(0x8002, 0x15E, &[SEALED], &hex("03000000 0000 01 0000"), &[]));
            bench.tpm.power_on();
            bench.run(&hex("8001 0000000c 00000144 0000"));
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Snapshot::decode(&bytes, None).is_err());
        let framed = close(Kind::Permanent, &bytes);
        prop_assert!(Snapshot::decode(&framed, None).is_err());
    }
}
