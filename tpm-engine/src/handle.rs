//! Handles (Part 1, 15; Part 2, 7) and the interface types that restrict them (Part 2, 9).

use crate::alg::HashAlg;
use crate::crypto::hash::hash_by;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal, optional};
use crate::rc::{Rc, RcResult};

/// TPM_HANDLE.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle(pub(crate) u32);

/// TPM_HT (Part 2, 7.2): the top byte of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandleType {
    Pcr,
    NvIndex,
    HmacSession,
    PolicySession,
    Permanent,
    Transient,
    Persistent,
    AttachedComponent,
}

/// Authenticated countdown timers: TPM_RH_ACT_0 to TPM_RH_ACT_F.
pub(crate) const TIMER_COUNT: usize = 16;

/// PCR of this TPM (PC Client Platform TPM Profile, 4.6).
pub(crate) const PCR_COUNT: u32 = 24;

impl Handle {
    pub(crate) const OWNER: Self = Self(0x4000_0001);
    pub(crate) const NULL: Self = Self(0x4000_0007);
    /// TPM_RS_PW: a password authorization.
    pub(crate) const PASSWORD: Self = Self(0x4000_0009);
    pub(crate) const LOCKOUT: Self = Self(0x4000_000A);
    pub(crate) const ENDORSEMENT: Self = Self(0x4000_000B);
    pub(crate) const PLATFORM: Self = Self(0x4000_000C);
    /// TPM_RH_PLATFORM_NV: the phEnableNV control.
    pub(crate) const PLATFORM_NV: Self = Self(0x4000_000D);

    /// TPM_RH_ACT_0.
    const FIRST_TIMER: u32 = 0x4000_0110;

    pub(crate) const FIRST_HMAC_SESSION: u32 = 0x0200_0000;
    pub(crate) const FIRST_POLICY_SESSION: u32 = 0x0300_0000;
    pub(crate) const FIRST_PERMANENT: u32 = 0x4000_0000;
    pub(crate) const FIRST_TRANSIENT: u32 = 0x8000_0000;
    /// The first persistent handle of the platform (Part 2, 7.5: PLATFORM_PERSISTENT).
    pub(crate) const FIRST_PLATFORM_PERSISTENT: u32 = 0x8180_0000;

    /// The kind of thing that the handle names; `None` for ranges without a meaning.
    pub(crate) const fn kind(self) -> Option<HandleType> {
        Some(match self.0 >> 24 {
            0x00 => HandleType::Pcr,
            0x01 => HandleType::NvIndex,
            0x02 => HandleType::HmacSession,
            0x03 => HandleType::PolicySession,
            0x40 => HandleType::Permanent,
            0x80 => HandleType::Transient,
            0x81 => HandleType::Persistent,
            0x90 => HandleType::AttachedComponent,
            _ => return None,
        })
    }

    /// The handle without its type: a slot or PCR number.
    pub(crate) const fn index(self) -> u32 {
        self.0 & 0x00FF_FFFF
    }

    /// The handles of the countdown timers, in ascending order.
    pub(crate) fn timers() -> impl Iterator<Item = Self> {
        (Self::FIRST_TIMER..).take(TIMER_COUNT).map(Self)
    }

    /// The number of the countdown timer that the handle names.
    pub(crate) const fn timer(self) -> Option<usize> {
        match self.0.checked_sub(Self::FIRST_TIMER) {
            Some(number) if number < 16 => Some(number as usize),
            _ => None,
        }
    }

    pub(crate) const fn is_session(self) -> bool {
        matches!(self.kind(), Some(HandleType::HmacSession | HandleType::PolicySession))
    }

    pub(crate) const fn is_object(self) -> bool {
        matches!(self.kind(), Some(HandleType::Transient | HandleType::Persistent))
    }

    const fn is_pcr(self) -> bool {
        self.0 < PCR_COUNT
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

impl Unmarshal<'_> for Handle {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        reader.read().map(Self)
    }
}

impl Marshal for Handle {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.0.marshal(sink);
    }
}

optional!(Handle);

/// The interface type of a command's handle (TPMI_DH_* and TPMI_RH_*, Part 2, 9.3 ff.): which handles it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandleKind {
    /// TPMI_DH_OBJECT: a transient or persistent object.
    Object,
    /// TPMI_DH_OBJECT+: an object or TPM_RH_NULL.
    ObjectOrNull,
    /// TPMI_DH_PARENT: an object or a hierarchy, TPM_RH_NULL included.
    Parent,
    /// TPMI_DH_ENTITY: anything that has an authorization value.
    Entity,
    /// TPMI_DH_ENTITY+.
    EntityOrNull,
    /// TPMI_DH_PCR.
    Pcr,
    /// TPMI_DH_PCR+.
    PcrOrNull,
    /// TPMI_DH_CONTEXT: a session or a transient object.
    Context,
    /// TPMI_SH_HMAC.
    HmacSession,
    /// TPMI_SH_POLICY.
    PolicySession,
    /// TPMI_RH_HIERARCHY+: owner, platform, endorsement or TPM_RH_NULL.
    Hierarchy,
    /// TPMI_RH_BASE_HIERARCHY: owner, platform or endorsement.
    BaseHierarchy,
    /// TPMI_RH_ENABLES: a base hierarchy or TPM_RH_PLATFORM_NV.
    Enables,
    /// TPMI_RH_HIERARCHY_AUTH: owner, platform, endorsement or lockout.
    HierarchyAuth,
    /// TPMI_RH_HIERARCHY_POLICY: these or a countdown timer.
    HierarchyPolicy,
    /// TPMI_RH_ACT.
    Timer,
    /// TPMI_RH_AC.
    AttachedComponent,
    /// TPMI_RH_PLATFORM.
    Platform,
    /// TPMI_RH_ENDORSEMENT.
    Endorsement,
    /// TPMI_RH_PROVISION: owner or platform.
    Provision,
    /// TPMI_RH_CLEAR: lockout or platform.
    Clear,
    /// TPMI_RH_LOCKOUT.
    Lockout,
    /// TPMI_RH_NV_AUTH: owner, platform or an NV index.
    NvAuth,
    /// TPMI_RH_NV_INDEX.
    NvIndex,
}

impl HandleKind {
    /// Whether a handle of this value is of the kind at all; what it names need not exist.
    pub(crate) const fn accepts(self, handle: Handle) -> bool {
        use HandleType as T;
        let kind = handle.kind();
        let object = handle.is_object();
        let null = handle.0 == Handle::NULL.0;
        let owner = handle.0 == Handle::OWNER.0;
        let platform = handle.0 == Handle::PLATFORM.0;
        let endorsement = handle.0 == Handle::ENDORSEMENT.0;
        let lockout = handle.0 == Handle::LOCKOUT.0;
        let base = owner || platform || endorsement;
        let nv = matches!(kind, Some(T::NvIndex));
        let entity = base || lockout || object || nv || handle.is_pcr();
        match self {
            Self::Object => object,
            Self::ObjectOrNull => object || null,
            Self::Parent => object || base || null,
            Self::Entity => entity,
            Self::EntityOrNull => entity || null,
            Self::Pcr => handle.is_pcr(),
            Self::PcrOrNull => handle.is_pcr() || null,
            Self::Context => handle.is_session() || matches!(kind, Some(T::Transient)),
            Self::HmacSession => matches!(kind, Some(T::HmacSession)),
            Self::PolicySession => matches!(kind, Some(T::PolicySession)),
            Self::Hierarchy => base || null,
            Self::BaseHierarchy => base,
            Self::Enables => base || handle.0 == Handle::PLATFORM_NV.0,
            Self::HierarchyAuth => base || lockout,
            Self::HierarchyPolicy => base || lockout || handle.timer().is_some(),
            Self::Timer => handle.timer().is_some(),
            // Part 2, 7.5: AC_FIRST to AC_LAST.
            Self::AttachedComponent => matches!(handle.0, 0x9000_0000..=0x9000_FFFF),
            Self::Platform => platform,
            Self::Endorsement => endorsement,
            Self::Provision => owner || platform,
            Self::Clear => lockout || platform,
            Self::Lockout => lockout,
            Self::NvAuth => owner || platform || nv,
            Self::NvIndex => nv,
        }
    }

    /// Reads a handle of this kind; TPM_RC_VALUE for any other.
    pub(crate) fn read(self, reader: &mut Reader<'_>) -> RcResult<Handle> {
        let handle = reader.read()?;
        if self.accepts(handle) {
            Ok(handle)
        } else {
            Err(Rc::VALUE)
        }
    }
}

/// A handle that stands among the parameters, of a kind that is checked while it is read.
macro_rules! parameter_handles {
    ($($(#[$meta:meta])* $name:ident = $kind:ident),* $(,)?) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) Handle);

        impl Unmarshal<'_> for $name {
            fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
                HandleKind::$kind.read(reader).map(Self)
            }
        }
    )*};
}

parameter_handles! {
    /// TPMI_RH_HIERARCHY+ as a parameter.
    HierarchyHandle = Hierarchy,
    /// TPMI_RH_ENABLES as a parameter.
    EnablesHandle = Enables,
    /// TPMI_DH_PCR as a parameter.
    PcrHandle = Pcr,
    /// TPMI_DH_CONTEXT as a parameter.
    ContextHandle = Context,
}

/// TPMI_DH_PERSISTENT as a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PersistentHandle(pub(crate) Handle);

impl Unmarshal<'_> for PersistentHandle {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let handle: Handle = reader.read()?;
        if handle.kind() == Some(HandleType::Persistent) {
            Ok(Self(handle))
        } else {
            Err(Rc::VALUE)
        }
    }
}

/// The four hierarchies in which objects live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hierarchy {
    Owner,
    Endorsement,
    Platform,
    Null,
}

impl Hierarchy {
    pub(crate) const fn from_handle(handle: Handle) -> Option<Self> {
        match handle {
            Handle::OWNER => Some(Self::Owner),
            Handle::ENDORSEMENT => Some(Self::Endorsement),
            Handle::PLATFORM => Some(Self::Platform),
            Handle::NULL => Some(Self::Null),
            _ => None,
        }
    }

    pub(crate) const fn handle(self) -> Handle {
        match self {
            Self::Owner => Handle::OWNER,
            Self::Endorsement => Handle::ENDORSEMENT,
            Self::Platform => Handle::PLATFORM,
            Self::Null => Handle::NULL,
        }
    }
}

impl Marshal for Hierarchy {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.handle().marshal(sink);
    }
}

impl Unmarshal<'_> for Hierarchy {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        Self::from_handle(reader.read()?).ok_or(Rc::VALUE)
    }
}

/// The Name of an entity (Part 1, 16): a digest with its algorithm, or a handle.
pub(crate) type Name = crate::bytes::Bytes<66>;

/// The Name of a structure: the algorithm's identifier and the digest of the structure's canonical form.
pub(crate) fn name_of(alg: HashAlg, value: &impl Marshal) -> Name {
    let digest = hash_by(alg, |mut hash| value.marshal(&mut hash));
    let mut name = Name::EMPTY;
    let _ = name.extend(&alg.id().to_be_bytes()).and_then(|()| name.extend(&digest));
    name
}

/// The Name of an entity that is named by its handle: hierarchies, PCR and sessions.
pub(crate) fn handle_name(handle: Handle) -> Name {
    Name::truncated(&handle.0.to_be_bytes())
}
