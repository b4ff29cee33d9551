//! The machine: memory, one vCPU, a bus with the TPM's window on it, and the loop that runs the guest.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use crb_interface::frontend::Frontend;
use crb_interface::layout::{PC_BASE, WINDOW_SIZE};
use kvm_bindings::{KVM_MEM_READONLY, kvm_userspace_memory_region};
use kvm_ioctls::{Cap, Kvm, VcpuExit, VcpuFd, VmFd};
use vm_device::bus::{MmioAddress, MmioRange, PioAddress, PioRange};
use vm_device::device_manager::{IoManager, MmioManager, PioManager};
use vm_memory::{GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion, MemoryRegionAddress};
use vmm_sys_util::eventfd::EventFd;

use crate::devices::{Console, End, Line, POWER, Power, SERIAL, SERIAL_GSI};
use crate::{cpu, kvm};

/// Bytes below which memory ends: the windows of devices are in the gigabyte above.
const MOST_MEMORY: usize = 3 << 30;
/// Where KVM on Intel's processors keeps what it needs for itself in the guest's address space.
const TASK_STATE: usize = 0xFFFB_D000;

/// What a machine has.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Bytes of memory.
    pub memory: usize,
    /// Interrupt controllers, a serial port and a power button, for a kernel. A bare-metal guest needs none, and
    /// without them its HLT ends the machine.
    pub platform: bool,
    /// Whether the guest reads the TPM's window without exits.
    pub map_window: bool,
}

/// Exits of the vCPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exits {
    /// Reads that reached the MMIO bus.
    pub mmio_reads: u64,
    /// Writes that reached the MMIO bus.
    pub mmio_writes: u64,
}

/// A virtual machine. KVM's handles come first: they go before the memory that they refer to.
pub struct Machine {
    vcpu: VcpuFd,
    _vm: VmFd,
    kvm: Kvm,
    memory: GuestMemoryMmap,
    tpm: Frontend,
    bus: IoManager,
    power: Arc<Power>,
    exits: Exits,
}

impl Machine {
    /// A machine with this TPM.
    ///
    /// # Errors
    /// There is no KVM or memory, or KVM refuses something.
    pub fn new(config: Config, tpm: Frontend) -> Result<Self> {
        ensure!(config.memory <= MOST_MEMORY, "more than 3 GiB of memory");
        let kvm = kvm::open()?;
        let vm = kvm.create_vm().context("KVM makes no virtual machine")?;
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), config.memory)])
            .context("cannot map the guest's memory")?;
        let mut slots = 0u32;
        for region in memory.iter() {
            let address = region.get_host_address(MemoryRegionAddress(0))? as u64;
            map(&vm, slots, region.start_addr().0, region.len(), address, 0)?;
            slots = slots.saturating_add(1);
        }

        // The TPM, first half: its registers are a device on the bus.
        let mut bus = IoManager::new();
        let window = MmioRange::new(MmioAddress(PC_BASE), WINDOW_SIZE as u64)?;
        bus.register_mmio(window, Arc::new(tpm.clone()))?;
        // The second half, which only makes it faster: the guest reads them by itself. What it writes still exits.
        if config.map_window && kvm.check_extension(Cap::ReadonlyMem) {
            let address = tpm.memory().address();
            map(&vm, slots, PC_BASE, WINDOW_SIZE as u64, address, KVM_MEM_READONLY)?;
        }

        let power = Arc::new(Power::default());
        if config.platform {
            vm.set_tss_address(TASK_STATE)?;
            vm.create_irq_chip().context("KVM has no interrupt controllers")?;
            let line = EventFd::new(0)?;
            vm.register_irqfd(&line, SERIAL_GSI)?;
            let ports = PioRange::new(PioAddress(SERIAL.0), SERIAL.1)?;
            bus.register_pio(ports, Arc::new(Console::new(Line(line))))?;
            let ports = PioRange::new(PioAddress(POWER.0), POWER.1)?;
            bus.register_pio(ports, Arc::clone(&power) as _)?;
        }
        let vcpu = vm.create_vcpu(0)?;
        Ok(Self {
            vcpu,
            _vm: vm,
            kvm,
            memory,
            tpm,
            bus,
            power,
            exits: Exits::default(),
        })
    }

    /// The guest's memory.
    #[must_use]
    pub fn memory(&self) -> &GuestMemoryMmap {
        &self.memory
    }

    /// The TPM.
    #[must_use]
    pub fn tpm(&self) -> &Frontend {
        &self.tpm
    }

    /// What the guest's accesses cost so far.
    #[must_use]
    pub fn exits(&self) -> Exits {
        self.exits
    }

    /// Sets the vCPU up to begin at an address, in long mode, with an argument in RSI.
    ///
    /// # Errors
    /// KVM refuses it.
    pub fn start_at(&self, entry: u64, argument: u64) -> Result<()> {
        cpu::start_at(&self.kvm, &self.vcpu, &self.memory, entry, argument)
    }

    /// Runs the guest to its end.
    ///
    /// # Errors
    /// KVM cannot run it on.
    pub fn run(&mut self) -> Result<End> {
        loop {
            match self.vcpu.run() {
                // A signal; nothing was lost.
                Err(error) if io::Error::from(error).kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("KVM cannot run the guest"),
                Ok(VcpuExit::MmioRead(address, data)) => {
                    self.exits.mmio_reads += 1;
                    if self.bus.mmio_read(MmioAddress(address), data).is_err() {
                        data.fill(0xFF);
                    }
                }
                Ok(VcpuExit::MmioWrite(address, data)) => {
                    self.exits.mmio_writes += 1;
                    // Where nothing is, nothing happens.
                    let _ = self.bus.mmio_write(MmioAddress(address), data);
                }
                Ok(VcpuExit::IoIn(port, data)) => {
                    if self.bus.pio_read(PioAddress(port), data).is_err() {
                        data.fill(0xFF);
                    }
                }
                Ok(VcpuExit::IoOut(port, data)) => {
                    let _ = self.bus.pio_write(PioAddress(port), data);
                    if let Some(end) = self.power.asked() {
                        return Ok(end);
                    }
                }
                Ok(VcpuExit::Hlt) => return Ok(End::Halted),
                // A triple fault, which resets a PC.
                Ok(VcpuExit::Shutdown) => return Ok(End::Reset),
                Ok(other) => bail!("KVM cannot run the guest on: {other:?}"),
            }
        }
    }
}

/// Makes a slot of guest memory.
#[expect(unsafe_code, reason = "KVM takes an address of this process")]
fn map(vm: &VmFd, slot: u32, guest: u64, size: u64, host: u64, flags: u32) -> Result<()> {
    let region = kvm_userspace_memory_region {
        slot,
        flags,
        guest_phys_addr: guest,
        memory_size: size,
        userspace_addr: host,
    };
    // SAFETY: the callers map what `Machine` owns: its memory and its TPM's window, of at least this size. Both are
    // dropped after the handles of KVM.
    unsafe { vm.set_user_memory_region(region) }
        .with_context(|| format!("KVM refuses {size:#x} bytes of guest memory at {guest:#x}"))
}
