//! The options that say where a key comes from.

use std::os::fd::RawFd;
use std::path::PathBuf;

use clap::Args;

use super::KeySource;

/// Options for one key, of which one at most is given; all begin with a prefix where a command takes two keys.
macro_rules! key_args {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $whose:literal) => {
        $(#[$doc])*
        #[derive(Debug, Default, Args)]
        #[group(multiple = false)]
        pub(crate) struct $name {
            #[arg(
                id = concat!($prefix, "key-file"),
                long = concat!($prefix, "key-file"),
                value_name = "FILE",
                help = concat!("File with the key ", $whose, ": 32 bytes or 64 hexadecimal digits")
            )]
            key_file: Option<PathBuf>,

            #[arg(
                id = concat!($prefix, "key-fd"),
                long = concat!($prefix, "key-fd"),
                value_name = "NUMBER",
                value_parser = clap::value_parser!(RawFd).range(0..),
                help = concat!("Inherited descriptor from which the key ", $whose, " is read")
            )]
            key_fd: Option<RawFd>,

            #[arg(
                id = concat!($prefix, "passphrase-file"),
                long = concat!($prefix, "passphrase-file"),
                value_name = "FILE",
                help = concat!("File with a passphrase in place of the key ", $whose)
            )]
            passphrase_file: Option<PathBuf>,

            #[arg(
                id = concat!($prefix, "key-credential"),
                long = concat!($prefix, "key-credential"),
                value_name = "NAME",
                help = concat!("Credential of the systemd service with the key ", $whose)
            )]
            key_credential: Option<String>,
        }

        impl From<$name> for Option<KeySource> {
            fn from(args: $name) -> Self {
                args.key_file
                    .map(KeySource::File)
                    .or(args.key_fd.map(KeySource::Descriptor))
                    .or(args.passphrase_file.map(KeySource::Passphrase))
                    .or(args.key_credential.map(KeySource::Credential))
            }
        }
    };
}

key_args!(
    /// The key of the state.
    KeyArgs,
    "",
    "of the state"
);
key_args!(
    /// The key that the state gets.
    NewKeyArgs,
    "new-",
    "that the state gets"
);
key_args!(
    /// The key of an exported file.
    TransferKeyArgs,
    "transfer-",
    "of the exported file"
);
key_args!(
    /// The key of state that a monitor carries to another daemon.
    MigrationKeyArgs,
    "migration-",
    "of state that a monitor carries to another daemon"
);
