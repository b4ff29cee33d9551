//! What TPM2_Shutdown saves and TPM2_Startup restores (Part 1, 12.2.3; Part 3, 9.3 and 9.4).

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::pcr::PcrValues;
use super::persistent::{AuthPolicy, NvData, SEED_SIZE};
use crate::bytes::{Bytes, Digest};
use crate::countdown::SavedCountdowns;
use crate::handle::Handle;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal, structure};
use crate::rc::RcResult;
use crate::session::SavedSessions;
use crate::types::attributes::NvAttributes;

structure! {
    /// STATE_RESET_DATA: kept by TPM Restart and TPM Resume, made anew by TPM Reset.
    #[derive(Debug, Clone)]
    pub(crate) struct ResetState {
        pub(crate) null_seed: Zeroizing<Bytes<SEED_SIZE>>,
        pub(crate) null_proof: Zeroizing<Bytes<SEED_SIZE>>,
        /// TPM Resets and Restarts since the seed was made: goes into the contexts of stClear objects.
        pub(crate) clear_count: u32,
        /// TPM Restarts and Resumes since the last TPM Reset.
        pub(crate) restart_count: u32,
        /// Number of the next object context.
        pub(crate) object_context_id: u64,
        /// Counts changes of PCR (Part 1, 17.9).
        pub(crate) pcr_counter: u32,
        /// Running digest of audited commands; empty when nothing was audited.
        pub(crate) command_audit_digest: Digest,
        /// What the secrets of commitments are derived from (commitNonce).
        pub(crate) commit_nonce: Zeroizing<Bytes<SEED_SIZE>>,
        /// Commitments made (commitCounter).
        pub(crate) commit_counter: u64,
        /// Those of the last 64 that may still be used, by their counter modulo 64 (commitArray).
        pub(crate) commit_pending: u64,
    }

    /// STATE_CLEAR_DATA: kept by TPM Resume, set to defaults by TPM Reset and TPM Restart.
    #[derive(Debug, Clone)]
    pub(crate) struct ClearState {
        pub(crate) owner_enabled: bool,
        pub(crate) endorsement_enabled: bool,
        pub(crate) platform_enabled: bool,
        pub(crate) platform_nv_enabled: bool,
        /// TPM2_ReadOnlyControl.
        pub(crate) read_only: bool,
        pub(crate) platform_auth: Zeroizing<Digest>,
        pub(crate) platform_policy: AuthPolicy,
        /// Of the PCR with an authorization of their own (TPM2_PCR_SetAuthValue).
        pub(crate) pcr_auth: Zeroizing<Digest>,
    }

    /// Where a start-up came from; TPM Resume must come from the same (Part 3, 9.3.1).
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub(crate) struct StartOrigin {
        /// An H-CRTM measured before TPM2_Startup.
        pub(crate) hcrtm: bool,
        /// TPM2_Startup came from locality 3, and no H-CRTM before it.
        pub(crate) locality3: bool,
    }

    /// Milliseconds that have passed since dictionary-attack protection last forgave a try, and since the lockout
    /// authorization was blocked.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct HealingProgress {
        pub(crate) tries: u64,
        pub(crate) lockout: u64,
    }

    /// The clock, written to NV now and then.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct ClockRecord {
        /// Milliseconds.
        pub(crate) clock: u64,
        /// Whether no larger value than this can have been reported.
        pub(crate) safe: bool,
        /// Written at an orderly stop: Clock cannot have run ahead of it.
        pub(crate) exact: bool,
    }

    /// The part of an orderly NV index that lives in RAM.
    #[derive(Debug, Clone)]
    pub(crate) struct OrderlyIndex {
        pub(crate) attributes: NvAttributes,
        pub(crate) data: Zeroizing<NvData>,
    }

    /// All that TPM2_Shutdown saves.
    #[derive(Debug, Clone)]
    pub(crate) struct SavedState {
        /// TPM_SU_STATE: everything below counts. TPM_SU_CLEAR: healing and orderly indices only.
        pub(crate) state: bool,
        pub(crate) origin: StartOrigin,
        pub(crate) healing: HealingProgress,
        pub(crate) reset: ResetState,
        pub(crate) clear: ClearState,
        pub(crate) pcrs: PcrValues,
        pub(crate) sessions: SavedSessions,
        pub(crate) orderly_nv: OrderlyNv,
        pub(crate) countdowns: SavedCountdowns,
    }
}

impl Default for ClearState {
    /// The values after TPM Reset and TPM Restart (Part 3, 9.3).
    fn default() -> Self {
        Self {
            owner_enabled: true,
            endorsement_enabled: true,
            platform_enabled: true,
            platform_nv_enabled: true,
            read_only: false,
            platform_auth: Zeroizing::new(Digest::EMPTY),
            platform_policy: AuthPolicy::default(),
            pcr_auth: Zeroizing::new(Digest::EMPTY),
        }
    }
}

/// Orderly NV indices (TPMA_NV_ORDERLY): their changing part, by handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderlyNv(pub(crate) BTreeMap<Handle, OrderlyIndex>);

impl Marshal for OrderlyNv {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX).marshal(sink);
        for (handle, index) in &self.0 {
            handle.marshal(sink);
            index.marshal(sink);
        }
    }
}

impl Unmarshal<'_> for OrderlyNv {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let count = reader.read::<u32>()?;
        let mut map = BTreeMap::new();
        for _ in 0..count {
            let handle = reader.read()?;
            map.insert(handle, reader.read()?);
        }
        Ok(Self(map))
    }
}
