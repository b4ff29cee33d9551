//! A whole state as one message, for the file that `export` writes.
//!
//! ```text
//! version:u8 length:u16 root record { length:u16 name length:u32 value }*
//! ```

use zeroize::Zeroizing;

use super::Contents;
use super::root::Root;

const VERSION: u8 = 1;

/// Why a message is no state.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TransferError {
    #[error("it is of version {0}; this program reads version {VERSION}")]
    Version(u8),
    #[error("it is not laid out as a state is")]
    Layout,
}

impl Contents {
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let Self { head, records } = self;
        let root = head.to_plain(&Default::default());
        let size = records.iter().map(|(name, value)| name.len() + value.len() + 6);
        // Of the size that it gets: growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(3 + root.len() + size.sum::<usize>()));
        bytes.push(VERSION);
        append::<2>(&mut bytes, &root);
        for (name, value) in records {
            append::<2>(&mut bytes, name);
            append::<4>(&mut bytes, value);
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, TransferError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Self::from_body(rest).ok_or(TransferError::Layout),
            Some((version, _)) => Err(TransferError::Version(*version)),
            None => Err(TransferError::Layout),
        }
    }

    fn from_body(mut bytes: &[u8]) -> Option<Self> {
        let Root { head, sealing: None } = Root::parse(take::<2>(&mut bytes)?).ok()? else {
            return None;
        };
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let name = take::<2>(&mut bytes)?.to_vec();
            records.push((name, Zeroizing::new(take::<4>(&mut bytes)?.to_vec())));
        }
        Some(Self { head, records })
    }
}

/// Appends a field behind its length of `N` bytes.
fn append<const N: usize>(bytes: &mut Vec<u8>, field: &[u8]) {
    let len = field.len().to_be_bytes();
    bytes.extend_from_slice(&len[len.len() - N..]);
    bytes.extend_from_slice(field);
}

/// Takes a field behind its length of `N` bytes.
fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk::<N>()?;
    let len = len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
    let (field, rest) = rest.split_at_checked(len)?;
    *bytes = rest;
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::super::root::Head;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let contents = Contents {
            head: Head::new([7; 16], Some("a".parse().unwrap())),
            records: vec![
                (b"a".to_vec(), Zeroizing::new(vec![1; 70_000])),
                (b"bc".to_vec(), Zeroizing::default()),
            ],
        };
        let bytes = contents.to_bytes();
        let read = Contents::from_bytes(&bytes).unwrap();
        assert_eq!(read.head, contents.head);
        assert_eq!(read.records, contents.records);
        for len in [0, 1, 2, 20, 30, 100, bytes.len() - 1] {
            assert_eq!(Contents::from_bytes(&bytes[..len]).err(), Some(TransferError::Layout));
        }
        assert_eq!(Contents::from_bytes(&[2]).err(), Some(TransferError::Version(2)));
    }
}
