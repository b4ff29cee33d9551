//! The command lines of what is done with a TPM that is not being served.

use std::path::PathBuf;

use clap::Args;

use crate::keys::args::{KeyArgs, NewKeyArgs, TransferKeyArgs};
use crate::store::InstanceId;

#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Directory of the TPM's state
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: PathBuf,

    #[command(flatten)]
    pub(super) key: KeyArgs,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RekeyArgs {
    /// Directory of the TPM's state
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: PathBuf,

    #[command(flatten)]
    pub(super) key: KeyArgs,

    #[command(flatten)]
    pub(super) new_key: NewKeyArgs,

    /// Encrypt all records anew under another data key, for when the old key and the state may be in the wrong hands; the
    /// TPM must not be served meanwhile
    #[arg(long)]
    pub(super) new_data_key: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// Directory of the TPM's state
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: PathBuf,

    #[command(flatten)]
    pub(super) key: KeyArgs,

    /// Name of the instance that the TPM belongs to from now on; nobody's without
    #[arg(long, value_name = "ID")]
    pub(super) instance_id: Option<InstanceId>,

    /// File, kept elsewhere, of the counter for which this state is the newest from now on; without, it has none
    #[arg(long, value_name = "FILE")]
    pub(super) anchor: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CloneArgs {
    /// Directory of the copied state, whose TPM is thrown away
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: PathBuf,

    #[command(flatten)]
    pub(super) key: KeyArgs,

    /// Name of the instance that the new TPM belongs to
    #[arg(long, value_name = "ID")]
    pub(super) instance_id: InstanceId,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Directory of the TPM's state
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: PathBuf,

    #[command(flatten)]
    pub(super) key: KeyArgs,

    /// File to write
    #[arg(long, value_name = "FILE")]
    pub(super) output: PathBuf,

    #[command(flatten)]
    pub(super) transfer_key: TransferKeyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Directory of the state, which holds no TPM yet; created if it is missing
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: PathBuf,

    #[command(flatten)]
    pub(super) key: KeyArgs,

    /// File that `export` wrote
    #[arg(long, value_name = "FILE")]
    pub(super) input: PathBuf,

    #[command(flatten)]
    pub(super) transfer_key: TransferKeyArgs,
}
