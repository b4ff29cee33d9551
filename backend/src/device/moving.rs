//! A TPM that moves from one daemon to another: `docs/architecture/migration.md` says who owns it when.

use std::time::Duration;

use tpm_engine::{MAX_SNAPSHOT_SIZE, Snapshot, Tpm};
use tracing::{error, info};
use zeroize::Zeroizing;

use super::{Device, State, StateError};
use crate::keys::envelope::{Purpose, is_envelope};
use crate::process::chain;

/// The largest part that another daemon can have sent: the state, and what sealing adds.
pub(crate) const MAX_PART_SIZE: usize = MAX_SNAPSHOT_SIZE + 1024;

/// How a message begins that carries a whole TPM: what it is, and its version.
const MESSAGE: &[u8; 9] = b"TPM-MOVE\x01";

/// The parts of a TPM's state, by their numbers in swtpm's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Permanent = 1,
    Volatile = 2,
    /// What TPM2_Shutdown saved: of our TPM in the permanent part.
    Saved = 3,
}

/// A part of the state, as it leaves the daemon.
#[derive(Debug, Clone)]
pub(crate) struct StateBlob {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) sealed: bool,
}

/// Both parts at one moment.
#[derive(Debug)]
pub(super) struct Given {
    permanent: StateBlob,
    volatile: Option<StateBlob>,
    permanent_taken: bool,
    volatile_taken: bool,
}

/// Parts that came from another daemon and wait for the power.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    permanent: Option<Zeroizing<Vec<u8>>>,
    volatile: Option<Zeroizing<Vec<u8>>>,
}

impl Arrived {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// How far a move has come.
#[derive(Debug, Default)]
pub(super) struct Moving {
    /// What a client is taking. Void as soon as the TPM changes.
    pub(super) given: Option<Given>,
    /// All of the state was taken: the TPM is not here until its monitor says that it is.
    pub(super) gone: bool,
    pub(super) arrived: Arrived,
}

impl State {
    /// The TPM; the directory's, or a new one, if one was waited for.
    pub(super) fn present(&mut self) -> Result<&mut Tpm, StateError> {
        if self.tpm.is_none() {
            let (tpm, lease) = self.opener.as_ref().ok_or(StateError::Vacant)?.load_or_make()?;
            lease.settle()?;
            self.seat(tpm, lease.clone());
        }
        self.tpm.as_mut().ok_or(StateError::Vacant)
    }

    fn seat(&mut self, mut tpm: Tpm, lease: crate::store::Lease) {
        tpm.set_buffer_size(self.buffer_size);
        self.tpm = Some(tpm);
        self.lease = lease;
    }

    /// Puts a TPM that arrived here. Until it is on the disk the one that was here, if any, stays.
    fn settle(&mut self, snapshot: Snapshot) -> Result<(), StateError> {
        let live = snapshot.is_live();
        match &mut self.tpm {
            Some(tpm) => tpm.replace(snapshot)?,
            None => {
                let (tpm, lease) = self.opener.as_ref().ok_or(StateError::Vacant)?.adopt(snapshot)?;
                self.seat(tpm, lease);
            }
        }
        let tpm = self.present()?;
        if !live {
            tpm.power_on();
        }
        info!("a TPM of profile {} has arrived and lives here", tpm.profile_name());
        self.powered = true;
        self.reserved = true;
        self.moving = Moving::default();
        Ok(())
    }
}

impl Device {
    /// CMD_INIT: the TPM gets power, and goes on from the state that arrived for it or that was stored for it, if any was.
    pub(crate) fn init(&self) -> Result<(), StateError> {
        let mut state = self.interrupt();
        let arrived = std::mem::take(&mut state.moving.arrived);
        match (arrived.permanent, arrived.volatile) {
            (None, None) => {}
            (permanent, volatile) => {
                self.take_back(&mut state)?;
                let permanent = match permanent {
                    Some(permanent) => permanent,
                    None => state.present()?.save_permanent(),
                };
                let snapshot = Snapshot::decode(&permanent, volatile.as_deref().map(Vec::as_slice))?;
                return state.settle(snapshot);
            }
        }
        self.take_back(&mut state)?;
        if !state.powered && state.present()?.resume().map_err(StateError::Resume)? {
            info!("the TPM goes on from the volatile state that was stored");
            state.powered = true;
            return Ok(());
        }
        drop(state);
        self.power_cycle()
    }

    /// CMD_STORE_VOLATILE: another process can go on where this one is.
    pub(crate) fn store_volatile(&self) -> Result<(), StateError> {
        match self.with_live(Tpm::store_volatile) {
            Some(stored) => Ok(stored?),
            None => Err(StateError::Vacant),
        }
    }

    /// Gives a part of the state to whoever moves the TPM; `None` when there is no such part. With the last part the TPM
    /// is gone.
    pub(crate) fn give(&self, part: Part) -> Result<Option<StateBlob>, StateError> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.moving.given.is_none() {
            let tpm = state.tpm.as_mut().ok_or(StateError::Vacant)?;
            let volatile = tpm.save_volatile().map(|blob| self.seal(blob)).transpose()?;
            state.moving.given = Some(Given {
                permanent: self.seal(tpm.save_permanent())?,
                volatile_taken: volatile.is_none(),
                volatile,
                permanent_taken: false,
            });
        }
        let Some(given) = &mut state.moving.given else {
            return Ok(None);
        };
        let blob = match part {
            Part::Permanent => {
                given.permanent_taken = true;
                Some(given.permanent.clone())
            }
            Part::Volatile => {
                given.volatile_taken = true;
                given.volatile.clone()
            }
            Part::Saved => None,
        };
        if given.permanent_taken && given.volatile_taken && !state.moving.gone {
            self.go(state);
        }
        Ok(blob)
    }

    /// From now on the TPM is not here, nor in a daemon that is started on its directory later.
    fn go(&self, state: &mut State) {
        state.moving.gone = true;
        // A disk that fails is a reason to hand the TPM over, and none to keep it.
        if let Err(error) = state.lease.set_moved(true) {
            error!(
                "that the TPM was handed over could not be noted in its state directory; let no daemon serve what it left \
                 there: {}",
                chain(&error)
            );
        }
        if self.release {
            state.lease.give_up();
            info!(
                "the TPM was handed over, and its state directory given up; its commands fail until the monitor takes it back"
            );
        } else {
            info!("the TPM was handed over; its commands fail until the monitor takes it back");
        }
    }

    /// The monitor goes on here after all, or begins anew: the TPM is back, unless it lives elsewhere.
    pub(super) fn take_back(&self, state: &mut State) -> Result<(), StateError> {
        if let (Some(tpm), Some(opener)) = (&state.tpm, &state.opener)
            && !state.lease.is_held()
        {
            let mut store = opener.store()?;
            let records = tpm_engine::platform::NvStore::load(&mut store)?;
            if !tpm.is_stored_as(records) {
                return Err(StateError::LivesElsewhere(opener.path.clone()));
            }
            state.lease.renew(store);
        }
        if state.moving.gone {
            state.lease.set_moved(false)?;
            state.moving.gone = false;
            info!("the TPM that was handed over is back");
            self.timers.notify_one();
            self.job_is_due.notify_one();
        }
        state.moving.given = None;
        Ok(())
    }

    /// CMD_LOCK_STORAGE and its like: the TPM is to be served here, also if it had been handed over. The lock of a
    /// directory that another process is about to leave is tried for a while.
    pub(crate) fn reclaim(&self, patience: Duration) -> Result<(), StateError> {
        const STEP: Duration = Duration::from_millis(10);
        let mut left = patience;
        loop {
            let result = self.take_back(&mut self.lock());
            match result {
                Err(StateError::Open(crate::store::OpenError::Served { .. })) if !left.is_zero() => {
                    std::thread::sleep(STEP);
                    left = left.saturating_sub(STEP);
                }
                result => return result,
            }
        }
    }

    /// Takes a part of a TPM's state that comes from another daemon. It is checked here and used by [`Self::init`].
    pub(crate) fn take(&self, part: Part, bytes: &[u8]) -> Result<(), StateError> {
        let mut state = self.lock();
        if bytes.is_empty() {
            match part {
                Part::Permanent => state.moving.arrived.permanent = None,
                Part::Volatile => state.moving.arrived.volatile = None,
                Part::Saved => {}
            }
            return Ok(());
        }
        let blob = self.unseal(bytes)?;
        match part {
            Part::Permanent => {
                Snapshot::check_permanent(&blob)?;
                state.moving.arrived.permanent = Some(blob);
            }
            Part::Volatile => {
                Snapshot::check_volatile(&blob)?;
                state.moving.arrived.volatile = Some(blob);
            }
            Part::Saved => return Err(StateError::Message),
        }
        Ok(())
    }

    /// All of the TPM, with something of the caller's, as one message. The TPM is gone with it.
    pub(crate) fn depart(&self, extra: &[u8]) -> Result<StateBlob, StateError> {
        let mut state = self.lock();
        let state = &mut *state;
        let tpm = state.tpm.as_mut().ok_or(StateError::Vacant)?;
        let volatile = tpm.save_volatile().unwrap_or_default();
        let parts = [&**tpm.save_permanent(), &**volatile, extra];
        let size = parts.iter().map(|part| part.len().saturating_add(4));
        let mut message = Zeroizing::new(Vec::with_capacity(size.fold(MESSAGE.len(), usize::saturating_add)));
        message.extend_from_slice(MESSAGE);
        for part in parts {
            message.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            message.extend_from_slice(part);
        }
        let message = self.seal(message)?;
        if !state.moving.gone {
            self.go(state);
        }
        Ok(message)
    }

    /// Puts the TPM of a message here; gives what the caller had put into it. When it fails, everything is as before.
    pub(crate) fn arrive(&self, message: &[u8]) -> Result<Vec<u8>, StateError> {
        let message = self.unseal(message)?;
        let mut rest = message.strip_prefix(MESSAGE.as_slice()).ok_or(StateError::Message)?;
        let mut part = || -> Option<&[u8]> {
            let (size, tail) = rest.split_first_chunk()?;
            let (part, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
            rest = tail;
            Some(part)
        };
        let (Some(permanent), Some(volatile), Some(extra)) = (part(), part(), part()) else {
            return Err(StateError::Message);
        };
        if !rest.is_empty() {
            return Err(StateError::Message);
        }
        let snapshot = Snapshot::decode(permanent, Some(volatile).filter(|volatile| !volatile.is_empty()))?;
        let mut state = self.interrupt();
        self.take_back(&mut state)?;
        state.settle(snapshot)?;
        Ok(extra.to_vec())
    }

    fn seal(&self, blob: Zeroizing<Vec<u8>>) -> Result<StateBlob, StateError> {
        Ok(match &self.migration_key {
            None => StateBlob {
                bytes: blob,
                sealed: false,
            },
            Some(key) => StateBlob {
                bytes: Zeroizing::new(key.seal(Purpose::StateBlob, &blob).map_err(StateError::Seal)?),
                sealed: true,
            },
        })
    }

    fn unseal(&self, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, StateError> {
        match (&self.migration_key, is_envelope(bytes)) {
            (Some(key), true) => key.open(Purpose::StateBlob, bytes).map_err(StateError::Sealed),
            (Some(_), false) => Err(StateError::NotSealed),
            (None, true) => Err(StateError::NoKey),
            (None, false) => Ok(Zeroizing::new(bytes.to_vec())),
        }
    }

    /// Whether the stored state is encrypted, and whether state on its way is.
    pub(crate) fn encryption(&self) -> (bool, bool) {
        (self.encrypted, self.migration_key.is_some())
    }
}
