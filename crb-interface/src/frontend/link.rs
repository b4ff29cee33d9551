//! The connection to the TPM process: the vhost-user handshake and what goes by message.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use vhost::vhost_user::message::{
    VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserHeaderFlag,
    VhostUserProtocolFeatures, VhostUserVirtioFeatures,
};
use vhost::vhost_user::{Frontend as VhostFrontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::FrontendError;
use super::wait::{bounded, takes_message, wait};
use crate::layout::{
    CONFIG_CONTROL, LOC_STATE, MEMORY_SIZE, QUEUE_AVAILABLE, QUEUE_DESCRIPTORS, QUEUE_SIZE, QUEUE_USED,
};
use crate::registers::LocState;
use crate::{Control, SharedMemory};

/// VIRTIO_F_VERSION_1.
const VERSION_1: u64 = 1 << 32;

/// The largest state that a TPM process can have.
const MAX_STATE: usize = 4 << 20;
/// How long the process may pause while it gives its state.
const PATIENCE: Duration = Duration::from_secs(10);

/// A TPM process that has the window.
pub(super) struct Link {
    /// The same socket as that of `vhost`.
    stream: UnixStream,
    vhost: VhostFrontend,
    kick: EventFd,
    call: EventFd,
}

impl Link {
    /// Connects and hands over the window. Nothing is served before [`Self::start_queue`].
    pub(super) fn connect(socket: &Path, memory: &SharedMemory, base: u64) -> Result<Self, FrontendError> {
        let stream = UnixStream::connect(socket).map_err(|source| FrontendError::Connect {
            socket: socket.to_owned(),
            source,
        })?;
        let vhost = VhostFrontend::from_stream(stream.try_clone().map_err(FrontendError::Resources)?, 1);
        let mut link = Self {
            stream,
            vhost,
            kick: EventFd::new(EFD_NONBLOCK).map_err(FrontendError::Resources)?,
            call: EventFd::new(EFD_NONBLOCK).map_err(FrontendError::Resources)?,
        };
        bounded(&link.stream, || handshake(&mut link.vhost, socket, memory, base))?;
        Ok(link)
    }

    /// Starts the queue in the window, which must be empty.
    pub(super) fn start_queue(&mut self, memory: &SharedMemory, socket: &Path) -> Result<(), FrontendError> {
        let Self {
            stream,
            vhost,
            kick,
            call,
        } = self;
        bounded(stream, || start_queue(vhost, (kick, call), socket, memory))
    }

    /// Stops the queue and has the TPM process give its TPM away.
    pub(super) fn save(&self) -> Result<Vec<u8>, FrontendError> {
        let broken = |source| FrontendError::Transfer { what: "save", source };
        let failed = |error: vhost::Error| broken(io::Error::other(error));
        bounded(&self.stream, || self.vhost.get_vring_base(0)).map_err(failed)?;
        let (ours, theirs) = io::pipe().map_err(FrontendError::Resources)?;
        let phase = VhostTransferStatePhase::STOPPED;
        let other = bounded(&self.stream, || {
            self.vhost
                .set_device_state_fd(VhostTransferStateDirection::SAVE, phase, theirs.into())
        })
        .map_err(failed)?;
        // The process may name a channel of its own.
        let mut from = other.unwrap_or_else(|| OwnedFd::from(ours).into());
        let mut state = Vec::new();
        let mut chunk = [0; 4096];
        while state.len() <= MAX_STATE {
            if !wait(from.as_raw_fd(), None, Some(PATIENCE)).contains(&true) {
                return Err(broken(io::ErrorKind::TimedOut.into()));
            }
            match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => state.extend_from_slice(chunk.get(..len).unwrap_or_default()),
                Err(error) => return Err(broken(error)),
            }
        }
        bounded(&self.stream, || self.vhost.check_device_state()).map_err(failed)?;
        Ok(state)
    }

    /// Gives the TPM process a TPM, before the queue is started.
    pub(super) fn load(&self, state: &[u8]) -> Result<(), FrontendError> {
        let broken = |source| FrontendError::Transfer { what: "load", source };
        let failed = |error: vhost::Error| broken(io::Error::other(error));
        let (theirs, ours) = io::pipe().map_err(FrontendError::Resources)?;
        let phase = VhostTransferStatePhase::STOPPED;
        let other = bounded(&self.stream, || {
            self.vhost
                .set_device_state_fd(VhostTransferStateDirection::LOAD, phase, theirs.into())
        })
        .map_err(failed)?;
        let mut to = other.unwrap_or_else(|| OwnedFd::from(ours).into());
        // The process gives up by itself when it cannot go on, and closes its end.
        to.write_all(state).map_err(broken)?;
        drop(to);
        bounded(&self.stream, || self.vhost.check_device_state()).map_err(failed)
    }

    /// Has the TPM process carry out a request, and waits until it has.
    pub(super) fn control(&mut self, request: Control) -> Result<(), vhost::Error> {
        bounded(&self.stream, || send(&mut self.vhost, request))
    }

    /// Tells the TPM process to carry out a request, and waits for nothing. False when it does not listen.
    pub(super) fn post(&mut self, request: Control) -> bool {
        if !takes_message(&self.stream) {
            return false;
        }
        self.vhost.set_hdr_flags(VhostUserHeaderFlag::empty());
        let sent = send(&mut self.vhost, request);
        self.vhost.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        sent.is_ok()
    }

    /// Ends the connection: whatever the TPM process does from now on, it is not for us.
    pub(super) fn hang_up(&self) {
        // It can fail only when it has ended already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The TPM's established flag.
    pub(super) fn established(&mut self) -> Result<bool, vhost::Error> {
        let register = u32::try_from(LOC_STATE).unwrap_or_default();
        let (_, value) = bounded(&self.stream, || {
            self.vhost
                .get_config(register, 4, VhostUserConfigFlags::empty(), &[0; 4])
        })?;
        Ok(value
            .first()
            .is_some_and(|byte| !LocState::from_bits_retain((*byte).into()).contains(LocState::ESTABLISHED)))
    }

    /// Wakes the TPM process.
    pub(super) fn kick(&self) {
        // It can fail only when the counter is full, and then the process will wake anyway.
        let _ = self.kick.write(1);
    }

    /// Sleeps until the TPM process signals that a command is done or the connection ends, but no longer than this. True
    /// when the connection has ended.
    pub(super) fn wait_for_call(&self, limit: Duration) -> bool {
        let [called, ended] = wait(self.call.as_raw_fd(), Some(self.socket()), Some(limit));
        if called {
            // The counter's value does not matter.
            let _ = self.call.read();
        }
        ended
    }

    /// The connection's descriptor, to notice its end.
    pub(super) fn socket(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}

fn send(vhost: &mut VhostFrontend, request: Control) -> Result<(), vhost::Error> {
    let value = (request as u32).to_le_bytes();
    vhost.set_config(CONFIG_CONTROL, VhostUserConfigFlags::WRITABLE, &value)
}

/// An error of a step of the handshake.
fn step(what: &'static str, socket: &Path) -> impl FnOnce(vhost::Error) -> FrontendError {
    move |source| FrontendError::Handshake {
        what,
        socket: socket.to_owned(),
        source,
    }
}

/// The messages in their order (docs/vhost-user-tpm.md, "Connection"), as far as the queue.
fn handshake(vhost: &mut VhostFrontend, socket: &Path, memory: &SharedMemory, base: u64) -> Result<(), FrontendError> {
    vhost.set_owner().map_err(step("SET_OWNER", socket))?;
    let offered = vhost.get_features().map_err(step("GET_FEATURES", socket))?;
    let needed = VERSION_1 | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
    if offered & needed != needed {
        return Err(FrontendError::Features {
            socket: socket.to_owned(),
            offered,
        });
    }
    vhost.set_features(needed).map_err(step("SET_FEATURES", socket))?;
    let offered = vhost
        .get_protocol_features()
        .map_err(step("GET_PROTOCOL_FEATURES", socket))?;
    let needed = VhostUserProtocolFeatures::CONFIG | VhostUserProtocolFeatures::REPLY_ACK;
    if !offered.contains(needed) {
        return Err(FrontendError::Features {
            socket: socket.to_owned(),
            offered: offered.bits(),
        });
    }
    let wanted = needed | VhostUserProtocolFeatures::DEVICE_STATE;
    vhost
        .set_protocol_features(wanted & offered)
        .map_err(step("SET_PROTOCOL_FEATURES", socket))?;
    vhost.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    let region = VhostUserMemoryRegionInfo {
        guest_phys_addr: base,
        memory_size: MEMORY_SIZE as u64,
        userspace_addr: memory.address(),
        mmap_offset: 0,
        mmap_handle: memory.file().as_raw_fd(),
    };
    vhost.set_mem_table(&[region]).map_err(step("SET_MEM_TABLE", socket))?;
    Ok(())
}

fn start_queue(
    vhost: &mut VhostFrontend,
    (kick, call): (&EventFd, &EventFd),
    socket: &Path,
    memory: &SharedMemory,
) -> Result<(), FrontendError> {
    let address = |offset: usize| memory.address().saturating_add(offset as u64);
    let rings = VringConfigData {
        queue_max_size: QUEUE_SIZE,
        queue_size: QUEUE_SIZE,
        flags: 0,
        desc_table_addr: address(QUEUE_DESCRIPTORS),
        used_ring_addr: address(QUEUE_USED),
        avail_ring_addr: address(QUEUE_AVAILABLE),
        log_addr: None,
    };
    vhost
        .set_vring_num(0, QUEUE_SIZE)
        .map_err(step("SET_VRING_NUM", socket))?;
    vhost
        .set_vring_addr(0, &rings)
        .map_err(step("SET_VRING_ADDR", socket))?;
    vhost.set_vring_base(0, 0).map_err(step("SET_VRING_BASE", socket))?;
    vhost.set_vring_call(0, call).map_err(step("SET_VRING_CALL", socket))?;
    vhost.set_vring_kick(0, kick).map_err(step("SET_VRING_KICK", socket))?;
    vhost
        .set_vring_enable(0, true)
        .map_err(step("SET_VRING_ENABLE", socket))
}
