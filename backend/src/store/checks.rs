//! What is checked before a state is served: whose it is, and that it is the newest.

use std::path::Path;

use tracing::{info, warn};

use super::Store;
use super::acknowledged::Acknowledged;
use super::anchor::{Anchor, FileAnchor};
use super::error::OpenError;
use super::instance::InstanceId;
use super::mark::Mark;
use super::root::Head;

impl Store {
    /// Checks that the state is this instance's, or nobody's.
    pub(super) fn check_instance(&self, given: Option<&InstanceId>) -> Result<(), OpenError> {
        match &self.head.instance {
            Some(owner) if Some(owner) != given => Err(OpenError::Instance {
                directory: self.directory.path().to_owned(),
                owner: owner.clone(),
                given: given.cloned(),
            }),
            _ => Ok(()),
        }
    }

    /// Checks that the TPM was not handed over to another daemon.
    pub(crate) fn check_here(&self) -> Result<(), OpenError> {
        match self.head.moved {
            true => Err(OpenError::Moved(self.directory.path().to_owned())),
            false => Ok(()),
        }
    }

    /// Notes, durably, that the TPM was handed over to another daemon, or that it is here after all.
    pub(super) fn set_moved(&mut self, moved: bool) -> Result<(), OpenError> {
        match self.head.moved == moved {
            true => Ok(()),
            false => self.change_head(|head| head.moved = moved),
        }
    }

    /// Makes a state that is nobody's this instance's.
    pub(super) fn claim(&mut self, given: Option<&InstanceId>) -> Result<(), OpenError> {
        match (&self.head.instance, given) {
            (None, Some(given)) => {
                info!("the TPM belongs to the instance {given} from now on");
                self.change_head(|head| head.instance = Some(given.clone()))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the state is the newest that the anchor, if there is one, and the mark beside it have seen, both of
    /// which follow it from now on.
    pub(super) fn check_age(&mut self, anchor: Option<&Path>) -> Result<(), OpenError> {
        let anchor = self.check_anchor(anchor)?;
        let (acknowledged, last) = self.check_acknowledged()?;
        let now = self.mark();
        let is_acknowledged = last.as_ref() == Some(&now);
        // A state that was acknowledged as it is was on the disk before. Of any other it is not known: a process that was
        // killed may have written it and not flushed it.
        if !is_acknowledged || anchor.is_some() {
            self.rows
                .flush()
                .map_err(|cause| OpenError::Write(self.directory.state(), cause))?;
        }
        let acknowledged = self.acknowledged.insert(acknowledged);
        if !is_acknowledged && !self.rows.are_vacant() {
            acknowledged.set(&now);
        }
        let Some((path, mut anchor)) = anchor else {
            return Ok(());
        };
        anchor
            .reset(&now)
            .map_err(|error| OpenError::Anchor(path.to_owned(), error))?;
        self.anchor = Some(Box::new(anchor));
        match self.head.anchored {
            true => Ok(()),
            false => self.change_head(|head| head.anchored = true),
        }
    }

    /// Checks that no change that was answered is missing; gives the mark's file, and the mark.
    pub(crate) fn check_acknowledged(&self) -> Result<(Acknowledged, Option<Mark>), OpenError> {
        let (file, last) = Acknowledged::open(self.directory.path());
        let now = self.mark();
        match &last {
            // A state of the first version has no number before its first commit, which is of generation 1.
            Some(last)
                if last.generation > 0
                    && (last.tpm != now.tpm
                        || last.generation > now.generation
                        || (last.generation == now.generation && *last != now)) =>
            {
                Err(OpenError::Lost {
                    directory: self.directory.path().to_owned(),
                    found: now.generation,
                    newest: last.generation,
                })
            }
            _ => Ok((file, last)),
        }
    }

    /// Checks that the state is the newest that the anchor has seen.
    fn check_anchor<'a>(&self, path: Option<&'a Path>) -> Result<Option<(&'a Path, FileAnchor)>, OpenError> {
        let directory = || self.directory.path().to_owned();
        let Some(path) = path else {
            return match self.head.anchored {
                true => Err(OpenError::NoAnchor(directory())),
                false => Ok(None),
            };
        };
        let failed = |error| OpenError::Anchor(path.to_owned(), error);
        let anchor = path.to_owned();
        let mut file = FileAnchor::new(path);
        let now = self.mark();
        match file.get().map_err(failed)? {
            // The TPM is still to be made; what an attempt that was interrupted left does not count.
            None if !self.head.anchored || now.generation == 0 => {}
            Some(mark) if mark.tpm != now.tpm && mark.generation == 0 => {}
            None => {
                return Err(OpenError::AnchorGone {
                    directory: directory(),
                    anchor,
                });
            }
            Some(mark) if mark.tpm != now.tpm => {
                return Err(OpenError::OtherAnchor {
                    directory: directory(),
                    anchor,
                });
            }
            Some(mark) if mark.generation > now.generation || (mark.generation == now.generation && mark != now) => {
                return Err(OpenError::RolledBack {
                    directory: directory(),
                    anchor,
                    found: now.generation,
                    newest: mark.generation,
                });
            }
            // One ahead is a commit that was not answered.
            Some(mark) if now.generation - mark.generation > 2 => warn!(
                "the TPM went from generation {} to {} without the anchor {}",
                mark.generation,
                now.generation,
                path.display()
            ),
            Some(_) => {}
        }
        Ok(Some((path, file)))
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            tpm: self.head.tpm,
            generation: self.head.generation,
            fingerprint: self.fingerprint,
        }
    }

    fn change_head(&mut self, change: impl FnOnce(&mut Head)) -> Result<(), OpenError> {
        let mut head = self.head.clone();
        change(&mut head);
        self.advance(head, &[])
            .map_err(|cause| OpenError::Write(self.directory.state(), cause))
    }

    /// Makes the state, as it is, that of another instance, or nobody's, the newest for an anchor, or for none, and its TPM
    /// one that lives here.
    pub(crate) fn keep(&mut self, instance: Option<InstanceId>, anchor: Option<&Path>) -> Result<(), OpenError> {
        self.change_head(|head| {
            head.instance = instance;
            head.anchored = anchor.is_some();
            head.moved = false;
        })?;
        Acknowledged::reset(self.directory.path(), &self.mark())
            .map_err(|error| OpenError::Acknowledged(self.directory.path().to_owned(), error))?;
        match anchor {
            Some(path) => FileAnchor::new(path)
                .reset(&self.mark())
                .map_err(|error| OpenError::Anchor(path.to_owned(), error)),
            None => Ok(()),
        }
    }
}
