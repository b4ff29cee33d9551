//! Hand-written scenarios: what each command does, and each error that it can answer with.
//!
//! A scenario is told to one TPM; the answers are not judged here but compared with those of another TPM that was told
//! the same. Only where a scenario would lose its point does it insist on success or failure.

mod asymmetric;
mod attestation;
mod capability;
mod context;
pub mod crossing;
mod hierarchy;
mod loading;
mod nv;
mod objects;
mod pcr;
mod policy;
mod policy_use;
mod sequences;
mod sessions;
mod startup;
mod table;
mod x509;

use anyhow::Result;

use crate::build::{self, Call, Public};
use crate::client::{Answer, Tpm};
use crate::codes::{oa, rh};
use crate::keys::Key;
use crate::wire::Out;

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name: family and what it is about.
    pub name: &'static str,
    /// What it does with a TPM fresh from `_TPM_Init`.
    pub run: fn(&mut Tpm) -> Result<()>,
}

macro_rules! scenarios {
    ($($family:ident::{$($name:ident),* $(,)?})*) => {
        /// All of them.
        pub const ALL: &[Scenario] = &[$($(Scenario {
            name: concat!(stringify!($family), "::", stringify!($name)),
            run: $family::$name,
        },)*)*];
    };
}

scenarios! {
    startup::{before_startup, resets, restarts_and_resumes, shutdowns}
    capability::{lists, properties, ends_of_lists, self_tests, random_and_hash, parameters, curves}
    pcr::{banks, extend, events, resets, values_and_policies, allocate, localities}
    sequences::{hmac, sequences, events}
    sessions::{starting, slots, hmac_authorization, passwords, encryption, audit, roles}
    policy::{simple_assertions, hashes, templates, or_and_pcr, nv, counter_timer_and_capability}
    policy_use::{secret, signed, tickets, authorize, enforcement}
    context::{objects, slots, sessions, persistent}
    objects::{primaries, primary_parameters, rsa_primaries, creating, deriving}
    loading::{loading, external_objects, tdes_keys}
    asymmetric::{signing, verifying, rsa, ecdh, ciphers, commits}
    attestation::{quotes, certifying, credentials, duplication}
    x509::{certificates, malformed, uses}
    nv::{defining, ordinary, types, locks, authorization, certifying}
    hierarchy::{control, auth_values, clearing, dictionary_attack, clocks, settings}
    table::{bare_headers, handles, headers}
}

/// TPM2_Startup(CLEAR).
fn startup(tpm: &mut Tpm) -> Result<()> {
    tpm.step("startup");
    tpm.ok(build::startup(0)).map(drop)
}

/// TPM2_CreatePrimary with nothing unusual about it.
fn primary(hierarchy: u32, auth: &[u8], data: &[u8], public: &Public) -> Call {
    build::create_primary(
        hierarchy,
        &build::sensitive_create(auth, data),
        &public.bytes(),
        &[],
        &build::pcrs(0, &[]),
    )
}

/// TPM2_Create with nothing unusual about it.
fn create(parent: u32, auth: &[u8], data: &[u8], public: &Public) -> Call {
    build::create(
        parent,
        &build::sensitive_create(auth, data),
        &public.bytes(),
        &[],
        &build::pcrs(0, &[]),
    )
}

/// An ECC storage key under the owner hierarchy.
fn storage(tpm: &mut Tpm) -> Result<u32> {
    Ok(tpm.ok(primary(rh::OWNER, &[], &[], &Public::ecc_parent()))?.handle)
}

/// The private and public areas that TPM2_Create answered.
fn created(answer: &Answer) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut input = answer.read();
    Ok((input.b2()?.to_vec(), input.b2()?.to_vec()))
}

/// Creates and loads an object.
fn child(tpm: &mut Tpm, parent: u32, auth: &[u8], data: &[u8], public: &Public) -> Result<u32> {
    let (private, public) = created(&tpm.ok(create(parent, auth, data, public))?)?;
    Ok(tpm.ok(build::load(parent, &private, &public))?.handle)
}

/// Loads a known key into the null hierarchy.
fn external(key: &Key) -> Call {
    build::load_external(&key.sensitive, &key.public.bytes(), rh::NULL)
}

/// Brings in a known key: a restricted one as a child of this parent, others into the null hierarchy.
fn known(tpm: &mut Tpm, parent: u32, key: &Key) -> Result<u32> {
    if key.public.attributes & oa::RESTRICTED == 0 {
        return Ok(tpm.ok(external(key))?.handle);
    }
    let (public, duplicate) = (key.public.bytes(), Out::new().b2(&key.sensitive).0);
    let private = tpm
        .ok(build::import(parent, &[], &public, &duplicate, &[], &build::null()))?
        .first()?;
    Ok(tpm.ok(build::load(parent, &private, &public))?.handle)
}

/// Loads a known key's public area into a hierarchy.
fn external_public(key: &Key, hierarchy: u32) -> Call {
    build::load_external(&[], &key.public.bytes(), hierarchy)
}

/// Flushes objects or sessions.
fn flush(tpm: &mut Tpm, handles: &[u32]) -> Result<()> {
    for handle in handles {
        tpm.ok(build::flush_context(*handle))?;
    }
    Ok(())
}
