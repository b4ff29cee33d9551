//! A device outside of an unmodified QEMU: the far end of its `x-pci-proxy-dev`, which sends each access to its memory
//! over a socket and holds the vCPU until the answer is there.
//!
//! QEMU knows such a device as one on the PCI bus. To the guest it is none: as soon as QEMU has looked at it, its
//! configuration space reads as an empty slot's, so that neither firmware nor kernel ever moves its memory from where
//! QEMU's monitor puts it, with a write to the slot's registers, before the guest runs.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail, ensure};
use crb_interface::frontend::Frontend;

use crate::window::Window;

/// The slot that the device must have: `-device x-pci-proxy-dev,addr=10`.
const SLOT: u32 = 0x10;
/// Bytes of the device's memory, a power of two that holds the window.
const MEMORY_SIZE: u32 = 0x8000;

/// Numbers of QEMU's messages.
mod message {
    pub(super) const SYNC_SYSTEM_MEMORY: u32 = 0;
    pub(super) const ANSWER: u32 = 1;
    pub(super) const CONFIG_WRITE: u32 = 2;
    pub(super) const CONFIG_READ: u32 = 3;
    pub(super) const MEMORY_WRITE: u32 = 4;
    pub(super) const MEMORY_READ: u32 = 5;
    pub(super) const SET_INTERRUPT: u32 = 6;
    pub(super) const RESET: u32 = 7;
    /// Bytes of number, padding and size of what follows.
    pub(super) const HEADER: usize = 16;
    /// More than any message of QEMU's has.
    pub(super) const MOST: usize = 256;
}

/// A window in a machine that can be reset.
pub trait Device: Window {
    /// The machine is reset.
    ///
    /// # Errors
    /// The TPM could not be told now; the machine may go on all the same.
    fn reset(&mut self) -> Result<()>;
}

impl Device for Frontend {
    fn reset(&mut self) -> Result<()> {
        Ok(Self::reset(self)?)
    }
}

/// What opens a session with QEMU's monitor (QMP).
pub const OPEN_MONITOR: &str = "{\"execute\":\"qmp_capabilities\"}\n";

/// What QEMU's monitor must be told after a reset so that it maps the device's memory at an address and lets the machine
/// run.
#[must_use]
pub fn map_and_run(base: u32) -> String {
    /// Ports of the PCI configuration mechanism: address and data.
    const ADDRESS: u32 = 0xCF8;
    const DATA: u32 = 0xCFC;
    let register = |offset: u32| 1 << 31 | SLOT << 11 | offset;
    let out = |port: u32, value: u32| {
        let line = format!("\"command-line\":\"o/w {port:#x} {value:#x}\"");
        execute("human-monitor-command", &line)
    };
    [
        // The first base address register.
        out(ADDRESS, register(0x10)),
        out(DATA, base),
        // The command register: decode memory.
        out(ADDRESS, register(0x04)),
        out(DATA, 0x2),
        execute("set-action", "\"reboot\":\"shutdown\""),
        execute("cont", ""),
    ]
    .concat()
}

/// What QEMU's monitor must be told when it has said this, if anything. QEMU runs with `-action
/// reboot=shutdown,shutdown=pause`: a machine that the guest resets stops, so that the window is mapped before it runs
/// again.
#[must_use]
pub fn react(said: &str) -> Option<String> {
    if !said.contains("\"SHUTDOWN\"") {
        None
    } else if said.contains("\"guest-reset\"") {
        let reset = execute("set-action", "\"reboot\":\"reset\"");
        Some(reset + &execute("system_reset", ""))
    } else {
        Some(execute("quit", ""))
    }
}

fn execute(command: &str, arguments: &str) -> String {
    format!("{{\"execute\":\"{command}\",\"arguments\":{{{arguments}}}}}\n")
}

/// Serves QEMU's device until QEMU ends. `base` is where the monitor maps the window; `after_reset` is called when
/// QEMU goes on after a reset of the machine, of which there is one at its start.
///
/// # Errors
/// QEMU says what is not understood, or whoever plays the registers is gone.
pub fn serve(
    mut qemu: UnixStream,
    device: &mut impl Device,
    base: u64,
    mut after_reset: impl FnMut() -> Result<()>,
) -> Result<()> {
    // QEMU looks at the device before it resets the machine for the first time.
    let mut hidden = false;
    loop {
        let mut header = [0; message::HEADER];
        match qemu.read_exact(&mut header) {
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return Ok(());
            }
            result => result.context("reading from QEMU")?,
        }
        let [a, b, c, d, _, _, _, _, size @ ..] = header;
        let size = usize::try_from(u64::from_le_bytes(size))?;
        ensure!(size <= message::MOST, "a message of {size} bytes from QEMU");
        let mut body = [0; message::MOST];
        qemu.read_exact(body.get_mut(..size).unwrap_or_default())?;
        let word = |at: usize| {
            let bytes = body.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
        };
        let offset = u64::from(word(0)).wrapping_sub(base);
        let len = usize::try_from(word(16))?.clamp(1, 8);
        let mut reset = false;
        let answer = match u32::from_le_bytes([a, b, c, d]) {
            // Neither the guest's memory nor interrupts are used here; their descriptors are left alone.
            message::SYNC_SYSTEM_MEMORY | message::SET_INTERRUPT => continue,
            message::CONFIG_READ if hidden => u32::MAX.into(),
            message::CONFIG_READ => probed(word(0)).into(),
            message::CONFIG_WRITE => 0,
            message::MEMORY_READ => {
                let mut data = [0; 8];
                device.read(offset, data.get_mut(..len).unwrap_or_default())?;
                u64::from_le_bytes(data)
            }
            message::MEMORY_WRITE => {
                let value = body.get(8..).and_then(|value| value.get(..len));
                device.write(offset, value.unwrap_or_default())?;
                0
            }
            message::RESET => {
                if let Err(error) = device.reset() {
                    eprintln!("the TPM is told of the reset when it is back: {error:#}");
                }
                hidden = true;
                reset = true;
                0
            }
            other => bail!("message {other} from QEMU"),
        };
        let mut reply = [0; message::HEADER + 8];
        for (at, value) in [(0, message::ANSWER.into()), (8, 8), (16, answer)] {
            if let Some(to) = reply.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<8>()) {
                *to = value.to_le_bytes();
            }
        }
        qemu.write_all(&reply).context("answering QEMU")?;
        if reset {
            after_reset()?;
        }
    }
}

/// What QEMU finds in the configuration space: one region of memory.
const fn probed(register: u32) -> u32 {
    // Whatever it writes there, it reads which address bits the device decodes.
    if register == 0x10 { !(MEMORY_SIZE - 1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes down what it is asked; reads as its offset.
    #[derive(Default)]
    struct Recorder(Vec<String>);

    impl Window for Recorder {
        fn read(&mut self, offset: u64, data: &mut [u8]) -> Result<()> {
            self.0.push(format!("read {offset:#x} {}", data.len()));
            data.fill(offset as u8);
            Ok(())
        }

        fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
            self.0.push(format!("write {offset:#x} {data:x?}"));
            Ok(())
        }
    }

    impl Device for Recorder {
        /// The TPM cannot be told, which the machine must survive.
        fn reset(&mut self) -> Result<()> {
            self.0.push("reset".to_owned());
            bail!("nobody is there")
        }
    }

    fn send(stream: &mut UnixStream, number: u32, body: &[u8]) {
        let mut bytes = u64::from(number).to_le_bytes().to_vec();
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(body);
        stream.write_all(&bytes).unwrap();
    }

    fn answer(stream: &mut UnixStream) -> u64 {
        let mut bytes = [0; 24];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes[..16], [1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]);
        u64::from_le_bytes(bytes[16..].try_into().unwrap())
    }

    fn access(offset: u64, value: u64, size: u64) -> Vec<u8> {
        let words = [0xFED4_0000 + offset, value, size | 1 << 32];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn qemu_finds_memory_and_the_guest_an_empty_slot() {
        let (mut qemu, ours) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || {
            let (mut window, mut resets) = (Recorder::default(), 0);
            serve(ours, &mut window, 0xFED4_0000, || {
                resets += 1;
                Ok(())
            })
            .unwrap();
            (window.0, resets)
        });
        let config = |register: u32| [register.to_le_bytes(), [0; 4], 4u32.to_le_bytes()].concat();
        send(&mut qemu, message::SYNC_SYSTEM_MEMORY, &[0; 192]);
        send(&mut qemu, message::SET_INTERRUPT, &[]);
        send(&mut qemu, message::CONFIG_READ, &config(0x10));
        assert_eq!(answer(&mut qemu), 0xFFFF_8000);
        send(&mut qemu, message::CONFIG_READ, &config(0x14));
        assert_eq!(answer(&mut qemu), 0);
        send(&mut qemu, message::RESET, &[]);
        assert_eq!(answer(&mut qemu), 0);
        send(&mut qemu, message::CONFIG_READ, &config(0));
        assert_eq!(answer(&mut qemu), 0xFFFF_FFFF);
        send(
            &mut qemu,
            message::MEMORY_WRITE,
            &access(0x40, 0x0807_0605_0403_0201, 8),
        );
        assert_eq!(answer(&mut qemu), 0);
        send(&mut qemu, message::MEMORY_READ, &access(0x44, 0, 2));
        assert_eq!(answer(&mut qemu), 0x4444);
        drop(qemu);
        let (calls, resets) = server.join().unwrap();
        assert_eq!(calls, ["reset", "write 0x40 [1, 2, 3, 4, 5, 6, 7, 8]", "read 0x44 2"]);
        assert_eq!(resets, 1);
    }

    #[test]
    fn a_machine_that_stopped_is_reset_or_ends() {
        let event = |guest: &str| {
            format!("{{\"event\": \"SHUTDOWN\", \"data\": {{\"guest\": true, \"reason\": \"{guest}\"}}}}")
        };
        assert!(react(&event("guest-reset")).unwrap().contains("system_reset"));
        assert!(react(&event("guest-shutdown")).unwrap().contains("quit"));
        assert_eq!(react("{\"event\": \"RESET\"}"), None);
    }

    #[test]
    fn the_monitor_maps_the_window() {
        let commands = map_and_run(0xFED4_0000);
        let writes: Vec<&str> = commands
            .lines()
            .filter_map(|line| line.split_once("o/w ")?.1.split_once('"'))
            .map(|(write, _)| write)
            .collect();
        assert_eq!(
            writes,
            ["0xcf8 0x80008010", "0xcfc 0xfed40000", "0xcf8 0x80008004", "0xcfc 0x2"]
        );
    }
}
