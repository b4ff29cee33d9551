//! Requests and responses of the control channel, all numbers big-endian.
//!
//! A request is its number and a body. As swtpm does, whatever has arrived once a request is complete counts as that
//! request: clients wait for each response, so there is never the beginning of another one behind it.

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
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    GetCapability,
    /// Its flags say only whether a stored volatile state is deleted when it was read. There is never one.
    Init,
    Shutdown,
    GetEstablished,
    SetLocality(u8),
    HashStart,
    /// So many bytes follow, of which some have arrived already.
    HashData(u32),
    HashEnd,
    Cancel,
    ResetEstablished(u8),
    Stop,
    GetConfig,
    SetDataFd,
    SetBufferSize(u32),
    GetInfo {
        flags: u64,
        offset: u32,
    },
    /// The storage is locked for as long as the daemon runs.
    LockStorage,
}

/// PTM_CAP bits of the requests above. Absent: STORE_VOLATILE, GET_STATEBLOB, SET_STATEBLOB, so that a VMM knows that
/// it cannot migrate the TPM.
pub(crate) const CAPABILITIES: u64 = cap::INIT
    | cap::SHUTDOWN
    | cap::GET_ESTABLISHED
    | cap::SET_LOCALITY
    | cap::HASHING
    | cap::CANCEL
    | cap::RESET_ESTABLISHED
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
    pub(super) const RESET_ESTABLISHED: u64 = 1 << 7;
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
    /// Only when the TPM has power.
    powered: bool,
}

/// The form of the request with this number; `None` where there is none, or none that is supported.
const fn form(number: u32) -> Option<Form> {
    let (body, exact, powered) = match number {
        0x01 => (0, false, false),
        0x02 => (4, true, false),
        0x03 | 0x0E | 0x0F => (0, true, false),
        0x04 | 0x06 | 0x08 | 0x09 => (0, true, true),
        0x05 => (1, false, false),
        0x07 => (4, false, true),
        0x0B => (1, false, true),
        0x10 => (0, false, false),
        0x11 | 0x13 => (4, false, false),
        0x12 => (16, false, false),
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
    if form.powered && !powered {
        return Some(Err(Code::BadOrdinal));
    }
    if form.exact && body.len() != form.body {
        return Some(Err(Code::BadParameter));
    }
    let byte = || body.first().copied().unwrap_or_default();
    let word = || body.first_chunk().map_or(0, |word| u32::from_be_bytes(*word));
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
        0x0B => Request::ResetEstablished(byte()),
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
        0x13 => Request::LockStorage,
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

/// The response to GET_CONFIG: no flag, as there is neither a file key nor a migration key.
pub(crate) fn config() -> Vec<u8> {
    success(&0u32.to_be_bytes())
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
            (0x0B, 1, false),
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
            let needs = matches!(number, 0x04 | 0x06 | 0x07 | 0x08 | 0x09 | 0x0B);
            assert_eq!(powered != off, needs, "{number:#x}");
        }
    }

    #[test]
    fn what_is_not_supported_is_not_advertised() {
        for (number, bit) in [(0x0A, 6), (0x0C, 8), (0x0D, 9)] {
            assert_eq!(parse(&message(number, &[0; 64]), true), Some(Err(Code::BadOrdinal)));
            assert_eq!(CAPABILITIES >> bit & 1, 0);
        }
        for number in [0, 0x14, u32::MAX] {
            assert_eq!(parse(&message(number, &[]), true), Some(Err(Code::BadOrdinal)));
        }
    }

    #[test]
    fn responses_have_the_layout_of_swtpms_structures() {
        assert_eq!(capability(), 0x1_FCBFu64.to_be_bytes());
        assert_eq!(established(true), [0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(config(), [0; 8]);
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
