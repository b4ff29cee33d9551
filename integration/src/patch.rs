//! Commands as bytes, and changes to them.

use crate::build::{Auth, Call, Patch};
use crate::codes::{rh, st};
use crate::wire::Out;

/// A command, ready to be sent.
pub(crate) struct Built {
    pub(crate) command: Vec<u8>,
    /// Before parameter encryption, without nonces and HMACs.
    pub(crate) plain: Vec<u8>,
}

/// The authorization area without nonces and HMACs.
pub(crate) fn draft_area(call: &Call) -> Vec<u8> {
    let mut out = Out::new();
    for auth in &call.auths {
        out = match auth {
            Auth::Password(password) => out.u32(rh::PW).u16(0).u8(0).b2(password),
            Auth::Session { handle, attributes, .. } => out.u32(*handle).u16(0).u8(*attributes).u16(0),
            Auth::Raw(bytes) => out.raw(bytes),
        };
    }
    out.0
}

/// Puts a command together around its authorization area.
pub(crate) fn assemble(call: &Call, area: &[u8]) -> Vec<u8> {
    let mut body = Out::new();
    for handle in &call.handles {
        body = body.u32(*handle);
    }
    if !call.auths.is_empty() {
        body = body.u32(u32::try_from(area.len()).unwrap_or(u32::MAX)).raw(area);
    }
    body = body.raw(&call.params);
    let tag = if call.auths.is_empty() {
        st::NO_SESSIONS
    } else {
        st::SESSIONS
    };
    let size = u32::try_from(body.0.len() + 10).unwrap_or(u32::MAX);
    Out::new().u16(tag).u32(size).u32(call.code).raw(&body.0).0
}

/// Changes a command's bytes.
pub(crate) fn apply(command: &mut Vec<u8>, patch: &Patch) {
    match patch {
        Patch::Flip(position, bits) => {
            if let Some(byte) = command.get_mut(*position) {
                *byte ^= bits;
            }
            return;
        }
        Patch::Replace(position, value) => {
            if let Some(slot) = command.get_mut(*position..position + 4) {
                slot.copy_from_slice(&value.to_be_bytes());
            }
            return;
        }
        Patch::Cut(length) => command.truncate(*length),
        Patch::Append(bytes) => command.extend_from_slice(bytes),
    }
    let size = u32::try_from(command.len()).unwrap_or(u32::MAX);
    if let Some(slot) = command.get_mut(2..6) {
        slot.copy_from_slice(&size.to_be_bytes());
    }
}
