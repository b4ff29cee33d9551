//! What is checked before a state is served: whose it is, and that it is the newest.

use std::path::Path;

use tracing::{info, warn};

use super::Store;
use super::anchor::{Anchor, FileAnchor, Mark};
use super::error::OpenError;
use super::instance::InstanceId;
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

    /// Checks that the state is the newest that the anchor has seen, and follows it from now on.
    pub(super) fn check_age(&mut self, path: Option<&Path>) -> Result<(), OpenError> {
        let directory = || self.directory.path().to_owned();
        let Some(path) = path else {
            return match self.head.anchored {
                true => Err(OpenError::NoAnchor(directory())),
                false => Ok(()),
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
        file.reset(&now).map_err(failed)?;
        self.anchor = Some(Box::new(file));
        match self.head.anchored {
            true => Ok(()),
            false => self.change_head(|head| head.anchored = true),
        }
    }

    fn mark(&self) -> Mark {
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

    /// Makes the state, as it is, that of another instance, or nobody's, and the newest for an anchor, or for none.
    pub(crate) fn keep(&mut self, instance: Option<InstanceId>, anchor: Option<&Path>) -> Result<(), OpenError> {
        self.change_head(|head| {
            head.instance = instance;
            head.anchored = anchor.is_some();
        })?;
        match anchor {
            Some(path) => FileAnchor::new(path)
                .reset(&self.mark())
                .map_err(|error| OpenError::Anchor(path.to_owned(), error)),
            None => Ok(()),
        }
    }
}
