//! The TPM of this process, shared between the thread that runs commands and the thread that controls it.

mod host;
mod jobs;
mod moving;
mod opener;
mod settling;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tpm_engine::platform::{NvStore, StoreError};
use tpm_engine::{Locality, MAX_COMMAND_SIZE, Platform, ResponseBuffer, Tpm};
use tracing::{info, trace, warn};

use self::host::{Presence, SETS_TIMERS};
use self::jobs::Jobs;
use self::moving::Moving;
pub(crate) use self::moving::{MAX_PART_SIZE, Part};
use self::opener::Opener;
pub(crate) use self::opener::StateError;
use self::settling::Settling;
use crate::args::{Config, Startup};
use crate::cancel::Cancel;
use crate::keys::OperatorKey;
use crate::platform::{BootClock, KernelEntropy};
use crate::store::{Access, Lease};

/// The response of a TPM that has no power, as swtpm answers it, and of one that was handed over: TPM_RC_FAILURE.
const FAILURE: [u8; 10] = *b"\x80\x01\0\0\0\x0a\0\0\x01\x01";
/// The response to a command that was cancelled before it began: TPM_RC_CANCELED.
const CANCELED: [u8; 10] = *b"\x80\x01\0\0\0\x0a\0\0\x09\x09";
/// The response to a locality that does not exist: TPM_RC_LOCALITY.
const NO_LOCALITY: [u8; 10] = *b"\x80\x01\0\0\0\x0a\0\0\x09\x07";
/// TPM2_Startup(TPM_SU_CLEAR); the last byte tells it from TPM_SU_STATE.
const STARTUP_CLEAR: [u8; 12] = *b"\x80\x01\0\0\0\x0c\0\0\x01\x44\0\0";

/// TPM_PT (Part 2, 6.13) that describe the TPM.
mod pt {
    pub(super) const LEVEL: u32 = 0x101;
    pub(super) const REVISION: u32 = 0x102;
    pub(super) const MANUFACTURER: u32 = 0x105;
    pub(super) const VENDOR_STRING: std::ops::RangeInclusive<u32> = 0x106..=0x109;
    pub(super) const FIRMWARE_VERSION: u32 = 0x10B;
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    #[error(transparent)]
    Open(#[from] StateError),
    #[error(
        "TPM2_Startup({startup:?}) was refused with response code {code:#05x}; STATE needs a preceding \
         TPM2_Shutdown(STATE), CLEAR is always possible"
    )]
    Startup { startup: Startup, code: u32 },
    #[error("the TPM's clock could not be written at the stop; its value jumps ahead at the next start")]
    Flush(#[source] StoreError),
}

/// What the engine needs of this host, with the store of a TPM and the flags that cancel its commands and assert physical
/// presence.
pub(crate) fn platform(
    store: impl NvStore + 'static,
    cancel: Arc<AtomicBool>,
    physical_presence: Arc<AtomicBool>,
) -> Platform {
    Platform {
        entropy: Box::new(KernelEntropy),
        clock: Box::new(BootClock),
        store: Box::new(store),
        cancel,
        physical_presence,
    }
}

struct State {
    /// `None` as long as one is still to arrive.
    tpm: Option<Tpm>,
    /// The engine's store, which is given up with the TPM if the operator wants it so.
    lease: Lease,
    settling: Settling,
    /// What opens the state directory, as far as it may have to be opened yet.
    opener: Option<Opener>,
    powered: bool,
    /// It has power for a machine that is still to send its first command: the command line has started it up, or it has
    /// arrived from another daemon.
    reserved: bool,
    buffer_size: usize,
    moving: Moving,
    jobs: Jobs,
}

/// One TPM and the signals that reach it while it runs a command.
pub(crate) struct Device {
    state: Mutex<State>,
    /// Signalled when the TPM has work for the background.
    job_is_due: Condvar,
    /// Wakes whoever waits for countdown timers.
    timers: Condvar,
    cancel: Cancel,
    presence: Presence,
    /// The locality of commands that do not bring their own.
    locality: AtomicU8,
    /// Seals state on its way to another daemon.
    migration_key: Option<OperatorKey>,
    /// The state directory is given up with the TPM.
    release: bool,
    /// The stored state is encrypted.
    encrypted: bool,
}

impl Device {
    /// Opens the state directory and loads its TPM, or makes one if there is none, unless one is to arrive. The TPM has no
    /// power yet, and what is written is not on the disk before [`Self::settle`].
    pub(crate) fn open(
        config: &Config,
        access: Access,
        migration_key: Option<OperatorKey>,
    ) -> Result<Self, DeviceError> {
        let cancel = Arc::new(AtomicBool::new(false));
        let presence = Presence::new(config.physical_presence);
        let encrypted = access.key.is_some();
        let opener = Opener::new(config, access, Arc::clone(&cancel), Arc::clone(&presence.flag));
        let (tpm, lease) = if config.incoming {
            info!("waiting for the TPM of {}", config.state_dir.display());
            (None, Lease::default())
        } else {
            let (tpm, lease) = opener.load_or_make()?;
            (Some(tpm), lease)
        };
        Ok(Self {
            state: Mutex::new(State {
                tpm,
                lease,
                settling: Settling::default(),
                // The keys in it are kept for no longer than they may be needed.
                opener: (config.incoming || config.release).then_some(opener),
                powered: false,
                reserved: false,
                buffer_size: MAX_COMMAND_SIZE,
                moving: Moving::default(),
                jobs: Jobs::default(),
            }),
            job_is_due: Condvar::new(),
            timers: Condvar::new(),
            cancel: Cancel::new(cancel),
            presence,
            locality: AtomicU8::new(0),
            migration_key,
            release: config.release,
            encrypted,
        })
    }

    /// The state, which is on the disk where it was to be written.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock_early();
        state.settle_if_due();
        state
    }

    /// The state, which may be ahead of the disk while the daemon starts.
    fn lock_early(&self) -> MutexGuard<'_, State> {
        // A panic ends the process (see `abort_on_panic`), so nobody is left to see a poisoned lock.
        self.state.lock().unwrap_or_else(|_| std::process::abort())
    }

    /// Powers the TPM on and starts it, if the command line says so. What that writes is settled later.
    pub(crate) fn start(&self, startup: Startup) -> Result<(), DeviceError> {
        self.start_up(startup)?;
        let mut state = self.lock_early();
        state.settling = Settling::Due;
        state.reserved = startup != Startup::None;
        Ok(())
    }

    fn start_up(&self, startup: Startup) -> Result<(), DeviceError> {
        let kind = match startup {
            Startup::None => return Ok(()),
            Startup::Clear => 0,
            Startup::State => 1,
        };
        self.power_cycle()?;
        let mut response = ResponseBuffer::default();
        let mut command = STARTUP_CLEAR;
        command[11] = kind;
        let response = self.execute(0, &command, &mut response);
        match code_of(response) {
            0 => Ok(()),
            code => Err(DeviceError::Startup { startup, code }),
        }
    }

    /// Runs one command from a locality; the response is valid until the next command.
    pub(crate) fn execute<'a>(&self, locality: u8, command: &[u8], response: &'a mut ResponseBuffer) -> &'a [u8] {
        self.execute_unless(|| false, locality, command, response)
    }

    /// The same for a command whose sender has a place of its own where it asks to cancel it, before it sends the request to
    /// do so: such a command is not taken by [`Cancel::taking`].
    pub(crate) fn execute_unless<'a>(
        &self,
        cancelled: impl Fn() -> bool,
        locality: u8,
        command: &[u8],
        response: &'a mut ResponseBuffer,
    ) -> &'a [u8] {
        let mut state = self.lock_early();
        let _running = self.cancel.running();
        // Requests that came before were for nothing that runs; those that come from now on reach the engine.
        if cancelled() {
            return &CANCELED;
        }
        if !settling::tells_nothing(command) && !state.settle_if_due() {
            return &FAILURE;
        }
        let Some(locality) = Locality::new(locality) else {
            return &NO_LOCALITY;
        };
        let state = &mut *state;
        let Some(tpm) = state.tpm.as_mut().filter(|_| state.powered && !state.moving.gone) else {
            return &FAILURE;
        };
        // Whoever took a part of the state gets no other part of another moment.
        state.moving.given = None;
        tpm.execute(locality, command, response);
        self.note_command(state);
        if SETS_TIMERS.contains(&code_of(command)) {
            self.timers.notify_one();
        }
        let response = response.as_slice();
        trace!(
            "command {:#x} from locality {}: response code {:#x}",
            code_of(command),
            locality.number(),
            code_of(response)
        );
        response
    }

    /// Requests to cancel commands. Whoever executes a command takes it by [`Cancel::taking`], or knows by itself whether it
    /// is cancelled.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// The lock, soon: whoever takes the power away does not wait for a key to be found.
    fn interrupt(&self) -> MutexGuard<'_, State> {
        self.cancel.stop_running();
        let state = self.lock();
        // The TPM may be another one, or another's, when the lock is free again.
        self.timers.notify_one();
        state
    }

    /// Takes the power, if there is any, and gives it back: `_TPM_Init`. A TPM that was still to arrive is none that is
    /// waited for any longer, and one that was handed over is here again.
    ///
    /// # Errors
    /// When the state directory has to be opened and cannot be.
    pub(crate) fn power_cycle(&self) -> Result<(), StateError> {
        let mut state = self.interrupt();
        state.moving.arrived.clear();
        self.take_back(&mut state)?;
        let powered = state.powered;
        let tpm = state.present()?;
        if powered && let Err(error) = tpm.flush() {
            warn!("the TPM's clock could not be written at a power cycle: {error}");
        }
        tpm.power_on();
        state.powered = true;
        state.reserved = false;
        self.presence.reset();
        Ok(())
    }

    /// A machine sends its first command, and its monitor has not said whether it was switched on: it was, unless the TPM
    /// has power for it already.
    ///
    /// # Errors
    /// As [`Self::power_cycle`].
    pub(crate) fn first_command(&self) -> Result<(), StateError> {
        let reserved = std::mem::take(&mut self.lock().reserved);
        if reserved { Ok(()) } else { self.power_cycle() }
    }

    /// The machine is gone that the TPM may have had power for.
    pub(crate) fn release(&self) {
        self.lock_early().reserved = false;
    }

    /// Starts a TPM up that was lost with its process while its machine went on. No guest may win by that: every PCR of
    /// the static root of trust is extended with an error, so that what was measured before, and nothing else, can never
    /// be shown again without a reset of the machine.
    ///
    /// # Errors
    /// As [`Self::power_cycle`].
    pub(crate) fn recover(&self) -> Result<(), StateError> {
        const PCR: std::ops::Range<u8> = 0..16;
        const EVENT: &[u8] = b"the TPM process was restarted";
        const SIZE: u8 = 14 + 4 + 9 + 2 + EVENT.len() as u8;
        self.power_cycle()?;
        let mut response = ResponseBuffer::default();
        self.execute(0, &STARTUP_CLEAR, &mut response);
        for pcr in PCR {
            // TPM2_PCR_Event, authorized with an empty password.
            let mut command = vec![0x80, 0x02, 0, 0, 0, SIZE, 0, 0, 0x01, 0x3C, 0, 0, 0, pcr];
            command.extend_from_slice(&[0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
            command.extend_from_slice(&[0, EVENT.len() as u8]);
            command.extend_from_slice(EVENT);
            self.execute(0, &command, &mut response);
        }
        warn!("the TPM was restarted under a running machine; its PCR are spoilt until the machine is reset");
        Ok(())
    }

    /// Takes the power away, in an orderly way.
    pub(crate) fn power_off(&self) -> Result<(), StoreError> {
        let mut state = self.interrupt();
        let state = &mut *state;
        let powered = std::mem::take(&mut state.powered);
        match &mut state.tpm {
            // What was handed over is not ours to write any more.
            Some(tpm) if powered && !state.moving.gone => tpm.flush(),
            _ => Ok(()),
        }
    }

    /// Whether the TPM has power.
    pub(crate) fn is_powered(&self) -> bool {
        self.lock().powered
    }

    /// The end of the process: what is written only then is written. Says whether the TPM is still here.
    pub(crate) fn stop(&self) -> Result<bool, DeviceError> {
        self.settle()?;
        self.power_off().map_err(DeviceError::Flush)?;
        Ok(!self.lock().moving.gone)
    }

    pub(crate) fn locality(&self) -> u8 {
        self.locality.load(Ordering::Relaxed)
    }

    pub(crate) fn set_locality(&self, locality: u8) {
        self.locality.store(locality, Ordering::Relaxed);
    }

    /// Sets the size of the VMM's buffer for commands and responses.
    pub(crate) fn set_buffer_size(&self, size: usize) {
        let mut state = self.lock();
        state.buffer_size = size;
        if let Some(tpm) = &mut state.tpm {
            tpm.set_buffer_size(size);
        }
    }

    /// What swtpm tells of its TPM as JSON: the specification (flag 1) and the attributes (flag 2) that an endorsement
    /// key's certificate names.
    pub(crate) fn describe(&self, flags: u64) -> String {
        let state = self.lock();
        let Some(tpm) = &state.tpm else {
            return "{}".to_owned();
        };
        let property = |number| tpm.fixed_property(number).unwrap_or_default();
        let mut parts = Vec::new();
        if flags & 1 != 0 {
            parts.push(format!(
                r#""TPMSpecification":{{"family":"2.0","level":{},"revision":{}}}"#,
                property(pt::LEVEL),
                property(pt::REVISION)
            ));
        }
        if flags & 2 != 0 {
            let model: String = pt::VENDOR_STRING
                .flat_map(|number| property(number).to_be_bytes())
                .take_while(|byte| *byte != 0)
                .map(char::from)
                .collect();
            parts.push(format!(
                r#""TPMAttributes":{{"manufacturer":"id:{:08X}","version":"id:{:08X}","model":"{model}"}}"#,
                property(pt::MANUFACTURER),
                property(pt::FIRMWARE_VERSION)
            ));
        }
        format!("{{{}}}", parts.join(","))
    }

    pub(crate) fn established(&self) -> bool {
        self.lock().tpm.as_ref().is_some_and(Tpm::established)
    }

    /// Clears the establishment flag; says whether the locality may.
    pub(crate) fn reset_established(&self, locality: u8) -> bool {
        let reset = |tpm: &mut Tpm| Locality::new(locality).is_some_and(|locality| tpm.reset_established(locality));
        self.with_live(reset).unwrap_or_default()
    }

    pub(crate) fn hash_start(&self) {
        self.with_live(Tpm::hash_start);
    }

    pub(crate) fn hash_data(&self, data: &[u8]) {
        self.with_live(|tpm| tpm.hash_data(data));
    }

    pub(crate) fn hash_end(&self) {
        self.with_live(Tpm::hash_end);
    }

    /// Changes the TPM, if it is here.
    fn with_live<T>(&self, change: impl FnOnce(&mut Tpm) -> T) -> Option<T> {
        let mut state = self.lock();
        if state.moving.gone {
            return None;
        }
        state.moving.given = None;
        state.tpm.as_mut().map(change)
    }
}

/// The command code of a command, or the response code of a response.
fn code_of(message: &[u8]) -> u32 {
    let code = message.get(6..).and_then(|rest| rest.first_chunk());
    code.map_or(u32::MAX, |code| u32::from_be_bytes(*code))
}
