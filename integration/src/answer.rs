//! What responses say.

use anyhow::{Context, Result, bail, ensure};

use crate::codes::{alg, rc};
use crate::crypto;
use crate::wire::{In, Out};

/// The response code; of what is too short for one, none that there is.
#[must_use]
pub fn code(response: &[u8]) -> u32 {
    In(response.get(6..).unwrap_or_default()).u32().unwrap_or(u32::MAX)
}

/// Fails for a response that is no success; `what` has answered so.
///
/// # Errors
/// The response code is not TPM_RC_SUCCESS.
pub fn check(what: &str, response: &[u8]) -> Result<()> {
    match code(response) {
        rc::SUCCESS => Ok(()),
        code => bail!("{what} answered {code:#x}"),
    }
}

/// The handle in a successful response that has one.
///
/// # Errors
/// The response ends before it.
pub fn handle(response: &[u8]) -> Result<u32> {
    let handle = In(response.get(10..).unwrap_or_default()).u32();
    handle.context("a response without its handle")
}

/// The private and the public area in a successful response to TPM2_Create.
///
/// # Errors
/// The response ends before them.
pub fn created(response: &[u8]) -> Result<(&[u8], &[u8])> {
    // Behind the header is the size of the parameters.
    let mut input = In(response.get(14..).unwrap_or_default());
    Ok((input.b2()?, input.b2()?))
}

/// What TPM2_CreatePrimary made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Its handle.
    pub handle: u32,
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
}

/// The key in a successful response to TPM2_CreatePrimary whose name algorithm is SHA-256.
///
/// # Errors
/// It is no such response, or the name is not that of the key.
pub fn primary(response: &[u8]) -> Result<Primary> {
    let handle = handle(response)?;
    // Behind it is the size of the parameters.
    let mut input = In(response.get(18..).unwrap_or_default());
    let public = input.b2()?.to_vec();
    let (_creation_data, _creation_hash) = (input.b2()?, input.b2()?);
    let (_tag, _hierarchy, _ticket) = (input.u16()?, input.u32()?, input.b2()?);
    let name = input.b2()?;
    let right = Out::new()
        .u16(alg::SHA256)
        .raw(&crypto::hash(alg::SHA256, &[&public])?)
        .0;
    ensure!(name == right, "the name {name:x?} is not that of the key, {right:x?}");
    Ok(Primary { handle, public })
}
