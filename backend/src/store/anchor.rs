//! A counter that is kept elsewhere, by which a state that was put back from an older copy is told from the newest.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

use super::mark::{Mark, MarkFile};

/// Where a mark is kept, out of reach of whoever can put an old state back.
pub(crate) trait Anchor: Debug + Send {
    /// The mark that was set last, if one was.
    fn get(&mut self) -> io::Result<Option<Mark>>;

    /// Sets a mark, durably. After an error, or if the process ends meanwhile, the last mark holds or this one.
    fn set(&mut self, mark: &Mark) -> io::Result<()>;

    /// Sets a mark that may be older than the last one.
    fn reset(&mut self, mark: &Mark) -> io::Result<()>;
}

/// A file that the operator puts where it is out of reach.
#[derive(Debug)]
pub(crate) struct FileAnchor {
    path: PathBuf,
    file: Option<MarkFile>,
}

impl FileAnchor {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
        }
    }
}

impl Anchor for FileAnchor {
    fn get(&mut self) -> io::Result<Option<Mark>> {
        match MarkFile::open(&self.path)? {
            None => Ok(None),
            Some((file, Some(mark))) => {
                self.file = Some(file);
                Ok(Some(mark))
            }
            Some((_, None)) => Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no mark of a TPM")),
        }
    }

    fn set(&mut self, mark: &Mark) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.set_durably(mark),
            None => self.reset(mark),
        }
    }

    fn reset(&mut self, mark: &Mark) -> io::Result<()> {
        self.file = Some(MarkFile::replace(&self.path, mark)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::mark::tests::mark;
    use super::*;

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
    fn a_file_of_something_else_is_no_anchor() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchor");
        std::fs::write(&path, b"notes").unwrap();
        let error = FileAnchor::new(&path).get().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
