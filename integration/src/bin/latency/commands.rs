//! The commands that are measured.

use anyhow::Result;
use integration::answer;
use integration::build::{self, Call, Public};
use integration::codes::{alg, cap, curve, na, oa, rh};

use super::paths::Path;

/// A command that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Operation {
    GetRandom,
    PcrRead,
    PcrExtend,
    GetCapability,
    ReadClock,
    Hash,
    NvRead,
    NvWrite,
    Unseal,
    EcdsaSign,
    Quote,
    RsaSign,
    EccPrimary,
    /// A template that the TPM has not seen.
    NewRsaPrimary,
    /// The same template again.
    SameRsaPrimary,
}

/// How long a command takes, roughly: how often it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cost {
    Microseconds,
    Milliseconds,
    Seconds,
}

const INDEX: u32 = 0x0180_0001;
const INDEX_SIZE: u16 = 64;

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GetRandom => "GetRandom",
            Self::PcrRead => "PCR_Read",
            Self::PcrExtend => "PCR_Extend",
            Self::GetCapability => "GetCapability",
            Self::ReadClock => "ReadClock",
            Self::Hash => "Hash 1 KiB",
            Self::NvRead => "NV_Read",
            Self::NvWrite => "NV_Write",
            Self::Unseal => "Unseal",
            Self::EcdsaSign => "Sign ECDSA P-256",
            Self::Quote => "Quote ECDSA P-256",
            Self::RsaSign => "Sign RSA-2048",
            Self::EccPrimary => "CreatePrimary P-256",
            Self::NewRsaPrimary => "CreatePrimary RSA-2048, new template",
            Self::SameRsaPrimary => "CreatePrimary RSA-2048, same template",
        }
    }

    const fn cost(self) -> Cost {
        match self {
            Self::GetRandom
            | Self::PcrRead
            | Self::PcrExtend
            | Self::GetCapability
            | Self::ReadClock
            | Self::Hash
            | Self::NvRead
            | Self::Unseal => Cost::Microseconds,
            Self::NvWrite | Self::EcdsaSign | Self::Quote | Self::EccPrimary | Self::RsaSign => Cost::Milliseconds,
            Self::NewRsaPrimary | Self::SameRsaPrimary => Cost::Seconds,
        }
    }

    /// Whether the way to the TPM is most of what it takes: what the latency is measured by.
    pub(crate) fn is_cheap(self) -> bool {
        self.cost() == Cost::Microseconds || self.is_durable()
    }

    /// Whether it answers when what it changes is durable.
    pub(crate) fn is_durable(self) -> bool {
        self == Self::NvWrite
    }

    /// How often the command is measured where a quick one is measured so often.
    pub(crate) fn rounds(self, quick: u32) -> u32 {
        let rounds = match self.cost() {
            Cost::Microseconds => quick,
            Cost::Milliseconds => quick / 8,
            Cost::Seconds => quick / 200,
        };
        rounds.max(3)
    }

    /// Makes what the command needs; returns the handle that it is used with.
    pub(crate) fn prepare(self, path: &mut Path) -> Result<u32> {
        match self {
            Self::NvRead | Self::NvWrite => {
                let attributes = na::OWNERWRITE | na::OWNERREAD | na::NO_DA;
                let public = build::nv_public(INDEX, alg::SHA256, attributes, &[], INDEX_SIZE);
                path.ok(&build::nv_define_space(rh::OWNER, &[], &public))?;
                path.ok(&Self::NvWrite.call(INDEX, 0))?;
                Ok(INDEX)
            }
            Self::Unseal => {
                let parent = answer::handle(&path.ok(&build::owner_primary(&Public::ecc_parent()))?)?;
                let sealed = Public::sealed().set(oa::NO_DA).bytes();
                let sensitive = build::sensitive_create(&[], &[7; 32]);
                let created = path.ok(&build::create(parent, &sensitive, &sealed, &[], &build::list32(&[])))?;
                let (private, public) = answer::created(&created)?;
                let object = answer::handle(&path.ok(&build::load(parent, private, public))?)?;
                path.ok(&build::flush_context(parent))?;
                Ok(object)
            }
            Self::EcdsaSign | Self::Quote => answer::handle(&path.ok(&build::owner_primary(&ecdsa_signer()))?),
            Self::RsaSign => {
                let signer = Public::rsa(2048, &[alg::RSASSA, alg::SHA256], oa::SIGN | oa::NO_DA);
                answer::handle(&path.ok(&build::owner_primary(&signer))?)
            }
            _ => Ok(rh::NULL),
        }
    }

    /// Removes what [`Self::prepare`] made.
    pub(crate) fn clean(self, path: &mut Path, handle: u32) -> Result<()> {
        match self {
            Self::NvRead | Self::NvWrite => path.ok(&build::nv_undefine_space(rh::OWNER, handle)).map(drop),
            Self::Unseal | Self::EcdsaSign | Self::Quote | Self::RsaSign => {
                path.ok(&build::flush_context(handle)).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// The command; other rounds are other templates and data.
    pub(crate) fn call(self, handle: u32, round: u32) -> Call {
        match self {
            Self::GetRandom => build::get_random(32),
            Self::PcrRead => build::pcr_read(&build::pcrs(alg::SHA256, &[0, 1, 2, 3])),
            Self::PcrExtend => build::pcr_extend(16, &build::digest_values(&[(alg::SHA256, &[7; 32])])),
            Self::GetCapability => build::get_capability(cap::TPM_PROPERTIES, 0x100, 64),
            Self::ReadClock => build::read_clock(),
            Self::Hash => build::hash(&[7; 1024], alg::SHA256, rh::NULL),
            Self::NvRead => build::nv_read(rh::OWNER, handle, INDEX_SIZE, 0),
            Self::NvWrite => build::nv_write(rh::OWNER, handle, &[round as u8; INDEX_SIZE as usize], 0),
            Self::Unseal => build::unseal(handle),
            Self::EcdsaSign | Self::RsaSign => build::sign(handle, &[7; 32], &build::null(), &build::no_hash_check()),
            Self::Quote => {
                let pcrs = build::pcrs(alg::SHA256, &[0, 1, 2, 3, 4, 5, 6, 7]);
                build::quote(handle, &[7; 32], &build::null(), &pcrs)
            }
            Self::EccPrimary => build::owner_primary(&ecdsa_signer()),
            Self::NewRsaPrimary => build::rsa_primary(2048, &round.to_be_bytes()),
            Self::SameRsaPrimary => build::rsa_primary(2048, b"same"),
        }
    }

    /// The object that a response made, which has to be flushed.
    pub(crate) fn made(self, response: &[u8]) -> Result<Option<u32>> {
        match self {
            Self::EccPrimary | Self::NewRsaPrimary | Self::SameRsaPrimary => answer::handle(response).map(Some),
            _ => Ok(None),
        }
    }
}

fn ecdsa_signer() -> Public {
    Public::ecc(curve::P256, &[alg::ECDSA, alg::SHA256], oa::SIGN | oa::NO_DA)
}
