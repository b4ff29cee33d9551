//! Why a state directory cannot be used, and what its operator can do.

use std::io;
use std::path::PathBuf;

use super::directory::{ACKNOWLEDGED, DATA_KEY, MARKER, STATE};
use super::instance::InstanceId;
use crate::keys::cipher::NoEntropy;
use crate::keys::envelope::EnvelopeError;

/// What the database or the file system said.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("the state directory {path} cannot be created", path = .0.display())]
    Create(PathBuf, #[source] io::Error),
    #[error(
        "the lock file {path} cannot be written and locked; the state directory must be writable for the daemon's user, and on \
         a disk that is neither read-only nor full: mount it writable, make room, or give another --state-dir",
        path = .0.display()
    )]
    Lock(PathBuf, #[source] io::Error),
    #[error(
        "the TPM in {directory} is being served already by process {holder} (it holds the lock {lock}); stop that \
         process, or give each virtual machine a state directory of its own",
        directory = .directory.display(), lock = .lock.display()
    )]
    Served {
        directory: PathBuf,
        lock: PathBuf,
        holder: String,
    },
    #[error(
        "a new state file {path} cannot be made; if the disk is full, make room for some 200 KiB and start again",
        path = .0.display()
    )]
    New(PathBuf, #[source] Cause),
    #[error(
        "a TPM was made in {directory}, as the file {marker} there says, but its state is gone; put back a copy of \
         {STATE}, or remove {marker} to have a new TPM made",
        directory = .0.display(), marker = MARKER
    )]
    Gone(PathBuf),
    #[error("the file {MARKER} cannot be made in {directory}", directory = .0.display())]
    Mark(PathBuf, #[source] io::Error),
    #[error(
        "the state file {path} cannot be read; if it is damaged, put back a copy of it that is known to be good: it is \
         never replaced by a new TPM",
        path = .0.display()
    )]
    Read(PathBuf, #[source] Cause),
    #[error(
        "the state file {path} cannot be written; what it holds is unharmed: if the disk is full, make room, if it is read-only \
         or broken, see to it, and start again",
        path = .0.display()
    )]
    Write(PathBuf, #[source] Cause),
    #[error(
        "the state in {directory} is encrypted and no key was given; give --key-file, --key-fd, --passphrase-file or \
         --key-credential",
        directory = .0.display()
    )]
    NoKey(PathBuf),
    #[error(
        "the state in {directory} is not encrypted, but a key was given; if this is the TPM that you meant, and nobody \
         has put it in the place of an encrypted one, encrypt it with `vhost-device-tpm rekey`, or leave the key out",
        directory = .0.display()
    )]
    Plain(PathBuf),
    #[error(
        "the file {file} in {directory} cannot be read; the state is encrypted with a key that it holds, sealed with \
         yours: put back a copy of the file, without which the state cannot be read",
        file = DATA_KEY, directory = .0.display()
    )]
    DataKey(PathBuf, #[source] io::Error),
    #[error("the file {file} in {directory} cannot be opened with the key that was given", file = DATA_KEY, directory = .0.display())]
    WrongKey(PathBuf, #[source] EnvelopeError),
    #[error(
        "the file {file} in {directory} holds the key of another TPM's state; put back the file that belongs to \
         {STATE}",
        file = DATA_KEY, directory = .0.display()
    )]
    OtherKey(PathBuf),
    #[error("the file {file} in {directory} cannot be written", file = DATA_KEY, directory = .0.display())]
    WriteKey(PathBuf, #[source] Cause),
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    #[error(
        "the TPM in {directory} belongs to the instance {owner}, and {given}; if this is the same machine, moved or \
         renamed, keep its TPM with `vhost-device-tpm restore`; if it is a copy of that machine, give it a TPM of its \
         own with `vhost-device-tpm clone`",
        directory = .directory.display(),
        given = .given.as_ref().map_or("no --instance-id was given".to_owned(), |id| format!("this is the instance {id}"))
    )]
    Instance {
        directory: PathBuf,
        owner: InstanceId,
        given: Option<InstanceId>,
    },
    #[error(
        "the state in {directory} is not the newest: it is of generation {found}, and the TPM has answered from generation \
         {newest}{fork}, as the file {ACKNOWLEDGED} there says; the last change in {STATE} is damaged, or another copy was \
         put in its place. Put the newest back, or, if you mean to go on with this one, say so with `vhost-device-tpm \
         restore`, with the --instance-id and the --anchor that it has",
        directory = .directory.display(),
        fork = if .newest > .found { "" } else { " of other contents" }
    )]
    Lost {
        directory: PathBuf,
        found: u64,
        newest: u64,
    },
    #[error("the file {ACKNOWLEDGED} in {directory} cannot be written", directory = .0.display())]
    Acknowledged(PathBuf, #[source] io::Error),
    #[error(
        "the TPM in {directory} was handed over to another daemon, with its machine, and this is what it left behind. If the \
         machine comes back, by a migration or from a file that it was saved to, start with --migration incoming; if it \
         never arrived elsewhere and never will, take its TPM back with `vhost-device-tpm restore`; otherwise remove the \
         directory",
        directory = .0.display()
    )]
    Moved(PathBuf),
    #[error("the anchor {anchor} cannot be read or written", anchor = .0.display())]
    Anchor(PathBuf, #[source] io::Error),
    #[error(
        "the TPM in {directory} has a counter elsewhere, by which it is known to be the newest, and no --anchor was given; \
         give it, or do without from now on by `vhost-device-tpm restore` without --anchor",
        directory = .0.display()
    )]
    NoAnchor(PathBuf),
    #[error(
        "the anchor {anchor} of the TPM in {directory} is gone; put it back, or, if you know that the state is the newest, \
         make a new one with `vhost-device-tpm restore --anchor`",
        anchor = .anchor.display(), directory = .directory.display()
    )]
    AnchorGone { directory: PathBuf, anchor: PathBuf },
    #[error(
        "the anchor {anchor} is not that of the TPM in {directory} but another's, or the TPM that it is of is gone; give \
         each TPM an anchor of its own",
        anchor = .anchor.display(), directory = .directory.display()
    )]
    OtherAnchor { directory: PathBuf, anchor: PathBuf },
    #[error(
        "the state in {directory} is not the newest: it is of generation {found}, and the anchor {anchor} has seen \
         generation {newest}{fork}; put the newest back, or, if you mean to go back to this one, say so with \
         `vhost-device-tpm restore --anchor`",
        directory = .directory.display(), anchor = .anchor.display(),
        fork = if .found == .newest { ", but with other contents" } else { "" }
    )]
    RolledBack {
        directory: PathBuf,
        anchor: PathBuf,
        found: u64,
        newest: u64,
    },
}
