//! What Linux' driver `tpm_crb` does with a CRB window, access by access.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use crb_interface::frontend::Frontend;
use crb_interface::layout::{DATA_BUFFER, DATA_BUFFER_SIZE};
use crb_interface::registers::{CtrlCancel, CtrlReq, CtrlStart, CtrlSts, LocCtrl, LocState, Register};

/// How long the driver sleeps before it looks again whether a command is done: 700 to 1000 µs.
const POLL: Duration = Duration::from_micros(850);
/// How long it looks.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes that an access moves.
const ACCESS: usize = 8;
/// Bytes of a response that the driver reads first; its size is among them.
const RESPONSE_BEGINNING: usize = 8;

/// A CRB window as a guest sees it, locality 0's page.
pub trait Window {
    /// Reads 1 to 8 bytes.
    ///
    /// # Errors
    /// Whoever plays the registers is gone.
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Result<()>;

    /// Writes 1 to 8 bytes.
    ///
    /// # Errors
    /// Whoever plays the registers is gone.
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()>;
}

impl Window for Frontend {
    fn read(&mut self, offset: u64, data: &mut [u8]) -> Result<()> {
        Self::read(self, offset, data);
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<()> {
        Self::write(self, offset, data);
        Ok(())
    }
}

/// What the driver does, step by step.
pub trait Driver: Window {
    /// Reads a register.
    ///
    /// # Errors
    /// Whoever plays the registers is gone.
    fn register<R: Register>(&mut self) -> Result<R> {
        let mut bytes = [0; 4];
        self.read(R::OFFSET, &mut bytes)?;
        Ok(R::from_bits_retain(u32::from_le_bytes(bytes)))
    }

    /// Writes a register.
    ///
    /// # Errors
    /// Whoever plays the registers is gone.
    fn set_register<R: Register>(&mut self, value: R) -> Result<()> {
        self.write(R::OFFSET, &value.bits().to_le_bytes())
    }

    /// Takes locality 0 and makes the interface ready.
    ///
    /// # Errors
    /// It does not become ready.
    fn begin(&mut self) -> Result<()> {
        const GRANTED: LocState = LocState::ASSIGNED.union(LocState::VALID);
        self.set_register(LocCtrl::REQUEST_ACCESS)?;
        self.expect(GRANTED, GRANTED)?;
        self.set_register(CtrlReq::CMD_READY)?;
        self.expect(CtrlReq::CMD_READY, CtrlReq::empty())
    }

    /// Writes a command.
    ///
    /// # Errors
    /// Whoever plays the registers is gone.
    fn fill(&mut self, command: &[u8]) -> Result<()> {
        self.set_register(CtrlCancel::empty())?;
        let mut at = DATA_BUFFER;
        for piece in command.chunks(ACCESS) {
            self.write(at, piece)?;
            at += ACCESS as u64;
        }
        Ok(())
    }

    /// Starts the command that was written.
    ///
    /// # Errors
    /// Whoever plays the registers is gone.
    fn start(&mut self) -> Result<()> {
        self.set_register(CtrlStart::START)
    }

    /// Whether the command is done.
    ///
    /// # Errors
    /// Whoever plays the registers is gone.
    fn is_done(&mut self) -> Result<bool> {
        Ok(!self.register::<CtrlStart>()?.contains(CtrlStart::START))
    }

    /// Waits as the driver does until the command is done.
    ///
    /// # Errors
    /// It is not done in two minutes, after which the driver gives up, too.
    fn wait(&mut self) -> Result<()> {
        if self.is_done()? {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            std::thread::sleep(POLL);
            if self.is_done()? {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                bail!("a command is not done after {} s", PATIENCE.as_secs());
            }
        }
    }

    /// Reads the response.
    ///
    /// # Errors
    /// The interface is in its error state, or the response states a size that is none.
    fn receive(&mut self, response: &mut Vec<u8>) -> Result<()> {
        if self.register::<CtrlSts>()?.contains(CtrlSts::ERROR) {
            bail!("the interface is in its error state");
        }
        response.clear();
        response.resize(RESPONSE_BEGINNING, 0);
        self.read(DATA_BUFFER, response)?;
        let size = match response.get(2..6).and_then(|size| size.first_chunk()) {
            Some(size) => usize::try_from(u32::from_be_bytes(*size))?,
            None => 0,
        };
        if !(10..=DATA_BUFFER_SIZE).contains(&size) {
            bail!("a response of {size} bytes");
        }
        response.resize(size, 0);
        let mut at = DATA_BUFFER + RESPONSE_BEGINNING as u64;
        for piece in response.chunks_mut(ACCESS).skip(RESPONSE_BEGINNING / ACCESS) {
            self.read(at, piece)?;
            at += ACCESS as u64;
        }
        Ok(())
    }

    /// Gives the interface and the locality back.
    ///
    /// # Errors
    /// They are not taken back.
    fn end(&mut self) -> Result<()> {
        const MASK: LocState = LocState::ASSIGNED.union(LocState::VALID);
        self.set_register(CtrlReq::GO_IDLE)?;
        self.expect(CtrlReq::GO_IDLE, CtrlReq::empty())?;
        self.set_register(LocCtrl::RELINQUISH)?;
        self.expect(MASK, LocState::VALID)
    }

    /// A whole command.
    ///
    /// # Errors
    /// As for the steps.
    fn transact(&mut self, command: &[u8], response: &mut Vec<u8>) -> Result<()> {
        self.begin()?;
        self.fill(command)?;
        self.start()?;
        self.wait()?;
        self.receive(response)?;
        self.end()
    }

    /// Reads a register that must show a value; every request of ours is carried out at once.
    ///
    /// # Errors
    /// It shows another.
    fn expect<R: Register>(&mut self, mask: R, value: R) -> Result<()> {
        let shown = self.register::<R>()?.bits();
        if shown & mask.bits() != value.bits() {
            bail!("register {:#x} shows {shown:#x}", R::OFFSET);
        }
        Ok(())
    }
}

impl<W: Window + ?Sized> Driver for W {}
