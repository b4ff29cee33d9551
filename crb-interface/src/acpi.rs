//! How a guest finds the window: the TPM2 table and the MSFT0101 device (TCG ACPI Specification 1.4, 8).

use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Device, Memory32Fixed, Name, ONE, Path, ResourceTemplate, Scope,
};
use acpi_tables::sdt::Sdt;
use acpi_tables::{Aml, AmlSink};

use crate::layout::{CTRL_REQ, WINDOW_SIZE};

/// Start method 7: the CRB interface without help of firmware.
const START_METHOD_CRB: u32 = 7;
/// Platform class: client.
const CLIENT: u16 = 0;

/// The memory in which the firmware logs what it measures.
#[derive(Debug, Clone, Copy)]
pub struct EventLog {
    /// Guest-physical address.
    pub address: u64,
    /// Bytes.
    pub size: u32,
}

/// The TPM2 table for a window at this guest-physical address.
#[must_use]
pub fn tpm2_table(base: u64, oem_id: [u8; 6], oem_table_id: [u8; 8], log: Option<EventLog>) -> Vec<u8> {
    // Header, platform class, reserved, control area, start method.
    const LENGTH: u32 = 52;
    let mut table = Sdt::new(*b"TPM2", LENGTH, 4, oem_id, oem_table_id, 1);
    table.write(36, CLIENT.to_le_bytes());
    table.write(40, base.wrapping_add(CTRL_REQ).to_le_bytes());
    table.write(48, START_METHOD_CRB.to_le_bytes());
    if let Some(log) = log {
        // Start method parameters, of which this method has none.
        table.append([0u8; 12]);
        table.append(log.size.to_le_bytes());
        table.append(log.address.to_le_bytes());
    }
    table.update_checksum();
    table.as_slice().to_vec()
}

/// The device that the guest's driver binds to, with the window as its memory. Stands in `\_SB`.
#[derive(Debug, Clone, Copy)]
pub struct TpmDevice {
    /// Guest-physical address of the window.
    pub base: u64,
}

impl Aml for TpmDevice {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let end = self.base.saturating_add(WINDOW_SIZE as u64).saturating_sub(1);
        let (low, high);
        let window: &dyn Aml = match (u32::try_from(self.base), u32::try_from(end)) {
            (Ok(base), Ok(_)) => {
                low = Memory32Fixed::new(true, base, u32::try_from(WINDOW_SIZE).unwrap_or(u32::MAX));
                &low
            }
            // No fixed descriptor reaches beyond 4 GiB.
            _ => {
                high = AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, self.base, end, None);
                &high
            }
        };
        Device::new(
            Path::new("TPM_"),
            vec![
                &Name::new(Path::new("_HID"), &"MSFT0101"),
                &Name::new(Path::new("_CID"), &"MSFT0101"),
                &Name::new(Path::new("_UID"), &ONE),
                &Name::new(Path::new("_STA"), &0x0Fu8),
                &Name::new(Path::new("_CRS"), &ResourceTemplate::new(vec![window])),
            ],
        )
        .to_aml_bytes(sink);
    }
}

/// A table that has nothing but the device, for a monitor that does not put it into its DSDT.
#[must_use]
pub fn ssdt(base: u64, oem_id: [u8; 6], oem_table_id: [u8; 8]) -> Vec<u8> {
    // The header alone.
    const LENGTH: u32 = 36;
    let mut aml = Vec::new();
    Scope::new(Path::new("_SB_"), vec![&TpmDevice { base }]).to_aml_bytes(&mut aml);
    let mut table = Sdt::new(*b"SSDT", LENGTH, 2, oem_id, oem_table_id, 1);
    table.append_slice(&aml);
    table.update_checksum();
    table.as_slice().to_vec()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What the ACPI compiler makes of a table; `None`, loudly, where there is no compiler.
    fn disassemble(table: &[u8], name: &str) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, table).unwrap();
        let run = Command::new("iasl").arg("-d").arg(&path).output();
        match run {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && !said.contains("rror"), "{said}");
                Some(std::fs::read_to_string(path.with_extension("dsl")).unwrap())
            }
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "iasl (Debian: acpica-tools): {error}");
                eprintln!("SKIPPED: no iasl (Debian: acpica-tools): {error}");
                None
            }
        }
    }

    #[test]
    fn iasl_reads_the_table_as_it_was_meant() {
        let log = EventLog {
            address: 0x7000_0000,
            size: 0x1_0000,
        };
        let table = tpm2_table(0xFED4_0000, *b"RSTVMM", *b"VHOSTTPM", Some(log));
        assert_eq!(table.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
        let Some(text) = disassemble(&table, "tpm2.dat") else {
            return;
        };
        for field in [
            "Control Address : 00000000FED40040",
            "Start Method : 07",
            "Log Address : 0000000070000000",
            "Minimum Log Length : 00010000",
        ] {
            assert!(text.contains(field), "{field} in {text}");
        }
    }

    #[test]
    fn iasl_reads_the_device_as_it_was_meant() {
        let low = ["Device (TPM)", "\"MSFT0101\"", "0xE0000000,", "0x00005000,"];
        let high = [
            "QWordMemory",
            "0x0000001234567000,",
            "0x000000123456BFFF,",
            "0x0000000000005000,",
        ];
        for (base, name, parts) in [(0xE000_0000, "low.aml", low), (0x12_3456_7000, "high.aml", high)] {
            let table = ssdt(base, *b"RSTVMM", *b"VHOSTTPM");
            let Some(text) = disassemble(&table, name) else {
                return;
            };
            for part in parts {
                assert!(text.contains(part), "{part} in {text}");
            }
        }
    }
}
