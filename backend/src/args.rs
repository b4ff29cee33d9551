//! The command line.

use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tpm_engine::ProfileName;
use tracing::level_filters::LevelFilter;

use crate::keys::KeySource;
use crate::keys::args::{KeyArgs, MigrationKeyArgs};
use crate::manage::{CloneArgs, ExportArgs, ImportArgs, InfoArgs, RekeyArgs, RestoreArgs};
use crate::store::InstanceId;

/// A TPM 2.0 for one virtual machine.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the TPM that lives in a state directory; make it if the directory holds none
    Serve(ServeArgs),
    /// Say what a state directory holds
    Info(InfoArgs),
    /// Change the key of a state, also while it is being served; encrypt one that is not
    Rekey(RekeyArgs),
    /// Keep the TPM of a state that was moved, renamed or put back from a backup
    Restore(RestoreArgs),
    /// Give the copy of a virtual machine a new TPM in place of the one that was copied with it
    Clone(CloneArgs),
    /// Write a TPM into an encrypted file
    Export(ExportArgs),
    /// Make a state directory of a file that `export` wrote
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Directory of this TPM's state; created if it is missing
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,

    #[command(flatten)]
    key: KeyArgs,

    /// Name of the virtual machine whose TPM it is, such as its UUID; once a TPM has one, it is served for no other
    #[arg(long, value_name = "ID")]
    instance_id: Option<InstanceId>,

    /// File, kept where nobody who can put back an old state can write, with a counter by which such a state is refused;
    /// created with the TPM
    #[arg(long, value_name = "FILE")]
    anchor: Option<PathBuf>,

    /// UNIX socket of swtpm's control channel, for Cloud Hypervisor and QEMU
    #[arg(long, value_name = "CTRL.SOCK")]
    swtpm_socket: Option<PathBuf>,

    /// TCP address of swtpm's data channel; the control channel is on the next port
    #[arg(long, value_name = "ADDRESS:PORT")]
    swtpm_tcp: Option<SocketAddr>,

    /// UNIX socket for a monitor that attaches the TPM by vhost-user
    #[arg(long, value_name = "SOCK")]
    socket_path: Option<PathBuf>,

    /// Inherited descriptor of that socket, which listens already, as a service manager hands it over
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(RawFd).range(0..), conflicts_with = "socket_path")]
    socket_fd: Option<RawFd>,

    /// For how many microseconds at most the vhost-user queue is polled for the next command before the process sleeps;
    /// 0 never polls
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 100)]
    poll_us: u32,

    /// How a virtual machine migrates, both may be given: "incoming" leaves the state directory alone until a TPM arrives, or
    /// the monitor powers one on; "release-lock-outgoing" gives the directory up when the TPM was handed over, for a
    /// destination that uses the same one
    #[arg(long, value_enum, value_name = "HOW", value_delimiter = ',')]
    migration: Vec<Migration>,

    #[command(flatten)]
    migration_key: MigrationKeyArgs,

    /// Power the TPM on at once and start it up, for the first machine; with "none" its monitor powers it on
    #[arg(long, value_enum, default_value_t = Startup::None)]
    startup: Startup,

    /// Assert physical presence all the time. Without this, SIGUSR1 asserts it until the next reset of the machine
    #[arg(long)]
    physical_presence: bool,

    /// File, FIFO or /dev/fd/N to which a line is written for each countdown timer of the TPM that signals
    #[arg(long, value_name = "PATH")]
    timer_events: Option<PathBuf>,

    /// Profile to make a new TPM with: default, compat or fips. It says for all of the TPM's life what it has
    #[arg(long, value_name = "NAME")]
    profile: Option<ProfileName>,

    /// How much to log to stderr
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub(crate) log_level: LogLevel,
}

/// What migration asks of the state directory; the names are swtpm's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Migration {
    Incoming,
    ReleaseLockOutgoing,
}

/// What the daemon does with the TPM before it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Startup {
    /// TPM2_Startup(CLEAR)
    Clear,
    /// TPM2_Startup(STATE): go on from what TPM2_Shutdown(STATE) saved
    State,
    /// Nothing
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// A command line that was checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) state_dir: PathBuf,
    /// Where the key of an encrypted state comes from.
    pub(crate) key: Option<KeySource>,
    pub(crate) instance: Option<InstanceId>,
    /// Where the counter is that an old state is told by.
    pub(crate) anchor: Option<PathBuf>,
    pub(crate) swtpm_socket: Option<PathBuf>,
    pub(crate) swtpm_tcp: Option<SocketAddr>,
    pub(crate) socket_path: Option<PathBuf>,
    /// The descriptor of a socket in place of its path.
    pub(crate) socket_fd: Option<RawFd>,
    /// The longest time for which the vhost-user queue is polled.
    pub(crate) poll: Duration,
    pub(crate) startup: Startup,
    pub(crate) physical_presence: bool,
    pub(crate) timer_events: Option<PathBuf>,
    pub(crate) profile: Option<ProfileName>,
    /// The state directory is opened when a TPM arrives.
    pub(crate) incoming: bool,
    /// The state directory is given up with the TPM.
    pub(crate) release: bool,
    /// Where the key comes from that seals state on its way to another daemon.
    pub(crate) migration_key: Option<KeySource>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("nothing to serve on; give --socket-path, --socket-fd, --swtpm-socket or --swtpm-tcp")]
    NoSocket,
    #[error("--startup {startup} powers a TPM on, and --migration incoming waits for one: leave one of them out", startup = .0)]
    NothingToStart(&'static str),
    #[error("--swtpm-tcp {0}: the control channel needs the next port, and there is none; choose a port below 65535")]
    NoControlPort(SocketAddr),
}

impl TryFrom<ServeArgs> for Config {
    type Error = ConfigError;

    fn try_from(args: ServeArgs) -> Result<Self, ConfigError> {
        let ServeArgs {
            state_dir,
            key,
            instance_id,
            anchor,
            swtpm_socket,
            swtpm_tcp,
            socket_path,
            socket_fd,
            poll_us,
            startup,
            physical_presence,
            timer_events,
            profile,
            migration,
            migration_key,
            log_level: _,
        } = args;
        let vhost_user = socket_path.is_some() || socket_fd.is_some();
        if swtpm_socket.is_none() && swtpm_tcp.is_none() && !vhost_user {
            return Err(ConfigError::NoSocket);
        }
        if let Some(address) = swtpm_tcp
            && address.port() == u16::MAX
        {
            return Err(ConfigError::NoControlPort(address));
        }
        let incoming = migration.contains(&Migration::Incoming);
        match startup {
            Startup::Clear if incoming => return Err(ConfigError::NothingToStart("clear")),
            Startup::State if incoming => return Err(ConfigError::NothingToStart("state")),
            _ => {}
        }
        Ok(Self {
            state_dir,
            key: key.into(),
            instance: instance_id,
            anchor,
            swtpm_socket,
            swtpm_tcp,
            socket_path,
            socket_fd,
            poll: Duration::from_micros(poll_us.into()),
            startup,
            physical_presence,
            timer_events,
            profile,
            incoming,
            release: migration.contains(&Migration::ReleaseLockOutgoing),
            migration_key: migration_key.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(args: &[&str]) -> Result<Config, ConfigError> {
        let all = ["vhost-device-tpm", "serve", "--state-dir", "d"];
        match Arguments::try_parse_from(all.iter().chain(args)).unwrap().command {
            Command::Serve(args) => args.try_into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_socket_at_least_is_needed() {
        assert!(matches!(config(&[]), Err(ConfigError::NoSocket)));
        let config = config(&["--swtpm-socket", "c.sock"]).unwrap();
        assert_eq!(config.swtpm_socket, Some("c.sock".into()));
        assert_eq!(config.startup, Startup::None);
    }

    #[test]
    fn a_socket_for_monitors_is_a_path_or_a_descriptor() {
        assert_eq!(config(&["--socket-fd", "3"]).unwrap().socket_fd, Some(3));
        for wrong in [&["--socket-fd", "3", "--socket-path", "s"][..], &["--socket-fd=-1"]] {
            let all = ["vhost-device-tpm", "serve", "--state-dir", "d"];
            assert!(Arguments::try_parse_from(all.iter().chain(wrong)).is_err());
        }
    }

    #[test]
    fn the_last_port_leaves_none_for_control() {
        assert!(matches!(
            config(&["--swtpm-tcp", "127.0.0.1:65535"]),
            Err(ConfigError::NoControlPort(_))
        ));
        let config = config(&["--swtpm-tcp", "127.0.0.1:65534", "--startup", "clear"]).unwrap();
        assert_eq!(config.startup, Startup::Clear);
    }

    #[test]
    fn a_tpm_that_is_still_to_arrive_is_not_started() {
        let both = ["--swtpm-socket", "c", "--migration", "incoming,release-lock-outgoing"];
        let parsed = config(&both).unwrap();
        assert!(parsed.incoming && parsed.release);
        assert!(!config(&both[..2]).unwrap().incoming);
        let refused = config(&[&both[..], &["--startup", "clear"]].concat());
        assert!(matches!(refused, Err(ConfigError::NothingToStart("clear"))));
    }

    #[test]
    fn one_key_at_most_is_given() {
        let key = |args: &[&str]| config(&[&["--swtpm-socket", "c"], args].concat()).unwrap().key;
        assert_eq!(key(&[]), None);
        assert_eq!(key(&["--key-file", "k"]), Some(KeySource::File("k".into())));
        assert_eq!(key(&["--key-fd", "3"]), Some(KeySource::Descriptor(3)));
        assert_eq!(
            key(&["--passphrase-file", "p"]),
            Some(KeySource::Passphrase("p".into()))
        );
        assert_eq!(
            key(&["--key-credential", "c"]),
            Some(KeySource::Credential("c".to_owned()))
        );
        let two = [
            "vhost-device-tpm",
            "serve",
            "--state-dir",
            "d",
            "--key-fd",
            "3",
            "--key-file",
            "k",
        ];
        assert!(Arguments::try_parse_from(two).is_err());
        let negative = ["vhost-device-tpm", "serve", "--state-dir", "d", "--key-fd=-1"];
        assert!(Arguments::try_parse_from(negative).is_err());
    }

    #[test]
    fn the_state_directory_is_required() {
        assert!(Arguments::try_parse_from(["vhost-device-tpm", "serve", "--swtpm-socket", "c"]).is_err());
    }
}
