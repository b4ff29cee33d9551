//! The data channel: TPM commands as they are, or each behind the header that Microsoft's simulator has for them.
//!
//! A client sends a command and waits for its response, so what has arrived when a command is complete belongs to that
//! command. Its size field says how long to wait; where more arrives than it says, or no more although it says so, the
//! TPM gets what there is and answers that the size is wrong.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, write, writev};
use rustix::net::{RecvFlags, recv};
use tpm_engine::{MAX_COMMAND_SIZE, ResponseBuffer};
use tracing::debug;
use zeroize::Zeroizing;

use crate::device::Device;

/// TPM_SEND_COMMAND: the command of the simulator's header that swtpm knows.
const SEND_COMMAND: u32 = 8;
/// Bytes of that header: the command, a locality and the size of the TPM command.
const PREFIX_SIZE: usize = 9;
/// Bytes of a TPM command's header.
const HEADER_SIZE: usize = 10;
/// How long a client may pause in the middle of a command. Longer than a TCP acknowledgement is delayed, so that only
/// a client that will not go on is taken for one.
const PAUSE: Duration = Duration::from_millis(60);
/// How much of a command that is too long is read and thrown away before it is answered.
const MAX_EXCESS: usize = 1 << 20;

/// How a command is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    Raw,
    /// The response gets a size before it and an acknowledgement behind it.
    Simulator {
        locality: u8,
    },
}

impl Frame {
    /// The frame of a message that begins with these bytes; `None` when they are too few to tell.
    fn of(bytes: &[u8]) -> Option<Self> {
        let number = u32::from_be_bytes(*bytes.first_chunk()?);
        if number == SEND_COMMAND {
            return bytes.get(4).map(|locality| Self::Simulator { locality: *locality });
        }
        Some(Self::Raw)
    }

    const fn prefix(self) -> usize {
        match self {
            Self::Raw => 0,
            Self::Simulator { .. } => PREFIX_SIZE,
        }
    }

    /// Bytes of the whole message; `None` while that cannot be told.
    fn size(self, bytes: &[u8]) -> Option<usize> {
        let size = |field: Option<&[u8; 4]>| usize::try_from(u32::from_be_bytes(*field?)).ok();
        let command = bytes.get(self.prefix()..)?;
        if self != Self::Raw {
            let stated = size(bytes.get(5..PREFIX_SIZE)?.first_chunk())?;
            if stated < HEADER_SIZE {
                return PREFIX_SIZE.checked_add(stated);
            }
        }
        if command.len() < HEADER_SIZE {
            return None;
        }
        let stated = size(command.get(2..)?.first_chunk())?;
        self.prefix().checked_add(stated.max(HEADER_SIZE))
    }
}

/// The buffers of the data thread, used for one command after another and one client after another.
pub(crate) struct DataChannel {
    command: Zeroizing<Vec<u8>>,
    response: ResponseBuffer,
}

impl Default for DataChannel {
    fn default() -> Self {
        Self {
            // One byte more than the largest command, to see that one is too long.
            command: Zeroizing::new(vec![0; PREFIX_SIZE + MAX_COMMAND_SIZE + 1]),
            response: ResponseBuffer::default(),
        }
    }
}

impl DataChannel {
    /// Answers commands until the client leaves.
    pub(crate) fn serve(&mut self, socket: &OwnedFd, device: &Device) {
        let ended = loop {
            let (frame, len) = match self.receive(socket, device) {
                Ok(Some(received)) => received,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let command = self.command.get(frame.prefix()..len).unwrap_or_default();
            let sent = match frame {
                Frame::Raw => {
                    let response = device.execute(device.locality(), command, &mut self.response);
                    send(socket, response)
                }
                Frame::Simulator { locality } => {
                    let response = device.execute(locality, command, &mut self.response);
                    send_framed(socket, response)
                }
            };
            if let Err(error) = sent {
                break Err(error);
            }
        };
        match ended {
            Ok(()) => debug!("the data client left"),
            Err(error) => debug!("the data channel broke: {error}"),
        }
        // Commands carry authorization values.
        self.command.fill(0);
    }

    /// Reads one command; `None` when the client left. Returns its frame and how many bytes there are of it.
    fn receive(&mut self, socket: &OwnedFd, device: &Device) -> io::Result<Option<(Frame, usize)>> {
        let mut len = 0;
        let mut unfinished = None;
        loop {
            // By poll: a read that waits is woken a second time when the client takes the last response out of the socket.
            // On a busy machine each of these wakeups can cost milliseconds.
            let ready = wait(socket, PollFlags::IN, unfinished.map(|_| PAUSE))?;
            if let (false, Some(frame)) = (ready, unfinished) {
                return Ok(Some((frame, len)));
            }
            let room = self.command.get_mut(len..).unwrap_or_default();
            let receive = || recv(socket, room, RecvFlags::DONTWAIT).map(|(_, got)| got);
            let received = if len == 0 {
                device.cancel().taking(|| {
                    let received = receive();
                    (received.is_ok_and(|got| got > 0), received)
                })
            } else {
                receive()
            };
            let got = match received {
                Ok(0) => return Ok(None),
                Ok(got) => got,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(error) => return Err(error.into()),
            };
            len = len.saturating_add(got);
            let bytes = self.command.get(..len).unwrap_or_default();
            let Some(frame) = Frame::of(bytes) else { continue };
            let Some(size) = frame.size(bytes) else { continue };
            if len == size {
                return Ok(Some((frame, len)));
            }
            if len > size || size > self.command.len() {
                discard(socket)?;
                return Ok(Some((frame, len)));
            }
            unfinished = Some(frame);
        }
    }
}

/// Waits until the socket can be read or written; says whether it can.
fn wait(socket: &OwnedFd, what: PollFlags, timeout: Option<Duration>) -> io::Result<bool> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    loop {
        match poll(&mut [PollFd::new(socket, what)], timeout.as_ref()) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Throws away what has arrived beyond a command that is too long.
fn discard(socket: &OwnedFd) -> io::Result<()> {
    let mut scratch = Zeroizing::new([0u8; 4096]);
    let mut total = 0;
    while total < MAX_EXCESS {
        match recv(socket, &mut *scratch, RecvFlags::DONTWAIT) {
            Ok((_, 0)) | Err(Errno::AGAIN) => return Ok(()),
            Ok((_, got)) => total += got,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("the client sends without end"))
}

/// Sends a response, in one piece where the socket takes it.
fn send(socket: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match write(socket.as_fd(), bytes) {
            Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                wait(socket, PollFlags::OUT, None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sends a response as the simulator does: its size, itself, and a zero.
fn send_framed(socket: &OwnedFd, response: &[u8]) -> io::Result<()> {
    let size = u32::try_from(response.len()).unwrap_or(u32::MAX).to_be_bytes();
    let parts = [&size, response, &[0; 4]];
    let sent = match writev(socket, &parts.map(IoSlice::new)) {
        Ok(sent) => sent,
        Err(Errno::INTR | Errno::AGAIN) => 0,
        Err(error) => return Err(error.into()),
    };
    if sent == response.len().saturating_add(8) {
        return Ok(());
    }
    send(socket, parts.concat().get(sent..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TPM2_GetRandom of 8 bytes.
    const COMMAND: [u8; 12] = *b"\x80\x01\0\0\0\x0c\0\0\x01\x7b\0\x08";

    #[test]
    fn a_raw_command_says_its_size() {
        for len in 0..4 {
            assert_eq!(Frame::of(&COMMAND[..len]), None);
        }
        assert_eq!(Frame::of(&COMMAND), Some(Frame::Raw));
        assert_eq!(Frame::Raw.size(&COMMAND[..9]), None);
        assert_eq!(Frame::Raw.size(&COMMAND[..10]), Some(12));
        assert_eq!(Frame::Raw.size(b"\x80\x01\0\0\0\x03\0\0\x01\x7b"), Some(10));
        assert_eq!(
            Frame::Raw.size(b"\x80\x01\xff\xff\xff\xff\0\0\x01\x7b"),
            Some(0xFFFF_FFFF)
        );
    }

    #[test]
    fn the_simulators_header_brings_a_locality() {
        let message = [b"\0\0\0\x08\x03\0\0\0\x0c".as_slice(), &COMMAND].concat();
        assert_eq!(Frame::of(&message[..4]), None);
        let frame = Frame::of(&message).unwrap();
        assert_eq!(frame, Frame::Simulator { locality: 3 });
        assert_eq!(frame.size(&message[..18]), None);
        assert_eq!(frame.size(&message[..19]), Some(21));
        // The size that counts is the command's; the header's matters only where there can be no command.
        assert_eq!(frame.size(b"\0\0\0\x08\x03\0\0\0\x04"), Some(13));
        assert_eq!(frame.size(b"\0\0\0\x08\x03\0\0\0"), None);
    }
}
