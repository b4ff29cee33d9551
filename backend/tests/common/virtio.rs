//! A monitor whose guest has a virtio-tpm driver: queue 0 and its buffers are memory of the guest's.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crb_interface::{Control, layout};
use rustix::fs::{MemfdFlags, memfd_create};
use vhost::vhost_user::message::{
    VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserHeaderFlag,
    VhostUserProtocolFeatures,
};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Where the memory is in the guest, and in the address space that the monitor says it has.
const GUEST: u64 = 0x1_0000_0000;
const USER: u64 = 0x7F00_0000_0000;
const SIZE: u64 = 0x1_0000;

/// Commands that can be in the queue.
pub(crate) const QUEUE_SIZE: u16 = 4;
const AVAILABLE: u64 = 0x1000;
const USED: u64 = 0x2000;
/// Where a command's buffers are: one page for it, one for its response.
const BUFFERS: u64 = 0x4000;
const PAGE: u64 = 0x1000;

/// The driver and its monitor.
pub(crate) struct Driver {
    vhost: Frontend,
    memory: File,
    kick: EventFd,
    available: u16,
}

/// Says how many commands were ever made available, whether it is so or not.
pub(crate) fn claim(memory: &File, index: u16) {
    memory.write_all_at(&index.to_le_bytes(), AVAILABLE + 2).unwrap();
}

impl Driver {
    /// Attaches the daemon and powers its TPM on.
    pub(crate) fn attach(socket: &Path) -> Self {
        Self::attach_with(socket, &EventFd::new(EFD_NONBLOCK).unwrap())
    }

    /// The same, with this call descriptor.
    pub(crate) fn attach_with(socket: &Path, call: &EventFd) -> Self {
        let mut driver = Self::connect(socket);
        driver.start(call);
        driver.control(Control::PowerOn);
        driver
    }

    /// Attaches the daemon as a monitor does that knows none of its requests.
    pub(crate) fn attach_plainly(socket: &Path) -> Self {
        let mut driver = Self::connect(socket);
        driver.start(&EventFd::new(EFD_NONBLOCK).unwrap());
        driver
    }

    /// A monitor whose queue is still to be started.
    pub(crate) fn connect(socket: &Path) -> Self {
        let memory = File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap());
        memory.set_len(SIZE).unwrap();
        let mut vhost = Frontend::from_stream(UnixStream::connect(socket).unwrap(), 1);
        vhost.set_owner().unwrap();
        vhost.get_features().unwrap();
        vhost.set_features(1 << 32 | 1 << 30).unwrap();
        let offered = vhost.get_protocol_features().unwrap();
        let wanted = VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::DEVICE_STATE;
        vhost.set_protocol_features(offered & wanted).unwrap();
        vhost.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
        let driver = Self {
            vhost,
            memory,
            kick: EventFd::new(EFD_NONBLOCK).unwrap(),
            available: 0,
        };
        driver.share_memory();
        driver
    }

    /// Says what the guest's memory is, whether the queue is started or not.
    pub(crate) fn share_memory(&self) {
        let region = VhostUserMemoryRegionInfo {
            guest_phys_addr: GUEST,
            memory_size: SIZE,
            userspace_addr: USER,
            mmap_offset: 0,
            mmap_handle: self.memory.as_raw_fd(),
        };
        self.vhost.set_mem_table(&[region]).unwrap();
    }

    /// Starts the queue, from the command on that is submitted next.
    pub(crate) fn start(&mut self, call: &EventFd) {
        self.start_from(call, self.available);
    }

    /// Starts the queue, from the command of this number on.
    pub(crate) fn start_from(&mut self, call: &EventFd, number: u16) {
        let rings = VringConfigData {
            queue_max_size: QUEUE_SIZE * 2,
            queue_size: QUEUE_SIZE * 2,
            flags: 0,
            desc_table_addr: USER,
            used_ring_addr: USER + USED,
            avail_ring_addr: USER + AVAILABLE,
            log_addr: None,
        };
        self.vhost.set_vring_num(0, QUEUE_SIZE * 2).unwrap();
        self.vhost.set_vring_addr(0, &rings).unwrap();
        self.vhost.set_vring_base(0, number).unwrap();
        self.vhost.set_vring_call(0, call).unwrap();
        self.vhost.set_vring_kick(0, &self.kick).unwrap();
        self.vhost.set_vring_enable(0, true).unwrap();
    }

    /// Stops the queue; returns how many commands were ever taken.
    pub(crate) fn stop(&mut self) -> u32 {
        self.vhost.get_vring_base(0).unwrap()
    }

    /// The guest's memory.
    pub(crate) fn memory(&self) -> File {
        self.memory.try_clone().unwrap()
    }

    /// Takes the TPM out of the daemon. The queue must be stopped.
    pub(crate) fn save(&self) -> Vec<u8> {
        let (mut ours, theirs) = std::io::pipe().unwrap();
        let phase = VhostTransferStatePhase::STOPPED;
        let direction = VhostTransferStateDirection::SAVE;
        self.vhost.set_device_state_fd(direction, phase, theirs.into()).unwrap();
        let mut state = Vec::new();
        ours.read_to_end(&mut state).unwrap();
        self.vhost.check_device_state().unwrap();
        state
    }

    /// Gives the daemon a TPM. The queue must not have been started.
    pub(crate) fn load(&self, state: &[u8]) {
        let (theirs, mut ours) = std::io::pipe().unwrap();
        let phase = VhostTransferStatePhase::STOPPED;
        let direction = VhostTransferStateDirection::LOAD;
        self.vhost.set_device_state_fd(direction, phase, theirs.into()).unwrap();
        ours.write_all(state).unwrap();
        drop(ours);
        self.vhost.check_device_state().unwrap();
    }

    /// Writes to the config space.
    pub(crate) fn write_config(&mut self, offset: u64, bytes: &[u8]) {
        let flags = VhostUserConfigFlags::WRITABLE;
        self.vhost.set_config(offset as u32, flags, bytes).unwrap();
    }

    /// Reads from the config space.
    pub(crate) fn read_config(&mut self, offset: u64, len: usize) -> Vec<u8> {
        let flags = VhostUserConfigFlags::empty();
        let (_, bytes) = self
            .vhost
            .get_config(offset as u32, len as u32, flags, &vec![0; len])
            .unwrap();
        bytes
    }

    /// Has the daemon carry out a request.
    pub(crate) fn control(&mut self, request: Control) {
        let value = (request as u32).to_le_bytes();
        self.vhost
            .set_config(layout::CONFIG_CONTROL, VhostUserConfigFlags::WRITABLE, &value)
            .unwrap();
    }

    fn put(&self, at: u64, parts: &[&[u8]]) {
        self.memory.write_all_at(&parts.concat(), at).unwrap();
    }

    fn word(&self, at: u64) -> u16 {
        let mut bytes = [0; 2];
        self.memory.read_exact_at(&mut bytes, at).unwrap();
        u16::from_le_bytes(bytes)
    }

    /// Says how many commands were ever made available, whether it is so or not.
    pub(crate) fn claim(&self, index: u16) {
        claim(&self.memory, index);
    }

    /// How many commands were ever submitted.
    pub(crate) fn submitted(&self) -> u16 {
        self.available
    }

    /// Puts a command into the queue; the daemon is not told.
    pub(crate) fn submit(&mut self, command: &[u8]) {
        let slot = u64::from(self.available % QUEUE_SIZE);
        let buffer = BUFFERS + slot * 2 * PAGE;
        self.put(buffer, &[command]);
        let head = slot as u16 * 2;
        let (readable, writable) = (GUEST + buffer, GUEST + buffer + PAGE);
        let next = [1u16.to_le_bytes(), (head + 1).to_le_bytes()].concat();
        let len = (command.len() as u32).to_le_bytes();
        self.put(slot * 32, &[&readable.to_le_bytes(), &len, &next]);
        let room = (PAGE as u32).to_le_bytes();
        self.put(slot * 32 + 16, &[&writable.to_le_bytes(), &room, &[2, 0, 0, 0]]);
        let entry = AVAILABLE + 4 + 2 * u64::from(self.available % (QUEUE_SIZE * 2));
        self.put(entry, &[&head.to_le_bytes()]);
        self.available = self.available.wrapping_add(1);
        self.claim(self.available);
    }

    pub(crate) fn kick(&self) {
        self.kick.write(1).unwrap();
    }

    /// The response to the command of this number, counted from 0.
    pub(crate) fn answer(&self, number: u16) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.word(USED + 2).wrapping_sub(number).cast_signed() <= 0 {
            assert!(Instant::now() < deadline, "no answer");
            std::thread::sleep(Duration::from_micros(100));
        }
        let mut len = [0; 4];
        let entry = USED + 4 + 8 * u64::from(number % (QUEUE_SIZE * 2));
        self.memory.read_exact_at(&mut len, entry + 4).unwrap();
        let mut response = vec![0; u32::from_le_bytes(len) as usize];
        let slot = u64::from(number % QUEUE_SIZE);
        let buffer = BUFFERS + slot * 2 * PAGE + PAGE;
        self.memory.read_exact_at(&mut response, buffer).unwrap();
        response
    }

    /// Sends a command and waits for its response.
    pub(crate) fn run(&mut self, command: &[u8]) -> Vec<u8> {
        let number = self.available;
        self.submit(command);
        self.kick();
        self.answer(number)
    }
}
