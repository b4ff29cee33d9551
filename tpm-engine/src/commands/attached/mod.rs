//! Attached components (Part 3, 32). This TPM has none, so no handle names one; that is found out before an action.

pub(crate) mod get_capability;
pub(crate) mod send;

use crate::marshal::structure;

structure! {
    /// TPMS_AC_OUTPUT (Part 2, 14.3): a property of an attached component (TPM_AT) and its value.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct AcOutput {
        pub(crate) tag: u32,
        pub(crate) data: u32,
    }
}
