//! A guest in the middle of everything, and how it goes on: in the middle of a policy session, with a key and sealed data
//! loaded, a hash half done and PCRs extended.

use super::{STARTUP_CLEAR, authorized};

const NULL: [u8; 4] = [0x40, 0, 0, 7];
const OWNER: u32 = 0x4000_0001;
const PRIMARY: u32 = 0x8000_0000;
const SEALED: u32 = 0x8000_0001;
const SEQUENCE: u32 = 0x8000_0002;
const POLICY: [u8; 4] = [3, 0, 0, 0];
const SECRET: &[u8] = b"what the guest sealed";
/// TPML_PCR_SELECTION: PCR 16 of the SHA-256 bank.
const PCR_16: &[u8] = b"\0\0\0\x01\0\x0b\x03\0\0\x01";

fn plain(code: u32, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let size = body.len() as u32 + 10;
    [b"\x80\x01", &size.to_be_bytes()[..], &code.to_be_bytes(), &body].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// The contents of a sized buffer that begins at an offset, and where it ends.
fn part(response: &[u8], at: usize) -> (Vec<u8>, usize) {
    let size = usize::from(u16::from_be_bytes([response[at], response[at + 1]]));
    (response[at + 2..at + 2 + size].to_vec(), at + 2 + size)
}

fn code(response: &[u8]) -> u32 {
    u32::from_be_bytes(response[6..10].try_into().unwrap())
}

/// Whatever carries commands to a TPM.
pub(crate) type Run<'a> = &'a mut dyn FnMut(&[u8]) -> Vec<u8>;

fn ok(run: Run<'_>, command: &[u8]) -> Vec<u8> {
    let response = run(command);
    assert_eq!(code(&response), 0, "the response to {command:02x?}");
    response
}

pub(crate) fn pcr_16(run: Run<'_>) -> Vec<u8> {
    let response = ok(run, &plain(0x17E, &[PCR_16]));
    response[response.len() - 32..].to_vec()
}

/// Starts the TPM up and begins all of it.
pub(crate) fn begin(run: Run<'_>) {
    ok(run, &STARTUP_CLEAR);
    ok(run, &super::pcr_extend(16, [7; 32]));
    let public = b"\0\x23\0\x0b\0\x03\x04\x72\0\0\0\x06\0\x80\0\x43\0\x10\0\x03\0\x10\0\0\0\0";
    let creation = [&b"\0\x04\0\0\0\0"[..], &sized(public), &[0; 6]].concat();
    let response = ok(run, &authorized(0x131, &[OWNER], &creation));
    assert_eq!(response[10..14], PRIMARY.to_be_bytes());

    let nonce = sized(&[9; 16]);
    let response = ok(run, &plain(0x176, &[&NULL, &NULL, &nonce, b"\0\0\x01\0\x10\0\x0b"]));
    assert_eq!(response[10..14], POLICY);
    ok(run, &plain(0x17F, &[&POLICY, &[0, 0], PCR_16]));
    let (policy, _) = part(&ok(run, &plain(0x189, &[&POLICY])), 10);

    let sensitive = sized(&[&[0, 0][..], &sized(SECRET)].concat());
    let public = [&b"\0\x08\0\x0b\0\0\x04\x12"[..], &sized(&policy), b"\0\x10\0\0"].concat();
    let creation = [sensitive, sized(&public), vec![0; 6]].concat();
    let response = ok(run, &authorized(0x153, &[PRIMARY], &creation));
    let (private, at) = part(&response, 14);
    let (public, _) = part(&response, at);
    let response = ok(
        run,
        &authorized(0x157, &[PRIMARY], &[sized(&private), sized(&public)].concat()),
    );
    assert_eq!(response[10..14], SEALED.to_be_bytes());

    let response = ok(run, &plain(0x186, &[b"\0\0\0\x0b"]));
    assert_eq!(response[10..14], SEQUENCE.to_be_bytes());
    ok(run, &authorized(0x15C, &[SEQUENCE], &sized(b"a")));
}

/// All of it goes on, and is over then.
pub(crate) fn finish(run: Run<'_>) {
    assert_ne!(pcr_16(run), [0; 32]);
    let session = [&SEALED.to_be_bytes()[..], b"\0\0\0\x09", &POLICY, b"\0\0\x01\0\0"].concat();
    let mut unseal = plain(0x15E, &[&session]);
    unseal[1] = 2;
    assert_eq!(part(&ok(run, &unseal), 14).0, SECRET);
    let response = ok(
        run,
        &authorized(0x13E, &[SEQUENCE], &[&sized(b"bc")[..], &NULL].concat()),
    );
    let abc = b"\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\0\x15\xad";
    assert_eq!(part(&response, 14).0, abc);
}
