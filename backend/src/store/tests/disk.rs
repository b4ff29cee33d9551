//! A disk in memory that fails, and that loses its power.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::{Database, StorageBackend};

use super::super::rows::{self, Medium};
use super::*;

/// Bytes that a disk writes as a whole.
const SECTOR: usize = 512;

/// A write that is not known to be on the disk.
#[derive(Debug, Clone)]
enum Unsynced {
    Write(u64, Vec<u8>),
    Length(u64),
}

/// What becomes of what was not flushed when the power goes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    /// It is lost.
    All,
    /// It is on the disk.
    Nothing,
    /// Of each write some sectors reached the disk, in any order; chance begins here.
    Some(u64),
}

/// What goes wrong, and at which access that changes the disk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It and all that follow fail: the power is gone.
    Power(usize),
    /// This many fail, then the disk works again. What was to be flushed meanwhile is lost, but is still read: the page
    /// cache has it.
    Errors(usize, usize, io::ErrorKind),
}

#[derive(Debug, Default)]
struct File {
    /// What is on the disk for certain.
    synced: Vec<u8>,
    /// What is read.
    seen: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

/// A disk with one file, which can be replaced as a whole.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    file: Arc<Mutex<Arc<Mutex<File>>>>,
    faults: Arc<Mutex<(usize, Option<Fault>)>>,
}

impl Disk {
    /// A disk with this file.
    pub(super) fn new(image: Vec<u8>) -> Self {
        let file = File {
            seen: image.clone(),
            synced: image,
            unsynced: Vec::new(),
        };
        Self {
            file: Arc::new(Mutex::new(Arc::new(Mutex::new(file)))),
            faults: Arc::default(),
        }
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        *self.faults.lock().unwrap() = (0, Some(fault));
    }

    /// How often the disk was to be changed since the fault was set.
    pub(super) fn changes(&self) -> usize {
        self.faults.lock().unwrap().0
    }

    /// What is on the disk when the power comes back.
    pub(super) fn after(&self, loss: Loss) -> Vec<u8> {
        let file = self.file.lock().unwrap();
        let file = file.lock().unwrap();
        let mut image = file.synced.clone();
        let mut chance = match loss {
            Loss::All => return image,
            Loss::Nothing => return file.seen.clone(),
            Loss::Some(seed) => seed,
        };
        let mut one_in_two = || {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            chance >> 63 == 0
        };
        for write in &file.unsynced {
            match write {
                Unsynced::Length(len) if one_in_two() => image.resize(*len as usize, 0),
                Unsynced::Length(_) => {}
                Unsynced::Write(offset, bytes) => {
                    let offset = *offset as usize;
                    // Up to the next sector, then sector by sector.
                    let mut start = 0;
                    while start < bytes.len() {
                        let end = bytes.len().min((offset + start) / SECTOR * SECTOR + SECTOR - offset);
                        if one_in_two() {
                            put_at(&mut image, offset + start, &bytes[start..end]);
                        }
                        start = end;
                    }
                }
            }
        }
        image
    }
}

fn put_at(image: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    image.resize(image.len().max(end), 0);
    image[offset..end].copy_from_slice(bytes);
}

impl Medium for Disk {
    fn image(&self) -> Result<Vec<u8>, Cause> {
        Ok(self.after(Loss::Nothing))
    }

    fn open(&self) -> Result<Database, Cause> {
        let file = Arc::clone(&self.file.lock().unwrap());
        rows::check(Open {
            file,
            disk: self.clone(),
        })
    }

    fn replace(&self, rows: &[Change]) -> Result<Database, Cause> {
        let file = Arc::<Mutex<File>>::default();
        let open = Open {
            file: Arc::clone(&file),
            disk: self.clone(),
        };
        let database = rows::fill(open, rows)?;
        assert!(
            file.lock().unwrap().unsynced.is_empty(),
            "a file gets its name when it is flushed"
        );
        self.change()?;
        *self.file.lock().unwrap() = file;
        Ok(database)
    }

    fn flush(&self) -> Result<(), Cause> {
        let file = Arc::clone(&self.file.lock().unwrap());
        let disk = self.clone();
        Ok(Open { file, disk }.sync_data()?)
    }
}

impl Disk {
    /// Counts a change, which may be one that fails.
    fn change(&self) -> io::Result<()> {
        let (count, fault) = &mut *self.faults.lock().unwrap();
        *count += 1;
        let number = *count - 1;
        match fault {
            Some(Fault::Power(first)) if number >= *first => Err(io::Error::other("the power is gone")),
            Some(Fault::Errors(first, many, kind)) if (*first..*first + *many).contains(&number) => {
                Err(io::Error::from(*kind))
            }
            _ => Ok(()),
        }
    }

    fn has_lost_power(&self) -> bool {
        matches!(*self.faults.lock().unwrap(), (count, Some(Fault::Power(first))) if count > first)
    }
}

/// A file of a disk, open.
#[derive(Debug)]
struct Open {
    file: Arc<Mutex<File>>,
    disk: Disk,
}

impl Open {
    fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap()
    }
}

impl StorageBackend for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let offset = offset as usize;
        let file = self.lock();
        let bytes = file.seen.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.change()?;
        let mut file = self.lock();
        file.seen.resize(len as usize, 0);
        file.unsynced.push(Unsynced::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let changed = self.disk.change();
        if self.disk.has_lost_power() {
            return changed;
        }
        let mut file = self.lock();
        // What a flush that failed was to write is not tried again.
        let unsynced = std::mem::take(&mut file.unsynced);
        if changed.is_ok() {
            for write in unsynced {
                match write {
                    Unsynced::Length(len) => file.synced.resize(len as usize, 0),
                    Unsynced::Write(offset, bytes) => put_at(&mut file.synced, offset as usize, &bytes),
                }
            }
        }
        changed
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.change()?;
        let mut file = self.lock();
        put_at(&mut file.seen, offset as usize, data);
        file.unsynced.push(Unsynced::Write(offset, data.to_vec()));
        Ok(())
    }
}
