//! The commands that are measured.

use std::time::Duration;

use anyhow::{Context, Result};
use integration::answer;
use integration::build::{self, Call, Public};
use integration::codes::{alg, cap, curve, na, oa, rh};

use super::targets::{
    BANKS, CHEAP, CURVE, CURVE_KEY, RSA_2048, RSA_3072, RSA_CREATE, RSA_KEPT, RSA_POOL, RSA_PRIVATE, RSA_PUBLIC,
    SELF_TEST, Target,
};
use super::tpms::Tpm;

/// How long a command takes, roughly: how often it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cost {
    Microseconds,
    Milliseconds,
    /// RSA keys: they take very different times.
    Search,
    /// RSA keys whose median, divided into libtpms', is near what is wanted: of 160 each the quotient is off by 7 %, of
    /// 800 by 3 %.
    ManySearches,
}

/// What is left after a command besides its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Nothing,
    /// An object or session, which is flushed.
    Handle,
    /// A TPM that goes idle, and prepares for the next command.
    Idle,
}

/// A command that is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    cost: Cost,
    leaves: Leaves,
    /// Makes what the command needs: handles, the first of which is [`Case::call`]'s.
    pub(crate) prepare: fn(&mut Tpm) -> Result<Vec<u32>>,
    /// The command, given the first handle; other rounds are other templates and data.
    call: fn(u32, u32) -> Call,
}

impl Case {
    /// How often the command is measured where a quick one is measured so often.
    pub(crate) fn rounds(&self, quick: u32) -> u32 {
        let rounds = match self.cost {
            Cost::Microseconds => quick,
            Cost::Milliseconds => quick / 20,
            Cost::Search => (quick / 40).max(30),
            Cost::ManySearches => (quick / 5).max(160),
        };
        rounds.max(4)
    }

    /// Whether instructions are worth counting: there are no numbers to be searched for.
    pub(crate) fn is_quick(&self) -> bool {
        self.cost == Cost::Microseconds
    }

    /// Runs the command once; how long it took.
    pub(crate) fn run(&self, tpm: &mut Tpm, handles: &[u32], round: u32) -> Result<Duration> {
        let handle = handles.first().copied().unwrap_or(rh::NULL);
        let (time, response) = tpm.run(&(self.call)(handle, round)).context(self.name)?;
        match self.leaves {
            Leaves::Nothing => {}
            Leaves::Handle => {
                let handle = answer::handle(response)?;
                tpm.forget(handle)?;
            }
            Leaves::Idle => tpm.idle(),
        }
        Ok(time)
    }
}

const INDEX: u32 = 0x0180_0001;
const INDEX_SIZE: u16 = 64;
const DIGEST: [u8; 32] = [7; 32];
/// TPM_CC_Unseal.
const UNSEAL: u32 = 0x15E;

macro_rules! cases {
    ($($target:ident $name:literal, $cost:ident, $leaves:ident, $prepare:expr, $call:expr;)*) => {
        /// All of them.
        pub(crate) static CASES: &[Case] = &[$(Case {
            name: $name,
            target: $target,
            cost: Cost::$cost,
            leaves: Leaves::$leaves,
            prepare: $prepare,
            call: $call,
        }),*];
    };
}

cases! {
    CHEAP "GetRandom 32", Microseconds, Nothing, nothing, |_, _| build::get_random(32);
    CHEAP "PCR_Read", Microseconds, Nothing, nothing, |_, _| build::pcr_read(&build::pcrs(alg::SHA256, &[0, 1, 2, 3]));
    CHEAP "PCR_Extend", Microseconds, Nothing, nothing,
        |_, _| build::pcr_extend(16, &build::digest_values(&[(alg::SHA256, &DIGEST)]));
    CHEAP "ReadClock", Microseconds, Nothing, nothing, |_, _| build::read_clock();
    CHEAP "GetCapability", Microseconds, Nothing, nothing, |_, _| build::get_capability(cap::TPM_PROPERTIES, 0x100, 64);
    CHEAP "GetCapability, algorithms", Microseconds, Nothing, nothing, |_, _| build::get_capability(cap::ALGS, 0, 64);
    CHEAP "StirRandom", Microseconds, Nothing, nothing, |_, _| build::stir_random(&DIGEST);
    CHEAP "SequenceUpdate 1 KiB", Microseconds, Nothing,
        |tpm| Ok(vec![tpm.make(&build::hash_sequence_start(&[], alg::SHA256))?]),
        |sequence, _| build::sequence_update(sequence, &[7; 1024]);
    CHEAP "Hash 1 KiB", Microseconds, Nothing, nothing, |_, _| build::hash(&[7; 1024], alg::SHA256, rh::NULL);
    CHEAP "StartAuthSession", Microseconds, Handle, nothing, |_, _| session();
    CHEAP "PolicyPCR", Microseconds, Nothing, policy,
        |session, _| build::policy_pcr(session, &[], &build::pcrs(alg::SHA256, &[0, 1, 2, 3]));
    CHEAP "PolicySecret", Microseconds, Nothing, policy,
        |session, _| build::policy_secret(rh::OWNER, session, &[], &[], &[], 0);
    CHEAP "PolicyCommandCode", Microseconds, Nothing, policy,
        |session, _| build::policy_command_code(session, UNSEAL);
    CHEAP "PolicyGetDigest", Microseconds, Nothing, policy, |session, _| build::policy_get_digest(session);
    CHEAP "NV_Read", Microseconds, Nothing, index, |index, _| build::nv_read(rh::OWNER, index, INDEX_SIZE, 0);
    CHEAP "NV_Write", Microseconds, Nothing, index, write;
    CHEAP "NV_Increment", Microseconds, Nothing, counter, |index, _| build::nv_increment(rh::OWNER, index);
    CHEAP "NV_ReadPublic", Microseconds, Nothing, index, |index, _| build::nv_read_public(index);
    CHEAP "ReadPublic", Microseconds, Nothing, ecdsa_key, |key, _| build::read_public(key);
    CHEAP "HMAC 1 KiB", Microseconds, Nothing, |tpm| primary(tpm, &Public::hmac_key(alg::SHA256)),
        |key, _| build::hmac(key, &[7; 1024], alg::NULL);
    CHEAP "EncryptDecrypt2 1 KiB", Microseconds, Nothing,
        |tpm| primary(tpm, &Public::symmetric(alg::AES, 128, alg::CFB)),
        |key, _| build::encrypt_decrypt2(key, &[7; 1024], 0, alg::NULL, &[0; 16]);
    CHEAP "ContextSave", Microseconds, Nothing, ecdsa_key, |key, _| build::context_save(key);
    CHEAP "Unseal", Microseconds, Nothing, sealed, |sealed, _| build::unseal(sealed);
    CHEAP "Create sealed data", Milliseconds, Nothing, parent, |parent, _| {
        let sensitive = build::sensitive_create(&[], &DIGEST);
        build::create(parent, &sensitive, &Public::sealed().bytes(), &[], &build::list32(&[]))
    };
    BANKS "PCR_Event 1 KiB", Microseconds, Nothing, nothing, |_, _| build::pcr_event(16, &[7; 1024]);
    CURVE_KEY "CreatePrimary P-256", Milliseconds, Handle, nothing, |_, _| primary_call(&ecdsa_public());
    CURVE "Create P-256", Milliseconds, Nothing, parent,
        |parent, _| create(parent, &Public::ecc(curve::P256, &[alg::NULL], oa::SIGN));
    CURVE_KEY "Sign ECDSA P-256", Milliseconds, Nothing, ecdsa_key, |key, _| sign(key);
    CURVE "Quote ECDSA P-256", Milliseconds, Nothing, ecdsa_key,
        |key, _| build::quote(key, &DIGEST, &build::null(), &build::pcrs(alg::SHA256, &[0, 1, 2, 3, 4, 5, 6, 7]));
    CURVE "ECDH_KeyGen P-256", Milliseconds, Nothing,
        |tpm| primary(tpm, &Public::ecc(curve::P256, &[alg::NULL], oa::DECRYPT)), |key, _| build::ecdh_keygen(key);
    CURVE "Certify P-256", Milliseconds, Nothing, ecdsa_key, |key, _| build::certify(key, key, &DIGEST, &build::null());
    RSA_PRIVATE "Sign RSA-2048", Milliseconds, Nothing,
        |tpm| primary(tpm, &Public::rsa(2048, &[alg::RSASSA, alg::SHA256], oa::SIGN)), |key, _| sign(key);
    RSA_PRIVATE "RSA_Decrypt 2048", Milliseconds, Nothing, rsa_key, |key, _| {
        // As a number it is less than any modulus.
        let mut cipher = [7; 256];
        cipher[0] = 0;
        build::rsa_decrypt(key, &cipher, &build::null(), &[])
    };
    RSA_PUBLIC "RSA_Encrypt 2048", Milliseconds, Nothing, rsa_key,
        |key, _| build::rsa_encrypt(key, &DIGEST, &build::scheme(&[alg::OAEP, alg::SHA256]), &[]);
    RSA_2048 "CreatePrimary RSA-2048, new template", ManySearches, Handle, nothing, |_, round| rsa_primary(2048, round);
    RSA_KEPT "CreatePrimary RSA-2048, same template", Milliseconds, Handle, nothing, |_, _| rsa_primary(2048, 7);
    RSA_3072 "CreatePrimary RSA-3072, new template", Search, Handle, nothing, |_, round| rsa_primary(3072, round);
    RSA_CREATE "Create RSA-2048", Search, Nothing, parent, |parent, _| create(parent, &rsa_public());
    RSA_POOL "Create RSA-2048, after a pause", Search, Idle, parent, |parent, _| create(parent, &rsa_public());
    SELF_TEST "SelfTest, full", Search, Nothing, nothing, |_, _| build::self_test(1);
}

fn nothing(_: &mut Tpm) -> Result<Vec<u32>> {
    Ok(Vec::new())
}

fn session() -> Call {
    const POLICY: u8 = 1;
    build::start_auth_session(rh::NULL, rh::NULL, &[7; 16], &[], POLICY, &build::null(), alg::SHA256)
}

fn policy(tpm: &mut Tpm) -> Result<Vec<u32>> {
    Ok(vec![tpm.make(&session())?])
}

fn write(index: u32, round: u32) -> Call {
    let [.., low] = round.to_be_bytes();
    build::nv_write(rh::OWNER, index, &[low; INDEX_SIZE as usize], 0)
}

fn index(tpm: &mut Tpm) -> Result<Vec<u32>> {
    let attributes = na::OWNERWRITE | na::OWNERREAD | na::NO_DA;
    let public = build::nv_public(INDEX, alg::SHA256, attributes, &[], INDEX_SIZE);
    tpm.ok(&build::nv_define_space(rh::OWNER, &[], &public))?;
    tpm.ok(&write(INDEX, 0))?;
    Ok(vec![INDEX])
}

fn counter(tpm: &mut Tpm) -> Result<Vec<u32>> {
    let attributes = na::OWNERWRITE | na::OWNERREAD | na::NO_DA | na::COUNTER;
    let public = build::nv_public(INDEX, alg::SHA256, attributes, &[], 8);
    tpm.ok(&build::nv_define_space(rh::OWNER, &[], &public))?;
    Ok(vec![INDEX])
}

fn primary_call(public: &Public) -> Call {
    build::owner_primary(&public.clone().set(oa::NO_DA))
}

fn primary(tpm: &mut Tpm, public: &Public) -> Result<Vec<u32>> {
    Ok(vec![tpm.make(&primary_call(public))?])
}

fn parent(tpm: &mut Tpm) -> Result<Vec<u32>> {
    primary(tpm, &Public::ecc_parent())
}

fn ecdsa_public() -> Public {
    Public::ecc(curve::P256, &[alg::ECDSA, alg::SHA256], oa::SIGN)
}

fn ecdsa_key(tpm: &mut Tpm) -> Result<Vec<u32>> {
    primary(tpm, &ecdsa_public())
}

fn rsa_public() -> Public {
    Public::rsa(2048, &[alg::NULL], oa::SIGN | oa::DECRYPT)
}

fn rsa_key(tpm: &mut Tpm) -> Result<Vec<u32>> {
    primary(tpm, &rsa_public())
}

fn rsa_primary(bits: u16, template: u32) -> Call {
    build::rsa_primary(bits, &template.to_be_bytes())
}

fn create(parent: u32, public: &Public) -> Call {
    let sensitive = build::sensitive_create(&[], &[]);
    build::create(parent, &sensitive, &public.bytes(), &[], &build::list32(&[]))
}

/// A sealed object, then its parent.
fn sealed(tpm: &mut Tpm) -> Result<Vec<u32>> {
    let parent = tpm.make(&primary_call(&Public::ecc_parent()))?;
    let sensitive = build::sensitive_create(&[], &DIGEST);
    let public = Public::sealed().set(oa::NO_DA).bytes();
    let created = tpm.ok(&build::create(parent, &sensitive, &public, &[], &build::list32(&[])))?;
    let (private, public) = answer::created(&created)?;
    let object = tpm.make(&build::load(parent, private, public))?;
    Ok(vec![object, parent])
}

fn sign(key: u32) -> Call {
    build::sign(key, &DIGEST, &build::null(), &build::no_hash_check())
}
