//! What the TPM is believed to hold.

use super::Generator;
use crate::codes::rh;

/// What an object is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Parent,
    Sealed,
    Hmac,
    Cipher,
    EccSign,
    EccDecrypt,
    RsaSign,
    RsaDecrypt,
    Sequence,
    Event,
}

/// An object that is loaded, or persistent.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) handle: u32,
    pub(super) auth: Vec<u8>,
    pub(super) role: Role,
}

/// A session that is loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionModel {
    pub(super) handle: u32,
    pub(super) policy: bool,
    pub(super) cipher: bool,
}

/// What TPM2_Create answered.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) parent: u32,
    pub(super) private: Vec<u8>,
    pub(super) public: Vec<u8>,
    pub(super) auth: Vec<u8>,
    pub(super) role: Role,
}

/// An NV index.
#[derive(Debug, Clone)]
pub(super) struct Index {
    pub(super) handle: u32,
    pub(super) auth: Vec<u8>,
    pub(super) size: u16,
    pub(super) platform: bool,
    /// TPM_NT, where it is in the attributes.
    pub(super) kind: u32,
}

/// A saved context.
#[derive(Debug, Clone)]
pub(super) struct Saved {
    pub(super) context: Vec<u8>,
    pub(super) object: Option<Object>,
    pub(super) session: Option<SessionModel>,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) objects: Vec<Object>,
    pub(super) sessions: Vec<SessionModel>,
    pub(super) blobs: Vec<Blob>,
    pub(super) indices: Vec<Index>,
    pub(super) saved: Vec<Saved>,
    /// authValues of the owner, endorsement, platform and lockout hierarchies.
    pub(super) auths: [Vec<u8>; 4],
}

pub(super) const HIERARCHIES: [u32; 4] = [rh::OWNER, rh::ENDORSEMENT, rh::PLATFORM, rh::LOCKOUT];

impl Model {
    /// The authValue of a permanent handle.
    pub(super) fn auth(&self, handle: u32) -> Vec<u8> {
        let position = HIERARCHIES.iter().position(|hierarchy| *hierarchy == handle);
        position
            .and_then(|position| self.auths.get(position))
            .cloned()
            .unwrap_or_default()
    }

    pub(super) fn set_auth(&mut self, handle: u32, value: &[u8]) {
        if let Some(position) = HIERARCHIES.iter().position(|hierarchy| *hierarchy == handle)
            && let Some(slot) = self.auths.get_mut(position)
        {
            *slot = value.to_vec();
        }
    }

    /// What a power cycle takes away.
    pub(super) fn forget_volatile(&mut self, resumed: bool) {
        self.objects.retain(|object| object.handle >> 24 == 0x81);
        self.sessions.clear();
        if !resumed {
            self.set_auth(rh::PLATFORM, &[]);
        }
    }
}

impl Generator {
    /// A session to authorize with.
    pub(super) fn pick_session(&mut self, policy: bool) -> Option<SessionModel> {
        let fitting: Vec<SessionModel> = self
            .model
            .sessions
            .iter()
            .copied()
            .filter(|session| session.policy == policy)
            .collect();
        self.rng.pick(&fitting)
    }

    /// An object of this role.
    pub(super) fn pick_object(&mut self, role: Role) -> Option<Object> {
        let fitting: Vec<Object> = self
            .model
            .objects
            .iter()
            .filter(|object| object.role == role)
            .cloned()
            .collect();
        self.rng.pick(&fitting)
    }

    /// Any object.
    pub(super) fn any_object(&mut self) -> Option<Object> {
        self.rng.pick(&self.model.objects)
    }

    /// A permanent handle, mostly the owner.
    pub(super) fn hierarchy_handle(&mut self) -> u32 {
        let choices = [rh::OWNER, rh::OWNER, rh::OWNER, rh::PLATFORM, rh::ENDORSEMENT, rh::NULL];
        self.rng.pick(&choices).unwrap_or(rh::OWNER)
    }

    /// A handle of any kind, mostly of something that is there.
    pub(super) fn any_handle(&mut self) -> u32 {
        match self.rng.below(8) {
            0 | 1 => self.any_object().map_or(0x8000_0000, |object| object.handle),
            2 => self
                .rng
                .pick(&self.model.sessions)
                .map_or(0x0200_0000, |session| session.handle),
            3 => self
                .rng
                .pick(&self.model.indices)
                .map_or(0x0100_0000, |index| index.handle),
            4 => self.hierarchy_handle(),
            5 => u32::try_from(self.rng.below(25)).unwrap_or(0),
            6 => {
                let choices = [
                    rh::LOCKOUT,
                    rh::PW,
                    rh::NULL,
                    rh::PLATFORM_NV,
                    0x8000_0002,
                    0x8100_0000,
                    0x0300_0000,
                ];
                self.rng.pick(&choices).unwrap_or(rh::NULL)
            }
            _ => {
                let choices = [
                    0x8000_0003,
                    0x8000_0000,
                    0x8180_0000,
                    0x0100_0001,
                    0x0300_0001,
                    0x9000_0000,
                ];
                self.rng.pick(&choices).unwrap_or(0) + u32::try_from(self.rng.below(2)).unwrap_or(0)
            }
        }
    }

    /// The authValue of an entity, as far as the model knows.
    pub(super) fn auth_of(&self, handle: u32) -> Vec<u8> {
        let object = self
            .model
            .objects
            .iter()
            .find(|object| object.handle == handle)
            .map(|object| object.auth.clone());
        let index = || {
            self.model
                .indices
                .iter()
                .find(|index| index.handle == handle)
                .map(|index| index.auth.clone())
        };
        object.or_else(index).unwrap_or_else(|| self.model.auth(handle))
    }
}
