//! Loading a Linux kernel by its 64-bit boot protocol (Documentation/arch/x86/boot.rst).

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use linux_loader::configurator::linux::LinuxBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use linux_loader::loader::{BzImage, KernelLoader};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

/// The boot parameters.
const ZERO_PAGE: u64 = 0x1_0000;
const COMMAND_LINE: u64 = 0x2_0000;
/// End of the memory below the BIOS' area, where the ACPI tables are.
const LOW_END: u64 = 0xA_0000;
/// Where kernels are loaded.
const HIGH_START: u64 = 0x10_0000;
/// Offset of the 64-bit entry point.
const ENTRY_64: u64 = 0x200;
/// Type of usable memory in the E820 map.
const RAM: u32 = 1;
/// A boot loader without a number of its own.
const LOADER: u8 = 0xFF;

/// Where a kernel begins, and its argument.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Address of the first instruction.
    pub address: u64,
    /// Address of the boot parameters.
    pub parameters: u64,
}

/// Loads a bzImage and an initial file system; `root_pointer` is where the ACPI tables are.
///
/// # Errors
/// A file cannot be read, is no kernel, or does not fit.
pub fn load(
    memory: &GuestMemoryMmap,
    kernel: &Path,
    initrd: Option<&Path>,
    command_line: &str,
    root_pointer: u64,
) -> Result<Entry> {
    let mut image = open(kernel)?;
    let loaded = BzImage::load(memory, None, &mut image, Some(GuestAddress(HIGH_START)))
        .with_context(|| format!("{} is not a bzImage, or does not fit", kernel.display()))?;
    let mut parameters = boot_params {
        hdr: loaded.setup_header.context("a bzImage without its header")?,
        acpi_rsdp_addr: root_pointer,
        ..boot_params::default()
    };
    parameters.hdr.type_of_loader = LOADER;
    let end = memory.last_addr().0.saturating_add(1);
    for (slot, (start, end)) in parameters.e820_table.iter_mut().zip([(0, LOW_END), (HIGH_START, end)]) {
        *slot = boot_e820_entry {
            addr: start,
            size: end.saturating_sub(start),
            r#type: RAM,
        };
        parameters.e820_entries += 1;
    }
    if let Some(path) = initrd {
        let mut file = open(path)?;
        let size = file.metadata()?.len();
        // As high as possible: the kernel unpacks itself from the bottom up.
        let address = end.saturating_sub(size) & !0xFFF;
        ensure!(
            address > loaded.kernel_end,
            "{} does not fit beside the kernel",
            path.display()
        );
        memory.read_exact_volatile_from(GuestAddress(address), &mut file, usize::try_from(size)?)?;
        parameters.hdr.ramdisk_image = u32::try_from(address)?;
        parameters.hdr.ramdisk_size = u32::try_from(size)?;
    }
    let limit = usize::try_from(parameters.hdr.cmdline_size)?;
    ensure!(
        command_line.len() <= limit,
        "the command line is longer than the kernel's {limit} bytes"
    );
    memory.write_slice(command_line.as_bytes(), GuestAddress(COMMAND_LINE))?;
    parameters.hdr.cmd_line_ptr = u32::try_from(COMMAND_LINE)?;
    let page = BootParams::new(&parameters, GuestAddress(ZERO_PAGE));
    LinuxBootConfigurator::write_bootparams(&page, memory)?;
    Ok(Entry {
        address: loaded.kernel_load.0.saturating_add(ENTRY_64),
        parameters: ZERO_PAGE,
    })
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("cannot open {}", path.display()))
}
