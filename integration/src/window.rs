//! What Linux' driver `tpm_crb` does with a CRB window, access by access.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use crb_interface::frontend::Frontend;
use crb_interface::layout::{
    CTRL_CANCEL, CTRL_REQ, CTRL_START, CTRL_STS, DATA_BUFFER, LOC_CTRL, LOC_STATE, ctrl_req, ctrl_start, ctrl_sts,
    loc_ctrl, loc_state,
};

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
    fn register(&mut self, register: u64) -> Result<u32> {
        let mut bytes = [0; 4];
        self.read(register, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Writes a register.
    ///
    /// # Errors
    /// Whoever plays the registers is gone.
    fn set_register(&mut self, register: u64, value: u32) -> Result<()> {
        self.write(register, &value.to_le_bytes())
    }

    /// Takes locality 0 and makes the interface ready.
    ///
    /// # Errors
    /// It does not become ready.
    fn begin(&mut self) -> Result<()> {
        const GRANTED: u32 = loc_state::ASSIGNED | loc_state::VALID;
        self.set_register(LOC_CTRL, loc_ctrl::REQUEST_ACCESS)?;
        self.expect(LOC_STATE, GRANTED, GRANTED)?;
        self.set_register(CTRL_REQ, ctrl_req::CMD_READY)?;
        self.expect(CTRL_REQ, ctrl_req::CMD_READY, 0)
    }

    /// Writes a command.
    ///
    /// # Errors
    /// Whoever plays the registers is gone.
    fn fill(&mut self, command: &[u8]) -> Result<()> {
        self.set_register(CTRL_CANCEL, 0)?;
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
        self.set_register(CTRL_START, ctrl_start::START)
    }

    /// Whether the command is done.
    ///
    /// # Errors
    /// Whoever plays the registers is gone.
    fn is_done(&mut self) -> Result<bool> {
        Ok(self.register(CTRL_START)? & ctrl_start::START == 0)
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
        if self.register(CTRL_STS)? & ctrl_sts::ERROR != 0 {
            bail!("the interface is in its error state");
        }
        response.clear();
        response.resize(RESPONSE_BEGINNING, 0);
        self.read(DATA_BUFFER, response)?;
        let size = match response.get(2..6).and_then(|size| size.first_chunk()) {
            Some(size) => usize::try_from(u32::from_be_bytes(*size))?,
            None => 0,
        };
        if !(10..=crb_interface::layout::DATA_BUFFER_SIZE).contains(&size) {
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
        const MASK: u32 = loc_state::ASSIGNED | loc_state::VALID;
        self.set_register(CTRL_REQ, ctrl_req::GO_IDLE)?;
        self.expect(CTRL_REQ, ctrl_req::GO_IDLE, 0)?;
        self.set_register(LOC_CTRL, loc_ctrl::RELINQUISH)?;
        self.expect(LOC_STATE, MASK, loc_state::VALID)
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
    fn expect(&mut self, register: u64, mask: u32, value: u32) -> Result<()> {
        let shown = self.register(register)?;
        if shown & mask != value {
            bail!("register {register:#x} shows {shown:#x}");
        }
        Ok(())
    }
}

impl<W: Window + ?Sized> Driver for W {}
