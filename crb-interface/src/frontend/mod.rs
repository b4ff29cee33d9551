//! What a virtual machine monitor links to give its guest a TPM that lives in a process of its own.
//!
//! [`Frontend`] takes the guest's accesses to the CRB window. Between commands it carries them out by itself, in shared
//! memory; a command goes to the TPM process by queue 0 of a vhost-user connection, and its answer comes back in the
//! window. A vCPU is never held longer than [`FrontendConfig::budget`]: a command that takes longer completes while the
//! guest polls. A TPM process that dies is reattached when it is back; see `docs/vhost-user-tpm.md`.

mod attach;
mod link;
mod ring;
mod snapshot;
mod wait;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vm_device::DeviceMmio;
use vm_device::bus::{MmioAddress, MmioAddressOffset};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use self::link::Link;
use self::ring::Ring;
use crate::layout::{DATA_BUFFER, PAGE};
use crate::{Action, Actions, Config, Control, Crb, SharedMemory, Spinning};

/// How a monitor attaches a TPM process.
#[derive(Debug, Clone)]
pub struct FrontendConfig {
    /// The process' vhost-user socket.
    pub socket: PathBuf,
    /// The window.
    pub crb: Config,
    /// How long a write to START may hold the vCPU.
    pub budget: Duration,
    /// How much of the budget may be spent spinning before the thread sleeps. Spinning adapts: where it does not help, as
    /// on one processor, it is not done. It helps only where it lasts longer than a processor that sleeps deeply takes to
    /// wake, and then run the command: some 300 µs on a virtual machine.
    pub spin: Duration,
    /// How long to wait for the process to appear at first.
    pub connect_timeout: Duration,
}

impl FrontendConfig {
    /// The values that suit a PC, for a socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            crb: Config::default(),
            budget: Duration::from_millis(2),
            spin: Duration::from_micros(400),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// Why a TPM could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum FrontendError {
    /// No memory or descriptors.
    #[error("cannot make the window's memory or an event for it")]
    Resources(#[source] io::Error),
    /// Nobody answers at the socket.
    #[error("cannot connect to the TPM process at {}: is vhost-device-tpm running with this --socket-path?", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The process refused a step of the handshake.
    #[error("the TPM process at {} refused {what}", socket.display())]
    Handshake {
        /// The step.
        what: &'static str,
        /// The socket.
        socket: PathBuf,
        /// What failed.
        #[source]
        source: vhost::Error,
    },
    /// Whoever listens is not a TPM of this kind.
    #[error("what listens at {} lacks features that a TPM process has (it offers {offered:#x})", socket.display())]
    Features {
        /// The socket.
        socket: PathBuf,
        /// The features.
        offered: u64,
    },
    /// A request to the process failed.
    #[error("the TPM process did not carry out {request:?}")]
    Control {
        /// The request.
        request: Control,
        /// What failed.
        #[source]
        source: vhost::Error,
    },
    /// The TPM could not be saved or loaded.
    #[error("the TPM process did not {what} its TPM: its log says why")]
    Transfer {
        /// Whether it was to save or to load.
        what: &'static str,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// A command takes too long for the TPM to be saved now.
    #[error("the TPM is executing a command that does not end; save the machine later, or cancel the command")]
    Busy,
    /// The bytes that were to be restored are no TPM that was saved.
    #[error("what is to be restored is no TPM that this program saved")]
    Snapshot,
    /// The TPM was saved and may be elsewhere.
    #[error("the TPM was saved already; resume it before it is saved again")]
    Moved,
    /// There is no TPM process at the moment.
    #[error("the TPM process is gone; it is reattached when it is back")]
    Detached,
}

/// How late a thread wakes that sleeps for a time: the kernel's slack of 50 µs, what a processor that sleeps deeply takes to
/// wake, and the way back. The vCPU is to be in its guest again when the budget ends, not to be woken then.
const LATE: Duration = Duration::from_micros(400);

/// TPM_RC_FAILURE: the answer to a command that was lost with the process.
const FAILURE: [u8; 10] = [0x80, 1, 0, 0, 0, 10, 0, 0, 0x01, 0x01];
/// TPM_RC_RETRY: the answer to a command for which there is no process now.
const RETRY: [u8; 10] = [0x80, 1, 0, 0, 0, 10, 0, 0, 0x09, 0x22];

/// A TPM's CRB window in a virtual machine monitor. Cheap to clone: all clones are the same device.
#[derive(Clone)]
pub struct Frontend(Arc<Owner>);

/// Ends the watching thread, and with it the connection, when the last user is gone.
struct Owner {
    shared: Arc<Shared>,
    exit: EventFd,
}

impl Drop for Owner {
    fn drop(&mut self) {
        // It can fail only when it was written before.
        let _ = self.exit.write(1);
    }
}

impl std::ops::Deref for Owner {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

struct Shared {
    crb: Crb<Arc<SharedMemory>>,
    config: FrontendConfig,
    state: Mutex<State>,
}

struct State {
    link: Option<Link>,
    /// What a process must be told when it is attached: what has become of the machine since one was.
    news: Control,
    /// The TPM was saved: it is not here until the monitor says so.
    moved: bool,
    /// Whether a process that does not listen has been complained of.
    complained: bool,
    ring: Ring,
    spinning: Spinning,
}

impl Frontend {
    /// Attaches the TPM process, waiting for it as long as the configuration says, and powers the TPM on.
    ///
    /// # Errors
    /// When there is no such process, or it is not a TPM of this kind.
    pub fn connect(config: FrontendConfig) -> Result<Self, FrontendError> {
        Self::begin(config, Control::PowerOn, None)
    }

    /// Attaches the TPM process with this news, after it was given the window and the TPM that were saved, if any were.
    fn begin(mut config: FrontendConfig, news: Control, saved: Option<(&[u8], &[u8])>) -> Result<Self, FrontendError> {
        let half = config.budget.checked_div(2).unwrap_or_default();
        config.budget = config.budget.saturating_sub(LATE.min(half));
        config.spin = config.spin.min(config.budget);
        let memory = Arc::new(SharedMemory::create().map_err(FrontendError::Resources)?);
        // Where this thread runs says nothing yet. But the first to ask finds the vDSO by a system call, which the sandbox
        // of a vCPU's thread need not allow for that.
        let _ = memory.monitor_shares_processor();
        let crb = Crb::new(memory, config.crb);
        crb.reset();
        if saved.is_some_and(|(window, _)| !crb.restore(window)) {
            return Err(FrontendError::Snapshot);
        }
        let state = State {
            link: None,
            news,
            moved: false,
            complained: false,
            ring: Ring::default(),
            spinning: Spinning::default(),
        };
        let shared = Arc::new(Shared {
            crb,
            config,
            state: Mutex::new(state),
        });
        let deadline = Instant::now().checked_add(shared.config.connect_timeout);
        loop {
            match shared.attach(saved.map(|(_, tpm)| tpm)) {
                Ok(()) => break,
                // What was refused will be refused again.
                Err(error @ (FrontendError::Features { .. } | FrontendError::Transfer { .. })) => return Err(error),
                Err(error) if deadline.is_none_or(|deadline| Instant::now() >= deadline) => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        let exit = EventFd::new(EFD_NONBLOCK).map_err(FrontendError::Resources)?;
        let (watched, exit_seen) = (Arc::clone(&shared), exit.try_clone().map_err(FrontendError::Resources)?);
        std::thread::Builder::new()
            .name("tpm-watch".to_owned())
            .spawn(move || attach::watch(&watched, &exit_seen))
            .map_err(FrontendError::Resources)?;
        Ok(Self(Arc::new(Owner { shared, exit })))
    }

    /// Reads at an offset into the window. Takes no lock and never waits.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        self.0.crb.read(offset, data);
    }

    /// Writes at an offset into the window, as a guest does. Holds the caller no longer than the budget, or a millisecond where
    /// the process was stopped while it gave the window back to another locality.
    pub fn write(&self, offset: u64, data: &[u8]) {
        if self.0.crb.write_on(offset, data) {
            return;
        }
        let mut state = self.0.lock();
        if self.0.crb.announces(offset, data) {
            self.0.wake(&mut state);
        }
        if self.0.crb.is_given_back_soon() {
            self.0.wait_for_window(&state);
        }
        let actions = self.0.crb.write(offset, data);
        if !actions.is_empty() {
            self.0.act(&mut state, actions);
        }
    }

    /// The machine is reset: the TPM gets `_TPM_Init`, the window its first values.
    ///
    /// # Errors
    /// When the process cannot be told now. The window is reset all the same, and the process is told when it is back:
    /// the machine may go on.
    pub fn reset(&self) -> Result<(), FrontendError> {
        self.0.power_cycle(&mut self.0.lock())
    }

    /// The window's memory: its first [`crate::layout::WINDOW_SIZE`] bytes may be mapped into the guest, read-only.
    #[must_use]
    pub fn memory(&self) -> &Arc<SharedMemory> {
        self.0.crb.memory()
    }

    /// Whether a TPM process is attached at present.
    #[must_use]
    pub fn attached(&self) -> bool {
        self.0.lock().link.is_some()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of another caller leaves nothing half done that is not in the window anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command will come: wakes the process, if it sleeps.
    fn wake(&self, state: &mut State) {
        let memory = self.crb.memory();
        if let Some(link) = &state.link
            && !state.moved
            && !self.crb.is_polled()
            && !memory.monitor_shares_processor()
            && state.ring.must_notify(&**memory)
        {
            link.kick();
        }
    }

    /// Waits until the window is ours again, which the guest takes it for: the process has but to run.
    fn wait_for_window(&self, state: &State) {
        const LIMIT: Duration = Duration::from_millis(1);
        const LOOK: Duration = Duration::from_micros(50);
        let begun = Instant::now();
        while self.crb.is_given_back_soon() && begun.elapsed() < LIMIT {
            // It may need this processor for that.
            if let Some(link) = state.link.as_ref().filter(|_| begun.elapsed() > LOOK) {
                link.wait_for_call(LOOK);
            }
            std::hint::spin_loop();
        }
    }

    /// Carries out what an access asked for.
    fn act(&self, state: &mut State, actions: Actions) {
        if actions.contains(Action::Start) {
            return self.start(state);
        }
        if state.moved {
            return;
        }
        if actions.contains(Action::Cancel) {
            self.post(state, Control::Cancel);
        }
        if actions.contains(Action::ResetEstablishment) {
            self.post(state, Control::ResetEstablishment);
            self.crb.clear_established();
        }
        // The data are in the window, so these have to be carried out at once. Only a monitor that gives its guest
        // locality 4 gets here.
        for (action, request) in [
            (Action::HashStart, Control::HashStart),
            (Action::HashData, Control::HashData),
            (Action::HashEnd, Control::HashEnd),
        ] {
            if actions.contains(action)
                && let Err(error) = self.control(state, request).and_then(|()| self.show_established(state))
            {
                state.complain(&error);
            }
        }
    }

    /// A request of the guest that nobody waits for: its vCPU must not depend on whether the process answers.
    fn post(&self, state: &mut State, request: Control) {
        let sent = state.link.as_mut().is_some_and(|link| link.post(request));
        if !sent {
            state.complain(&FrontendError::Detached);
        }
    }

    /// A command is in the window: hands it over and waits for the answer, but no longer than the budget.
    fn start(&self, state: &mut State) {
        let memory = &**self.crb.memory();
        if state.moved {
            return self.crb.complete(&FAILURE);
        }
        let Some(link) = &state.link else {
            return self.crb.complete(&RETRY);
        };
        let shares_processor = memory.monitor_shares_processor();
        let spins = !shares_processor && state.spinning.pays();
        state.ring.want_signal(memory, !spins);
        // It is not another's before the command is done.
        let locality = self.crb.active().unwrap_or_default();
        if !self.crb.is_polled() {
            let page = u64::from(locality).wrapping_mul(PAGE as u64);
            let buffer = self.config.crb.base.wrapping_add(page).wrapping_add(DATA_BUFFER);
            if state.ring.submit(memory, buffer) {
                link.kick();
            }
        }
        if spins && self.spin_once(locality) {
            return state.spinning.came(true, true);
        }
        let begun = Instant::now();
        if spins {
            if self.spin(locality, begun) {
                return state.spinning.came(true, true);
            }
            state.ring.want_signal(memory, true);
        }
        while self.crb.started(locality) {
            let left = self.config.budget.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            if link.wait_for_call(left) {
                break;
            }
        }
        if !shares_processor {
            // Whoever slept sees the answer later than it came, by about as much as spinning is worth.
            let soon = !spins && begun.elapsed() <= self.config.spin.saturating_mul(2);
            state.spinning.came(soon, spins);
        }
    }

    /// Spins for the answer for as long as that may pay; says whether it came.
    fn spin(&self, locality: u8, begun: Instant) -> bool {
        while begun.elapsed() < self.config.spin {
            if self.spin_once(locality) {
                return true;
            }
        }
        false
    }

    /// Spins for a moment, for which looking at the clock would take too long.
    fn spin_once(&self, locality: u8) -> bool {
        const LOOKS: u32 = 32;
        for _ in 0..LOOKS {
            if !self.crb.started(locality) {
                self.crb.prepare_response(locality);
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }
}

impl State {
    /// Says that a request of the guest was lost, once: the guest can repeat it as often as it likes.
    fn complain(&mut self, error: &FrontendError) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::warn!(%error, "a request of the guest was lost");
        }
    }
}

impl DeviceMmio for Frontend {
    fn mmio_read(&self, _base: MmioAddress, offset: MmioAddressOffset, data: &mut [u8]) {
        self.read(offset, data);
    }

    fn mmio_write(&self, _base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        self.write(offset, data);
    }
}
