//! Entities: everything a handle can name, with its presence, authorization and Name (Part 1, 13–16).

use std::sync::Arc;

use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::commands::context::evict_control::EvictControl;
use crate::commands::{Command, CommandInfo};
use crate::handle::{Handle, HandleType, Hierarchy, Name, handle_name};
use crate::object::{Loaded, Object};
use crate::rc::{Rc, RcResult};
use crate::state::persistent::{AuthPolicy, NvIndex};
use crate::tpm::Tpm;
use crate::types::attributes::{NvAttributes, ObjectAttributes};

impl Tpm {
    /// Whether the hierarchy is enabled (Part 1, 13.2).
    pub(crate) fn hierarchy_enabled(&self, hierarchy: Hierarchy) -> bool {
        match hierarchy {
            Hierarchy::Owner => self.clear.owner_enabled,
            Hierarchy::Endorsement => self.clear.endorsement_enabled,
            Hierarchy::Platform => self.clear.platform_enabled,
            Hierarchy::Null => true,
        }
    }

    /// Whether what the handle names is there and may be used (Part 3, 5.3). `number` counts handles from 0.
    pub(crate) fn check_present(&self, info: &CommandInfo, handle: Handle, number: u32) -> RcResult<()> {
        let reference = Rc::reference_handle(number);
        let position = number.saturating_add(1);
        let missing = Rc::HANDLE.handle(position);
        match handle.kind() {
            Some(HandleType::Permanent) => {
                let enabled = match Hierarchy::from_handle(handle) {
                    Some(hierarchy) => self.hierarchy_enabled(hierarchy),
                    None => handle != Handle::PLATFORM_NV || self.clear.platform_nv_enabled,
                };
                if enabled {
                    Ok(())
                } else {
                    Err(Rc::HIERARCHY.handle(position))
                }
            }
            Some(HandleType::Transient) => self.objects.get(handle).map(|_| ()).ok_or(reference),
            Some(HandleType::Persistent) => match self.nv.objects.get(&handle) {
                Some(object) if self.persistent_enabled(info, handle, object) => Ok(()),
                _ => Err(missing),
            },
            Some(HandleType::NvIndex) => match self.nv.nv.get(&handle) {
                Some(index) if self.nv_index_enabled(index) => Ok(()),
                _ => Err(missing),
            },
            Some(HandleType::HmacSession | HandleType::PolicySession) => {
                if !self.sessions.is_loaded(handle) {
                    return Err(reference);
                }
                // It may still be of the other kind.
                self.sessions.get(handle).map(|_| ()).ok_or(missing)
            }
            Some(HandleType::Pcr) => Ok(()),
            // There are none.
            Some(HandleType::AttachedComponent) => Err(missing),
            None => Err(Rc::VALUE.handle(position)),
        }
    }

    /// Whether a persistent object may be used: its handle is the owner's or the platform's to give, and an endorsement
    /// key needs its hierarchy, too, but for its removal.
    fn persistent_enabled(&self, info: &CommandInfo, handle: Handle, object: &Object) -> bool {
        let giver = if handle.0 >= Handle::FIRST_PLATFORM_PERSISTENT {
            Hierarchy::Platform
        } else {
            Hierarchy::Owner
        };
        let removal = info.code == EvictControl::INFO.code;
        self.hierarchy_enabled(giver)
            && (object.hierarchy != Hierarchy::Endorsement || self.clear.endorsement_enabled || removal)
    }

    /// Whether the index' hierarchy lets it be seen (Part 1, 13.6): phEnableNV for the platform's, shEnable for others.
    fn nv_index_enabled(&self, index: &NvIndex) -> bool {
        if index.public.attributes.has(NvAttributes::PLATFORMCREATE) {
            self.clear.platform_nv_enabled
        } else {
            self.clear.owner_enabled
        }
    }

    /// The object of a transient or persistent handle; `None` for sequences and for what is not loaded.
    pub(crate) fn object(&self, handle: Handle) -> Option<&Arc<Object>> {
        if handle.kind() == Some(HandleType::Persistent) {
            return self.nv.objects.get(&handle);
        }
        match self.objects.get(handle)? {
            Loaded::Object(object) => Some(object),
            Loaded::Sequence(_) => None,
        }
    }

    /// The attributes of an NV index as they are now; those of an orderly index live in RAM.
    pub(crate) fn nv_attributes(&self, handle: Handle) -> Option<NvAttributes> {
        let stored = self.nv.nv.get(&handle)?.public.attributes;
        Some(match self.orderly_nv.0.get(&handle) {
            Some(orderly) if stored.has(NvAttributes::ORDERLY) => orderly.attributes,
            _ => stored,
        })
    }

    /// The authorization value of an entity, without trailing zeros; empty for what is not there.
    pub(crate) fn auth_value(&self, handle: Handle) -> &[u8] {
        let value = match handle.kind() {
            Some(HandleType::Permanent) => match handle {
                Handle::PLATFORM => Some(&self.clear.platform_auth),
                Handle::LOCKOUT => Some(&self.nv.hierarchies.lockout_auth),
                // A countdown timer has no value of its own (Part 1, 40).
                timer if timer.timer().is_some() => Some(&self.clear.platform_auth),
                _ => Hierarchy::from_handle(handle)
                    .and_then(|hierarchy| self.nv.hierarchies.get(hierarchy))
                    .map(|record| &record.auth),
            },
            Some(HandleType::NvIndex) => self.nv.nv.get(&handle).map(|index| &index.auth),
            Some(HandleType::Transient) => match self.objects.get(handle) {
                Some(Loaded::Sequence(sequence)) => Some(&sequence.auth),
                Some(Loaded::Object(object)) => object.sensitive.0.as_ref().map(|sensitive| &sensitive.auth),
                None => None,
            },
            Some(HandleType::Persistent) => self
                .nv
                .objects
                .get(&handle)
                .and_then(|object| object.sensitive.0.as_ref())
                .map(|sensitive| &sensitive.auth),
            Some(HandleType::Pcr) if in_auth_group(handle) => Some(&self.clear.pcr_auth),
            _ => None,
        };
        value.map_or(&[], |value| value.without_trailing_zeros())
    }

    /// The authorization policy of an entity with its hash; `None` when it has none.
    pub(crate) fn auth_policy(&self, handle: Handle) -> Option<(HashAlg, Digest)> {
        let of_record = |policy: &AuthPolicy| policy.alg.map(|alg| (alg, policy.digest.clone()));
        match handle.kind()? {
            HandleType::Permanent => match handle {
                Handle::PLATFORM => of_record(&self.clear.platform_policy),
                Handle::LOCKOUT => of_record(&self.nv.hierarchies.lockout_policy),
                timer if timer.timer().is_some() => of_record(self.countdowns.policy(timer)?),
                _ => of_record(&self.nv.hierarchies.get(Hierarchy::from_handle(handle)?)?.policy),
            },
            HandleType::NvIndex => {
                let public = &self.nv.nv.get(&handle)?.public;
                Some((public.name_alg, public.auth_policy.clone()))
            }
            HandleType::Transient | HandleType::Persistent => {
                let public = &self.object(handle)?.public.0;
                Some((public.name_alg?, public.auth_policy.clone()))
            }
            HandleType::Pcr if in_auth_group(handle) => of_record(&self.nv.pcr.policy),
            _ => None,
        }
    }

    /// The Name of an entity (Part 1, 16).
    pub(crate) fn name(&self, handle: Handle) -> Name {
        match handle.kind() {
            Some(HandleType::Transient | HandleType::Persistent) => {
                // A sequence object has no public area, and so an empty Name.
                self.object(handle).map_or(Name::EMPTY, |object| object.name.clone())
            }
            Some(HandleType::NvIndex) => match (self.nv.nv.get(&handle), self.nv_attributes(handle)) {
                (Some(index), Some(attributes)) if attributes != index.public.attributes => {
                    let mut public = index.public.clone();
                    public.attributes = attributes;
                    public.name()
                }
                (Some(index), _) => index.public.name(),
                _ => Name::EMPTY,
            },
            _ => handle_name(handle),
        }
    }

    /// Whether failed authorizations of the entity do not count (Part 1, 19.8.2).
    pub(crate) fn da_exempt(&self, handle: Handle) -> bool {
        match handle.kind() {
            Some(HandleType::Permanent) => handle != Handle::LOCKOUT,
            Some(HandleType::NvIndex) => self
                .nv_attributes(handle)
                .is_none_or(|attributes| attributes.has(NvAttributes::NO_DA)),
            Some(HandleType::Transient | HandleType::Persistent) => self
                .object(handle)
                .is_none_or(|object| object.public.0.attributes.has(ObjectAttributes::NO_DA)),
            _ => true,
        }
    }
}

/// Whether the PCR has an authorization value and policy of its own; those of all others are empty.
pub(crate) fn in_auth_group(pcr: Handle) -> bool {
    crate::state::pcr::attributes(pcr.0).is_some_and(|attributes| attributes.auth_group)
}
