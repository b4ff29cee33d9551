//! What the commands of a connection go through.

use std::io;
use std::sync::Arc;

use crb_interface::layout::{MEMORY_SIZE, STAGING_SIZE};
use crb_interface::{Config, Crb, SharedMemory};
use tpm_engine::ResponseBuffer;
use vhost_user_backend::VringT;
use virtio_queue::DescriptorChain;
use vm_memory::{GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::device::Memory;
use super::memory;
use super::vring::Vring;
use super::waiting::Waiting;

/// A CRB window and where it is in the guest.
pub(super) struct Window {
    pub(super) crb: Crb<SharedMemory>,
    base: u64,
}

/// What commands of a connection go through, one at a time.
pub(super) struct Worker {
    pub(super) memory: Option<Memory>,
    pub(super) window: Option<Arc<Window>>,
    pub(super) buffers: Buffers,
    pub(super) waiting: Waiting,
    /// The monitor knows that the window is looked at.
    pub(super) polling: bool,
}

/// A command and its response.
pub(super) struct Buffers {
    pub(super) command: Box<[u8; STAGING_SIZE]>,
    pub(super) response: ResponseBuffer,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            command: Box::new([0; STAGING_SIZE]),
            response: ResponseBuffer::default(),
        }
    }
}

impl Window {
    /// Tells the monitor that its command is done, if it sleeps until then.
    pub(super) fn signal(&self, vring: &Vring) -> io::Result<()> {
        match self.crb.wants_signal() {
            true => vring.signal_used_queue(),
            false => Ok(()),
        }
    }

    /// The window in a monitor's memory, which may have none.
    pub(super) fn find(memory: &GuestMemoryMmap) -> io::Result<Option<Arc<Self>>> {
        memory::check(memory)?;
        let mut window = None;
        for region in memory.iter() {
            if let Some(shared) = SharedMemory::of_region(region)? {
                let base = region.start_addr().0;
                let config = Config {
                    base,
                    ..Config::default()
                };
                window = Some(Arc::new(Self {
                    crb: Crb::of_connection(shared, config),
                    base,
                }));
            }
        }
        Ok(window)
    }

    /// Whether the chain begins in the window's pages.
    pub(super) fn holds<M: std::ops::Deref<Target = GuestMemoryMmap> + Clone>(
        &self,
        chain: &DescriptorChain<M>,
    ) -> bool {
        chain
            .clone()
            .next()
            .and_then(|part| part.addr().0.checked_sub(self.base))
            .is_some_and(|offset| offset < MEMORY_SIZE as u64)
    }
}

impl Worker {
    /// Notes where this thread runs. Whether that is where the monitor's runs.
    pub(super) fn shares_processor(&self) -> bool {
        let window = self.window.as_ref();
        window.is_some_and(|window| window.crb.memory().device_shares_processor())
    }

    /// Has the monitor know that the window is looked at.
    pub(super) fn begin_polling(&mut self) {
        if let Some(window) = &self.window
            && !std::mem::replace(&mut self.polling, true)
        {
            window.crb.begin_polling();
        }
    }

    /// Looks for commands in the window for a moment, and has the monitor know that.
    pub(super) fn poll(&mut self) {
        /// Looks between two at the queue and at the clock, which take longer.
        const LOOKS: u32 = 32;
        self.begin_polling();
        for _ in 0..LOOKS {
            std::hint::spin_loop();
            if let Some(window) = &self.window
                && window.crb.polled_command()
            {
                return window.crb.prepare_command();
            }
        }
    }

    /// The window is not looked at any more. True when there is a command that nobody will announce: it has to be
    /// executed now.
    pub(super) fn end_polling(&mut self) -> bool {
        let polled = std::mem::take(&mut self.polling);
        self.window
            .as_ref()
            .is_some_and(|window| polled && window.crb.end_polling())
    }
}
