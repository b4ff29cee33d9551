//! A client of the control channel: its socket, the request that is arriving and the descriptor that came with it.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};

use super::control::{self, Code, Request};

/// How long a client may take to send the rest of a request, as swtpm has it. Then its connection is closed.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes that are read at once.
const CHUNK: usize = 4096;
/// Descriptors that one message can bring; all but the first are closed at once.
const MAX_DESCRIPTORS: usize = 4;
/// HASH_DATA's number and length come before its data.
const HASH_HEADER: usize = 8;

/// What a client's bytes came to.
#[derive(Debug)]
pub(super) enum Event {
    /// Nothing yet.
    More,
    /// The client left, or broke the protocol.
    Gone,
    Request(Result<Request, Code>),
    /// All data of a HASH_DATA request was hashed.
    Hashed,
}

/// A connection to the control channel.
pub(super) struct Client {
    socket: OwnedFd,
    /// The request as far as it has arrived. It is never longer than [`control::MAX_REQUEST`].
    request: Vec<u8>,
    /// Bytes of a HASH_DATA request that are still to come.
    to_hash: u32,
    descriptor: Option<OwnedFd>,
    deadline: Option<Instant>,
}

impl Client {
    pub(super) const fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            request: Vec::new(),
            to_hash: 0,
            descriptor: None,
            deadline: None,
        }
    }

    /// When the rest of the request that is arriving must be there.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The descriptor that came with the request. One that no request asked for is closed with the next request.
    pub(super) const fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }

    /// Reads what has arrived; `hash` gets the data of HASH_DATA, piece by piece.
    pub(super) fn receive(&mut self, powered: bool, hash: impl FnMut(&[u8])) -> Event {
        let mut chunk = [0; CHUNK];
        let len = match self.read(&mut chunk) {
            Ok(0) => return Event::Gone,
            Ok(len) => len,
            Err(Errno::AGAIN | Errno::INTR) => return Event::More,
            Err(_) => return Event::Gone,
        };
        let event = self.take(chunk.get(..len).unwrap_or_default(), powered, hash);
        match event {
            Event::More => {
                self.deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            }
            _ => self.deadline = None,
        }
        event
    }

    fn take(&mut self, bytes: &[u8], powered: bool, mut hash: impl FnMut(&[u8])) -> Event {
        if self.to_hash > 0 {
            // Data may be long; each piece of it renews the client's time.
            self.deadline = None;
            return self.hash(bytes, hash);
        }
        self.request.extend_from_slice(bytes);
        let Some(parsed) = control::parse(&self.request, powered) else {
            return if self.request.len() > control::MAX_REQUEST {
                Event::Gone
            } else {
                Event::More
            };
        };
        let request = std::mem::take(&mut self.request);
        if !matches!(parsed, Ok(Request::SetDataFd)) {
            self.descriptor = None;
        }
        match parsed {
            Ok(Request::HashData(len)) => {
                self.to_hash = len;
                self.hash(request.get(HASH_HEADER..).unwrap_or_default(), &mut hash)
            }
            other => Event::Request(other),
        }
    }

    /// Hashes bytes of a HASH_DATA request, and none beyond its length.
    fn hash(&mut self, bytes: &[u8], mut hash: impl FnMut(&[u8])) -> Event {
        let wanted = usize::try_from(self.to_hash).unwrap_or(usize::MAX);
        let data = bytes.get(..wanted).unwrap_or(bytes);
        if !data.is_empty() {
            hash(data);
        }
        self.to_hash = self
            .to_hash
            .saturating_sub(u32::try_from(data.len()).unwrap_or(u32::MAX));
        if self.to_hash == 0 { Event::Hashed } else { Event::More }
    }

    /// Reads bytes and takes the descriptors that come with them: the first is kept, the others are closed.
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(chunk)],
            &mut control,
            RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    self.descriptor.get_or_insert(descriptor);
                }
            }
        }
        Ok(received.bytes)
    }

    /// Sends a response; says whether the socket took it.
    pub(super) fn send(&self, response: &[u8]) -> bool {
        send(&self.socket, response, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) == Ok(response.len())
    }
}
