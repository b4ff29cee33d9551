//! The control channel: the commands of swtpm's protocol that drive a TPM from outside its guest.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use vmm_sys_util::sock_ctrl_msg::ScmSocket;

const INIT: u32 = 2;
const SHUTDOWN: u32 = 3;
const GET_ESTABLISHED: u32 = 4;
const SET_LOCALITY: u32 = 5;
const HASH_START: u32 = 6;
const HASH_DATA: u32 = 7;
const HASH_END: u32 = 8;
const CANCEL: u32 = 9;
const RESET_ESTABLISHED: u32 = 11;
const STOP: u32 = 14;
const SET_DATAFD: u32 = 16;

/// CMD_INIT's flag: what a suspended VM left is thrown away.
const DELETE_VOLATILE: u32 = 1;

/// A connection to the control socket.
#[derive(Debug)]
pub struct Control(UnixStream);

impl Control {
    pub(super) fn new(stream: UnixStream, timeout: Duration) -> Result<Self> {
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self(stream))
    }

    fn result<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut result = [0; 4];
        self.0.read_exact(&mut result)?;
        match u32::from_be_bytes(result) {
            0 => {}
            code => bail!("result {code:#x}"),
        }
        let mut answer = [0; N];
        self.0.read_exact(&mut answer)?;
        Ok(answer)
    }

    fn call<const N: usize>(&mut self, command: u32, body: &[u8]) -> Result<[u8; N]> {
        let message = [&command.to_be_bytes(), body].concat();
        self.0.write_all(&message)?;
        self.result().with_context(|| format!("control command {command}"))
    }

    pub(super) fn set_data_fd(&mut self, data: &UnixStream) -> Result<()> {
        self.0.send_with_fd(&SET_DATAFD.to_be_bytes()[..], data.as_raw_fd())?;
        self.result::<0>().context("SET_DATAFD")?;
        Ok(())
    }

    /// `_TPM_Init`, on a running TPM a power cycle.
    ///
    /// # Errors
    /// The TPM refuses or is gone.
    pub fn init(&mut self, delete_volatile: bool) -> Result<()> {
        let flags = if delete_volatile { DELETE_VOLATILE } else { 0 };
        self.call::<0>(INIT, &flags.to_be_bytes()).map(drop)
    }

    /// Takes the power away.
    ///
    /// # Errors
    /// The TPM refuses or is gone.
    pub fn stop(&mut self) -> Result<()> {
        self.call::<0>(STOP, &[]).map(drop)
    }

    /// Ends the process.
    ///
    /// # Errors
    /// The TPM refuses or is gone.
    pub fn shutdown(&mut self) -> Result<()> {
        self.call::<0>(SHUTDOWN, &[]).map(drop)
    }

    /// Sets the locality of the commands that follow.
    ///
    /// # Errors
    /// The TPM refuses or is gone.
    pub fn set_locality(&mut self, locality: u8) -> Result<()> {
        self.call::<0>(SET_LOCALITY, &[locality]).map(drop)
    }

    /// Asks the command in progress to end.
    ///
    /// # Errors
    /// The TPM refuses or is gone.
    pub fn cancel(&mut self) -> Result<()> {
        self.call::<0>(CANCEL, &[]).map(drop)
    }

    /// tpmEstablished.
    ///
    /// # Errors
    /// The TPM refuses or is gone.
    pub fn established(&mut self) -> Result<bool> {
        // One byte, and three of padding.
        Ok(self.call::<4>(GET_ESTABLISHED, &[])?[0] != 0)
    }

    /// Clears tpmEstablished, from this locality.
    ///
    /// # Errors
    /// The TPM refuses or is gone.
    pub fn reset_established(&mut self, locality: u8) -> Result<()> {
        self.call::<0>(RESET_ESTABLISHED, &[locality]).map(drop)
    }

    /// The H-CRTM event sequence of locality 4, all of it.
    ///
    /// # Errors
    /// The TPM refuses or is gone.
    pub fn measure(&mut self, data: &[u8]) -> Result<()> {
        self.call::<0>(HASH_START, &[])?;
        for part in data.chunks(4096) {
            let size = u32::try_from(part.len())?;
            self.call::<0>(HASH_DATA, &[&size.to_be_bytes(), part].concat())?;
        }
        self.call::<0>(HASH_END, &[]).map(drop)
    }
}
