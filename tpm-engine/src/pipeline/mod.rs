//! From command bytes to response bytes (Part 1, 18; Part 3, 5).

mod authorize;
mod execute;
mod parse;
mod respond;
#[cfg(test)]
mod tests;

use arrayvec::ArrayVec;

use crate::commands::CommandInfo;
use crate::handle::{Handle, Name};
use crate::types::attributes::SessionAttributes;

/// Sessions that one command can have.
const MAX_SESSIONS: usize = 3;

/// TPM_ST (Part 2, 6.9) of commands and responses.
mod tag {
    pub(super) const RSP_COMMAND: u16 = 0x00C4;
    pub(super) const NO_SESSIONS: u16 = 0x8001;
    pub(super) const SESSIONS: u16 = 0x8002;
}

/// Bytes of a command's or response's header.
const HEADER_SIZE: usize = 10;

/// One entry of the authorization area. What it has of the caller's bytes, a password among them, stays in the command.
struct SessionUse<'a> {
    /// The session, or TPM_RS_PW.
    handle: Handle,
    nonce_caller: &'a [u8],
    attributes: SessionAttributes,
    /// The HMAC or, for a password, the authorization value.
    hmac: &'a [u8],
    /// The handle that it authorizes, if any.
    entity: Option<Handle>,
    /// The entity's authorization value takes part in the authorization, and so in the HMAC of the response. Settled when
    /// the command comes, as the command may change what the session is bound to.
    uses_value: bool,
}

impl SessionUse<'_> {
    fn is_password(&self) -> bool {
        self.handle == Handle::PASSWORD
    }
}

/// A command that has been taken apart: in place, as it is large to be moved about.
struct Call<'a> {
    info: &'static CommandInfo,
    has_sessions: bool,
    handles: ArrayVec<Handle, 3>,
    /// The entities' Names before the command ran; none where nothing asks for cpHash or nameHash.
    names: ArrayVec<Name, 3>,
    sessions: ArrayVec<SessionUse<'a>, MAX_SESSIONS>,
    /// The parameter area as it came, perhaps encrypted.
    params: &'a [u8],
}

impl Call<'_> {
    /// A command of which the header is known.
    fn new((info, has_sessions): (&'static CommandInfo, bool)) -> Self {
        Self {
            info,
            has_sessions,
            handles: ArrayVec::new(),
            names: ArrayVec::new(),
            sessions: ArrayVec::new(),
            params: &[],
        }
    }

    /// The place of the session with this attribute; there is at most one.
    fn session_with(&self, attribute: SessionAttributes) -> Option<usize> {
        self.sessions
            .iter()
            .position(|session| session.attributes.has(attribute))
    }
}
