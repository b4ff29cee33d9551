use super::*;
use crate::handle::Handle;
use crate::marshal::Marshal;
use crate::testing::keys::{ENDORSEMENT, NULL, OWNER, Template, attr, creation, sensitive, sized};
use crate::testing::{Bench, Memory};

const CREATE_PRIMARY: u32 = 0x131;
const CREATE_LOADED: u32 = 0x191;
const PLATFORM: u32 = 0x4000_000C;
const LOCKOUT: u32 = 0x4000_000A;

fn storage() -> Template {
    Template::rsa(attr::OWN | attr::STORAGE)
}

/// How many keys are kept.
fn kept(tpm: &Bench) -> usize {
    tpm.tpm.nv.kept().keys.len()
}

/// How many keys the stored record holds; `None` without a record.
fn stored(tpm: &Bench) -> Option<usize> {
    let records = tpm.memory.records.lock().unwrap();
    let record = records.get(b"K".as_slice())?;
    Some(KeptPrimaries::read(record, tpm.tpm.profile).keys.len())
}

/// Makes a primary object and flushes it; its public and sensitive area.
fn areas(tpm: &mut Bench, hierarchy: u32, template: &Template, auth: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (handle, _) = tpm.ok_handle(CREATE_PRIMARY, &[hierarchy], b"", &creation(template, auth, b""));
    let object = tpm.tpm.object(Handle(handle)).unwrap();
    let areas = (
        object.public.0.to_vec().to_vec(),
        object.sensitive().unwrap().to_vec().to_vec(),
    );
    flush(tpm, handle);
    areas
}

fn flush(tpm: &mut Bench, handle: u32) {
    tpm.run_ok(&format!("8001 0000000e 00000165 {handle:08x}"));
}

/// Has the TPM write something else.
fn write_something(tpm: &mut Bench) {
    // TPM2_DictionaryAttackParameters
    let parameters = [0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0, 9];
    tpm.ok_with(0x13A, &[LOCKOUT], &[b""], &parameters);
}

#[test]
fn a_kept_key_is_the_one_that_is_derived() {
    let mut tpm = Bench::started();
    for hierarchy in [OWNER, ENDORSEMENT, PLATFORM] {
        for (template, auth) in [
            (storage(), &b""[..]),
            (Template::rsa(attr::OWN | attr::SIGN), b"authorization\0"),
            (storage().with_unique(&[&[1, 0][..], &[7; 256]].concat()), b""),
        ] {
            *tpm.tpm.nv.kept_mut() = KeptPrimaries::default();
            let derived = areas(&mut tpm, hierarchy, &template, auth);
            assert_eq!(kept(&tpm), 1);
            let found = areas(&mut tpm, hierarchy, &template, auth);
            assert_eq!(derived, found, "{hierarchy:#x}, {template:x?}");
            // The authorization value does not go into the derivation, and comes with the command.
            let with_auth = areas(&mut tpm, hierarchy, &template, b"another");
            assert_eq!(with_auth.0, found.0);
            assert_ne!(with_auth.1, found.1);
            assert_eq!(kept(&tpm), 1);
        }
    }
}

#[test]
fn a_kept_key_can_be_used() {
    let mut tpm = Bench::started();
    areas(&mut tpm, OWNER, &storage(), b"");
    let parent = tpm.primary(OWNER, &storage());
    let child = tpm.child(parent, &Template::keyed_hash(attr::USER), b"", b"sealed");
    tpm.names(child);
    assert_eq!(kept(&tpm), 1);
}

#[test]
fn both_commands_that_make_primary_keys_find_them() {
    let mut tpm = Bench::started();
    let derived = areas(&mut tpm, OWNER, &storage(), b"").0;
    let params = [sensitive(b"", b""), sized(&[&storage().bytes()])].concat();
    let (handle, _) = tpm.ok_handle(CREATE_LOADED, &[OWNER], b"", &params);
    let object = tpm.tpm.object(Handle(handle)).unwrap();
    assert_eq!(object.public.0.to_vec().to_vec(), derived);
    assert_eq!(kept(&tpm), 1);
}

#[test]
fn what_is_quickly_derived_or_does_not_last_is_not_kept() {
    let mut tpm = Bench::started();
    areas(&mut tpm, OWNER, &Template::srk(), b"");
    areas(&mut tpm, NULL, &storage(), b"");
    assert_eq!(kept(&tpm), 0);
}

#[test]
fn kept_keys_end_with_their_seeds() {
    let mut tpm = Bench::started();
    for (command, handle, gone) in [
        // TPM2_Clear: of the endorsement key, whose seed stays, the seed of its children changes.
        (0x126, LOCKOUT, [true, true, false]),
        // TPM2_ChangeEPS and TPM2_ChangePPS
        (0x124, PLATFORM, [false, true, false]),
        (0x125, PLATFORM, [false, false, true]),
    ] {
        *tpm.tpm.nv.kept_mut() = KeptPrimaries::default();
        let hierarchies = [OWNER, ENDORSEMENT, PLATFORM];
        let before = hierarchies.map(|hierarchy| areas(&mut tpm, hierarchy, &storage(), b""));
        write_something(&mut tpm);
        assert_eq!((kept(&tpm), stored(&tpm)), (3, Some(3)));
        tpm.ok_with(command, &[handle], &[b""], b"");
        let left = gone.iter().filter(|gone| !**gone).count();
        assert_eq!((kept(&tpm), stored(&tpm)), (left, Some(left)), "command {command:#x}");
        for ((hierarchy, before), gone) in hierarchies.into_iter().zip(before).zip(gone) {
            let after = areas(&mut tpm, hierarchy, &storage(), b"");
            assert_eq!(after != before, gone, "{hierarchy:#x} after command {command:#x}");
        }
    }
}

#[test]
fn a_change_that_fails_costs_no_key() {
    let mut tpm = Bench::started();
    let before = areas(&mut tpm, OWNER, &storage(), b"");
    tpm.memory.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(tpm.code_with(0x126, &[LOCKOUT], b""), 0x923);
    tpm.memory.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(areas(&mut tpm, OWNER, &storage(), b""), before);
    write_something(&mut tpm);
    assert_eq!((kept(&tpm), stored(&tpm)), (1, Some(1)));
}

#[test]
fn keys_are_written_with_something_else_or_at_the_stop() {
    let memory = Memory::default();
    let mut tpm = Bench::on(memory.clone());
    tpm.run_ok("8001 0000000c 00000144 0000");
    let commits = tpm.commits();
    let first = areas(&mut tpm, OWNER, &storage(), b"");
    assert_eq!(
        (tpm.commits(), stored(&tpm)),
        (commits, None),
        "no command waits for it"
    );
    write_something(&mut tpm);
    assert_eq!((tpm.commits(), stored(&tpm)), (commits + 1, Some(1)));
    let second = areas(&mut tpm, ENDORSEMENT, &storage(), b"");
    tpm.tpm.flush().unwrap();
    assert_eq!(stored(&tpm), Some(2));
    let commits = tpm.commits();
    tpm.tpm.flush().unwrap();
    assert_eq!(tpm.commits(), commits);

    let mut again = Bench::on(memory.clone());
    again.run_ok("8001 0000000c 00000144 0000");
    assert_eq!(kept(&again), 2);
    assert_eq!(areas(&mut again, OWNER, &storage(), b""), first);
    assert_eq!(areas(&mut again, ENDORSEMENT, &storage(), b""), second);
    assert_eq!(kept(&again), 2);

    // What cannot be read is derived again.
    memory.records.lock().unwrap().insert(vec![b'K'], vec![0, 0, 0, 9, 1]);
    let mut damaged = Bench::on(memory);
    damaged.run_ok("8001 0000000c 00000144 0000");
    assert_eq!(kept(&damaged), 0);
    assert_eq!(areas(&mut damaged, OWNER, &storage(), b""), first);
}

#[test]
fn the_least_recently_used_key_makes_room() {
    let id = |number: usize| Digest::truncated(&number.to_be_bytes());
    let mut kept = KeptPrimaries::default();
    let keep = |kept: &mut KeptPrimaries, number| {
        kept.keep(KeptPrimary {
            hierarchy: Hierarchy::Owner,
            id: id(number),
            modulus: Number::EMPTY,
            prime: Zeroizing::default(),
            seed: Zeroizing::default(),
        });
    };
    for number in 0..CAPACITY {
        keep(&mut kept, number);
    }
    assert!(kept.find(&id(0)).is_some());
    keep(&mut kept, CAPACITY);
    keep(&mut kept, CAPACITY);
    assert_eq!(kept.keys.len(), CAPACITY);
    assert!(kept.contains(&id(0)) && !kept.contains(&id(1)) && kept.contains(&id(2)));
    assert!(kept.find(&id(1)).is_none());
}
