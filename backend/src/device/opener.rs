//! The state directory and what the operator gave to open it with.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tpm_engine::platform::StoreError;
use tpm_engine::{Manufacture, Platform, ProfileName, Snapshot, SnapshotError, StartError, Tpm};
use tracing::info;

use super::platform;
use crate::args::Config;
use crate::keys::envelope::EnvelopeError;
use crate::store::{self, Access, Lease, OpenError, Store};

/// Why there is no TPM here, or not the one that was to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the TPM in {} cannot be loaded", .0.display())]
    Load(PathBuf, #[source] StartError),
    #[error("a new TPM cannot be made in {}", .0.display())]
    Manufacture(PathBuf, #[source] StartError),
    #[error(
        "the TPM in {} was made with the profile {profile}, and that never changes; leave --profile {wanted} out, or make \
         a new TPM in another state directory",
        .path.display()
    )]
    Profile {
        path: PathBuf,
        profile: &'static str,
        wanted: ProfileName,
    },
    #[error("the TPM that arrived cannot be put into {}; the one that was there, if any, is still there", .0.display())]
    Adopt(PathBuf, #[source] StartError),
    #[error("the state that arrived is refused")]
    Snapshot(#[from] SnapshotError),
    #[error("the state that arrived cannot be opened")]
    Sealed(#[source] EnvelopeError),
    #[error("the state cannot be sealed with the migration key")]
    Seal(#[source] EnvelopeError),
    #[error(
        "the state that arrived is sealed; give the key of the daemon that it comes from, --migration-key-file for example"
    )]
    NoKey,
    #[error(
        "the state that arrived is not sealed, and a migration key was given; start both daemons with the key, or both without"
    )]
    NotSealed,
    #[error("the state that arrived is cut short or of another kind")]
    Message,
    #[error(
        "the TPM was handed over, and the state in {} was changed since: it lives elsewhere now, and does not come back \
         here",
        .0.display()
    )]
    LivesElsewhere(PathBuf),
    #[error("the TPM's state cannot be written")]
    Store(#[from] StoreError),
    #[error(
        "the volatile state that was stored cannot be used; --startup clear starts the TPM without it, as after a power loss"
    )]
    Resume(#[source] StartError),
    #[error("there is no TPM yet")]
    Vacant,
}

/// Opens the state directory.
pub(super) struct Opener {
    pub(super) path: PathBuf,
    access: Access,
    profile: Option<ProfileName>,
    cancel: Arc<AtomicBool>,
    presence: Arc<AtomicBool>,
}

impl Opener {
    pub(super) fn new(config: &Config, access: Access, cancel: Arc<AtomicBool>, presence: Arc<AtomicBool>) -> Self {
        Self {
            path: config.state_dir.clone(),
            access,
            profile: config.profile,
            cancel,
            presence,
        }
    }

    pub(super) fn store(&self) -> Result<Store, OpenError> {
        Store::open(&self.path, &self.access)
    }

    /// What the engine needs, with this store.
    fn platform(&self, lease: &Lease) -> Platform {
        platform(lease.clone(), Arc::clone(&self.cancel), Arc::clone(&self.presence))
    }

    /// Loads the directory's TPM, or makes one if there is none. What is committed is on the disk when the lease is settled.
    pub(super) fn load_or_make(&self) -> Result<(Tpm, Lease), StateError> {
        let path = &self.path;
        let store = self.store()?;
        store.check_here()?;
        let lease = Lease::held(store);
        let tpm = match Tpm::load(self.platform(&lease)) {
            Err(StartError::NotManufactured) => {
                store::may_be_made(path)?;
                info!("making a new TPM in {}", path.display());
                let options = Manufacture {
                    profile: self.profile.unwrap_or_default(),
                };
                Tpm::manufacture(self.platform(&lease), &options)
                    .map_err(|error| StateError::Manufacture(path.clone(), error))?
            }
            loaded => loaded.map_err(|error| StateError::Load(path.clone(), error))?,
        };
        self.check_profile(tpm.profile_name())?;
        info!(
            "serving the TPM in {}, of profile {}",
            path.display(),
            tpm.profile_name()
        );
        Ok((tpm, lease))
    }

    /// Puts a TPM that arrived into the directory, in the place of the one, if any, that is there.
    pub(super) fn adopt(&self, snapshot: Snapshot) -> Result<(Tpm, Lease), StateError> {
        let path = &self.path;
        self.check_profile(snapshot.profile_name())?;
        let failed = |error| StateError::Adopt(path.clone(), error);
        let lease = Lease::new(self.store()?);
        let tpm = match Tpm::load(self.platform(&lease)) {
            Err(StartError::NotManufactured) => {
                store::may_be_made(path)?;
                Tpm::adopt(self.platform(&lease), snapshot).map_err(failed)?
            }
            loaded => {
                let mut tpm = loaded.map_err(|error| StateError::Load(path.clone(), error))?;
                tpm.replace(snapshot).map_err(|error| failed(error.into()))?;
                tpm
            }
        };
        lease.settle()?;
        Ok((tpm, lease))
    }

    fn check_profile(&self, profile: &'static str) -> Result<(), StateError> {
        match self
            .profile
            .filter(|wanted| ProfileName::of_edition(profile) != Some(*wanted))
        {
            Some(wanted) => Err(StateError::Profile {
                path: self.path.clone(),
                profile,
                wanted,
            }),
            None => Ok(()),
        }
    }
}
