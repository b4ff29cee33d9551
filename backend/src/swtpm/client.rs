//! A client of the control channel: its socket, the request that is arriving and the descriptor that came with it.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};

use zeroize::Zeroizing;

use super::control::{self, Code, Request};
use crate::device::MAX_PART_SIZE;

/// How long a client may take to send the rest of a request, as swtpm has it. Then its connection is closed.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes that are read at once.
const CHUNK: usize = 4096;
/// Descriptors that one message can bring; all but the first are closed at once.
const MAX_DESCRIPTORS: usize = 4;
/// HASH_DATA's number and length come before its data.
const HASH_HEADER: usize = 8;
/// SET_STATEBLOB's number, flags, part and length come before its data.
const BLOB_HEADER: usize = 16;

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
    /// A SET_STATEBLOB request with all of its data; `None` when they are more than state can be.
    Blob {
        part: u32,
        data: Option<Zeroizing<Vec<u8>>>,
    },
}

/// The data of a request, which need not come at once.
enum Data {
    None,
    /// Bytes of a HASH_DATA request that are still to come.
    Hash(u32),
    /// A SET_STATEBLOB request: bytes that are still to come, and those that are there, unless there are too many.
    Blob {
        part: u32,
        left: u32,
        data: Option<Zeroizing<Vec<u8>>>,
    },
}

/// A connection to the control channel.
pub(super) struct Client {
    socket: OwnedFd,
    /// The request as far as it has arrived. It is never longer than [`control::MAX_REQUEST`].
    request: Vec<u8>,
    data: Data,
    descriptor: Option<OwnedFd>,
    deadline: Option<Instant>,
}

impl Client {
    pub(super) const fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            request: Vec::new(),
            data: Data::None,
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
        if !matches!(self.data, Data::None) {
            // Data may be long; each piece of it renews the client's time.
            self.deadline = None;
            return self.feed(bytes, hash);
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
                self.data = Data::Hash(len);
                self.feed(request.get(HASH_HEADER..).unwrap_or_default(), &mut hash)
            }
            Ok(Request::SetStateBlob { part, len }) => {
                let size = usize::try_from(len).ok().filter(|size| *size <= MAX_PART_SIZE);
                self.data = Data::Blob {
                    part,
                    left: len,
                    // Room for all of it, so that growing leaves no copies behind.
                    data: size.map(|size| Zeroizing::new(Vec::with_capacity(size))),
                };
                self.feed(request.get(BLOB_HEADER..).unwrap_or_default(), &mut hash)
            }
            other => Event::Request(other),
        }
    }

    /// Takes data of a request, and none beyond their length.
    fn feed(&mut self, bytes: &[u8], mut hash: impl FnMut(&[u8])) -> Event {
        let (Data::Hash(left) | Data::Blob { left, .. }) = &mut self.data else {
            return Event::More;
        };
        let bytes = bytes
            .get(..usize::try_from(*left).unwrap_or(usize::MAX))
            .unwrap_or(bytes);
        *left = left.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let done = *left == 0;
        match &mut self.data {
            Data::Hash(_) if !bytes.is_empty() => hash(bytes),
            Data::Blob { data: Some(data), .. } => data.extend_from_slice(bytes),
            _ => {}
        }
        if !done {
            return Event::More;
        }
        match std::mem::replace(&mut self.data, Data::None) {
            Data::Blob { part, data, .. } => Event::Blob { part, data },
            _ => Event::Hashed,
        }
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

    /// Sends a response; says whether the socket took it. One that is larger than the socket's buffer is sent as the client
    /// reads it, as long as it does.
    pub(super) fn send(&self, response: &[u8]) -> bool {
        let mut rest = response;
        while !rest.is_empty() {
            match send(&self.socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                // A client that lets even a short response lie is gone at once.
                Err(Errno::AGAIN) if response.len() > CHUNK && self.takes_more() => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn takes_more(&self) -> bool {
        let timeout = Timespec::try_from(PATIENCE).ok();
        let mut sockets = [PollFd::new(&self.socket, PollFlags::OUT)];
        matches!(poll(&mut sockets, timeout.as_ref()), Ok(1..))
    }
}
