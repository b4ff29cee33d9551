//! Attestation structures (Part 2, 10.12): what the TPM signs about itself.

use super::pcr::PcrSelections;
use super::{ClockInfo, Data, MaxNvBuffer, TimeInfo};
use crate::bytes::{Bytes, Digest};
use crate::handle::Name;
use crate::marshal::{Marshal, Sink};

/// TPM_GENERATED_VALUE: what an external signer may not make a restricted key sign.
pub(crate) const GENERATED_VALUE: u32 = 0xFF54_4347;

/// TPM2B_ATTEST.
pub(crate) type AttestData = Bytes<2304>;

/// TPMU_ATTEST (Part 2, 10.12.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attested {
    Nv {
        index_name: Name,
        offset: u16,
        contents: Box<MaxNvBuffer>,
    },
    CommandAudit {
        audit_counter: u64,
        digest_alg: u16,
        audit_digest: Digest,
        command_digest: Digest,
    },
    SessionAudit {
        exclusive: bool,
        session_digest: Digest,
    },
    Certify {
        name: Name,
        qualified_name: Name,
    },
    Quote {
        selections: PcrSelections,
        pcr_digest: Digest,
    },
    Time {
        time: TimeInfo,
        firmware_version: u64,
    },
    Creation {
        object_name: Name,
        creation_hash: Digest,
    },
    NvDigest {
        index_name: Name,
        nv_digest: Digest,
    },
}

impl Attested {
    /// The TPM_ST of the structure.
    const fn tag(&self) -> u16 {
        match self {
            Self::Nv { .. } => 0x8014,
            Self::CommandAudit { .. } => 0x8015,
            Self::SessionAudit { .. } => 0x8016,
            Self::Certify { .. } => 0x8017,
            Self::Quote { .. } => 0x8018,
            Self::Time { .. } => 0x8019,
            Self::Creation { .. } => 0x801A,
            Self::NvDigest { .. } => 0x801C,
        }
    }
}

/// TPMS_ATTEST (Part 2, 10.12.12).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attest {
    pub(crate) qualified_signer: Name,
    pub(crate) extra_data: Data,
    pub(crate) clock_info: ClockInfo,
    pub(crate) firmware_version: u64,
    pub(crate) attested: Attested,
}

impl Marshal for Attest {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let Self {
            qualified_signer,
            extra_data,
            clock_info,
            firmware_version,
            attested,
        } = self;
        GENERATED_VALUE.marshal(sink);
        attested.tag().marshal(sink);
        qualified_signer.marshal(sink);
        extra_data.marshal(sink);
        clock_info.marshal(sink);
        firmware_version.marshal(sink);
        match attested {
            Attested::Nv {
                index_name,
                offset,
                contents,
            } => {
                index_name.marshal(sink);
                offset.marshal(sink);
                contents.marshal(sink);
            }
            Attested::CommandAudit {
                audit_counter,
                digest_alg,
                audit_digest,
                command_digest,
            } => {
                audit_counter.marshal(sink);
                digest_alg.marshal(sink);
                audit_digest.marshal(sink);
                command_digest.marshal(sink);
            }
            Attested::SessionAudit {
                exclusive,
                session_digest,
            } => {
                exclusive.marshal(sink);
                session_digest.marshal(sink);
            }
            Attested::Certify { name, qualified_name } => {
                name.marshal(sink);
                qualified_name.marshal(sink);
            }
            Attested::Quote { selections, pcr_digest } => {
                selections.marshal(sink);
                pcr_digest.marshal(sink);
            }
            Attested::Time { time, firmware_version } => {
                time.marshal(sink);
                firmware_version.marshal(sink);
            }
            Attested::Creation {
                object_name,
                creation_hash,
            } => {
                object_name.marshal(sink);
                creation_hash.marshal(sink);
            }
            Attested::NvDigest { index_name, nv_digest } => {
                index_name.marshal(sink);
                nv_digest.marshal(sink);
            }
        }
    }
}
