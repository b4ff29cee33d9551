//! Response codes (Part 2, 6.6).

use std::num::NonZeroU32;

/// TPM_RC of a command that did not succeed: never zero.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rc(NonZeroU32);

/// Result of anything that may end in a response code.
pub type RcResult<T> = Result<T, Rc>;

const VER1: u32 = 0x100;
const FMT1: u32 = 0x080;
const WARN: u32 = 0x900;
const PARAMETER: u32 = 0x040;

macro_rules! codes {
    ($($base:expr => { $($name:ident = $value:literal),* $(,)? })*) => {
        impl Rc {
            $($(
                #[doc = concat!("TPM_RC_", stringify!($name), ".")]
                pub const $name: Self = Self::constant($base + $value);
            )*)*
        }

        impl std::fmt::Debug for Rc {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let known: &[(u32, &str)] = &[$($(($base + $value, stringify!($name))),*),*];
                let plain = if self.0.get() & FMT1 != 0 { self.0.get() & 0xBF } else { self.0.get() };
                let name = known.iter().find(|(code, _)| *code == plain).map_or("?", |(_, name)| name);
                write!(f, "TPM_RC_{name} ({:#05x})", self.0)
            }
        }
    };
}

codes! {
    VER1 => {
        INITIALIZE = 0x000, FAILURE = 0x001, SEQUENCE = 0x003, PRIVATE = 0x00B, HMAC = 0x019, DISABLED = 0x020,
        EXCLUSIVE = 0x021, AUTH_TYPE = 0x024, AUTH_MISSING = 0x025, POLICY = 0x026, PCR = 0x027,
        PCR_CHANGED = 0x028, UPGRADE = 0x02D, TOO_MANY_CONTEXTS = 0x02E, AUTH_UNAVAILABLE = 0x02F, REBOOT = 0x030,
        UNBALANCED = 0x031, COMMAND_SIZE = 0x042, COMMAND_CODE = 0x043, AUTHSIZE = 0x044, AUTH_CONTEXT = 0x045,
        NV_RANGE = 0x046, NV_SIZE = 0x047, NV_LOCKED = 0x048, NV_AUTHORIZATION = 0x049, NV_UNINITIALIZED = 0x04A,
        NV_SPACE = 0x04B, NV_DEFINED = 0x04C, BAD_CONTEXT = 0x050, CPHASH = 0x051, PARENT = 0x052,
        NEEDS_TEST = 0x053, NO_RESULT = 0x054, SENSITIVE = 0x055, READ_ONLY = 0x056,
    }
    FMT1 => {
        ASYMMETRIC = 0x001, ATTRIBUTES = 0x002, HASH = 0x003, VALUE = 0x004, HIERARCHY = 0x005, KEY_SIZE = 0x007,
        MGF = 0x008, MODE = 0x009, TYPE = 0x00A, HANDLE = 0x00B, KDF = 0x00C, RANGE = 0x00D, AUTH_FAIL = 0x00E,
        NONCE = 0x00F, PP = 0x010, SCHEME = 0x012, SIZE = 0x015, SYMMETRIC = 0x016, TAG = 0x017, SELECTOR = 0x018,
        INSUFFICIENT = 0x01A, SIGNATURE = 0x01B, KEY = 0x01C, POLICY_FAIL = 0x01D, INTEGRITY = 0x01F, TICKET = 0x020,
        RESERVED_BITS = 0x021, BAD_AUTH = 0x022, EXPIRED = 0x023, POLICY_CC = 0x024, BINDING = 0x025, CURVE = 0x026,
        ECC_POINT = 0x027, FW_LIMITED = 0x028, SVN_LIMITED = 0x029, CHANNEL = 0x030,
    }
    WARN => {
        CONTEXT_GAP = 0x001, OBJECT_MEMORY = 0x002, SESSION_MEMORY = 0x003, MEMORY = 0x004, SESSION_HANDLES = 0x005,
        OBJECT_HANDLES = 0x006, LOCALITY = 0x007, YIELDED = 0x008, CANCELED = 0x009, TESTING = 0x00A,
        REFERENCE_H0 = 0x010, REFERENCE_S0 = 0x018, NV_RATE = 0x020, LOCKOUT = 0x021, RETRY = 0x022,
        NV_UNAVAILABLE = 0x023,
    }
    0 => { BAD_TAG = 0x01E }
}

impl Rc {
    const fn constant(value: u32) -> Self {
        match NonZeroU32::new(value) {
            Some(code) => Self(code),
            None => Self(NonZeroU32::MAX),
        }
    }

    /// The number as it stands in a response header.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The code of a response header; `None` for success.
    #[cfg(test)]
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        NonZeroU32::new(code).map(Self)
    }

    const fn is_bare_format_one(self) -> bool {
        let code = self.get();
        code & FMT1 != 0 && code & (PARAMETER | 0xF00) == 0
    }

    const fn numbered(self, bits: u32) -> Self {
        if self.is_bare_format_one() {
            Self::constant(self.get() | bits)
        } else {
            self
        }
    }

    /// The code with the number of the handle it is about, 1–7 (TPM_RC_H). A code that takes no number, or has one
    /// already, stays as it is.
    #[must_use]
    pub const fn handle(self, number: u32) -> Self {
        self.numbered((number & 7) << 8)
    }

    /// The code with the number of the session it is about, 1–7 (TPM_RC_S).
    #[must_use]
    pub const fn session(self, number: u32) -> Self {
        self.numbered(((number & 7) | 8) << 8)
    }

    /// The code with the number of the parameter it is about, 1–15 (TPM_RC_P).
    #[must_use]
    pub const fn parameter(self, number: u32) -> Self {
        self.numbered(PARAMETER | ((number & 15) << 8))
    }

    /// TPM_RC_REFERENCE_H0 … H6: the handle area's entry `index` (0-based) names nothing that is loaded.
    #[must_use]
    pub const fn reference_handle(index: u32) -> Self {
        Self::constant(Self::REFERENCE_H0.get() | (index & 7))
    }

    /// TPM_RC_REFERENCE_S0 … S6: the session area's entry `index` (0-based) names no loaded session.
    #[must_use]
    pub const fn reference_session(index: u32) -> Self {
        Self::constant(Self::REFERENCE_S0.get() | (index & 7))
    }
}

impl std::fmt::Display for Rc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_only_on_bare_format_one_codes() {
        assert_eq!(Rc::VALUE.parameter(2).get(), 0x2C4);
        assert_eq!(Rc::VALUE.handle(1).get(), 0x184);
        assert_eq!(Rc::AUTH_FAIL.session(1).get(), 0x98E);
        assert_eq!(Rc::AUTH_FAIL.session(1).parameter(2).get(), 0x98E);
        assert_eq!(Rc::NV_LOCKED.handle(1).get(), 0x148);
        assert_eq!(Rc::BAD_TAG.parameter(1).get(), 0x1E);
    }

    #[test]
    fn debug_names_the_code() {
        assert_eq!(format!("{:?}", Rc::VALUE.parameter(2)), "TPM_RC_VALUE (0x2c4)");
        assert_eq!(format!("{:?}", Rc::reference_handle(0)), "TPM_RC_REFERENCE_H0 (0x910)");
    }
}
