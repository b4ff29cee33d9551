//! The devices beside the TPM: a serial port, and a port that ends the machine.

use std::io::{self, Stdout};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use vm_device::DevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};
use vm_superio::serial::NoEvents;
use vm_superio::{Serial, Trigger};
use vmm_sys_util::eventfd::EventFd;

/// First port and number of ports of the serial port.
pub const SERIAL: (u16, u16) = (0x3F8, 8);
/// Interrupt of the serial port.
pub const SERIAL_GSI: u32 = 4;
/// First port and number of ports of [`Power`].
pub const POWER: (u16, u16) = (0x600, 3);
/// What the sleep control register takes for "off": SLP_TYP 5 and SLP_EN (ACPI 6.5, 4.8.3.7).
const SLEEP_OFF: u8 = 5 << 2 | 1 << 5;
/// What the reset register takes.
pub const RESET_VALUE: u8 = 1;

/// An interrupt line.
#[derive(Debug)]
pub struct Line(pub EventFd);

impl Trigger for Line {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// A serial port that writes to stdout.
pub struct Console(Mutex<Serial<Line, NoEvents, Stdout>>);

impl Console {
    /// A port that raises this line.
    #[must_use]
    pub fn new(line: Line) -> Self {
        Self(Mutex::new(Serial::new(line, io::stdout())))
    }
}

impl DevicePio for Console {
    fn pio_read(&self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        if let ([byte], Ok(offset)) = (data, u8::try_from(offset)) {
            *byte = self.0.lock().unwrap_or_else(PoisonError::into_inner).read(offset);
        }
    }

    fn pio_write(&self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        if let ([byte], Ok(offset)) = (data, u8::try_from(offset)) {
            // A guest that cannot print goes on all the same.
            let _ = self
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(offset, *byte);
        }
    }
}

/// How a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The guest halted, with nothing that could wake it.
    Halted,
    /// The guest switched the machine off.
    Off,
    /// The guest reset the machine.
    Reset,
}

/// ACPI's sleep control register, the reset register and the sleep status register, one port each.
#[derive(Debug, Default)]
pub struct Power(AtomicU8);

impl Power {
    /// What the guest asked for last.
    #[must_use]
    pub fn asked(&self) -> Option<End> {
        match self.0.load(Ordering::Relaxed) {
            1 => Some(End::Off),
            2 => Some(End::Reset),
            _ => None,
        }
    }
}

impl DevicePio for Power {
    fn pio_read(&self, _base: PioAddress, _offset: PioAddressOffset, data: &mut [u8]) {
        data.fill(0);
    }

    fn pio_write(&self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        match (offset, data) {
            (0, [SLEEP_OFF]) => self.0.store(1, Ordering::Relaxed),
            (1, [RESET_VALUE]) => self.0.store(2, Ordering::Relaxed),
            _ => {}
        }
    }
}
