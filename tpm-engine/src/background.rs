//! Work for when no command runs: the self-tests that take longer, deriving the primary keys that nearly every guest
//! asks for, and filling the pool of RSA key pairs.
//!
//! The engine has no threads. The host asks for a [`Job`], runs it without holding on to the TPM, at the lowest priority
//! and on any thread, and hands what came of it back. A TPM whose host never does so works all the same.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use zeroize::Zeroizing;

use crate::bytes::{Bytes, Digest};
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::rsa::RsaPrivate;
use crate::crypto::self_test::{self, SelfTest};
use crate::handle::Hierarchy;
use crate::keys::creation::{Created, create};
use crate::keys::derive::Stream;
use crate::keys::kept::KeptPrimary;
use crate::marshal::Reader;
use crate::state::persistent::SEED_SIZE;
use crate::tpm::{Phase, Tpm};
use crate::types::public::Public;
use crate::types::sensitive::SensitiveCreate;

/// Something that takes long and that a command would otherwise have to wait for. Holds secrets; wiped when dropped.
pub struct Job(Work);

enum Work {
    SelfTest(&'static [SelfTest]),
    KeyPair { bits: u16, stream: HmacDrbg },
    Primary(Box<Primary>),
}

struct Primary {
    hierarchy: Hierarchy,
    id: Digest,
    template: Public,
    stream: HmacDrbg,
    binding: Zeroizing<Bytes<SEED_SIZE>>,
}

/// What came of a [`Job`]. Holds secrets; wiped when dropped.
pub struct Outcome(Made);

enum Made {
    SelfTest(Result<(), &'static str>),
    KeyPair(RsaPrivate),
    Primary {
        hierarchy: Hierarchy,
        id: Digest,
        template: Public,
        created: Box<Created>,
    },
}

impl std::fmt::Display for Outcome {
    /// What was done, for a log; no secret of it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Made::SelfTest(Ok(())) => write!(f, "RSA and elliptic curves tested"),
            Made::SelfTest(Err(failed)) => write!(f, "{failed}"),
            Made::KeyPair(key) => write!(f, "RSA key pair of {} bits made", key.size().saturating_mul(8)),
            Made::Primary { hierarchy, .. } => write!(f, "primary key of the {hierarchy:?} hierarchy derived"),
        }
    }
}

impl Job {
    /// Does the work; `None` if `cancel` was set before it was done.
    #[must_use]
    pub fn run(self, cancel: &AtomicBool) -> Option<Outcome> {
        match self.0 {
            Work::SelfTest(tests) => Some(Outcome(Made::SelfTest(self_test::before_use(tests)))),
            Work::KeyPair { bits, mut stream } => {
                let key = RsaPrivate::generate(bits, 0, &mut stream, cancel).ok()?;
                Some(Outcome(Made::KeyPair(key)))
            }
            Work::Primary(primary) => {
                let Primary {
                    hierarchy,
                    id,
                    template,
                    stream,
                    binding,
                } = *primary;
                let sensitive = SensitiveCreate::default();
                let stream = Stream::Primary(stream);
                let created = create(template.clone(), &sensitive, stream, &binding, cancel).ok()?;
                Some(Outcome(Made::Primary {
                    hierarchy,
                    id,
                    template,
                    created: Box::new(created),
                }))
            }
        }
    }
}

impl Tpm {
    /// Whether there may be a job: cheap enough to be asked after every command.
    #[must_use]
    pub fn job_is_due(&self) -> bool {
        !matches!(self.phase, Phase::Failed(_))
            && (!self.keys_tested || !self.standard_primaries_are_kept() || self.pool.short().is_some())
    }

    /// The most useful job that is left. Whoever takes one runs it and calls [`Tpm::finish`] before taking another.
    #[must_use]
    pub fn next_job(&mut self) -> Option<Job> {
        if !self.job_is_due() {
            return None;
        }
        if !self.keys_tested {
            return Some(Job(Work::SelfTest(self.self_tests)));
        }
        if !self.standard_primaries_are_kept() {
            let missing = STANDARD.iter().find_map(|(hierarchy, template)| {
                let template = Reader::new(&template(), self.profile).read::<Public>().ok()?;
                self.primary_job(*hierarchy, template)
            });
            if missing.is_some() {
                return missing;
            }
            self.kept_for = Some(Arc::clone(&self.nv.hierarchies));
        }
        let bits = self.pool.short()?;
        let mut seed = Zeroizing::new([0; 48]);
        self.rng.generate(&[], &mut *seed);
        Some(Job(Work::KeyPair {
            bits,
            stream: HmacDrbg::new(&*seed, &[], b"RSA key pool"),
        }))
    }

    /// Takes over what came of a job, if it is still of use. Writes nothing.
    pub fn finish(&mut self, outcome: Outcome) {
        match outcome.0 {
            // Failure mode is all that comes of a failure here.
            Made::SelfTest(result) => drop(self.note_tested(result)),
            Made::KeyPair(key) => self.pool.put(key),
            Made::Primary {
                hierarchy,
                id,
                template,
                created,
            } => {
                // The seed may have been changed in the meantime.
                if self.kept_id(hierarchy, &template, &[]).as_ref() == Some(&id)
                    && let Some(key) = KeptPrimary::of(hierarchy, id, &created)
                {
                    self.nv.kept_mut().keep(key);
                }
            }
        }
    }

    /// Whether the standard primary keys were seen to be kept since the hierarchies last changed.
    fn standard_primaries_are_kept(&self) -> bool {
        let known = self.kept_for.as_ref();
        known.is_some_and(|known| Arc::ptr_eq(known, &self.nv.hierarchies))
    }

    /// The derivation of a primary key that is not kept yet.
    fn primary_job(&self, hierarchy: Hierarchy, template: Public) -> Option<Job> {
        let id = self.kept_id(hierarchy, &template, &[])?;
        if self.nv.kept().contains(&id) {
            return None;
        }
        Some(Job(Work::Primary(Box::new(Primary {
            hierarchy,
            id,
            stream: self.primary_stream(hierarchy, &template, &[]).ok()?,
            binding: self.seed_binding(hierarchy),
            template,
        }))))
    }
}

/// What makes a template, as a TPMT_PUBLIC.
type TemplateBytes = fn() -> Vec<u8>;

/// The primary keys of RSA that guests ask for by convention.
const STANDARD: &[(Hierarchy, TemplateBytes)] = &[
    (Hierarchy::Owner, storage_root_key),
    (Hierarchy::Endorsement, endorsement_key),
];

/// The head of an RSA template up to its attributes: RSA, SHA-256 for the Name.
const HEAD: &[u8] = b"\0\x01\0\x0b";
/// AES-128-CFB, no scheme, 2048 bits, the default exponent, and a unique field of 256 zeros.
const PARMS: &[u8] = b"\0\x06\0\x80\0\x43\0\x10\x08\0\0\0\0\0\x01\0";

/// The SRK of the TCG's TPM v2.0 Provisioning Guidance, 7.5.1: a storage parent free of dictionary-attack protection.
fn storage_root_key() -> Vec<u8> {
    [HEAD, b"\0\x03\x04\x72", b"\0\0", PARMS, &[0; 256]].concat()
}

/// The EK of the TCG's EK Credential Profile, template L-1: used under policy A, which is PolicySecret of the endorsement
/// hierarchy.
fn endorsement_key() -> Vec<u8> {
    const POLICY_A: &[u8] =
        b"\x83\x71\x97\x67\x44\x84\xb3\xf8\x1a\x90\xcc\x8d\x46\xa5\xd7\x24\xfd\x52\xd7\x6e\x06\x52\x0b\x64\
          \xf2\xa1\xda\x1b\x33\x14\x69\xaa";
    [HEAD, b"\0\x03\0\xb2", b"\0\x20", POLICY_A, PARMS, &[0; 256]].concat()
}

#[cfg(test)]
mod tests;
