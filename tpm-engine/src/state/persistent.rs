//! What survives power cycles: the records of NV memory (Part 1, 12.2 and 37).

use std::collections::BTreeMap;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::alg::HashAlg;
use crate::bytes::{Bytes, Digest};
use crate::commands::FIRST_CODE;
use crate::handle::{Handle, Hierarchy};
use crate::marshal::{Marshal, Reader, Sink, Unmarshal, structure};
use crate::object::Object;
use crate::rc::RcResult;
use crate::types::nv::{MAX_NV_INDEX_SIZE, NvPublic};
use crate::types::pcr::PcrSelections;

/// Bytes of a primary seed and of a hierarchy's proof.
pub(crate) const SEED_SIZE: usize = 64;

/// How a seed and a template become a primary key. A seed keeps the derivation it was made under for ever.
pub(crate) const CURRENT_DERIVATION: u8 = 1;

/// The contents of an NV index.
pub(crate) type NvData = Bytes<{ MAX_NV_INDEX_SIZE as usize }>;

structure! {
    /// A primary seed and the derivation that turns it into keys.
    #[derive(Debug, Clone)]
    pub(crate) struct PrimarySeed {
        pub(crate) derivation: u8,
        pub(crate) seed: Zeroizing<Bytes<SEED_SIZE>>,
    }

    /// The authorization policy of a hierarchy; no policy has no algorithm.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub(crate) struct AuthPolicy {
        pub(crate) alg: Option<HashAlg>,
        pub(crate) digest: Digest,
    }

    /// What a persistent hierarchy is made of (Part 1, 14).
    #[derive(Debug, Clone)]
    pub(crate) struct HierarchyRecord {
        pub(crate) seed: PrimarySeed,
        /// The secret that keys the hierarchy's tickets and contexts.
        pub(crate) proof: Zeroizing<Bytes<SEED_SIZE>>,
        /// Empty for the platform, whose authorization is volatile.
        pub(crate) auth: Zeroizing<Digest>,
        pub(crate) policy: AuthPolicy,
    }

    /// The persistent hierarchies, the lockout authorization and the switch of TPM2_ClearControl.
    #[derive(Debug, Clone)]
    pub(crate) struct Hierarchies {
        pub(crate) owner: HierarchyRecord,
        pub(crate) endorsement: HierarchyRecord,
        pub(crate) platform: HierarchyRecord,
        pub(crate) lockout_auth: Zeroizing<Digest>,
        pub(crate) lockout_policy: AuthPolicy,
        pub(crate) disable_clear: bool,
    }

    /// Dictionary-attack protection (Part 1, 19.8).
    #[derive(Debug, Clone)]
    pub(crate) struct DictionaryAttack {
        pub(crate) failed_tries: u32,
        pub(crate) max_tries: u32,
        /// Seconds after which one failed try is forgiven.
        pub(crate) recovery_time: u32,
        /// Seconds after which a failed lockout authorization is forgiven; 0 means at the next TPM Reset.
        pub(crate) lockout_recovery: u32,
        /// CLEAR after a failed use of the lockout authorization.
        pub(crate) lockout_auth_enabled: bool,
    }

    /// Counts of power cycles (Part 1, 36.4).
    #[derive(Debug, Clone)]
    pub(crate) struct Counters {
        /// TPM Resets since the last TPM2_Clear.
        pub(crate) reset_count: u32,
        /// TPM Resets since manufacture: goes into object contexts.
        pub(crate) total_reset_count: u64,
        /// Number of Time's current epoch: changes at every `_TPM_Init`, so that old time-outs are known to be old.
        pub(crate) time_epoch: u32,
        /// The largest value that any deleted NV counter had (Part 1, 37.2.3): new counters start above it.
        pub(crate) max_nv_counter: u64,
    }

    /// What persists of the PCR.
    #[derive(Debug, Clone)]
    pub(crate) struct PcrAllocation {
        /// The PCR of each bank from the next `_TPM_Init` on (TPM2_PCR_Allocate).
        pub(crate) banks: PcrSelections,
        /// The policy of the PCR with an authorization of their own (TPM2_PCR_SetAuthPolicy).
        pub(crate) policy: AuthPolicy,
    }

    /// Command audit (Part 1, 34).
    #[derive(Debug, Clone)]
    pub(crate) struct CommandAudit {
        pub(crate) hash_alg: HashAlg,
        pub(crate) counter: u64,
        /// The audited commands.
        pub(crate) commands: CommandSet,
    }

    /// What the platform manages (Part 3, 26).
    #[derive(Debug, Clone)]
    pub(crate) struct Management {
        /// The commands for which TPM2_PP_Commands requires physical presence.
        pub(crate) presence: CommandSet,
        /// TPM2_SetAlgorithmSet.
        pub(crate) algorithm_set: u32,
    }

    /// An NV index: its public area, authorization value and contents.
    #[derive(Clone)]
    pub(crate) struct NvIndex {
        pub(crate) public: NvPublic,
        pub(crate) auth: Zeroizing<Digest>,
        /// As many bytes as the public area says. Of an orderly index: as of the last orderly shutdown.
        pub(crate) data: Zeroizing<NvData>,
    }
}

/// A set of commands: a bit for each code from [`FIRST_CODE`] on, so that a set that was stored keeps its meaning
/// when a newer program has more commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CommandSet([u8; 32]);

impl CommandSet {
    /// The byte and the bit that stand for the command; `None` for codes that a set cannot have.
    fn place(code: u32) -> Option<(usize, u8)> {
        let offset = code.checked_sub(FIRST_CODE)?;
        let byte = usize::try_from(offset / 8).ok().filter(|byte| *byte < 32)?;
        Some((byte, 1u8.wrapping_shl(offset % 8)))
    }

    /// The set of these commands.
    pub(crate) fn of(codes: &[u32]) -> Self {
        let mut set = Self::default();
        for code in codes {
            set.set(*code, true);
        }
        set
    }

    /// Whether the command is in the set.
    pub(crate) fn has(&self, code: u32) -> bool {
        Self::place(code).is_some_and(|(byte, bit)| self.0.get(byte).is_some_and(|byte| byte & bit != 0))
    }

    /// Puts the command into the set, or takes it out.
    pub(crate) fn set(&mut self, code: u32, member: bool) {
        if let Some((byte, bit)) = Self::place(code)
            && let Some(byte) = self.0.get_mut(byte)
        {
            *byte = if member { *byte | bit } else { *byte & !bit };
        }
    }
}

impl Marshal for CommandSet {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.0.marshal(sink);
    }
}

impl Unmarshal<'_> for CommandSet {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        reader.read().map(Self)
    }
}

impl std::fmt::Debug for NvIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NvIndex({:?}, redacted)", self.public.index.0)
    }
}

impl Hierarchies {
    /// The record of a hierarchy; the null hierarchy has none here, as it does not persist.
    pub(crate) const fn get(&self, hierarchy: Hierarchy) -> Option<&HierarchyRecord> {
        match hierarchy {
            Hierarchy::Owner => Some(&self.owner),
            Hierarchy::Endorsement => Some(&self.endorsement),
            Hierarchy::Platform => Some(&self.platform),
            Hierarchy::Null => None,
        }
    }

    /// The record of a hierarchy, to be changed.
    pub(crate) const fn get_mut(&mut self, hierarchy: Hierarchy) -> Option<&mut HierarchyRecord> {
        match hierarchy {
            Hierarchy::Owner => Some(&mut self.owner),
            Hierarchy::Endorsement => Some(&mut self.endorsement),
            Hierarchy::Platform => Some(&mut self.platform),
            Hierarchy::Null => None,
        }
    }
}

/// Volatile state as a snapshot, which fills its record.
pub(crate) struct StoredVolatile(pub(crate) Zeroizing<Vec<u8>>);

impl std::fmt::Debug for StoredVolatile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredVolatile({} bytes)", self.0.len())
    }
}

impl Marshal for StoredVolatile {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        sink.put(&self.0);
    }
}

impl Unmarshal<'_> for StoredVolatile {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let all = reader.rest().len();
        Ok(Self(Zeroizing::new(reader.bytes(all)?.to_vec())))
    }
}

/// All that persists. Each record is shared, so that a copy is cheap and a change is seen by comparing pointers.
#[derive(Debug, Clone)]
pub(crate) struct Persistent {
    pub(crate) hierarchies: Arc<Hierarchies>,
    pub(crate) da: Arc<DictionaryAttack>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) pcr: Arc<PcrAllocation>,
    pub(crate) audit: Arc<CommandAudit>,
    pub(crate) management: Arc<Management>,
    /// What TPM2_Shutdown saved; `None` after it was used or made void.
    pub(crate) saved: Option<Arc<super::orderly::SavedState>>,
    /// The volatile state that another process is to go on from (see [`super::snapshot`]); `None` after it was used or
    /// made void.
    pub(crate) volatile: Option<Arc<StoredVolatile>>,
    /// The clock as last written (Part 1, 36.3).
    pub(crate) clock: Arc<super::orderly::ClockRecord>,
    pub(crate) nv: BTreeMap<Handle, Arc<NvIndex>>,
    pub(crate) objects: BTreeMap<Handle, Arc<Object>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_set_holds_codes_up_to_its_end() {
        let mut set = CommandSet::of(&[0x11F, 0x140, 0x21E]);
        set.set(0x21F, true);
        set.set(0x11E, true);
        set.set(0x140, false);
        let members: Vec<u32> = (0x100..0x300).filter(|code| set.has(*code)).collect();
        assert_eq!(members, [0x11F, 0x21E]);
    }
}
