//! The operator's keys: where they come from, and what they seal.
//!
//! A key is never stored beside the data. It comes from a file, a descriptor, a passphrase file or a credential of the
//! service manager, is read once at the start and is wiped from memory with its [`OperatorKey`].

pub(crate) mod args;
pub(crate) mod cipher;
pub(crate) mod envelope;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tracing::warn;
use zeroize::Zeroizing;

use cipher::KEY_SIZE;

use crate::inherited;

/// The longest passphrase.
const MAX_PASSPHRASE: usize = 1024;

/// Where the operator's key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// A file that holds the key.
    File(PathBuf),
    /// A descriptor of this number, inherited by the process, from which the key is read to its end.
    Descriptor(RawFd),
    /// A file that holds a passphrase.
    Passphrase(PathBuf),
    /// A credential of this name that systemd gives the service (systemd.exec(5), LoadCredential).
    Credential(String),
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "the key file {}", path.display()),
            Self::Descriptor(number) => write!(formatter, "the key's descriptor {number}"),
            Self::Passphrase(path) => write!(formatter, "the passphrase file {}", path.display()),
            Self::Credential(name) => write!(formatter, "the credential {name}"),
        }
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("{0} cannot be read")]
    Read(KeySource, #[source] io::Error),
    #[error(
        "{0} holds no key: a key is 32 bytes, or 64 hexadecimal digits; make one with `head -c 32 /dev/urandom`, or use \
         a passphrase file for what people can remember"
    )]
    NoKey(KeySource),
    #[error("{0} holds no passphrase: it is the file's text without the line's end, 1 to {MAX_PASSPHRASE} bytes")]
    NoPassphrase(KeySource),
    #[error("{0} is no file that systemd gave this service: CREDENTIALS_DIRECTORY is not set; see LoadCredential=")]
    NoCredentials(KeySource),
    #[error("{0} has no name of a file")]
    Name(KeySource),
}

/// A key or a passphrase.
pub(crate) struct OperatorKey {
    secret: Secret,
}

enum Secret {
    Key(Zeroizing<[u8; KEY_SIZE]>),
    Passphrase(Zeroizing<Vec<u8>>),
}

impl std::fmt::Debug for OperatorKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self.secret {
            Secret::Key(_) => "OperatorKey::Key",
            Secret::Passphrase(_) => "OperatorKey::Passphrase",
        })
    }
}

impl OperatorKey {
    /// Reads the key. A descriptor is closed, so it can be read once.
    pub(crate) fn load(source: &KeySource) -> Result<Self, KeyError> {
        let read = |error| KeyError::Read(source.clone(), error);
        let no_key = || KeyError::NoKey(source.clone());
        match source {
            KeySource::File(path) => {
                let file = open(path, source).map_err(read)?;
                parse_key(&content(file).map_err(read)?).ok_or_else(no_key)
            }
            KeySource::Descriptor(number) => {
                let file = File::from(inherited::take(*number).map_err(read)?);
                parse_key(&content(file).map_err(read)?).ok_or_else(no_key)
            }
            KeySource::Credential(name) => {
                if name.is_empty() || name.starts_with('.') || name.contains('/') {
                    return Err(KeyError::Name(source.clone()));
                }
                let directory =
                    std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| KeyError::NoCredentials(source.clone()))?;
                let file = File::open(Path::new(&directory).join(name)).map_err(read)?;
                parse_key(&content(file).map_err(read)?).ok_or_else(no_key)
            }
            KeySource::Passphrase(path) => {
                let content = content(open(path, source).map_err(read)?).map_err(read)?;
                let line = content.strip_suffix(b"\n").unwrap_or(&content);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.is_empty() || line.len() > MAX_PASSPHRASE {
                    return Err(KeyError::NoPassphrase(source.clone()));
                }
                Ok(Self {
                    secret: Secret::Passphrase(Zeroizing::new(line.to_vec())),
                })
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn from_key(key: [u8; KEY_SIZE]) -> Self {
        Self {
            secret: Secret::Key(Zeroizing::new(key)),
        }
    }

    #[cfg(test)]
    pub(crate) fn from_passphrase(passphrase: &[u8]) -> Self {
        Self {
            secret: Secret::Passphrase(Zeroizing::new(passphrase.to_vec())),
        }
    }
}

/// Opens a file that nobody else should be able to read.
fn open(path: &Path, source: &KeySource) -> io::Result<File> {
    let file = File::open(path)?;
    let mode = file.metadata()?.mode();
    if mode & 0o077 != 0 {
        warn!(
            "{source} is open to other users (mode {:o}); make it 0600",
            mode & 0o7777
        );
    }
    Ok(file)
}

/// What a file holds, up to one byte more than any key or passphrase has. The buffer does not grow: growing would leave
/// copies behind.
fn content(file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    const LIMIT: usize = MAX_PASSPHRASE + 3;
    let mut content = Zeroizing::new(vec![0; LIMIT]);
    let mut len = 0;
    let mut file = file.take(LIMIT as u64);
    loop {
        match file.read(&mut content[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(len);
    Ok(content)
}

/// A key as 32 bytes, or as 64 hexadecimal digits and a line's end.
fn parse_key(content: &[u8]) -> Option<OperatorKey> {
    let mut key = Zeroizing::new([0; KEY_SIZE]);
    if content.len() == KEY_SIZE {
        key.copy_from_slice(content);
    } else {
        let digits = content.trim_ascii_end();
        if digits.len() != 2 * KEY_SIZE {
            return None;
        }
        for (byte, pair) in key.iter_mut().zip(digits.as_chunks::<2>().0) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? << 4 | low?).ok()?;
        }
    }
    Some(OperatorKey {
        secret: Secret::Key(key),
    })
}

#[cfg(test)]
mod tests {
    use super::envelope::Purpose;
    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, content).unwrap();
        (directory, path)
    }

    #[test]
    fn a_key_is_bytes_or_digits() {
        let sealed = OperatorKey::from_key([0xAB; KEY_SIZE])
            .seal(Purpose::DataKey, b"secret")
            .unwrap();
        for content in [
            &[0xAB; KEY_SIZE][..],
            "ab".repeat(32).as_bytes(),
            format!("{}\n", "aB".repeat(32)).as_bytes(),
        ] {
            let (_directory, path) = file(content);
            let key = OperatorKey::load(&KeySource::File(path)).unwrap();
            assert_eq!(&**key.open(Purpose::DataKey, &sealed).unwrap(), b"secret");
        }
        for content in [&[][..], &[0; 31], &[0; 33], "g0".repeat(32).as_bytes(), &[b'0'; 4096]] {
            let (_directory, path) = file(content);
            let error = OperatorKey::load(&KeySource::File(path)).unwrap_err();
            assert!(error.to_string().contains("holds no key"), "{error}");
        }
    }

    #[test]
    fn a_passphrase_ends_with_its_line() {
        let sealed = OperatorKey::from_passphrase(b" a b ")
            .seal(Purpose::DataKey, b"secret")
            .unwrap();
        for content in [b" a b ".as_slice(), b" a b \n", b" a b \r\n"] {
            let (_directory, path) = file(content);
            let key = OperatorKey::load(&KeySource::Passphrase(path)).unwrap();
            assert_eq!(&**key.open(Purpose::DataKey, &sealed).unwrap(), b"secret");
        }
        for content in [b"".as_slice(), b"\n", &[b'p'; MAX_PASSPHRASE + 1]] {
            let (_directory, path) = file(content);
            let error = OperatorKey::load(&KeySource::Passphrase(path)).unwrap_err();
            assert!(error.to_string().contains("holds no passphrase"), "{error}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let message = |source| OperatorKey::load(&source).unwrap_err().to_string();
        assert!(message(KeySource::File("/no/such/key".into())).contains("/no/such/key"));
        assert!(message(KeySource::Descriptor(987_654)).contains("descriptor 987654"));
        assert!(message(KeySource::Credential("../key".into())).contains("../key"));
    }
}
