//! Attribute words (Part 2, 8, 13.4): bits with names.

use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

macro_rules! attribute_words {
    ($(
        $(#[$meta:meta])*
        $name:ident: $repr:ty, reserved $reserved:literal { $($(#[$bmeta:meta])* $bit:ident = $value:literal),* $(,)? }
    )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Default)]
        pub(crate) struct $name(pub(crate) $repr);

        impl $name {
            $($(#[$bmeta])* pub(crate) const $bit: Self = Self(1 << $value);)*

            /// Whether all bits of `bits` are SET.
            pub(crate) const fn has(self, bits: Self) -> bool {
                self.0 & bits.0 == bits.0
            }

            /// Whether any bit of `bits` is SET.
            pub(crate) const fn any(self, bits: Self) -> bool {
                self.0 & bits.0 != 0
            }

            pub(crate) const fn with(self, bits: Self) -> Self {
                Self(self.0 | bits.0)
            }

            #[allow(dead_code, clippy::allow_attributes, reason = "not every word ever loses a bit")]
            pub(crate) const fn without(self, bits: Self) -> Self {
                Self(self.0 & !bits.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl Unmarshal<'_> for $name {
            fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
                let raw = reader.read::<$repr>()?;
                if raw & $reserved != 0 { Err(Rc::RESERVED_BITS) } else { Ok(Self(raw)) }
            }
        }

        impl Marshal for $name {
            fn marshal<S: Sink>(&self, sink: &mut S) {
                self.0.marshal(sink);
            }
        }
    )*};
}

attribute_words! {
    /// TPMA_OBJECT (Part 2, 8.3).
    ObjectAttributes: u32, reserved 0xFFF0_F309 {
        FIXED_TPM = 1,
        ST_CLEAR = 2,
        FIXED_PARENT = 4,
        SENSITIVE_DATA_ORIGIN = 5,
        USER_WITH_AUTH = 6,
        ADMIN_WITH_POLICY = 7,
        NO_DA = 10,
        ENCRYPTED_DUPLICATION = 11,
        RESTRICTED = 16,
        DECRYPT = 17,
        SIGN = 18,
        X509_SIGN = 19,
    }

    /// TPMA_SESSION (Part 2, 8.4).
    SessionAttributes: u8, reserved 0x18 {
        CONTINUE_SESSION = 0,
        AUDIT_EXCLUSIVE = 1,
        AUDIT_RESET = 2,
        DECRYPT = 5,
        ENCRYPT = 6,
        AUDIT = 7,
    }

    /// TPMA_NV (Part 2, 13.4) without its type field, which is [`super::nv::NvPublic::kind`].
    NvAttributes: u32, reserved 0x01F0_0300 {
        PPWRITE = 0,
        OWNERWRITE = 1,
        AUTHWRITE = 2,
        POLICYWRITE = 3,
        POLICY_DELETE = 10,
        WRITELOCKED = 11,
        WRITEALL = 12,
        WRITEDEFINE = 13,
        WRITE_STCLEAR = 14,
        GLOBALLOCK = 15,
        PPREAD = 16,
        OWNERREAD = 17,
        AUTHREAD = 18,
        POLICYREAD = 19,
        NO_DA = 25,
        ORDERLY = 26,
        CLEAR_STCLEAR = 27,
        READLOCKED = 28,
        WRITTEN = 29,
        PLATFORMCREATE = 30,
        READ_STCLEAR = 31,
    }
}
