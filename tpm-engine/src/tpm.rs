//! The TPM as its host sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::alg::HashAlg;
use crate::bytes::{Bytes, Digest};
use crate::commands::capability::properties;
use crate::countdown::Countdowns;
use crate::crypto::drbg::HmacDrbg;
use crate::crypto::hash::Hasher;
use crate::crypto::random::Random;
use crate::crypto::self_test::{self, SelfTest};
use crate::handle::{Handle, PCR_COUNT};
use crate::keys::pool::KeyPool;
use crate::object::Objects;
use crate::platform::{Clock, Entropy, EntropyError, NvStore, Platform, StoreError};
use crate::profile::{Profile, ProfileName};
use crate::rc::{Rc, RcResult};
use crate::session::Sessions;
use crate::state::Watched;
use crate::state::nv_memory::{LoadError, NvMemory};
use crate::state::orderly::{ClearState, ClockRecord, OrderlyNv, ResetState, StartOrigin};
use crate::state::pcr::PcrValues;
use crate::state::persistent::{
    AuthPolicy, CURRENT_DERIVATION, CommandAudit, CommandSet, Counters, DictionaryAttack, Hierarchies, HierarchyRecord,
    Management, PcrAllocation, Persistent, PrimarySeed, SEED_SIZE,
};
use crate::state::time::Timer;
use crate::types::pcr::PcrSelection;

/// Largest command in bytes (TPM_PT_MAX_COMMAND_SIZE, unless the host's buffer is smaller).
pub const MAX_COMMAND_SIZE: usize = 4096;
/// Largest response in bytes (TPM_PT_MAX_RESPONSE_SIZE, unless the host's buffer is smaller).
pub const MAX_RESPONSE_SIZE: usize = 4096;

/// Where a command came from: 0–4, or 32–255 for extended localities (Part 1, 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locality(u8);

impl Locality {
    /// Locality zero, where an operating system runs.
    pub const ZERO: Self = Self(0);

    /// A locality by its number; `None` for 5–31, which do not exist.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            5..=31 => None,
            n => Some(Self(n)),
        }
    }

    /// The locality's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Its bit in a mask of localities 0–4; 0 for extended ones.
    pub(crate) const fn bit(self) -> u8 {
        if self.0 < 5 { 1 << self.0 } else { 0 }
    }
}

/// Where a response is written: a buffer of [`MAX_RESPONSE_SIZE`] bytes that is reused from command to command.
pub struct ResponseBuffer {
    bytes: Box<[u8; MAX_RESPONSE_SIZE]>,
    len: usize,
}

impl Default for ResponseBuffer {
    fn default() -> Self {
        Self {
            bytes: Box::new([0; MAX_RESPONSE_SIZE]),
            len: 0,
        }
    }
}

impl ResponseBuffer {
    /// The response written last.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The whole buffer, to write a response into.
    pub(crate) fn buffer(&mut self) -> &mut [u8] {
        self.bytes.as_mut_slice()
    }

    /// Says how much of the buffer is the response.
    pub(crate) fn set_len(&mut self, len: usize) {
        self.len = len.min(MAX_RESPONSE_SIZE);
    }
}

/// What is decided once, when a TPM is made.
#[derive(Debug, Clone, Default)]
pub struct Manufacture {
    /// What the TPM has.
    pub profile: ProfileName,
}

/// Why a TPM could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The entropy source failed.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The store holds state that this program cannot read.
    #[error("the TPM state is damaged or of an unknown version: {0}")]
    State(String),
    /// The store holds no manufactured TPM.
    #[error("the store holds no TPM")]
    NotManufactured,
    /// The store holds a TPM already.
    #[error("the store already holds a TPM")]
    AlreadyManufactured,
}

impl From<LoadError> for StartError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Store(error) => Self::Store(error),
            LoadError::Empty => Self::NotManufactured,
            LoadError::Record(..) => Self::State(error.to_string()),
        }
    }
}

/// How far the TPM is on its way from `_TPM_Init` to operation (Part 1, 12.2.2 and 12.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No `_TPM_Init` yet: no power.
    Off,
    /// After `_TPM_Init`; TPM2_Startup must come next. Whether an H-CRTM measured before it.
    Initialized { hcrtm: bool },
    /// After TPM2_Startup.
    Started,
    /// An internal fault was found; the reason goes to the log and TPM2_GetTestResult.
    Failed(&'static str),
}

/// What the command that is running knows of its circumstances.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) locality: Locality,
    /// The command is not to be audited: it changed the hash of the command audit.
    pub(crate) unaudited: bool,
    /// A sequence that ends with this command: flushed when the response has been authorized with its value.
    pub(crate) flush_after: Option<Handle>,
}

/// One TPM.
pub struct Tpm {
    pub(crate) platform_clock: Box<dyn Clock>,
    pub(crate) entropy: Box<dyn Entropy>,
    pub(crate) cancel: Arc<std::sync::atomic::AtomicBool>,
    pub(crate) presence: Arc<std::sync::atomic::AtomicBool>,
    pub(crate) profile: &'static Profile,
    pub(crate) nv: NvMemory,
    pub(crate) phase: Phase,
    pub(crate) origin: StartOrigin,
    pub(crate) current: Current,
    pub(crate) rng: Random,
    pub(crate) timer: Timer,
    pub(crate) reset: Watched<ResetState>,
    pub(crate) clear: Watched<ClearState>,
    pub(crate) pcrs: Watched<PcrValues>,
    pub(crate) orderly_nv: Watched<OrderlyNv>,
    pub(crate) countdowns: Watched<Countdowns>,
    pub(crate) sessions: Sessions,
    pub(crate) objects: Objects,
    /// The session that alone has audited all commands since it became exclusive (Part 1, 32.3).
    pub(crate) exclusive_audit: Option<Handle>,
    /// Value of Time, in milliseconds, at which dictionary-attack self-healing last forgave a try.
    pub(crate) da_heal_since: i64,
    /// Value of Time, in milliseconds, at which the lockout authorization was blocked.
    pub(crate) da_lockout_since: i64,
    /// An `_TPM_Hash_*` sequence in progress.
    pub(crate) hash_sequence: Option<arrayvec::ArrayVec<Hasher, 8>>,
    /// tpmEstablished: a D-RTM sequence has run.
    pub(crate) established: bool,
    /// Bytes of the largest command and response that the host's interface carries.
    pub(crate) buffer_size: usize,
    /// TPM2_PCR_Allocate has run since `_TPM_Init`.
    pub(crate) pcr_reallocated: bool,
    /// The last start-up followed a TPM2_Shutdown, or was the first (TPMA_STARTUP_CLEAR orderly).
    pub(crate) orderly: bool,
    /// RSA key pairs for TPM2_Create and TPM2_CreateLoaded.
    pub(crate) pool: KeyPool,
    /// The hierarchies whose standard primary keys are kept, as far as is known.
    pub(crate) kept_for: Option<Arc<Hierarchies>>,
    /// The tests that TPM2_SelfTest runs.
    pub(crate) self_tests: &'static [SelfTest],
    /// RSA and elliptic curves were tested.
    pub(crate) keys_tested: bool,
}

impl Tpm {
    /// Makes a new TPM in an empty store (Part 1, 12.2.1: manufacture): new seeds, proofs and default values.
    ///
    /// # Errors
    /// When the store is not empty, or store or entropy fail.
    pub fn manufacture(mut platform: Platform, options: &Manufacture) -> Result<Self, StartError> {
        if !platform.store.load()?.is_empty() {
            return Err(StartError::AlreadyManufactured);
        }
        let profile = options.profile.newest();
        let mut rng = seeded_rng(platform.entropy.as_mut())?;
        let state = factory_state(&mut rng, profile);
        Self::assemble(platform, rng, |store| {
            Ok((NvMemory::create(store, profile, state)?, profile))
        })
    }

    /// Loads the TPM that the store holds.
    ///
    /// # Errors
    /// [`StartError::NotManufactured`] for an empty store; otherwise what is wrong with the state.
    pub fn load(mut platform: Platform) -> Result<Self, StartError> {
        let rng = seeded_rng(platform.entropy.as_mut())?;
        Self::assemble(platform, rng, |store| Ok(NvMemory::load(store)?))
    }

    /// A TPM without power on its host, with what `open` makes of the store and under the profile that it names.
    pub(crate) fn assemble(
        platform: Platform,
        mut rng: HmacDrbg,
        open: impl FnOnce(Box<dyn NvStore>) -> Result<(NvMemory, &'static Profile), StartError>,
    ) -> Result<Self, StartError> {
        let Platform {
            entropy,
            clock: mut platform_clock,
            store,
            cancel,
            physical_presence: presence,
        } = platform;
        let (nv, profile) = open(store)?;
        let timer = Timer::new(&nv.clock, platform_clock.as_mut());
        let reset = ResetState::new(&mut rng);
        let pcrs = PcrValues::new(&nv.pcr.banks);
        Ok(Self {
            platform_clock,
            entropy,
            cancel,
            presence,
            profile,
            nv,
            phase: Phase::Off,
            origin: StartOrigin::default(),
            current: Current {
                locality: Locality::ZERO,
                unaudited: false,
                flush_after: None,
            },
            rng: Random::new(rng),
            timer,
            reset: Watched::new(reset),
            clear: Watched::new(ClearState::default()),
            pcrs: Watched::new(pcrs),
            orderly_nv: Watched::new(OrderlyNv::default()),
            countdowns: Watched::new(Countdowns::default()),
            sessions: Sessions::default(),
            objects: Objects::default(),
            exclusive_audit: None,
            da_heal_since: 0,
            da_lockout_since: 0,
            hash_sequence: None,
            established: false,
            buffer_size: MAX_COMMAND_SIZE,
            pcr_reallocated: false,
            orderly: false,
            pool: KeyPool::default(),
            kept_for: None,
            self_tests: self_test::ALL,
            keys_tested: false,
        })
    }

    /// The name and edition of the profile under which the TPM was made.
    #[must_use]
    pub fn profile_name(&self) -> &'static str {
        self.profile.name
    }

    /// `_TPM_Init` (Part 3, 9.2): power-on or reset. The next command must be TPM2_Startup.
    pub fn power_on(&mut self) {
        self.nv.roll_back();
        self.timer.advance(self.platform_clock.as_mut());
        self.countdowns = Watched::new(self.countdowns.after_init(self.timer.time));
        self.forget();
        if let Err(name) = self_test::at_start() {
            self.phase = Phase::Failed(name);
            return;
        }
        self.phase = match seeded_rng(self.entropy.as_mut()) {
            Ok(rng) => {
                self.rng = Random::new(rng);
                Phase::Initialized { hcrtm: false }
            }
            Err(_) => Phase::Failed("the entropy source failed"),
        };
    }

    /// What no TPM knows any more after `_TPM_Init`.
    pub(crate) fn forget(&mut self) {
        self.timer = Timer::new(&self.nv.clock, self.platform_clock.as_mut());
        self.sessions = Sessions::default();
        self.objects.clear();
        self.exclusive_audit = None;
        self.hash_sequence = None;
        self.pcrs = Watched::new(PcrValues::new(&self.nv.pcr.banks));
        self.pcr_reallocated = false;
    }

    /// `_TPM_Hash_Start` (Part 3, 22.10): begins an H-CRTM event sequence before TPM2_Startup, a D-RTM one after it. Either
    /// sets tpmEstablished (PTP, TPM_ACCESS_x.tpmEstablishment), whatever comes of it.
    pub fn hash_start(&mut self) {
        if matches!(self.phase, Phase::Initialized { .. } | Phase::Started) {
            self.established = true;
            self.hash_sequence = Some(self.pcrs.banks.iter().map(|bank| Hasher::new(bank.alg)).collect());
        }
    }

    /// `_TPM_Hash_Data` (Part 3, 22.11): ignored outside of a sequence.
    pub fn hash_data(&mut self, data: &[u8]) {
        for hasher in self.hash_sequence.iter_mut().flatten() {
            hasher.update(data);
        }
    }

    /// `_TPM_Hash_End` (Part 3, 22.12): ignored outside of a sequence.
    pub fn hash_end(&mut self) {
        let Some(hashers) = self.hash_sequence.take() else {
            return;
        };
        let pcr = if self.phase == Phase::Started {
            // D-RTM: the dynamic PCR start from zero, and the sequence is measured into PCR 17 (PTP 4.6).
            for pcr in (0..PCR_COUNT).filter(|pcr| crate::state::pcr::attributes(*pcr).is_some_and(|a| a.drtm_reset)) {
                self.pcrs.change().fill(pcr, 0, 0);
            }
            17
        } else {
            // H-CRTM: PCR 0 starts from 4, the locality of the sequence (Part 1, 34.2.3).
            self.phase = Phase::Initialized { hcrtm: true };
            self.pcrs.change().fill(0, 0, 4);
            0
        };
        for hasher in hashers {
            let alg = hasher.alg();
            let digest = hasher.finish();
            self.pcrs.change().extend(alg, pcr, &digest);
            let reset = self.reset.change();
            reset.pcr_counter = reset.pcr_counter.wrapping_add(1);
        }
    }

    /// Sets the size of the buffer that the host's interface has for commands and for responses, at most
    /// [`MAX_COMMAND_SIZE`]: reported as TPM_PT_MAX_COMMAND_SIZE and TPM_PT_MAX_RESPONSE_SIZE, and a command that is
    /// larger is refused with TPM_RC_COMMAND_SIZE.
    pub fn set_buffer_size(&mut self, size: usize) {
        self.buffer_size = size.min(MAX_COMMAND_SIZE);
    }

    /// A property of TPM_PT_FIXED (Part 2, 6.13), for a host that describes its TPM.
    #[must_use]
    pub fn fixed_property(&self, property: u32) -> Option<u32> {
        properties::from(self, property)
            .next()
            .filter(|found| found.property == property)
            .map(|found| found.value)
    }

    /// The TPM established flag: true once an event sequence has begun (PC Client PTP, tpmEstablished).
    #[must_use]
    pub fn established(&self) -> bool {
        self.established
    }

    /// Clears the established flag; allowed from localities 3 and 4 only. Says whether it was allowed.
    pub fn reset_established(&mut self, locality: Locality) -> bool {
        let allowed = matches!(locality.number(), 3 | 4);
        self.established &= !allowed;
        allowed
    }

    /// The authenticated countdown timers that have signaled, TPM_RH_ACT_0 to TPM_RH_ACT_F, a bit each from bit 0 on
    /// (Part 1, 40). What a signal does, for example reset the machine, is the host's to decide.
    pub fn signaled_timers(&mut self) -> u16 {
        if self.phase == Phase::Started {
            self.timer.advance(self.platform_clock.as_mut());
        }
        self.countdowns.signaled(self.timer.time)
    }

    /// How long it takes until the next authenticated countdown timer signals; `None` while none runs. The rate of the TPM's
    /// clock can be off by a sixth (TPM2_ClockRateAdjust): ask again when that time is over.
    pub fn until_next_timer(&mut self) -> Option<Duration> {
        if self.phase == Phase::Started {
            self.timer.advance(self.platform_clock.as_mut());
        }
        self.countdowns.next(self.timer.time).map(Duration::from_millis)
    }

    /// Writes what is only written at an orderly stop of the host: nothing the guest was promised depends on it.
    ///
    /// # Errors
    /// When the store cannot commit.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        // Whoever goes on from volatile state that was stored has the clock in it.
        if self.phase != Phase::Off && self.nv.volatile.is_none() {
            self.timer.advance(self.platform_clock.as_mut());
            self.record_clock(true);
        }
        self.nv
            .write_all()
            .map_err(|_| StoreError("the clock could not be written at the orderly stop".to_owned()))
    }

    /// Stages the clock's NV copy; `exact`: no later value will be reported before power is lost.
    pub(crate) fn record_clock(&mut self, exact: bool) {
        let record = ClockRecord {
            clock: self.timer.clock,
            safe: self.timer.safe,
            exact,
        };
        if *self.nv.clock != record {
            self.nv.change().clock = Arc::new(record);
        }
        self.timer.renew_at = self
            .timer
            .clock
            .saturating_add(crate::state::time::CLOCK_UPDATE_INTERVAL);
    }

    /// Tests RSA and elliptic curves, unless that was done; TPM_RC_FAILURE and failure mode if a test fails.
    pub(crate) fn test_keys(&mut self) -> RcResult<()> {
        if !self.keys_tested {
            self.note_tested(self_test::before_use(self.self_tests))?;
        }
        Ok(())
    }

    /// Takes note of a test of RSA and elliptic curves.
    pub(crate) fn note_tested(&mut self, result: Result<(), &'static str>) -> RcResult<()> {
        self.keys_tested = true;
        result.map_err(|name| {
            self.fail(name);
            Rc::FAILURE
        })
    }

    /// Enters failure mode (Part 1, 12.4.3): only TPM2_GetTestResult and TPM2_GetCapability are answered from now on.
    pub(crate) fn fail(&mut self, reason: &'static str) {
        self.phase = Phase::Failed(reason);
    }

    /// Fresh random bytes of the TPM's own generator.
    pub(crate) fn random<const N: usize>(&mut self, len: usize) -> Bytes<N> {
        let mut out = Bytes::zeroed(len.min(N)).unwrap_or_default();
        self.rng.fill(&mut out);
        out
    }
}

impl ResetState {
    /// The values after TPM Reset (Part 3, 9.3).
    pub(crate) fn new(rng: &mut HmacDrbg) -> Self {
        Self {
            null_seed: random_seed(rng),
            null_proof: random_seed(rng),
            clear_count: 0,
            restart_count: 0,
            object_context_id: 0,
            pcr_counter: 0,
            command_audit_digest: Digest::EMPTY,
            commit_nonce: random_seed(rng),
            commit_counter: 0,
            commit_pending: 0,
        }
    }
}

/// A random number generator with full entropy (SP 800-90A, 8.6.7: 256 bits and a nonce of 128).
pub(crate) fn seeded_rng(entropy: &mut dyn Entropy) -> Result<HmacDrbg, EntropyError> {
    let mut seed = Zeroizing::new([0u8; 48]);
    entropy.fill(&mut *seed)?;
    Ok(HmacDrbg::new(&*seed, &[], b"vhost-device-tpm"))
}

/// A new seed or proof.
pub(crate) fn random_seed(rng: &mut HmacDrbg) -> Zeroizing<Bytes<SEED_SIZE>> {
    let mut seed = Zeroizing::new(Bytes::zeroed(SEED_SIZE).unwrap_or_default());
    rng.generate(&[], &mut seed);
    seed
}

fn new_hierarchy(rng: &mut HmacDrbg) -> HierarchyRecord {
    HierarchyRecord {
        seed: PrimarySeed {
            derivation: CURRENT_DERIVATION,
            seed: random_seed(rng),
        },
        proof: random_seed(rng),
        auth: Zeroizing::new(Digest::EMPTY),
        policy: AuthPolicy::default(),
    }
}

impl DictionaryAttack {
    /// The values that manufacture and TPM2_Clear set: those of swtpm, which guests know.
    pub(crate) const fn factory() -> Self {
        Self {
            failed_tries: 0,
            max_tries: 3,
            recovery_time: 1000,
            lockout_recovery: 1000,
            lockout_auth_enabled: true,
        }
    }
}

fn factory_state(rng: &mut HmacDrbg, profile: &Profile) -> Persistent {
    Persistent {
        hierarchies: Arc::new(Hierarchies {
            owner: new_hierarchy(rng),
            endorsement: new_hierarchy(rng),
            platform: new_hierarchy(rng),
            lockout_auth: Zeroizing::new(Digest::EMPTY),
            lockout_policy: AuthPolicy::default(),
            disable_clear: false,
        }),
        da: Arc::new(DictionaryAttack::factory()),
        counters: Arc::new(Counters {
            reset_count: 0,
            total_reset_count: 0,
            time_epoch: 0,
            max_nv_counter: 0,
        }),
        pcr: Arc::new(PcrAllocation {
            banks: profile
                .bank_hashes
                .iter()
                .map(|bank| PcrSelection {
                    bank: *bank,
                    bits: if profile.pcr_banks.contains(bank) {
                        PcrSelection::ALL
                    } else {
                        0
                    },
                })
                .collect(),
            policy: AuthPolicy::default(),
        }),
        audit: Arc::new(CommandAudit {
            // The hash until TPM2_SetCommandCodeAuditStatus chooses one is the TPM's choice (Part 3, 21.2): that of the
            // platform profile, which every profile has and every verifier knows.
            hash_alg: HashAlg::Sha256,
            counter: 0,
            // TPM2_SetCommandCodeAuditStatus is always audited (Part 3, 21.2).
            commands: CommandSet::of(&[0x140]),
        }),
        management: Arc::new(Management {
            presence: CommandSet::default(),
            algorithm_set: 0,
        }),
        saved: None,
        volatile: None,
        clock: Arc::new(ClockRecord {
            clock: 0,
            safe: true,
            exact: true,
        }),
        nv: BTreeMap::new(),
        objects: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, plain};

    #[test]
    fn a_smaller_buffer_is_reported_and_kept_to() {
        let mut bench = Bench::started();
        assert_eq!(bench.tpm.fixed_property(0x11E), Some(4096));
        bench.tpm.set_buffer_size(3968);
        assert_eq!(bench.tpm.fixed_property(0x11E), Some(3968));
        assert_eq!(bench.tpm.fixed_property(0x11F), Some(3968));
        // The size is checked before the parameters: one byte less is too many parameters, TPM_RC_SIZE.
        assert_eq!(bench.run(&plain(0x17B, &[0; 3958])).0, 0x095);
        assert_eq!(bench.run(&plain(0x17B, &[0; 3959])).0, 0x142);
        bench.tpm.set_buffer_size(usize::MAX);
        assert_eq!(bench.tpm.fixed_property(0x11E), Some(4096));
    }

    #[test]
    fn a_property_that_does_not_exist_is_none() {
        let bench = Bench::started();
        assert_eq!(bench.tpm.fixed_property(0x100), Some(0x322E_3000));
        assert_eq!(bench.tpm.fixed_property(0x115), None);
        assert_eq!(bench.tpm.fixed_property(0x300), None);
    }
}
