//! A monitor whose guest has a virtio-tpm driver: queue 0 and its buffers are memory of the guest's.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crb_interface::{Control, layout};
use rustix::fs::{MemfdFlags, memfd_create};
use vhost::vhost_user::message::{VhostUserConfigFlags, VhostUserHeaderFlag, VhostUserProtocolFeatures};
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

impl Driver {
    /// Attaches the daemon and powers its TPM on.
    pub(crate) fn attach(socket: &Path) -> Self {
        Self::attach_with(socket, &EventFd::new(EFD_NONBLOCK).unwrap())
    }

    /// The same, with this call descriptor.
    pub(crate) fn attach_with(socket: &Path, call: &EventFd) -> Self {
        let memory = File::from(memfd_create("guest", MemfdFlags::CLOEXEC).unwrap());
        memory.set_len(SIZE).unwrap();
        let kick = EventFd::new(EFD_NONBLOCK).unwrap();
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
        let region = VhostUserMemoryRegionInfo {
            guest_phys_addr: GUEST,
            memory_size: SIZE,
            userspace_addr: USER,
            mmap_offset: 0,
            mmap_handle: memory.as_raw_fd(),
        };
        vhost.set_mem_table(&[region]).unwrap();
        let rings = VringConfigData {
            queue_max_size: QUEUE_SIZE * 2,
            queue_size: QUEUE_SIZE * 2,
            flags: 0,
            desc_table_addr: USER,
            used_ring_addr: USER + USED,
            avail_ring_addr: USER + AVAILABLE,
            log_addr: None,
        };
        vhost.set_vring_num(0, QUEUE_SIZE * 2).unwrap();
        vhost.set_vring_addr(0, &rings).unwrap();
        vhost.set_vring_base(0, 0).unwrap();
        vhost.set_vring_call(0, call).unwrap();
        vhost.set_vring_kick(0, &kick).unwrap();
        vhost.set_vring_enable(0, true).unwrap();
        let mut driver = Self {
            vhost,
            memory,
            kick,
            available: 0,
        };
        driver.control(Control::PowerOn);
        driver
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
        self.put(AVAILABLE + 2, &[&index.to_le_bytes()]);
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
