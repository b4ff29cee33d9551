//! A counter that is kept elsewhere, by which a state that was put back from an older copy is told from the newest.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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

/// Where a mark is kept, out of reach of whoever can put an old state back.
pub(crate) trait Anchor: Debug + Send {
    /// The mark that was set last, if one was.
    fn get(&mut self) -> io::Result<Option<Mark>>;

    /// Sets a mark, durably. After an error, or if the process ends meanwhile, the last mark holds or this one.
    fn set(&mut self, mark: &Mark) -> io::Result<()>;

    /// Sets a mark that may be older than the last one.
    fn reset(&mut self, mark: &Mark) -> io::Result<()>;
}

/// A file with two places, of which the one with the older mark is written: a write that is torn leaves the newer.
#[derive(Debug)]
pub(crate) struct FileAnchor {
    path: PathBuf,
    file: Option<File>,
    /// The place that is written next.
    next: u64,
}

/// Distance of the two places: a write of one does not reach into the other's sector.
const PLACE_SIZE: usize = 4096;
const MAGIC: &[u8; 8] = b"VDTPMANC";
const BODY_SIZE: usize = MAGIC.len() + size_of::<Number>() + size_of::<u64>() + 32;
const SIZE: usize = BODY_SIZE + 32;

impl FileAnchor {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            next: 0,
        }
    }
}

impl Anchor for FileAnchor {
    fn get(&mut self) -> io::Result<Option<Mark>> {
        let file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut newest: Option<Mark> = None;
        for place in 0..2 {
            let mut bytes = [0; SIZE];
            // A place that is missing is as one that is torn.
            let Ok(()) = file.read_exact_at(&mut bytes, place * PLACE_SIZE as u64) else {
                continue;
            };
            if let Some(mark) = parse(&bytes)
                && newest.as_ref().is_none_or(|newest| newest.generation < mark.generation)
            {
                self.next = 1 - place;
                newest = Some(mark);
            }
        }
        self.file = Some(file);
        match newest {
            Some(mark) => Ok(Some(mark)),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no mark of a TPM")),
        }
    }

    fn set(&mut self, mark: &Mark) -> io::Result<()> {
        let Some(file) = &self.file else {
            return self.reset(mark);
        };
        file.write_all_at(&to_bytes(mark), self.next * PLACE_SIZE as u64)?;
        file.sync_data()?;
        self.next = 1 - self.next;
        Ok(())
    }

    fn reset(&mut self, mark: &Mark) -> io::Result<()> {
        let mut content = vec![0; PLACE_SIZE + SIZE];
        content[..SIZE].copy_from_slice(&to_bytes(mark));
        directory::replace(&self.path, &content)?;
        self.file = Some(OpenOptions::new().read(true).write(true).open(&self.path)?);
        self.next = 1;
        Ok(())
    }
}

fn to_bytes(mark: &Mark) -> Vec<u8> {
    let Mark {
        tpm,
        generation,
        fingerprint,
    } = mark;
    let mut bytes = [MAGIC.as_slice(), tpm, &generation.to_be_bytes(), fingerprint].concat();
    let check = Sha256::digest(&bytes);
    bytes.extend_from_slice(&check);
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
mod tests {
    use super::*;

    fn mark(generation: u64) -> Mark {
        Mark {
            tpm: [7; 16],
            generation,
            fingerprint: [9; 32],
        }
    }

    #[test]
    fn the_last_mark_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        assert_eq!(FileAnchor::new(&path).get().unwrap(), None);
        for generation in 1..6 {
            let mut anchor = FileAnchor::new(&path);
            anchor.get().unwrap();
            anchor.set(&mark(generation)).unwrap();
            anchor.set(&mark(generation + 10)).unwrap();
            assert_eq!(FileAnchor::new(&path).get().unwrap(), Some(mark(generation + 10)));
            anchor.reset(&mark(generation)).unwrap();
            assert_eq!(FileAnchor::new(&path).get().unwrap(), Some(mark(generation)));
        }
    }

    #[test]
    fn a_torn_write_leaves_the_mark_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        let mut anchor = FileAnchor::new(&path);
        for generation in 1..4 {
            anchor.set(&mark(generation)).unwrap();
        }
        let before = std::fs::read(&path).unwrap();
        anchor.set(&mark(4)).unwrap();
        let after = std::fs::read(&path).unwrap();
        for len in 0..SIZE {
            let mut torn = before.clone();
            torn.resize(after.len(), 0);
            let start = PLACE_SIZE;
            torn[start..start + len].copy_from_slice(&after[start..start + len]);
            std::fs::write(&path, &torn).unwrap();
            let found = FileAnchor::new(&path).get().unwrap().unwrap();
            let whole = torn[start..] == after[start..];
            assert_eq!(found, mark(if whole { 4 } else { 3 }), "{len}");
        }
    }

    #[test]
    fn a_file_of_something_else_is_no_anchor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        for content in [b"".as_slice(), b"notes", &[0; 2 * PLACE_SIZE]] {
            std::fs::write(&path, content).unwrap();
            let error = FileAnchor::new(&path).get().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
