//! The connection to the TPM process: the vhost-user handshake and what goes by message.

use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use vhost::vhost_user::message::{
    VhostUserConfigFlags, VhostUserHeaderFlag, VhostUserProtocolFeatures, VhostUserVirtioFeatures,
};
use vhost::vhost_user::{Frontend as VhostFrontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::FrontendError;
use super::wait::{bounded, takes_message, wait};
use crate::layout::{
    CONFIG_CONTROL, LOC_STATE, MEMORY_SIZE, QUEUE_AVAILABLE, QUEUE_DESCRIPTORS, QUEUE_SIZE, QUEUE_USED, loc_state,
};
use crate::{Control, SharedMemory};

/// VIRTIO_F_VERSION_1.
const VERSION_1: u64 = 1 << 32;

/// A TPM process that has the window.
pub(super) struct Link {
    /// The same socket as that of `vhost`.
    stream: UnixStream,
    vhost: VhostFrontend,
    kick: EventFd,
    call: EventFd,
}

impl Link {
    /// Connects and hands over the window, whose queue must be empty.
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
        let Self {
            stream,
            vhost,
            kick,
            call,
        } = &mut link;
        bounded(stream, || handshake(vhost, (kick, call), socket, memory, base))?;
        Ok(link)
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
            .is_some_and(|byte| u32::from(*byte) & loc_state::ESTABLISHED == 0))
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

/// The messages in their order (docs/vhost-user-tpm.md, "Connection").
fn handshake(
    vhost: &mut VhostFrontend,
    (kick, call): (&EventFd, &EventFd),
    socket: &Path,
    memory: &SharedMemory,
    base: u64,
) -> Result<(), FrontendError> {
    let step = |what: &'static str| {
        move |source: vhost::Error| FrontendError::Handshake {
            what,
            socket: socket.to_owned(),
            source,
        }
    };
    vhost.set_owner().map_err(step("SET_OWNER"))?;
    let offered = vhost.get_features().map_err(step("GET_FEATURES"))?;
    let needed = VERSION_1 | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
    if offered & needed != needed {
        return Err(FrontendError::Features {
            socket: socket.to_owned(),
            offered,
        });
    }
    vhost.set_features(needed).map_err(step("SET_FEATURES"))?;
    let offered = vhost.get_protocol_features().map_err(step("GET_PROTOCOL_FEATURES"))?;
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
        .map_err(step("SET_PROTOCOL_FEATURES"))?;
    vhost.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    let region = VhostUserMemoryRegionInfo {
        guest_phys_addr: base,
        memory_size: MEMORY_SIZE as u64,
        userspace_addr: memory.address(),
        mmap_offset: 0,
        mmap_handle: memory.file().as_raw_fd(),
    };
    vhost.set_mem_table(&[region]).map_err(step("SET_MEM_TABLE"))?;
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
    vhost.set_vring_num(0, QUEUE_SIZE).map_err(step("SET_VRING_NUM"))?;
    vhost.set_vring_addr(0, &rings).map_err(step("SET_VRING_ADDR"))?;
    vhost.set_vring_base(0, 0).map_err(step("SET_VRING_BASE"))?;
    vhost.set_vring_call(0, call).map_err(step("SET_VRING_CALL"))?;
    vhost.set_vring_kick(0, kick).map_err(step("SET_VRING_KICK"))?;
    vhost.set_vring_enable(0, true).map_err(step("SET_VRING_ENABLE"))?;
    Ok(())
}
