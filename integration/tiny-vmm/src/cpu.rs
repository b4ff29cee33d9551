//! The state in which a guest begins: long mode, the first 4 GiB mapped to themselves, no interrupts.

use anyhow::{Context, Result};
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_regs, kvm_segment};
use kvm_ioctls::{Cap, Kvm, VcpuFd};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Global descriptor table: null, and from 0x10 on code and data as Linux' boot protocol wants them.
const GDT: u64 = 0x500;
const GDT_ENTRIES: [u64; 4] = [0, 0, 0x00AF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF];
/// Page tables: one page each of level 4 and 3, four of level 2.
const PAGE_TABLES: u64 = 0x9000;
/// Below it is the stack.
const STACK: u64 = 0x8000;

const PRESENT_WRITABLE: u64 = 3;
const LARGE_PAGE: u64 = 1 << 7;
const LARGE_PAGE_SIZE: u64 = 2 << 20;

/// Protected mode, the 387's error reporting, write protection, paging.
const CR0: u64 = 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 31;
/// Physical address extension, SSE.
const CR4: u64 = 1 << 5 | 1 << 9 | 1 << 10;
/// Long mode enabled and active.
const EFER: u64 = 1 << 8 | 1 << 10;

/// Bits of CPUID 1, ECX.
const TSC_DEADLINE: u32 = 1 << 24;
const HYPERVISOR: u32 = 1 << 31;

/// Sets up a vCPU to begin at an address with an argument in RSI.
///
/// # Errors
/// KVM refuses, or the tables do not fit the guest's memory.
pub fn start_at(kvm: &Kvm, vcpu: &VcpuFd, memory: &GuestMemoryMmap, entry: u64, argument: u64) -> Result<()> {
    let mut cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
    // KVM has both without saying so: without the former a guest does not look for KVM's clock, and without the latter
    // it needs a timer that this machine lacks.
    for leaf in cpuid.as_mut_slice().iter_mut().filter(|leaf| leaf.function == 1) {
        leaf.ecx |= HYPERVISOR;
        if kvm.check_extension(Cap::TscDeadlineTimer) {
            leaf.ecx |= TSC_DEADLINE;
        }
    }
    vcpu.set_cpuid2(&cpuid).context("KVM refuses the CPUID")?;
    write_tables(memory).context("the guest's memory is too small")?;
    let mut special = vcpu.get_sregs()?;
    let code = segment(2, 0xB, true);
    let data = segment(3, 0x3, false);
    special.cs = code;
    (special.ds, special.es, special.fs) = (data, data, data);
    (special.gs, special.ss) = (data, data);
    special.gdt.base = GDT;
    special.gdt.limit = u16::try_from(size_of_val(&GDT_ENTRIES))?.saturating_sub(1);
    special.idt.limit = 0;
    special.cr3 = PAGE_TABLES;
    (special.cr0, special.cr4, special.efer) = (CR0, CR4, EFER);
    vcpu.set_sregs(&special).context("KVM refuses long mode")?;
    vcpu.set_regs(&kvm_regs {
        rip: entry,
        rsi: argument,
        rsp: STACK,
        rflags: 2,
        ..kvm_regs::default()
    })?;
    Ok(())
}

fn segment(index: u16, kind: u8, code: bool) -> kvm_segment {
    kvm_segment {
        limit: u32::MAX,
        selector: index.saturating_mul(8),
        type_: kind,
        present: 1,
        s: 1,
        l: u8::from(code),
        db: u8::from(!code),
        g: 1,
        ..kvm_segment::default()
    }
}

fn write_tables(memory: &GuestMemoryMmap) -> Result<()> {
    let write = |address: u64, index: u64, value: u64| {
        let at = GuestAddress(address.saturating_add(index.saturating_mul(8)));
        memory.write_obj(value.to_le(), at)
    };
    for (index, entry) in (0..).zip(GDT_ENTRIES) {
        write(GDT, index, entry)?;
    }
    let page = |number: u64| PAGE_TABLES.saturating_add(number.saturating_mul(0x1000));
    write(page(0), 0, page(1) | PRESENT_WRITABLE)?;
    for gigabyte in 0..4 {
        let directory = page(gigabyte + 2);
        write(page(1), gigabyte, directory | PRESENT_WRITABLE)?;
        for index in 0..512 {
            let address = (gigabyte * 512 + index) * LARGE_PAGE_SIZE;
            write(directory, index, address | PRESENT_WRITABLE | LARGE_PAGE)?;
        }
    }
    Ok(())
}
