//! States that are behind what was answered.

use super::super::directory::{ACKNOWLEDGED, STATE};
use super::*;

/// A state directory, and its files as they were at some moment.
struct Kept(tempfile::TempDir);

impl Kept {
    fn new(access: &Access) -> Self {
        let kept = Self(tempfile::tempdir().unwrap());
        sample(kept.path(), access);
        kept
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).unwrap()
    }

    fn put_back(&self, name: &str, content: &[u8]) {
        std::fs::write(self.path().join(name), content).unwrap();
    }

    fn commit(&self, access: &Access, value: &[u8]) {
        let mut store = Store::open(self.path(), access).unwrap();
        store.commit(&[put(b"a", value)]).unwrap();
    }

    fn value(&self, access: &Access) -> Vec<u8> {
        Store::open(self.path(), access).unwrap().load().unwrap()[0].1.clone()
    }

    fn refused(&self, access: &Access) -> String {
        let error = Store::open(self.path(), access).unwrap_err();
        assert!(matches!(error, OpenError::Lost { .. }), "{error}");
        error.to_string()
    }
}

#[test]
fn a_state_behind_what_was_answered_is_refused_until_the_operator_keeps_it() {
    for access in [plain(), with_key(1)] {
        let kept = Kept::new(&access);
        let old = kept.file(STATE);
        for value in [b"fourth", b"fifth.", b"sixth."] {
            kept.commit(&access, value);
        }
        let new = kept.file(STATE);
        kept.put_back(STATE, &old);
        for _ in 0..3 {
            let message = kept.refused(&access);
            assert!(message.contains("of generation 3, "), "{message}");
            assert!(message.contains("from generation 6, "), "{message}");
            assert!(message.contains("`vhost-device-tpm restore`"), "{message}");
        }
        kept.put_back(STATE, &new);
        assert_eq!(kept.value(&access), b"sixth.");
        kept.put_back(STATE, &old);
        let entered = Directory::enter(kept.path()).unwrap();
        let mut store = Store::open_any(entered, access.key.as_ref()).unwrap();
        assert!(matches!(store.check_acknowledged(), Err(OpenError::Lost { .. })));
        store.keep(None, None).unwrap();
        drop(store);
        assert_eq!(kept.value(&access), b"third");
        // The one that was given up is another one now.
        kept.commit(&access, b"another");
        kept.put_back(STATE, &new);
        assert_eq!(kept.value(&access), b"sixth.", "it is ahead");
    }
}

/// Of two commits of one generation only one was answered.
#[test]
fn a_commit_that_another_replaced_is_refused() {
    let access = with_key(1);
    let kept = Kept::new(&access);
    let (state, mark) = (kept.file(STATE), kept.file(ACKNOWLEDGED));
    kept.commit(&access, b"not answered");
    let failed = kept.file(STATE);
    kept.put_back(STATE, &state);
    kept.put_back(ACKNOWLEDGED, &mark);
    kept.commit(&access, b"answered");
    kept.put_back(STATE, &failed);
    let message = kept.refused(&access);
    assert!(message.contains("of other contents"), "{message}");
}

/// After a power loss, a crash before the answer, or a time with an older version.
#[test]
fn a_mark_that_is_behind_or_missing_refuses_nothing() {
    for access in [plain(), with_key(1)] {
        let kept = Kept::new(&access);
        let mark = kept.file(ACKNOWLEDGED);
        kept.commit(&access, b"fourth");
        kept.commit(&access, b"fifth");
        for old in [Some(mark.as_slice()), None, Some(b"")] {
            match old {
                Some(old) => kept.put_back(ACKNOWLEDGED, old),
                None => Acknowledged::forget(kept.path()).unwrap(),
            }
            let state = kept.file(STATE);
            assert_eq!(kept.value(&access), b"fifth");
            // From now on it is noticed again.
            kept.commit(&access, b"fifth");
            kept.put_back(STATE, &state);
            kept.refused(&access);
            Acknowledged::forget(kept.path()).unwrap();
        }
    }
}

#[test]
fn a_state_that_was_replaced_begins_with_a_mark_of_its_own() {
    let kept = Kept::new(&plain());
    kept.commit(&plain(), b"fourth");
    let entered = Directory::enter(kept.path()).unwrap();
    let contents = Contents {
        head: Head::new([1; 16], None),
        records: vec![(b"a".to_vec(), Zeroizing::new(b"new".to_vec()))],
    };
    replace(&entered, None, None, &contents).unwrap();
    drop(entered);
    assert_eq!(kept.value(&plain()), b"new");
    // Another TPM's state, on the other hand, is here by mistake.
    let other = Kept::new(&plain());
    kept.commit(&plain(), b"newer");
    kept.put_back(STATE, &other.file(STATE));
    kept.refused(&plain());
}

/// A place for the mark that cannot be written costs no command.
#[test]
fn a_mark_that_cannot_be_written_fails_no_commit() {
    let kept = Kept::new(&plain());
    std::fs::remove_file(kept.path().join(ACKNOWLEDGED)).unwrap();
    std::fs::create_dir(kept.path().join(ACKNOWLEDGED)).unwrap();
    kept.commit(&plain(), b"fourth");
    assert_eq!(kept.value(&plain()), b"fourth");
}
