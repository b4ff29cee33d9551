//! Creation data (Part 2, 15): the circumstances in which an object was made.

use super::Data;
use super::pcr::PcrSelections;
use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::handle::Name;

crate::marshal::structure! {
    /// TPMS_CREATION_DATA (Part 2, 15.1).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct CreationData {
        pub(crate) pcr_select: PcrSelections,
        pub(crate) pcr_digest: Digest,
        /// TPMA_LOCALITY.
        pub(crate) locality: u8,
        /// `None`, TPM_ALG_NULL, under a hierarchy.
        pub(crate) parent_name_alg: Option<HashAlg>,
        pub(crate) parent_name: Name,
        pub(crate) parent_qualified_name: Name,
        pub(crate) outside_info: Data,
    }
}
