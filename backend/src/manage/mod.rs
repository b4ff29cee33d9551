//! What an operator does with a TPM that is not being served: look at it, move it, make it another machine's.

mod args;
mod info;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tpm_engine::platform::{Change, NvStore, Record, StoreError};
use tpm_engine::{Manufacture, ProfileName, StartError, Tpm};
use tracing::info;
use zeroize::Zeroizing;

use crate::device::platform;
use crate::keys::envelope::{EnvelopeError, Purpose};
use crate::keys::{KeyError, KeySource, OperatorKey};
use crate::store::{self, Contents, Directory, Head, InstanceId, OpenError, Records, Store, TransferError};
pub(crate) use args::{CloneArgs, ExportArgs, ImportArgs, InfoArgs, RekeyArgs, RestoreArgs};

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManageError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("no new key was given; give --new-key-file, --new-key-fd, --new-passphrase-file or --new-key-credential")]
    NoNewKey,
    #[error(
        "no key for the exported file was given; give --transfer-key-file, --transfer-key-fd, \
         --transfer-passphrase-file or --transfer-key-credential"
    )]
    NoTransferKey,
    #[error("{} holds no TPM", .0.display())]
    NoTpm(PathBuf),
    #[error("the TPM in {} cannot be loaded", .0.display())]
    Load(PathBuf, #[source] StartError),
    #[error("a new TPM cannot be made")]
    Manufacture(#[source] StartError),
    #[error(
        "the TPM in {directory} belongs to the instance {instance}, and a clone needs a name of its own; if this is that \
         machine, there is nothing to do, and if its TPM is to be thrown away, remove the directory",
        directory = .directory.display()
    )]
    SameInstance { directory: PathBuf, instance: InstanceId },
    #[error("{} is there already and is not overwritten", .0.display())]
    Exists(PathBuf),
    #[error("{} cannot be written", .0.display())]
    Write(PathBuf, #[source] io::Error),
    #[error("{} cannot be read", .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("the exported file cannot be sealed")]
    Seal(#[source] EnvelopeError),
    #[error("{} cannot be opened with the key that was given", .0.display())]
    Open(PathBuf, #[source] EnvelopeError),
    #[error("{} holds no state that this program reads", .0.display())]
    Layout(PathBuf, #[source] TransferError),
    #[error("the TPM in {} cannot be loaded, and so was not imported", .0.display())]
    Unusable(PathBuf, #[source] StartError),
    #[error("{} holds a TPM already, or did; import into a directory of its own", .0.display())]
    Occupied(PathBuf),
}

/// `vhost-device-tpm info`
pub(crate) fn info(args: InfoArgs) -> Result<(), ManageError> {
    let InfoArgs { state_dir, key, json } = args;
    let store = open(&state_dir, load(key.into())?.as_ref())?;
    let encrypted = store.is_encrypted();
    let (_directory, contents) = store.into_contents()?;
    let tpm = Memory::of(&contents).load();
    let tpm = tpm.map_err(|error| ManageError::Load(state_dir.clone(), error))?;
    let info = info::Info {
        directory: &state_dir,
        profile: tpm.profile_name(),
        head: &contents.head,
        encrypted,
        records: contents.records.len(),
    };
    print!("{}", if json { info.to_json() } else { info.to_text() });
    Ok(())
}

/// `vhost-device-tpm rekey`
pub(crate) fn rekey(args: RekeyArgs) -> Result<(), ManageError> {
    let RekeyArgs {
        state_dir,
        key,
        new_key,
        new_data_key,
    } = args;
    let old = load(key.into())?;
    let new = load(new_key.into())?.ok_or(ManageError::NoNewKey)?;
    match &old {
        // The daemon that serves the TPM, if one does, has read the file that changes and needs it no more.
        Some(old) if !new_data_key => {
            store::rekey(&state_dir, old, &new)?;
            info!("the key of {} is changed", state_dir.display());
        }
        old => {
            let (directory, contents) = open_newest(&state_dir, old.as_ref())?.into_contents()?;
            store::replace(&directory, Some(&new), old.as_ref(), &contents.succeeding())?;
            info!("the state in {} is encrypted anew", state_dir.display());
        }
    }
    Ok(())
}

/// `vhost-device-tpm restore`
pub(crate) fn restore(args: RestoreArgs) -> Result<(), ManageError> {
    let RestoreArgs {
        state_dir,
        key,
        instance_id,
        anchor,
    } = args;
    let mut store = open(&state_dir, load(key.into())?.as_ref())?;
    match &instance_id {
        Some(instance) => info!("the TPM in {} is kept for the instance {instance}", state_dir.display()),
        None => info!("the TPM in {} is kept and belongs to no instance", state_dir.display()),
    }
    store.keep(instance_id, anchor.as_deref())?;
    Ok(store::mark(&state_dir)?)
}

/// `vhost-device-tpm clone`
pub(crate) fn clone(args: CloneArgs) -> Result<(), ManageError> {
    let CloneArgs {
        state_dir,
        key,
        instance_id,
    } = args;
    let key = load(key.into())?;
    let (directory, old) = open(&state_dir, key.as_ref())?.into_contents()?;
    if old.head.instance.as_ref() == Some(&instance_id) {
        return Err(ManageError::SameInstance {
            directory: state_dir,
            instance: instance_id,
        });
    }
    let tpm = Memory::of(&old).load();
    let tpm = tpm.map_err(|error| ManageError::Load(state_dir.clone(), error))?;
    // A new TPM is of the newest edition.
    let profile = ProfileName::of_edition(tpm.profile_name());
    drop(tpm);
    let memory = Memory::default();
    let options = Manufacture {
        profile: profile.unwrap_or_default(),
    };
    Tpm::manufacture(platform(memory.clone(), Arc::default(), Arc::default()), &options)
        .map_err(ManageError::Manufacture)?;
    let contents = Contents {
        head: Head::new(store::new_number()?, Some(instance_id)),
        records: memory.into_records(),
    };
    store::replace(&directory, key.as_ref(), key.as_ref(), &contents)?;
    store::mark(&state_dir)?;
    info!(
        "{} holds a new TPM of profile {}; what the old one protected cannot be read with it",
        state_dir.display(),
        options.profile
    );
    Ok(())
}

/// `vhost-device-tpm export`
pub(crate) fn export(args: ExportArgs) -> Result<(), ManageError> {
    let ExportArgs {
        state_dir,
        key,
        output,
        transfer_key,
    } = args;
    let key = load(key.into())?;
    let transfer = load(transfer_key.into())?.ok_or(ManageError::NoTransferKey)?;
    if output.symlink_metadata().is_ok() {
        return Err(ManageError::Exists(output));
    }
    let store = open_newest(&state_dir, key.as_ref())?;
    store.check_here()?;
    let (_directory, contents) = store.into_contents()?;
    let sealed = transfer
        .seal(Purpose::Export, &contents.to_bytes())
        .map_err(ManageError::Seal)?;
    store::replace_file(&output, &sealed).map_err(|error| ManageError::Write(output.clone(), error))?;
    info!(
        "the TPM in {} is exported to {}; serve one of the two only",
        state_dir.display(),
        output.display()
    );
    Ok(())
}

/// `vhost-device-tpm import`
pub(crate) fn import(args: ImportArgs) -> Result<(), ManageError> {
    let ImportArgs {
        state_dir,
        key,
        input,
        transfer_key,
    } = args;
    let key = load(key.into())?;
    let transfer = load(transfer_key.into())?.ok_or(ManageError::NoTransferKey)?;
    let sealed = std::fs::read(&input).map_err(|error| ManageError::Read(input.clone(), error))?;
    let bytes = transfer
        .open(Purpose::Export, &sealed)
        .map_err(|error| ManageError::Open(input.clone(), error))?;
    let contents = Contents::from_bytes(&bytes).map_err(|error| ManageError::Layout(input.clone(), error))?;
    let loaded = Memory::of(&contents).load();
    let profile = loaded
        .map_err(|error| ManageError::Unusable(input.clone(), error))?
        .profile_name();
    let directory = Directory::enter(&state_dir)?;
    if directory.is_occupied() {
        return Err(ManageError::Occupied(state_dir));
    }
    store::replace(&directory, key.as_ref(), None, &contents.succeeding())?;
    store::mark(&state_dir)?;
    info!(
        "{} holds the TPM of {}, of profile {profile}",
        state_dir.display(),
        input.display()
    );
    Ok(())
}

/// The state of a directory that holds one.
fn open(path: &Path, key: Option<&OperatorKey>) -> Result<Store, ManageError> {
    // Entering makes the directory, and a typing error should not.
    if !path.is_dir() {
        return Err(ManageError::NoTpm(path.to_owned()));
    }
    let directory = Directory::enter(path)?;
    if !directory.is_occupied() {
        return Err(ManageError::NoTpm(path.to_owned()));
    }
    Ok(Store::open_any(directory, key)?)
}

/// As [`open`]; an older state than the TPM has answered from is refused, as the daemon refuses it.
fn open_newest(path: &Path, key: Option<&OperatorKey>) -> Result<Store, ManageError> {
    let store = open(path, key)?;
    store.check_acknowledged()?;
    Ok(store)
}

fn load(source: Option<KeySource>) -> Result<Option<OperatorKey>, KeyError> {
    source.as_ref().map(OperatorKey::load).transpose()
}

/// The records of a TPM that is looked at or made, in memory only.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<Records>>);

impl Memory {
    fn of(contents: &Contents) -> Self {
        Self(Arc::new(Mutex::new(contents.records.clone())))
    }

    fn load(self) -> Result<Tpm, StartError> {
        Tpm::load(platform(self, Arc::default(), Arc::default()))
    }

    fn into_records(self) -> Records {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl NvStore for Memory {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(records
            .iter()
            .map(|(name, value)| (name.clone(), value.to_vec()))
            .collect())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes.iter().cloned() {
            let (Change::Put { key, .. } | Change::Delete { key }) = &change;
            records.retain(|(name, _)| name != key);
            if let Change::Put { key, value } = change {
                records.push((key, Zeroizing::new(value)));
            }
        }
        Ok(())
    }
}
