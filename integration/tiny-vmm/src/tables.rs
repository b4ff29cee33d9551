//! The ACPI tables: where the TPM is, beside the least that a kernel needs.

use acpi_tables::aml::{Device, EISAName, IO, Interrupt, Name, Package, Path, ResourceTemplate, Scope, ZERO};
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use acpi_tables::{Aml, AmlSink};
use anyhow::{Context, Result};
use crb_interface::acpi;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::devices::{POWER, RESET_VALUE, SERIAL, SERIAL_GSI};

/// Where the tables begin: kernels look for the first of them here, too.
pub const START: u64 = 0xE_0000;
const OEM: [u8; 6] = *b"RSTVMM";
const TABLE: [u8; 8] = *b"TINYVMM ";

/// Writes all tables; `window` is the address of the TPM's window. Returns the address of the root pointer.
///
/// # Errors
/// They do not fit the guest's memory.
pub fn write(memory: &GuestMemoryMmap, window: u32) -> Result<u64> {
    let mut next = START.saturating_add(Rsdp::len() as u64);
    let mut put = |table: &[u8]| -> Result<u64> {
        let address = next.next_multiple_of(16);
        memory
            .write_slice(table, GuestAddress(address))
            .context("an ACPI table does not fit the guest's memory")?;
        next = address.saturating_add(table.len() as u64);
        Ok(address)
    };
    let dsdt = put(&dsdt(window))?;
    let mut xsdt = XSDT::new(OEM, TABLE, 1);
    for table in [fadt(dsdt), madt(), acpi::tpm2_table(window.into(), OEM, TABLE, None)] {
        xsdt.add_entry(put(&table)?);
    }
    let xsdt = put(&bytes(&xsdt))?;
    memory.write_slice(&bytes(&Rsdp::new(OEM, xsdt)), GuestAddress(START))?;
    Ok(START)
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

/// The devices that cannot be found otherwise, the TPM among them.
fn dsdt(window: u32) -> Vec<u8> {
    const HEADER: u32 = 36;
    let tpm = acpi::TpmDevice { base: window.into() };
    let (port, ports) = SERIAL;
    let serial = SerialPort {
        port,
        ports: u8::try_from(ports).unwrap_or(u8::MAX),
    };
    let mut aml = bytes(&Scope::new(Path::new("_SB_"), vec![&serial, &tpm]));
    // The type of sleep that is off.
    aml.extend(bytes(&Name::new(Path::new("_S5_"), &Package::new(vec![&5u8, &ZERO]))));
    let mut table = Sdt::new(*b"DSDT", HEADER, 6, OEM, TABLE, 1);
    table.append_slice(&aml);
    table.update_checksum();
    table.as_slice().to_vec()
}

struct SerialPort {
    port: u16,
    ports: u8,
}

impl Aml for SerialPort {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        Device::new(
            Path::new("COM1"),
            vec![
                &Name::new(Path::new("_HID"), &EISAName::new("PNP0501")),
                &Name::new(Path::new("_UID"), &ZERO),
                &Name::new(
                    Path::new("_CRS"),
                    &ResourceTemplate::new(vec![
                        &Interrupt::new(true, true, false, false, SERIAL_GSI),
                        &IO::new(self.port, self.port, 0, self.ports),
                    ]),
                ),
            ],
        )
        .to_aml_bytes(sink);
    }
}

/// A machine without the PC's fixed hardware (ACPI 6.5, 4.1): off and reset are all there is.
fn fadt(dsdt: u64) -> Vec<u8> {
    let register = |number: u16| {
        let port = POWER.0.saturating_add(number);
        GAS::new(AddressSpace::SystemIo, 8, 0, AccessSize::ByteAccess, port.into())
    };
    let mut table = FADTBuilder::new(OEM, TABLE, 1)
        .dsdt_64(dsdt)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton);
    table.sleep_control_reg = register(0);
    table.reset_reg = register(1);
    table.reset_value = RESET_VALUE;
    table.sleep_status_reg = register(2);
    bytes(&table.finalize())
}

fn madt() -> Vec<u8> {
    let mut table = MADT::new(OEM, TABLE, 1, LocalInterruptController::Address(0xFEE0_0000));
    table.add_structure(ProcessorLocalApic::new(0, 0, EnabledStatus::Enabled));
    table.add_structure(IoApic::new(1, 0xFEC0_0000, 0));
    bytes(&table)
}
