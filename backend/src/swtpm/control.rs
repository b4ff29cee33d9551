//! Requests and responses of the control channel, all numbers big-endian.
//!
//! A request is its number and a body. As swtpm does, whatever has arrived once a request is complete counts as that
//! request: clients wait for each response, so there is never the beginning of another one behind it.

use zeroize::Zeroizing;

/// TPM_RESULT values that swtpm answers on its control channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Code {
    Success = 0,
    /// TPM_BAD_PARAMETER: the request's size or contents are wrong.
    BadParameter = 0x03,
    /// TPM_FAIL.
    Fail = 0x09,
    /// TPM_BAD_ORDINAL: no such request, or not now: with or without power.
    BadOrdinal = 0x0A,
    /// TPM_IOERROR: the data channel is taken.
    IoError = 0x1F,
    /// TPM_BAD_LOCALITY.
    BadLocality = 0x3D,
    /// TPM_RETRY: there is no such part of the state. Clients take it for an empty one.
    Retry = 0x800,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    GetCapability,
    /// Its flags say only whether a stored volatile state is deleted when it was read. It always is: a TPM does not go on
    /// from one state twice.
    Init,
    Shutdown,
    GetEstablished,
    SetLocality(u8),
    HashStart,
    /// So many bytes follow, of which some have arrived already.
    HashData(u32),
    HashEnd,
    Cancel,
    StoreVolatile,
    ResetEstablished(u8),
    /// A part of the state from an offset on. Its flags are not looked at: whether state is sealed says the operator.
    GetStateBlob {
        part: u32,
        offset: u32,
    },
    /// So many bytes follow, of which some have arrived already.
    SetStateBlob {
        part: u32,
        len: u32,
    },
    Stop,
    GetConfig,
    SetDataFd,
    SetBufferSize(u32),
    GetInfo {
        flags: u64,
        offset: u32,
    },
    /// So many times ten milliseconds may pass until the storage is locked.
    LockStorage {
        retries: u32,
    },
}

/// PTM_CAP bits of the requests above.
pub(crate) const CAPABILITIES: u64 = cap::INIT
    | cap::SHUTDOWN
    | cap::GET_ESTABLISHED
    | cap::SET_LOCALITY
    | cap::HASHING
    | cap::CANCEL
    | cap::STORE_VOLATILE
    | cap::RESET_ESTABLISHED
    | cap::GET_STATEBLOB
    | cap::SET_STATEBLOB
    | cap::STOP
    | cap::GET_CONFIG
    | cap::SET_DATAFD
    | cap::SET_BUFFERSIZE
    | cap::GET_INFO
    | cap::SEND_COMMAND_HEADER
    | cap::LOCK_STORAGE;

mod cap {
    pub(super) const INIT: u64 = 1;
    pub(super) const SHUTDOWN: u64 = 1 << 1;
    pub(super) const GET_ESTABLISHED: u64 = 1 << 2;
    pub(super) const SET_LOCALITY: u64 = 1 << 3;
    pub(super) const HASHING: u64 = 1 << 4;
    pub(super) const CANCEL: u64 = 1 << 5;
    pub(super) const STORE_VOLATILE: u64 = 1 << 6;
    pub(super) const RESET_ESTABLISHED: u64 = 1 << 7;
    pub(super) const GET_STATEBLOB: u64 = 1 << 8;
    pub(super) const SET_STATEBLOB: u64 = 1 << 9;
    pub(super) const STOP: u64 = 1 << 10;
    pub(super) const GET_CONFIG: u64 = 1 << 11;
    pub(super) const SET_DATAFD: u64 = 1 << 12;
    pub(super) const SET_BUFFERSIZE: u64 = 1 << 13;
    pub(super) const GET_INFO: u64 = 1 << 14;
    pub(super) const SEND_COMMAND_HEADER: u64 = 1 << 15;
    pub(super) const LOCK_STORAGE: u64 = 1 << 16;
}

/// Smallest buffer size that SET_BUFFERSIZE can set: libtpms', to which VMMs are used.
pub(crate) const MIN_BUFFER_SIZE: u32 = 2808;
/// Largest buffer size.
pub(crate) const MAX_BUFFER_SIZE: u32 = tpm_engine::MAX_COMMAND_SIZE as u32;
/// Most bytes of information that one GET_INFO response carries.
const MAX_INFO: usize = 3072;

/// Largest request without the data of HASH_DATA, and room to see that a request is too long.
pub(crate) const MAX_REQUEST: usize = 4096;

/// What is particular about a request.
struct Form {
    /// Bytes of the body.
    body: usize,
    /// A longer body is refused rather than cut.
    exact: bool,
    /// Only when the TPM has power, or only when it has none.
    powered: Option<bool>,
}

/// The form of the request with this number; `None` where there is none, or none that is supported.
const fn form(number: u32) -> Option<Form> {
    let (body, exact, powered) = match number {
        0x01 => (0, false, None),
        0x02 => (4, true, None),
        0x03 | 0x0E | 0x0F => (0, true, None),
        0x04 | 0x06 | 0x08 | 0x09 | 0x0A => (0, true, Some(true)),
        0x05 => (1, false, None),
        0x07 => (4, false, Some(true)),
        0x0B => (1, false, Some(true)),
        0x0C => (12, false, Some(true)),
        0x0D => (12, false, Some(false)),
        0x10 => (0, false, None),
        0x11 | 0x13 => (4, false, None),
        0x12 => (16, false, None),
        _ => return None,
    };
    Some(Form { body, exact, powered })
}

/// Takes a request apart; `None` while a part of it is missing. The order of the checks is swtpm's.
pub(crate) fn parse(message: &[u8], powered: bool) -> Option<Result<Request, Code>> {
    let (number, body) = message
        .split_first_chunk()
        .map(|(number, body)| (u32::from_be_bytes(*number), body))?;
    let Some(form) = form(number) else {
        return Some(Err(Code::BadOrdinal));
    };
    if body.len() < form.body {
        return None;
    }
    if form.powered.is_some_and(|needed| needed != powered) {
        return Some(Err(Code::BadOrdinal));
    }
    if form.exact && body.len() != form.body {
        return Some(Err(Code::BadParameter));
    }
    let byte = || body.first().copied().unwrap_or_default();
    let nth = |number: usize| {
        let word = body.get(number * 4..).and_then(<[u8]>::first_chunk);
        word.map_or(0, |word| u32::from_be_bytes(*word))
    };
    let word = || nth(0);
    Some(Ok(match number {
        0x01 => Request::GetCapability,
        0x02 => Request::Init,
        0x03 => Request::Shutdown,
        0x04 => Request::GetEstablished,
        0x05 => Request::SetLocality(byte()),
        0x06 => Request::HashStart,
        0x07 => Request::HashData(word()),
        0x08 => Request::HashEnd,
        0x09 => Request::Cancel,
        0x0A => Request::StoreVolatile,
        0x0B => Request::ResetEstablished(byte()),
        0x0C => Request::GetStateBlob {
            part: nth(1),
            offset: nth(2),
        },
        0x0D => Request::SetStateBlob {
            part: nth(1),
            len: nth(2),
        },
        0x0E => Request::Stop,
        0x0F => Request::GetConfig,
        0x10 => Request::SetDataFd,
        0x11 => Request::SetBufferSize(word()),
        0x12 => {
            let (flags, rest) = body.split_first_chunk()?;
            Request::GetInfo {
                flags: u64::from_be_bytes(*flags),
                offset: u32::from_be_bytes(*rest.first_chunk()?),
            }
        }
        0x13 => Request::LockStorage { retries: word() },
        _ => return Some(Err(Code::BadOrdinal)),
    }))
}

/// A response of a result alone.
pub(crate) fn result(code: Code) -> Vec<u8> {
    (code as u32).to_be_bytes().to_vec()
}

/// A successful response with a body.
fn success(body: &[u8]) -> Vec<u8> {
    let mut response = result(Code::Success);
    response.extend_from_slice(body);
    response
}

/// The response to GET_CAPABILITY, the only one without a result.
pub(crate) fn capability() -> Vec<u8> {
    CAPABILITIES.to_be_bytes().to_vec()
}

/// The response to GET_TPMESTABLISHED: the bit and its C structure's padding.
pub(crate) fn established(bit: bool) -> Vec<u8> {
    success(&[u8::from(bit), 0, 0, 0])
}

/// The response to GET_CONFIG: whether there is a key of the stored state, and one of state on its way.
pub(crate) fn config(state_key: bool, migration_key: bool) -> Vec<u8> {
    success(&(u32::from(state_key) | u32::from(migration_key) << 1).to_be_bytes())
}

/// The response to GET_STATEBLOB: the part from an offset on; none for a part that does not exist.
pub(crate) fn state_blob(part: Option<(&[u8], bool)>, offset: u32) -> Zeroizing<Vec<u8>> {
    /// PTM_STATE_FLAG_ENCRYPTED.
    const ENCRYPTED: u32 = 2;
    let (code, blob, sealed) = match part {
        Some((blob, sealed)) => (Code::Success, blob, sealed),
        None => (Code::Retry, [].as_slice(), false),
    };
    let rest = blob
        .get(usize::try_from(offset).unwrap_or(usize::MAX)..)
        .unwrap_or_default();
    let size = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    let mut response = Zeroizing::new(Vec::with_capacity(rest.len().saturating_add(16)));
    for word in [code as u32, if sealed { ENCRYPTED } else { 0 }, size, size] {
        response.extend_from_slice(&word.to_be_bytes());
    }
    response.extend_from_slice(rest);
    response
}

/// The response to SET_BUFFERSIZE: the size in use, the smallest and the largest.
pub(crate) fn buffer_size(size: u32) -> Vec<u8> {
    success(&[size, MIN_BUFFER_SIZE, MAX_BUFFER_SIZE].map(u32::to_be_bytes).concat())
}

/// The response to GET_INFO: a part of the information, which counts as a C string.
pub(crate) fn info(text: &str, offset: u32) -> Vec<u8> {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    if offset >= text.len() {
        return result(Code::BadParameter);
    }
    let mut string = text.as_bytes().to_vec();
    string.push(0);
    let rest = string.get(offset..).unwrap_or_default();
    let part = rest.get(..MAX_INFO).unwrap_or(rest);
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    success(&[&size(&string), &size(part), part].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u32, body: &[u8]) -> Vec<u8> {
        [&number.to_be_bytes(), body].concat()
    }

    #[test]
    fn a_request_waits_for_its_body() {
        let init = message(2, &[0, 0, 0, 1]);
        for len in 0..init.len() {
            assert_eq!(parse(&init[..len], false), None, "{len}");
        }
        assert_eq!(parse(&init, false), Some(Ok(Request::Init)));
        let info = message(0x12, &[0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 9, 0, 0, 0, 0]);
        assert_eq!(parse(&info[..19], true), None);
        assert_eq!(parse(&info, true), Some(Ok(Request::GetInfo { flags: 3, offset: 9 })));
    }

    #[test]
    fn excess_bytes_are_refused_where_swtpm_refuses_them() {
        for (number, body, refused) in [
            (0x01, 0, false),
            (0x02, 4, true),
            (0x03, 0, true),
            (0x04, 0, true),
            (0x05, 1, false),
            (0x06, 0, true),
            (0x08, 0, true),
            (0x09, 0, true),
            (0x0A, 0, true),
            (0x0B, 1, false),
            (0x0C, 12, false),
            (0x0E, 0, true),
            (0x0F, 0, true),
            (0x10, 0, false),
            (0x11, 4, false),
            (0x12, 16, false),
        ] {
            let parsed = parse(&message(number, &vec![0; body + 1]), true);
            assert_eq!(parsed == Some(Err(Code::BadParameter)), refused, "{number:#x}");
            assert!(
                parse(&message(number, &vec![0; body]), true).unwrap().is_ok(),
                "{number:#x}"
            );
        }
    }

    #[test]
    fn some_requests_need_power() {
        for number in 1..=0x13 {
            let powered = parse(&message(number, &[0; 16]), true);
            let off = parse(&message(number, &[0; 16]), false);
            let needs = matches!(number, 0x04 | 0x06..=0x0D);
            assert_eq!(powered != off, needs, "{number:#x}");
        }
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        for number in [0, 0x14, u32::MAX] {
            assert_eq!(parse(&message(number, &[]), true), Some(Err(Code::BadOrdinal)));
        }
    }

    #[test]
    fn responses_have_the_layout_of_swtpms_structures() {
        assert_eq!(capability(), 0x1_FFFFu64.to_be_bytes());
        assert_eq!(established(true), [0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(config(false, false), [0; 8]);
        assert_eq!(config(true, false), [0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(config(false, true), [0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(
            **state_blob(Some((b"abc", true)), 1),
            *b"\0\0\0\0\0\0\0\x02\0\0\0\x02\0\0\0\x02bc"
        );
        assert_eq!(**state_blob(Some((b"abc", false)), 4), [0; 16]);
        assert_eq!(state_blob(None, 0)[..4], [0, 0, 8, 0]);
        assert_eq!(
            buffer_size(3968),
            [0, 0, 0, 0, 0, 0, 0x0F, 0x80, 0, 0, 0x0A, 0xF8, 0, 0, 0x10, 0]
        );
        assert_eq!(result(Code::BadLocality), [0, 0, 0, 0x3D]);
    }

    #[test]
    fn information_is_a_c_string_in_parts() {
        assert_eq!(info("{}", 0), b"\0\0\0\0\0\0\0\x03\0\0\0\x03{}\0");
        assert_eq!(info("{}", 1), b"\0\0\0\0\0\0\0\x03\0\0\0\x02}\0");
        assert_eq!(info("{}", 2), result(Code::BadParameter));
        assert_eq!(info("{}", u32::MAX), result(Code::BadParameter));
        let long = "x".repeat(4000);
        assert_eq!(info(&long, 0)[..12], *b"\0\0\0\0\0\0\x0f\xa1\0\0\x0c\0");
        assert_eq!(info(&long, 3072)[..12], *b"\0\0\0\0\0\0\x0f\xa1\0\0\x03\xa1");
    }
}
