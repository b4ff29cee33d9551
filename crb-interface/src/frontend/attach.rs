//! The life of the connection: how it begins, what the process is told of the machine, and what happens when it ends.

use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use vmm_sys_util::eventfd::EventFd;

use super::link::Link;
use super::wait::wait;
use super::{FAILURE, FrontendError, Shared, State};
use crate::memory::Memory;
use crate::registers::CtrlCancel;
use crate::{Control, layout};

/// How long a command that was cancelled may go on.
const CANCELLED: Duration = Duration::from_secs(10);

impl Shared {
    /// Connects, gives the process the TPM that was saved, if any was, and tells it what has become of the machine.
    ///
    /// The lock is not held while the process is waited for: a vCPU that comes meanwhile is told at once that there is
    /// no TPM yet.
    pub(super) fn attach(&self, tpm: Option<&[u8]>) -> Result<(), FrontendError> {
        let memory = self.crb.memory();
        self.crb.begin_connection();
        self.lock().ring.reset(&**memory);
        memory.store(layout::MAGIC, layout::MAGIC_VALUE);
        let socket = &self.config.socket;
        let mut link = Link::connect(socket, memory, self.config.crb.base)?;
        if let Some(tpm) = tpm {
            link.load(tpm)?;
        }
        link.start_queue(memory, socket)?;
        loop {
            let request = self.lock().news;
            link.control(request)
                .map_err(|source| FrontendError::Control { request, source })?;
            let established = established(&mut link)?;
            let mut state = self.lock();
            // A reset that came in between is news, too.
            if state.news == request {
                self.crb.set_established(established);
                state.news = Control::Recover;
                state.complained = false;
                state.link = Some(link);
                return Ok(());
            }
        }
    }

    /// `_TPM_Init` and the window's first values. A process that cannot be told loses the connection, and is told when it
    /// is attached again.
    pub(super) fn power_cycle(&self, state: &mut State) -> Result<(), FrontendError> {
        self.settle(state);
        state.news = Control::PowerOn;
        self.reset_window();
        let told = self
            .rejoin(state)
            .and_then(|()| self.control(state, Control::PowerOn))
            .and_then(|()| self.show_established(state));
        match (&told, &state.link) {
            (Ok(()), _) => state.news = Control::Recover,
            (Err(_), Some(link)) => link.hang_up(),
            (Err(_), None) => {}
        }
        told
    }

    fn reset_window(&self) {
        self.crb.reset();
        self.crb.memory().store(layout::MAGIC, layout::MAGIC_VALUE);
    }

    pub(super) fn show_established(&self, state: &mut State) -> Result<(), FrontendError> {
        let link = state.link.as_mut().ok_or(FrontendError::Detached)?;
        self.crb.set_established(established(link)?);
        Ok(())
    }

    pub(super) fn control(&self, state: &mut State, request: Control) -> Result<(), FrontendError> {
        let link = state.link.as_mut().ok_or(FrontendError::Detached)?;
        link.control(request)
            .map_err(|source| FrontendError::Control { request, source })
    }

    /// Cancels the command that is being executed and waits for its end.
    fn settle(&self, state: &mut State) {
        if !self.crb.executing() {
            return;
        }
        if let Some(link) = &mut state.link {
            self.crb.broadcast(CtrlCancel::CANCEL);
            link.post(Control::Cancel);
            let begun = Instant::now();
            let mut lost = false;
            while self.crb.executing() && !lost {
                lost = link.wait_for_call(Duration::from_millis(1)) || begun.elapsed() > CANCELLED;
            }
            if lost {
                // A process that does not even heed this has lost its say.
                link.hang_up();
                self.crb.begin_connection();
            }
        }
        self.crb.complete(&FAILURE);
    }
}

fn established(link: &mut Link) -> Result<bool, FrontendError> {
    link.established().map_err(|source| FrontendError::Control {
        request: Control::ResetEstablishment,
        source,
    })
}

/// Waits for the end of the connection, and connects again when it has come; ends with the last [`super::Frontend`].
pub(super) fn watch(shared: &Shared, exit: &EventFd) {
    const RETRY_EVERY: Duration = Duration::from_millis(100);
    loop {
        let socket = shared.lock().link.as_ref().map(Link::socket);
        // Only this thread takes the link away, so that its socket stays open during the wait.
        let (limit, watched) = socket.map_or((Some(RETRY_EVERY), None), |socket| (None, Some(socket)));
        let [exiting, ended] = wait(exit.as_raw_fd(), watched, limit);
        if exiting {
            shared.lock().link = None;
            return;
        }
        if socket.is_none() && shared.lock().moved {
            // Whoever has the TPM now, it is not for us to start another.
        } else if socket.is_none() {
            // Whoever restarts the process takes care that it comes back; how long that takes is not known here.
            if shared.attach(None).is_ok() {
                tracing::info!("the TPM process is attached again");
            }
        } else if ended {
            let mut state = shared.lock();
            state.link = None;
            shared.crb.begin_connection();
            // The command that was lost with the process.
            shared.crb.reclaim(&FAILURE);
            tracing::warn!(socket = %shared.config.socket.display(), "the TPM process is gone");
        }
    }
}
