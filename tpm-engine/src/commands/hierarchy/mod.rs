//! Hierarchies (Part 3, 24): their authorizations, switches and seeds.

pub(crate) mod change_auth;
pub(crate) mod change_eps;
pub(crate) mod change_pps;
pub(crate) mod clear;
pub(crate) mod clear_control;
pub(crate) mod control;
pub(crate) mod read_only_control;
pub(crate) mod set_primary_policy;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::bytes::Digest;
use crate::handle::Hierarchy;
use crate::rc::RcResult;
use crate::state::persistent::{AuthPolicy, CURRENT_DERIVATION, Hierarchies, HierarchyRecord, NvIndex, PrimarySeed};
use crate::tpm::{Tpm, random_seed};
use crate::types::attributes::NvAttributes;

/// What becomes of a hierarchy's seed when the hierarchy is made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seed {
    Keep,
    Renew,
}

impl Tpm {
    /// Stages a hierarchy made anew: a new proof, so that tickets and contexts made under it are void, no
    /// authorization value, no policy, and a new seed where that is asked for.
    fn renew_hierarchy(&mut self, hierarchy: Hierarchy, seed: Seed) {
        let mut records = Hierarchies::clone(&self.nv.hierarchies);
        let Some(record) = records.get_mut(hierarchy) else {
            return;
        };
        *record = HierarchyRecord {
            seed: match seed {
                Seed::Keep => record.seed.clone(),
                Seed::Renew => PrimarySeed {
                    derivation: CURRENT_DERIVATION,
                    seed: random_seed(&mut self.rng),
                },
            },
            proof: random_seed(&mut self.rng),
            auth: Zeroizing::new(Digest::EMPTY),
            policy: AuthPolicy::default(),
        };
        self.nv.change().hierarchies = Arc::new(records);
    }

    /// Stages the removal of all that a hierarchy has in NV: persistent objects and indices.
    fn empty_hierarchy(&mut self, hierarchy: Hierarchy) {
        self.nv
            .change()
            .objects
            .retain(|_, object| object.hierarchy != hierarchy);
        let of_platform = |index: &NvIndex| index.public.attributes.has(NvAttributes::PLATFORMCREATE);
        match hierarchy {
            Hierarchy::Owner => self.nv_stage_delete(|index| !of_platform(index)),
            // The platform's indices outlive its seed (Part 3, 24.5).
            Hierarchy::Platform | Hierarchy::Endorsement | Hierarchy::Null => {}
        }
    }

    /// Makes what was staged for these hierarchies durable and flushes what of them is loaded.
    fn flush_hierarchies(&mut self, hierarchies: &[Hierarchy]) -> RcResult<()> {
        self.settle()?;
        self.forget_orderly_nv();
        for hierarchy in hierarchies {
            self.objects.flush_hierarchy(*hierarchy);
        }
        Ok(())
    }
}
