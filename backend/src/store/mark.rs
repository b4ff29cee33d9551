//! How far a state has come, and a file that says so.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::directory;
use super::root::Number;

/// How far a state has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The TPM.
    pub(crate) tpm: Number,
    /// Its newest commit.
    pub(crate) generation: u64,
    /// The SHA-256 digest of that commit's root record: two commits can be of one generation when one of them failed.
    pub(crate) fingerprint: [u8; 32],
}

/// Distance of the two places: a write of one does not reach into the other's sector.
const PLACE_SIZE: usize = 4096;
const MAGIC: &[u8; 8] = b"VDTPMANC";
const BODY_SIZE: usize = MAGIC.len() + size_of::<Number>() + size_of::<u64>() + 32;
const SIZE: usize = BODY_SIZE + 32;

/// A file with two places, of which the one with the older mark is written: a write that is torn leaves the newer.
#[derive(Debug)]
pub(super) struct MarkFile {
    file: File,
    /// The place that is written next.
    next: u64,
}

impl MarkFile {
    /// Opens a file, if there is one, and says which mark was set last, if it holds one.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Option<Mark>)>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let (mut next, mut newest) = (0, None::<Mark>);
        for place in 0..2 {
            let mut bytes = [0; SIZE];
            // A place that is missing is as one that is torn.
            let Ok(()) = file.read_exact_at(&mut bytes, place * PLACE_SIZE as u64) else {
                continue;
            };
            if let Some(mark) = parse(&bytes)
                && newest.as_ref().is_none_or(|newest| newest.generation < mark.generation)
            {
                next = 1 - place;
                newest = Some(mark);
            }
        }
        Ok(Some((Self { file, next }, newest)))
    }

    /// Puts a file with this mark in the place of the one, if any, that there is; flushes nothing.
    pub(super) fn make(path: &Path, mark: &Mark) -> io::Result<Self> {
        let mut file = directory::new_file(path)?;
        file.write_all(&content(mark))?;
        Ok(Self { file, next: 1 })
    }

    /// Puts a file with this mark, flushed, in the place of the one, if any, that there is.
    pub(super) fn replace(path: &Path, mark: &Mark) -> io::Result<Self> {
        directory::replace(path, &content(mark))?;
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { file, next: 1 })
    }

    /// Sets a mark that is newer than the last one; flushes nothing.
    pub(super) fn set(&mut self, mark: &Mark) -> io::Result<()> {
        self.file.write_all_at(&to_bytes(mark), self.next * PLACE_SIZE as u64)?;
        self.next = 1 - self.next;
        Ok(())
    }

    /// Sets a mark that is newer than the last one, durably.
    pub(super) fn set_durably(&mut self, mark: &Mark) -> io::Result<()> {
        self.file.write_all_at(&to_bytes(mark), self.next * PLACE_SIZE as u64)?;
        self.file.sync_data()?;
        self.next = 1 - self.next;
        Ok(())
    }
}

/// A file with a mark in both places, neither of which has to be allocated later.
fn content(mark: &Mark) -> [u8; PLACE_SIZE + SIZE] {
    let mut content = [0; PLACE_SIZE + SIZE];
    let bytes = to_bytes(mark);
    content[..SIZE].copy_from_slice(&bytes);
    content[PLACE_SIZE..].copy_from_slice(&bytes);
    content
}

fn to_bytes(mark: &Mark) -> [u8; SIZE] {
    let Mark {
        tpm,
        generation,
        fingerprint,
    } = mark;
    let mut bytes = [0; SIZE];
    let fields: [&[u8]; 4] = [MAGIC, tpm, &generation.to_be_bytes(), fingerprint];
    let mut rest = &mut bytes[..];
    for field in fields {
        let (place, behind) = rest.split_at_mut(field.len());
        place.copy_from_slice(field);
        rest = behind;
    }
    let check = Sha256::digest(&bytes[..BODY_SIZE]);
    bytes[BODY_SIZE..].copy_from_slice(&check);
    bytes
}

fn parse(bytes: &[u8; SIZE]) -> Option<Mark> {
    let (body, check) = bytes.split_at(BODY_SIZE);
    let rest = body.strip_prefix(MAGIC)?;
    let (tpm, rest) = rest.split_first_chunk()?;
    let (generation, fingerprint) = rest.split_first_chunk()?;
    let mark = Mark {
        tpm: *tpm,
        generation: u64::from_be_bytes(*generation),
        fingerprint: fingerprint.try_into().ok()?,
    };
    (Sha256::digest(body).as_slice() == check).then_some(mark)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A mark of a TPM, and of no other.
    pub(in crate::store) fn mark(generation: u64) -> Mark {
        Mark {
            tpm: [7; 16],
            generation,
            fingerprint: [9; 32],
        }
    }

    fn last(path: &Path) -> Option<Mark> {
        MarkFile::open(path).unwrap().unwrap().1
    }

    #[test]
    fn the_last_mark_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        assert!(MarkFile::open(&path).unwrap().is_none());
        for start in [MarkFile::make, MarkFile::replace] {
            start(&path, &mark(20)).unwrap();
            let mut file = start(&path, &mark(1)).unwrap();
            assert_eq!(last(&path), Some(mark(1)));
            for generation in 2..6 {
                file.set(&mark(generation)).unwrap();
                assert_eq!(last(&path), Some(mark(generation)));
                file = MarkFile::open(&path).unwrap().unwrap().0;
            }
            file.set_durably(&mark(6)).unwrap();
            assert_eq!(last(&path), Some(mark(6)));
        }
    }

    #[test]
    fn a_torn_write_leaves_the_mark_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        let mut file = MarkFile::make(&path, &mark(1)).unwrap();
        for generation in 2..4 {
            file.set(&mark(generation)).unwrap();
        }
        let before = std::fs::read(&path).unwrap();
        file.set(&mark(4)).unwrap();
        let after = std::fs::read(&path).unwrap();
        assert_eq!(before.len(), after.len());
        for len in 0..SIZE {
            let mut torn = before.clone();
            let start = PLACE_SIZE;
            torn[start..start + len].copy_from_slice(&after[start..start + len]);
            std::fs::write(&path, &torn).unwrap();
            let whole = torn[start..] == after[start..];
            assert_eq!(last(&path), Some(mark(if whole { 4 } else { 3 })), "{len}");
        }
    }

    #[test]
    fn a_file_of_something_else_holds_no_mark() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        for content in [b"".as_slice(), b"notes", &[0; 2 * PLACE_SIZE]] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(last(&path), None);
        }
    }
}
