//! The store as a whole.

mod acknowledged;
mod anchor;
mod damage;
mod disk;
mod faults;

use std::os::unix::fs::MetadataExt;

use super::directory::{DATA_KEY, MARKER, STATE};
use super::*;

fn put(key: &[u8], value: &[u8]) -> Change {
    super::put(key, value.to_vec())
}

fn plain() -> Access {
    Access::default()
}

fn with_key(byte: u8) -> Access {
    Access {
        key: Some(OperatorKey::from_key([byte; 32])),
        ..Access::default()
    }
}

/// A state of two records, the newer of which is of the third generation.
fn sample(path: &Path, access: &Access) {
    let mut store = Store::open(path, access).unwrap();
    store.commit(&[put(b"a", b"first"), put(b"b", b"other")]).unwrap();
    store.commit(&[put(b"a", b"second")]).unwrap();
    store.commit(&[put(b"a", b"third")]).unwrap();
    mark(path).unwrap();
}

/// The rows as they are stored.
fn rows(path: &Path) -> Stored {
    read(&Directory::enter(path).unwrap()).unwrap().1
}

/// Changes a row as it is stored.
fn tamper(path: &Path, changes: &[Change]) {
    read(&Directory::enter(path).unwrap())
        .unwrap()
        .0
        .write(changes)
        .unwrap();
}

#[test]
fn records_outlive_the_store() {
    for access in [plain(), with_key(1)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/tpm");
        let mut store = Store::open(&path, &access).unwrap();
        assert_eq!(store.load().unwrap(), []);
        store.commit(&[put(b"a", b"1"), put(b"b", &[7; 60_000])]).unwrap();
        store
            .commit(&[put(b"a", b"2"), Change::Delete { key: b"b".to_vec() }])
            .unwrap();
        drop(store);
        let mut store = Store::open(&path, &access).unwrap();
        assert_eq!(store.load().unwrap(), [(b"a".to_vec(), b"2".to_vec())]);
        assert_eq!(store.head.generation, 2);
    }
}

#[test]
fn only_the_owner_gets_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tpm");
    sample(&path, &with_key(1));
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in ["lock", STATE, DATA_KEY, MARKER] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
}

#[test]
fn an_interrupted_manufacture_starts_afresh() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("state.redb.new"), b"half").unwrap();
    for access in [plain(), with_key(1), with_key(2), plain()] {
        let mut store = Store::open(directory.path(), &access).unwrap();
        assert_eq!(store.load().unwrap(), []);
        assert_eq!(store.is_encrypted(), access.key.is_some());
    }
}

#[test]
fn an_encrypted_state_shows_no_value() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), &with_key(1));
    for file in [STATE, DATA_KEY] {
        let bytes = std::fs::read(directory.path().join(file)).unwrap();
        for value in [b"first".as_slice(), b"second", b"third", b"other", &[1; 32]] {
            assert!(!bytes.windows(value.len()).any(|window| window == value), "{file}");
        }
    }
}

#[test]
fn a_key_that_does_not_fit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (encrypted, open) = (directory.path().join("encrypted"), directory.path().join("plain"));
    sample(&encrypted, &with_key(1));
    sample(&open, &plain());
    let message = |path, access: Access| crate::process::chain(&Store::open(path, &access).unwrap_err());
    let wrong = message(&encrypted, with_key(2));
    assert!(
        wrong.contains("the key is not the one that it was sealed with"),
        "{wrong}"
    );
    let passphrase = Access {
        key: Some(OperatorKey::from_passphrase(b"p")),
        ..Access::default()
    };
    let other_kind = message(&encrypted, passphrase);
    assert!(other_kind.contains("it was sealed with a key"), "{other_kind}");
    let none = message(&encrypted, plain());
    assert!(none.contains("is encrypted and no key was given"), "{none}");
    let needless = message(&open, with_key(1));
    assert!(needless.contains("is not encrypted, but a key was given"), "{needless}");
    std::fs::remove_file(encrypted.join(DATA_KEY)).unwrap();
    let gone = message(&encrypted, with_key(1));
    assert!(gone.contains("put back a copy of the file"), "{gone}");
}

/// Each way in which whoever can write the file, but has no key, might put old or foreign records into a state.
#[test]
fn records_are_not_swapped_mixed_or_rolled_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tpm");
    let foreign = directory.path().join("foreign");
    sample(&path, &with_key(1));
    sample(&foreign, &with_key(1));
    let old = rows(&path);
    let mut store = Store::open(&path, &with_key(1)).unwrap();
    store.commit(&[put(b"a", b"fourth")]).unwrap();
    drop(store);
    let (new, foreign) = (rows(&path), rows(&foreign));
    let (a, b) = (b"a".as_slice(), b"b".as_slice());
    let swapped = [super::put(a, new[b].clone()), super::put(b, new[a].clone())];
    let renamed = [super::put(b"c", new[a].clone()), Change::Delete { key: a.to_vec() }];
    for attack in [
        &swapped[..],
        &renamed[..],
        &[super::put(a, old[a].clone())],
        &[super::put(ROOT, old[ROOT].clone())],
        &[super::put(a, foreign[a].clone())],
        &[super::put(ROOT, foreign[ROOT].clone())],
        &[Change::Delete { key: b.to_vec() }],
        &[super::put(b"c", new[b].clone())],
        &[put(a, b"short")],
    ] {
        tamper(&path, attack);
        let error = Store::open(&path, &with_key(1)).unwrap_err();
        assert!(
            matches!(error, OpenError::Read(..) | OpenError::OtherKey(_)),
            "{attack:02x?}: {error}"
        );
        let mut back: Vec<Change> = new.iter().map(|(name, row)| super::put(name, row.clone())).collect();
        back.push(Change::Delete { key: b"c".to_vec() });
        tamper(&path, &back);
        Store::open(&path, &with_key(1)).unwrap();
    }
    // No key protects a state that was replaced by an unencrypted one but that it was asked for.
    tamper(
        &path,
        &[Change::Delete { key: ROOT.to_vec() }, put(a, b"mine"), put(b, b"mine")],
    );
    assert!(matches!(Store::open(&path, &with_key(1)), Err(OpenError::Plain(_))));
}

/// A commit that failed may be on the disk; the one that was made in its place is of the same generation.
#[test]
fn a_failed_commit_s_record_does_not_pass_for_the_one_that_replaced_it() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), &with_key(1));
    let before = rows(directory.path());
    let commit = |value: &[u8]| {
        let mut store = Store::open(directory.path(), &with_key(1)).unwrap();
        store.commit(&[put(b"a", value)]).unwrap();
        drop(store);
        rows(directory.path())
    };
    let failed = commit(b"failed");
    Acknowledged::forget(directory.path()).unwrap();
    tamper(
        directory.path(),
        &before
            .iter()
            .map(|(name, row)| super::put(name, row.clone()))
            .collect::<Vec<_>>(),
    );
    let made = commit(b"made");
    let generation = |rows: &Stored| rows[b"a".as_slice()][..8].to_vec();
    assert_eq!(generation(&failed), generation(&made));
    tamper(directory.path(), &[super::put(b"a", failed[b"a".as_slice()].clone())]);
    assert!(matches!(
        Store::open(directory.path(), &with_key(1)),
        Err(OpenError::Read(..))
    ));
}

#[test]
fn a_state_opens_with_the_newest_key_only() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), &with_key(1));
    let (old, new) = (OperatorKey::from_key([1; 32]), OperatorKey::from_passphrase(b"new"));
    // A store that is open when the key is changed does not mind.
    let mut store = Store::open(directory.path(), &with_key(1)).unwrap();
    rekey(directory.path(), &old, &new).unwrap();
    store.commit(&[put(b"a", b"fourth")]).unwrap();
    drop(store);
    assert!(matches!(
        Store::open(directory.path(), &with_key(1)),
        Err(OpenError::WrongKey(..))
    ));
    assert!(matches!(
        rekey(directory.path(), &old, &new),
        Err(OpenError::WrongKey(..))
    ));
    let access = Access {
        key: Some(new),
        ..Access::default()
    };
    let mut store = Store::open(directory.path(), &access).unwrap();
    assert_eq!(store.load().unwrap()[0].1, b"fourth");
}

#[test]
fn a_replaced_state_keeps_its_contents_under_another_key() {
    let directory = tempfile::tempdir().unwrap();
    sample(directory.path(), &plain());
    let want = Store::open(directory.path(), &plain()).unwrap().load().unwrap();
    let mut numbers = Vec::new();
    for (old, new) in [(plain(), with_key(1)), (with_key(1), with_key(2))] {
        let entered = Directory::enter(directory.path()).unwrap();
        let store = Store::open_any(entered, old.key.as_ref()).unwrap();
        let (entered, contents) = store.into_contents().unwrap();
        replace(&entered, new.key.as_ref(), old.key.as_ref(), &contents).unwrap();
        drop(entered);
        assert!(Store::open(directory.path(), &old).is_err());
        assert_eq!(Store::open(directory.path(), &new).unwrap().load().unwrap(), want);
        let keys = DataKey::read(directory.path(), new.key.as_ref().unwrap()).unwrap();
        assert_eq!(keys.len(), 1);
        numbers.push(keys[0].number);
    }
    assert_ne!(numbers[0], numbers[1]);
}

#[test]
fn a_state_is_its_instance_s() {
    for access in [plain(), with_key(1)] {
        let directory = tempfile::tempdir().unwrap();
        let mut access = access;
        let mut open = |instance: Option<&str>| {
            access.instance = instance.map(|name| name.parse().unwrap());
            Store::open(directory.path(), &access)
        };
        let mut store = open(None).unwrap();
        store.commit(&[put(b"a", b"1")]).unwrap();
        drop(store);
        // A state that is nobody's becomes the first one's.
        open(Some("one")).unwrap();
        open(Some("one")).unwrap();
        for other in [Some("two"), None] {
            let message = open(other).unwrap_err().to_string();
            assert!(message.contains("belongs to the instance one"), "{message}");
            assert!(message.contains("restore") && message.contains("clone"), "{message}");
        }
        let key = OperatorKey::from_key([1; 32]);
        let key = open(Some("one")).unwrap().is_encrypted().then_some(key);
        let entered = Directory::enter(directory.path()).unwrap();
        let mut store = Store::open_any(entered, key.as_ref()).unwrap();
        store.keep(Some("two".parse().unwrap()), None).unwrap();
        drop(store);
        assert_eq!(open(Some("two")).unwrap().load().unwrap()[0].1, b"1");
        assert!(open(Some("one")).is_err());
    }
}
