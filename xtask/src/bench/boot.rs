//! What a machine that boots asks of its TPM: measurements by the firmware and by the system, a key, an index, a quote's
//! ingredients.

use std::time::Instant;

use anyhow::Result;

use super::start::Attached;

/// Measurements of a boot with UEFI, a loader and a kernel.
const MEASUREMENTS: u8 = 60;
/// An authorization area with the empty password.
const PASSWORD: &[u8] = b"\0\0\0\x09\x40\0\0\x09\0\0\0\0\0";

/// Boots; how many milliseconds each command took.
///
/// # Errors
/// A command fails.
pub(super) fn run(tpm: &mut Attached) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let mut send = |command: &[u8]| {
        let begin = Instant::now();
        let response = tpm.run(command)?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        anyhow::Ok(response)
    };
    for first in [0u32, 0x100, 0x200] {
        // TPM2_GetCapability: algorithms, then properties.
        let capability = if first == 0 { 0u32 } else { 6 };
        send(&plain(0x17A, &[capability, first, 64].map(u32::to_be_bytes).concat()))?;
    }
    for number in 0..MEASUREMENTS {
        // TPM2_PCR_Extend of a SHA-256 digest.
        let digest = [b"\0\0\0\x01\0\x0b".as_slice(), &[number; 32]].concat();
        send(&authorized(0x182, &[u32::from(number % 10)], &digest))?;
    }
    // TPM2_PCR_Read of PCR 0 to 7.
    send(&plain(0x17E, b"\0\0\0\x01\0\x0b\x03\xff\0\0"))?;
    // TPM2_CreatePrimary of a storage key on P-256, and TPM2_FlushContext of it.
    let template = b"\0\x23\0\x0b\0\x03\x04\x72\0\0\0\x06\0\x80\0\x43\0\x10\0\x03\0\x10\0\0\0\0";
    let creation = [b"\0\x04\0\0\0\0", sized(template).as_slice(), b"\0\0\0\0\0\0"].concat();
    let created = send(&authorized(0x131, &[0x4000_0001], &creation))?;
    send(&plain(0x165, created.get(10..14).unwrap_or_default()))?;
    // TPM2_NV_DefineSpace, TPM2_NV_Write, TPM2_NV_Read and TPM2_NV_UndefineSpace of 32 bytes.
    let index = 0x0100_0001u32;
    let public = [&index.to_be_bytes()[..], b"\0\x0b\x02\x04\0\x04\0\0\0\x20"].concat();
    send(&authorized(
        0x12A,
        &[0x4000_0001],
        &[b"\0\0".as_slice(), &sized(&public)].concat(),
    ))?;
    send(&authorized(
        0x137,
        &[index, index],
        &[&*sized(&[7; 32]), b"\0\0"].concat(),
    ))?;
    send(&authorized(0x14E, &[index, index], b"\0\x20\0\0"))?;
    send(&authorized(0x122, &[0x4000_0001, index], b""))?;
    // TPM2_GetRandom.
    send(&plain(0x17B, b"\0\x20"))?;
    Ok(times)
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len()).unwrap_or_default();
    [&size.to_be_bytes(), bytes].concat()
}

fn plain(code: u32, body: &[u8]) -> Vec<u8> {
    framed(0x8001, code, body)
}

/// A command whose first handle is authorized with the empty password.
fn authorized(code: u32, handles: &[u32], params: &[u8]) -> Vec<u8> {
    let handles: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
    framed(0x8002, code, &[&handles, PASSWORD, params].concat())
}

fn framed(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len().saturating_add(10)).unwrap_or_default();
    [&tag.to_be_bytes()[..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat()
}
