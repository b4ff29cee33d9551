//! A queue whose events never block: they are descriptors of the monitor's, which may be full, empty or blocking.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use vhost_user_backend::{VringMutex, VringStateGuard, VringStateMutGuard, VringT};
use virtio_queue::{Error, QueueT};
use vm_memory::GuestAddressSpace;

use super::device::Memory;

/// Queue 0. Only its events differ from the one that is inside.
#[derive(Clone)]
pub(super) struct Vring {
    inner: VringMutex<Memory>,
    memory: Memory,
}

impl Vring {
    /// Whether the driver has made a command available that was not taken yet.
    pub(super) fn has_command(&self) -> bool {
        let state = self.inner.get_ref();
        let queue = state.get_queue();
        let available = queue.avail_idx(&*self.memory.memory(), Ordering::Acquire);
        available.is_ok_and(|index| index.0 != queue.next_avail())
    }

    /// Whether the monitor has stopped the queue, or is about to.
    pub(super) fn is_stopped(&self) -> bool {
        !self.inner.get_ref().get_queue().ready()
    }

    /// Resets the kick. What was announced by it has to be looked for after that.
    pub(super) fn take_kick(&self) -> io::Result<()> {
        match self.inner.read_kick() {
            // Somebody else has read it, or there was none.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result.map(drop),
        }
    }

    /// Why no command can be taken although there are some: the queue was stopped, or its ring is broken.
    pub(super) fn nothing_to_take(&self) -> io::Result<()> {
        match self.is_stopped() {
            true => Ok(()),
            false => Err(io::Error::other("the available ring makes no sense")),
        }
    }
}

impl<'a> VringStateGuard<'a, Memory> for Vring {
    type G = <VringMutex<Memory> as VringStateGuard<'a, Memory>>::G;
}

impl<'a> VringStateMutGuard<'a, Memory> for Vring {
    type G = <VringMutex<Memory> as VringStateMutGuard<'a, Memory>>::G;
}

/// Has reads and writes fail where they would block.
fn nonblocking(file: File) -> File {
    let set = || fcntl_setfl(&file, fcntl_getfl(&file)? | OFlags::NONBLOCK);
    if let Err(error) = set() {
        tracing::warn!("an event of the monitor's may block: {error}");
    }
    file
}

impl VringT<Memory> for Vring {
    fn set_kick(&self, file: Option<File>) {
        self.inner.set_kick(file.map(nonblocking));
    }

    fn read_kick(&self) -> io::Result<bool> {
        let enabled = self.inner.get_ref().is_enabled();
        // Whoever handles the event takes the kick when nobody waits for that any more.
        if !enabled {
            self.take_kick()?;
        }
        Ok(enabled)
    }

    fn set_call(&self, file: Option<File>) {
        self.inner.set_call(file.map(nonblocking));
    }

    fn signal_used_queue(&self) -> io::Result<()> {
        match self.inner.signal_used_queue() {
            // A counter that is full has signalled.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }

    fn set_err(&self, file: Option<File>) {
        self.inner.set_err(file);
    }

    fn new(memory: Memory, max_size: u16) -> Result<Self, Error> {
        let inner = VringMutex::new(memory.clone(), max_size)?;
        Ok(Self { inner, memory })
    }

    fn get_ref(&self) -> <Self as VringStateGuard<'_, Memory>>::G {
        self.inner.get_ref()
    }

    fn get_mut(&self) -> <Self as VringStateMutGuard<'_, Memory>>::G {
        self.inner.get_mut()
    }

    fn add_used(&self, head: u16, len: u32) -> Result<(), Error> {
        self.inner.add_used(head, len)
    }

    fn enable_notification(&self) -> Result<bool, Error> {
        self.inner.enable_notification()
    }

    fn disable_notification(&self) -> Result<(), Error> {
        self.inner.disable_notification()
    }

    fn needs_notification(&self) -> Result<bool, Error> {
        self.inner.needs_notification()
    }

    fn set_enabled(&self, enabled: bool) {
        self.inner.set_enabled(enabled);
    }

    fn set_queue_info(&self, descriptors: u64, available: u64, used: u64) -> Result<(), Error> {
        self.inner.set_queue_info(descriptors, available, used)
    }

    fn queue_next_avail(&self) -> u16 {
        self.inner.queue_next_avail()
    }

    fn set_queue_next_avail(&self, index: u16) {
        self.inner.set_queue_next_avail(index);
    }

    fn set_queue_next_used(&self, index: u16) {
        self.inner.set_queue_next_used(index);
    }

    fn queue_used_idx(&self) -> Result<u16, Error> {
        self.inner.queue_used_idx()
    }

    fn set_queue_size(&self, size: u16) {
        self.inner.set_queue_size(size);
    }

    fn set_queue_event_idx(&self, enabled: bool) {
        self.inner.set_queue_event_idx(enabled);
    }

    fn set_queue_ready(&self, ready: bool) {
        self.inner.set_queue_ready(ready);
    }
}
