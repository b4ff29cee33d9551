//! A virtual machine monitor of a few hundred lines, to show how one gives its guest a TPM that lives in a process of
//! its own: what is specific to the TPM is in [`machine::Machine::new`] and in [`tables`].
//!
//! - **Bus**: the window is a device on the MMIO bus, `0xFED40000`–`0xFED44FFF`. Its writes arrive there as exits.
//! - **Mapping**: the same memory is a read-only slot of the guest, so that its reads, a poll above all, cost no exit.
//! - **ACPI**: the table TPM2 and the device MSFT0101 tell the guest's driver where the window is.
//! - **Sandbox**: [`sandbox`] has the system calls that a vCPU's thread makes for it.
//! - **Reset**: [`crb_interface::frontend::Frontend::reset`], as in `main.rs`.
//!
//! The rest is what any monitor has: one vCPU in long mode, a serial port, a power button. It boots a bzImage with an
//! initial file system where KVM can run stock kernels ([`kvm::obstacle`] knows where it cannot), and bare-metal guests
//! everywhere.
//!
//! The text for those who add the device to a monitor is docs/cloud-hypervisor.md, whose code is tested here.
#![cfg(target_arch = "x86_64")]
#![deny(unsafe_code)]

pub mod boot;
pub mod cpu;
pub mod devices;
pub mod kvm;
pub mod machine;
pub mod sandbox;
pub mod tables;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/cloud-hypervisor.md")]
struct Guide;
