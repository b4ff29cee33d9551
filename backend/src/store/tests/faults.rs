//! Power losses at each write, and errors of the disk.

use std::collections::BTreeMap;
use std::io;

use tempfile::TempDir;

use super::disk::{Disk, Fault, Loss};
use super::*;

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// A TPM's life in small: records that come, change, grow and go, some together.
fn scenario() -> Vec<Vec<Change>> {
    let many = |change: fn(u8) -> Change| (0..10).map(change).collect();
    vec![
        vec![put(b"a", &[1; 100]), put(b"b", &[1; 2000])],
        vec![put(b"a", &[2; 100])],
        vec![Change::Delete { key: b"b".to_vec() }, put(b"c", &[3; 5000])],
        many(|number| put(&[b'n', number], &[4; 300])),
        vec![put(b"a", &[5; 100])],
        many(|number| Change::Delete {
            key: vec![b'n', number],
        }),
        vec![put(b"c", &[7; 10]), put(b"a", &[7; 90])],
    ]
}

fn apply(values: &Values, changes: &[Change]) -> Values {
    let mut values = values.clone();
    for change in changes {
        match change {
            Change::Put { key, value } => values.insert(key.clone(), value.clone()),
            Change::Delete { key } => values.remove(key),
        };
    }
    values
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    InOrder,
    Killed,
}

/// A state on a disk of the double, with the directory that has the key of an encrypted one.
pub(super) struct Bench {
    directory: TempDir,
    access: Access,
    image: Vec<u8>,
}

impl Bench {
    /// A state that is still to be made.
    fn vacant(access: Access) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            access,
            image: Vec::new(),
        }
    }

    /// A state without records.
    pub(super) fn new(access: Access) -> Self {
        let mut bench = Self::vacant(access);
        let path = bench.directory.path();
        let contents = Contents {
            head: Head::new([1; 16], None),
            records: Vec::new(),
        };
        replace(
            &Directory::enter(path).unwrap(),
            bench.access.key.as_ref(),
            None,
            &contents,
        )
        .unwrap();
        bench.image = std::fs::read(path.join(directory::STATE)).unwrap();
        bench
    }

    /// A state after some commits, and what it holds. The process that made them ended in order or was killed.
    pub(super) fn made(access: Access, end: End) -> (Self, Values) {
        let mut bench = Self::new(access);
        let disk = Disk::new(bench.image.clone());
        let mut store = bench.serve(&disk).unwrap();
        let mut values = Values::new();
        for changes in scenario() {
            store.commit(&changes).unwrap();
            values = apply(&values, &changes);
        }
        let killed = disk.after(Loss::All);
        drop(store);
        bench.image = match end {
            End::Killed => killed,
            End::InOrder => disk.after(Loss::All),
        };
        (bench, values)
    }

    pub(super) fn image(&self) -> &[u8] {
        &self.image
    }

    pub(super) fn open(&self, disk: &Disk) -> Result<Store, OpenError> {
        let directory = Directory::enter(self.directory.path())?;
        if self.image.is_empty() && disk.after(Loss::Nothing).is_empty() {
            let mut store = Store::vacant(directory, &self.access)?;
            store.rows = Rows::vacant(Box::new(disk.clone()));
            return Ok(store);
        }
        let damaged = |cause| OpenError::Read(directory.state(), cause);
        let (rows, found) = Rows::open(Box::new(disk.clone())).map_err(damaged)?;
        Store::assemble(directory, rows, found, self.access.key.as_ref())
    }

    /// As [`Self::open`]; what is committed is marked as acknowledged, and nothing has been before.
    fn serve(&self, disk: &Disk) -> Result<Store, OpenError> {
        Acknowledged::forget(self.directory.path()).unwrap();
        let mut store = self.open(disk)?;
        store.check_age(None)?;
        Ok(store)
    }

    /// The file with the mark of the last commit that was acknowledged.
    pub(super) fn acknowledged(&self) -> PathBuf {
        self.directory.path().join(directory::ACKNOWLEDGED)
    }

    /// What a state holds, if it is served. Changes nothing.
    pub(super) fn values(&self, image: Vec<u8>) -> Result<Values, OpenError> {
        if self.image.is_empty() && image.is_empty() {
            return Ok(Values::new());
        }
        let mut store = self.open(&Disk::new(image))?;
        store.check_acknowledged()?;
        Ok(store.load().unwrap().into_iter().collect())
    }
}

/// States without records, and one that is still to be made.
fn benches() -> [Bench; 3] {
    [Bench::new(plain()), Bench::new(with_key(1)), Bench::vacant(plain())]
}

/// Each change of the disk is the last one, and what was not flushed is there, gone, or there in part, but for the mark of
/// what was acknowledged, which is there. Every commit that was answered is there, and the one that was not is there as a whole or not at all.
#[test]
fn a_power_loss_at_any_write_loses_no_answered_commit() {
    for bench in benches() {
        let mut cuts = 0;
        for cut in 0.. {
            let disk = Disk::new(bench.image().to_vec());
            disk.set_fault(Fault::Power(cut));
            let mut before = Values::new();
            let mut after = before.clone();
            if let Ok(mut store) = bench.serve(&disk) {
                for changes in scenario() {
                    after = apply(&before, &changes);
                    if store.commit(&changes).is_err() {
                        break;
                    }
                    before = after.clone();
                }
            }
            let losses = (0..12).map(|seed| Loss::Some(cut as u64 * 1000 + seed));
            for loss in [Loss::All, Loss::Nothing].into_iter().chain(losses) {
                let found = bench
                    .values(disk.after(loss))
                    .unwrap_or_else(|error| panic!("{cut}, {loss:?}: {}", crate::process::chain(&error)));
                assert!(found == before || found == after, "{cut}, {loss:?}: {found:?}");
            }
            cuts = cut;
            if disk.changes() <= cut {
                break;
            }
        }
        // The scenario is cut at each of its writes, not only at its first ones.
        assert!(cuts > 40, "{cuts}");
    }
}

/// A process is killed at each change of the disk, and the power goes when the next one has opened the state. What that one
/// found is there, also what the first had written and not flushed.
#[test]
fn a_power_loss_after_a_start_loses_nothing_that_it_found() {
    for access in [plain(), with_key(1)] {
        let bench = Bench::new(access);
        for cut in 0.. {
            let disk = Disk::new(bench.image().to_vec());
            disk.set_fault(Fault::Power(cut));
            if let Ok(mut store) = bench.serve(&disk) {
                for changes in scenario() {
                    if store.commit(&changes).is_err() {
                        break;
                    }
                }
            }
            let ended = disk.changes() <= cut;
            disk.set_fault(Fault::Power(usize::MAX));
            let mut store = bench.open(&disk).unwrap();
            store.check_age(None).unwrap();
            let found: Values = store.load().unwrap().into_iter().collect();
            for loss in [Loss::All, Loss::Nothing, Loss::Some(cut as u64)] {
                assert_eq!(bench_values(&bench, &disk, loss), found, "{cut}, {loss:?}");
            }
            if ended {
                break;
            }
        }
    }
}

/// Each change of the disk, and some after it, fail; then the disk works again. A commit that was refused has not
/// happened, the next one succeeds, and neither is lost with the power.
#[test]
fn errors_of_the_disk_change_nothing_and_pass() {
    let kinds = [
        io::ErrorKind::StorageFull,
        io::ErrorKind::Other,
        io::ErrorKind::ReadOnlyFilesystem,
    ];
    for bench in benches() {
        let mut refused = 0;
        for first in 0.. {
            let (many, kind) = ([1, 2, 3, 7][first % 4], kinds[first % 3]);
            let disk = Disk::new(bench.image().to_vec());
            let mut store = bench.serve(&disk).unwrap();
            disk.set_fault(Fault::Errors(first, many, kind));
            let mut values = Values::new();
            for changes in scenario() {
                while let Err(error) = store.commit(&changes) {
                    refused += 1;
                    assert!(refused < 10_000, "{error}");
                    // Not even for a moment, and not when another change follows in its place.
                    if let Ok(records) = store.load() {
                        assert_eq!(records.into_iter().collect::<Values>(), values, "{first}");
                    }
                    let other = [put(b"other", &[refused as u8])];
                    if store.commit(&other).is_ok() {
                        values = apply(&values, &other);
                        let lost = bench_values(&bench, &disk, Loss::All);
                        assert_eq!(lost, values, "{first}");
                    }
                }
                values = apply(&values, &changes);
                let found: Values = store.load().unwrap().into_iter().collect();
                assert_eq!(found, values, "{first}");
                for loss in [Loss::All, Loss::Nothing, Loss::Some(first as u64)] {
                    assert_eq!(bench_values(&bench, &disk, loss), values, "{first}, {loss:?}");
                }
            }
            if disk.changes() <= first {
                break;
            }
        }
        assert!(refused > 40, "{refused}");
    }
}

/// What a state holds after a power loss, beside the one that is open.
fn bench_values(bench: &Bench, disk: &Disk, loss: Loss) -> Values {
    let twin = tempfile::tempdir().unwrap();
    if bench.access.key.is_some() {
        let file = directory::DATA_KEY;
        std::fs::copy(bench.directory.path().join(file), twin.path().join(file)).unwrap();
    }
    let directory = Directory::enter(twin.path()).unwrap();
    let (rows, found) = Rows::open(Box::new(Disk::new(disk.after(loss)))).unwrap();
    // There is none yet where a process was killed at its start.
    let _ = std::fs::copy(bench.acknowledged(), twin.path().join(directory::ACKNOWLEDGED));
    let mut store = Store::assemble(directory, rows, found, bench.access.key.as_ref()).unwrap();
    store.check_acknowledged().unwrap();
    store.load().unwrap().into_iter().collect()
}
