//! Whole states that are put back, and anchors that fail.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::super::anchor::FileAnchor;
use super::super::directory::STATE;
use super::*;

/// A state and its anchor in directories of their own.
struct Anchored {
    directory: tempfile::TempDir,
    access: Access,
}

impl Anchored {
    fn new(access: Access) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let anchor = Some(directory.path().join("anchor"));
        let anchored = Self {
            access: Access { anchor, ..access },
            directory,
        };
        anchored.commit(b"first");
        mark(&anchored.state()).unwrap();
        anchored
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("tpm")
    }

    fn anchor(&self) -> PathBuf {
        self.directory.path().join("anchor")
    }

    fn open(&self) -> Result<Store, OpenError> {
        Store::open(&self.state(), &self.access)
    }

    fn commit(&self, value: &[u8]) {
        self.open().unwrap().commit(&[put(b"a", value)]).unwrap();
    }

    fn value(&self) -> Vec<u8> {
        self.open().unwrap().load().unwrap()[0].1.clone()
    }

    /// The files of state and anchor as they are.
    fn save(&self) -> [Vec<u8>; 2] {
        [self.state().join(STATE), self.anchor()].map(|path| std::fs::read(path).unwrap())
    }

    /// Puts the state back; the mark beside it is no obstacle to whoever can.
    fn put_back_state(&self, [state, _]: &[Vec<u8>; 2]) {
        Acknowledged::forget(&self.state()).unwrap();
        std::fs::write(self.state().join(STATE), state).unwrap();
    }

    fn put_back_anchor(&self, [_, anchor]: &[Vec<u8>; 2]) {
        std::fs::write(self.anchor(), anchor).unwrap();
    }

    fn refused(&self, why: &str) {
        let message = self.open().unwrap_err().to_string();
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn a_state_that_was_put_back_is_refused_until_the_operator_keeps_it() {
    for access in [plain(), with_key(1)] {
        let anchored = Anchored::new(access);
        let old = anchored.save();
        anchored.commit(b"second");
        let new = anchored.save();
        anchored.put_back_state(&old);
        anchored.refused("is not the newest");
        anchored.refused("vhost-device-tpm restore --anchor");
        anchored.put_back_state(&new);
        assert_eq!(anchored.value(), b"second");
        anchored.put_back_state(&old);
        let entered = Directory::enter(&anchored.state()).unwrap();
        let mut store = Store::open_any(entered, anchored.access.key.as_ref()).unwrap();
        store.keep(None, Some(&anchored.anchor())).unwrap();
        drop(store);
        assert_eq!(anchored.value(), b"first");
        anchored.put_back_state(&new);
        anchored.refused("is not the newest");
    }
}

#[test]
fn a_crash_between_state_and_anchor_is_no_rollback() {
    let anchored = Anchored::new(with_key(1));
    for round in 0..3 {
        // As if the process had been killed when the state was on the disk and the anchor was not.
        let before = anchored.save();
        anchored.open().unwrap().commit(&[put(b"a", &[round])]).unwrap();
        anchored.put_back_anchor(&before);
        assert_eq!(anchored.value(), [round]);
    }
}

/// An attacker keeps the state of a commit that was never answered, and puts it in the place of the one that was.
#[test]
fn a_state_of_the_same_generation_is_not_taken_for_the_newest() {
    let anchored = Anchored::new(with_key(1));
    let before = anchored.save();
    let mut store = anchored.open().unwrap();
    let opened = anchored.save();
    store.commit(&[put(b"a", b"not answered")]).unwrap();
    drop(store);
    let unanswered = anchored.save();
    anchored.put_back_state(&before);
    anchored.put_back_anchor(&opened);
    anchored.commit(b"answered");
    anchored.put_back_state(&unanswered);
    anchored.refused("but with other contents");
}

#[test]
fn an_anchor_is_one_tpm_s_and_is_not_left_out() {
    let mut anchored = Anchored::new(with_key(1));
    let saved = anchored.save();
    let other = Anchored::new(with_key(1));
    anchored.put_back_anchor(&other.save());
    anchored.refused("but another's");
    std::fs::remove_file(anchored.anchor()).unwrap();
    anchored.refused("is gone");
    std::fs::write(anchored.anchor(), b"notes").unwrap();
    anchored.refused("cannot be read or written");
    anchored.put_back_anchor(&saved);
    anchored.access.anchor = None;
    anchored.refused("no --anchor was given");
    // A state that is removed with all that says that there was one is not made anew beside its anchor.
    anchored.access.anchor = Some(anchored.anchor());
    std::fs::remove_dir_all(anchored.state()).unwrap();
    anchored.refused("or the TPM that it is of is gone");
}

#[test]
fn a_state_gets_an_anchor_later() {
    let mut anchored = Anchored::new(plain());
    let entered = Directory::enter(&anchored.state()).unwrap();
    Store::open_any(entered, None).unwrap().keep(None, None).unwrap();
    anchored.access.anchor = None;
    anchored.commit(b"without");
    anchored.access.anchor = Some(anchored.directory.path().join("another"));
    anchored.commit(b"with");
    std::fs::remove_file(anchored.directory.path().join("another")).unwrap();
    anchored.refused("is gone");
}

/// An anchor that fails when asked to: before it writes (1), or when it has written (2).
#[derive(Debug)]
struct Failing(FileAnchor, Arc<AtomicU8>);

impl Anchor for Failing {
    fn get(&mut self) -> io::Result<Option<Mark>> {
        self.0.get()
    }

    fn set(&mut self, mark: &Mark) -> io::Result<()> {
        let how = self.1.load(Ordering::Relaxed);
        if how != 1 {
            self.0.set(mark)?;
        }
        match how {
            0 => Ok(()),
            _ => Err(io::Error::other("broken on purpose")),
        }
    }

    fn reset(&mut self, mark: &Mark) -> io::Result<()> {
        self.0.reset(mark)
    }
}

#[test]
fn a_commit_without_its_anchor_has_not_happened() {
    for access in [plain(), with_key(1)] {
        let anchored = Anchored::new(access);
        for how in [1, 2] {
            for crash in [false, true] {
                let broken = Arc::new(AtomicU8::new(0));
                let mut store = anchored.open().unwrap();
                let mut file = FileAnchor::new(&anchored.anchor());
                file.get().unwrap();
                store.anchor = Some(Box::new(Failing(file, Arc::clone(&broken))));
                store.commit(&[put(b"a", b"made")]).unwrap();
                broken.store(how, Ordering::Relaxed);
                for _ in 0..3 {
                    let error = store.commit(&[put(b"a", b"failed"), put(b"b", b"failed")]).unwrap_err();
                    assert!(error.0.contains("broken on purpose"), "{error}");
                    assert_eq!(store.load().unwrap(), [(b"a".to_vec(), b"made".to_vec())]);
                }
                if !crash {
                    broken.store(0, Ordering::Relaxed);
                    store.commit(&[put(b"a", b"again")]).unwrap();
                }
                drop(store);
                let want = if crash { b"made" } else { b"again".as_slice() };
                assert_eq!(anchored.value(), want);
                assert_eq!(anchored.open().unwrap().load().unwrap().len(), 1);
            }
        }
    }
}
