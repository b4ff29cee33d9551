//! NV index structures (Part 2, 13).

use super::attributes::NvAttributes;
use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::handle::{Handle, HandleKind, Name, name_of};
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::rc::{Rc, RcResult};

/// Largest NV index in bytes (TPM_PT_NV_INDEX_MAX).
pub(crate) const MAX_NV_INDEX_SIZE: u16 = 2048;

/// TPM_NT (Part 2, 13.2): what an NV index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum NvKind {
    Ordinary = 0,
    Counter = 1,
    Bits = 2,
    Extend = 4,
    PinFail = 8,
    PinPass = 9,
}

impl NvAttributes {
    const KIND_SHIFT: u32 = 4;
    const KIND_MASK: u32 = 0xF0;

    /// The index' type; `None` for values without a meaning.
    pub(crate) const fn kind(self) -> Option<NvKind> {
        Some(match (self.0 & Self::KIND_MASK) >> Self::KIND_SHIFT {
            0 => NvKind::Ordinary,
            1 => NvKind::Counter,
            2 => NvKind::Bits,
            4 => NvKind::Extend,
            8 => NvKind::PinFail,
            9 => NvKind::PinPass,
            _ => return None,
        })
    }
}

/// TPMI_RH_NV_INDEX as a structure's field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NvIndexHandle(pub(crate) Handle);

impl Unmarshal<'_> for NvIndexHandle {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        HandleKind::NvIndex.read(reader).map(Self)
    }
}

impl Marshal for NvIndexHandle {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.0.marshal(sink);
    }
}

/// The size of an NV index: TPM_RC_SIZE beyond [`MAX_NV_INDEX_SIZE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NvSize(pub(crate) u16);

impl Unmarshal<'_> for NvSize {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let size = reader.read()?;
        if size > MAX_NV_INDEX_SIZE {
            Err(Rc::SIZE)
        } else {
            Ok(Self(size))
        }
    }
}

impl Marshal for NvSize {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.0.marshal(sink);
    }
}

crate::marshal::structure! {
    /// TPMS_NV_PUBLIC (Part 2, 13.5).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct NvPublic {
        pub(crate) index: NvIndexHandle,
        pub(crate) name_alg: HashAlg,
        pub(crate) attributes: NvAttributes,
        pub(crate) auth_policy: Digest,
        pub(crate) data_size: NvSize,
    }
}

impl NvPublic {
    /// The index' Name (Part 1, 16).
    pub(crate) fn name(&self) -> Name {
        name_of(self.name_alg, self)
    }
}

/// TPMT_NV_PUBLIC_2 (Part 2, 13.9): a public area behind the type of its handle. There is one type: this TPM has no
/// external NV and no permanent indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NvPublic2(pub(crate) NvPublic);

impl NvPublic2 {
    /// TPM_HT_NV_INDEX.
    const NV_INDEX: u8 = 0x01;
}

impl Unmarshal<'_> for NvPublic2 {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        match reader.read()? {
            Self::NV_INDEX => reader.read().map(Self),
            _ => Err(Rc::SELECTOR),
        }
    }
}

impl Marshal for NvPublic2 {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        Self::NV_INDEX.marshal(sink);
        self.0.marshal(sink);
    }
}
