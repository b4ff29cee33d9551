//! The control thread: accepts clients, answers control requests, hands data sockets to the data thread.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{set_tcp_nodelay, socket_type};
use rustix::net::{Shutdown, SocketType, shutdown};
use tracing::{debug, info, warn};
use zeroize::Zeroizing;

use super::client::{Client, Event};
use super::control::{self, Code, Request};
use super::data::DataChannel;
use super::sockets::{TcpPorts, UnixControl, accept, bind_tcp, bind_unix};
use crate::args::Config;
use crate::device::{Device, Part, StateError};
use crate::process;
use crate::socket::SocketError;

/// Control clients that are served at once: a VMM, and an operator who looks at the TPM or cancels a command.
const MAX_CLIENTS: usize = 8;
/// Data sockets that the data thread has: the one it serves, and those that wait for it to see that their
/// predecessors' clients left, for which a long command must end.
const MAX_DATA: usize = 8;
/// How long LOCK_STORAGE may wait at most; nobody else is served meanwhile.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(3);

/// What an epoll event is about; clients of the control channel have numbers from [`FIRST_CLIENT`].
mod token {
    pub(super) const STOP: u64 = 0;
    pub(super) const DATA_ENDED: u64 = 1;
    pub(super) const CONTROL_UNIX: u64 = 2;
    pub(super) const CONTROL_TCP: u64 = 3;
    pub(super) const DATA_TCP: u64 = 4;
    pub(super) const FIRST_CLIENT: u64 = 16;
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("the control channel has no socket")]
    Unix(#[from] SocketError),
    #[error("the TCP address {0} cannot be listened on")]
    Tcp(SocketAddr, #[source] io::Error),
    #[error("the event loop failed")]
    Loop(#[source] io::Error),
}

impl From<Errno> for ServerError {
    fn from(error: Errno) -> Self {
        Self::Loop(error.into())
    }
}

/// Whether the server goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Serve,
    Stop,
}

/// The listening sockets, their clients and the data thread.
pub(crate) struct Server {
    device: Arc<Device>,
    epoll: OwnedFd,
    stop: OwnedFd,
    unix: Option<UnixControl>,
    tcp: Option<TcpPorts>,
    clients: BTreeMap<u64, Client>,
    next_client: u64,
    powered: bool,
    buffer_size: u32,
    /// The data sockets that the data thread has, oldest first.
    data: VecDeque<OwnedFd>,
    to_data_thread: Sender<OwnedFd>,
    data_ended: Arc<OwnedFd>,
    data_thread: JoinHandle<()>,
}

impl Server {
    /// Opens the sockets; connections wait until [`Self::run`]. `stop` becomes readable when the server is to end.
    pub(crate) fn bind(config: &Config, device: Arc<Device>, stop: OwnedFd) -> Result<Self, ServerError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data_ended = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let unix = config.swtpm_socket.as_deref().map(bind_unix).transpose()?;
        let tcp = config.swtpm_tcp.map(bind_tcp).transpose()?;
        let (to_data_thread, sockets) = channel();
        let data_thread = std::thread::Builder::new()
            .name("data".to_owned())
            .spawn({
                let (device, ended) = (Arc::clone(&device), Arc::clone(&data_ended));
                move || data_thread(&sockets, &device, &ended)
            })
            .map_err(ServerError::Loop)?;
        let server = Self {
            device,
            epoll,
            stop,
            unix,
            tcp,
            clients: BTreeMap::new(),
            next_client: token::FIRST_CLIENT,
            powered: config.startup != crate::args::Startup::None,
            buffer_size: control::MAX_BUFFER_SIZE,
            data: VecDeque::new(),
            to_data_thread,
            data_ended,
            data_thread,
        };
        server.watch(&server.stop, token::STOP)?;
        server.watch(&*server.data_ended, token::DATA_ENDED)?;
        if let Some(unix) = &server.unix {
            server.watch(&unix.listener, token::CONTROL_UNIX)?;
        }
        if let Some(tcp) = &server.tcp {
            server.watch(&tcp.control, token::CONTROL_TCP)?;
            server.watch(&tcp.data, token::DATA_TCP)?;
        }
        Ok(server)
    }

    fn watch(&self, source: impl AsFd, token: u64) -> Result<(), Errno> {
        epoll::add(
            &self.epoll,
            source,
            epoll::EventData::new_u64(token),
            epoll::EventFlags::IN,
        )
    }

    /// Serves until a signal or CMD_SHUTDOWN ends it; then lets the command that is running end and be answered.
    pub(crate) fn run(mut self) -> Result<(), ServerError> {
        let served = self.serve();
        self.device.cancel().stop_running();
        for socket in &self.data {
            // Only reading ends: the last response still leaves. A client that takes none does not hold the stop up.
            let _ = shutdown(socket, Shutdown::Read);
        }
        drop(self.to_data_thread);
        if !ended_within(&self.data_ended, self.data.len(), Duration::from_secs(2)) {
            for socket in &self.data {
                let _ = shutdown(socket, Shutdown::Both);
            }
        }
        // A panic of the data thread has ended the process.
        let _ = self.data_thread.join();
        served
    }

    fn serve(&mut self) -> Result<(), ServerError> {
        loop {
            let mut events = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(0),
            }; 16];
            let timeout = self
                .clients
                .values()
                .filter_map(Client::deadline)
                .min()
                .map(|deadline| deadline.saturating_duration_since(Instant::now()))
                .and_then(|left| Timespec::try_from(left).ok());
            let count = match epoll::wait(&self.epoll, events.as_mut_slice(), timeout.as_ref()) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in events.iter().take(count) {
                match event.data.u64() {
                    token::STOP => {
                        info!("stopping on a signal");
                        return Ok(());
                    }
                    token::DATA_ENDED => self.data_ended()?,
                    token::CONTROL_UNIX | token::CONTROL_TCP => self.accept_control(event.data.u64())?,
                    token::DATA_TCP => self.accept_data()?,
                    client => {
                        if self.client(client) == Next::Stop {
                            info!("stopping on a client's CMD_SHUTDOWN");
                            return Ok(());
                        }
                    }
                }
            }
            let now = Instant::now();
            self.clients
                .retain(|_, client| client.deadline().is_none_or(|deadline| deadline > now));
        }
    }

    fn accept_control(&mut self, token: u64) -> Result<(), ServerError> {
        let listener = match token {
            token::CONTROL_UNIX => self.unix.as_ref().map(|unix| &unix.listener),
            _ => self.tcp.as_ref().map(|tcp| &tcp.control),
        };
        let Some(socket) = listener.and_then(accept) else {
            return Ok(());
        };
        if self.clients.len() >= MAX_CLIENTS {
            warn!("a control client is turned away: {MAX_CLIENTS} are being served");
            return Ok(());
        }
        let number = self.next_client;
        self.next_client = self.next_client.wrapping_add(1).max(token::FIRST_CLIENT);
        self.watch(&socket, number)?;
        self.clients.insert(number, Client::new(socket));
        Ok(())
    }

    /// Accepts a client of the data port. Until it leaves, further ones wait in the listener's queue.
    fn accept_data(&mut self) -> Result<(), ServerError> {
        let Some(tcp) = &self.tcp else { return Ok(()) };
        if let Some(socket) = accept(&tcp.data) {
            let _ = set_tcp_nodelay(&socket, true);
            if let Err(error) = self.hand_over(socket) {
                warn!("a data client could not be served: {error}");
            }
        }
        self.update_data_listener()
    }

    /// The data port is watched while there is no data client.
    fn update_data_listener(&self) -> Result<(), ServerError> {
        let Some(tcp) = &self.tcp else { return Ok(()) };
        let flags = if self.data.is_empty() {
            epoll::EventFlags::IN
        } else {
            epoll::EventFlags::empty()
        };
        Ok(epoll::modify(
            &self.epoll,
            &tcp.data,
            epoll::EventData::new_u64(token::DATA_TCP),
            flags,
        )?)
    }

    fn hand_over(&mut self, socket: OwnedFd) -> io::Result<()> {
        let ours = socket.try_clone()?;
        self.to_data_thread
            .send(socket)
            .map_err(|_| io::Error::other("the data thread has ended"))?;
        self.data.push_back(ours);
        Ok(())
    }

    /// Forgets the data sockets that the data thread is done with.
    fn data_ended(&mut self) -> Result<(), ServerError> {
        let mut count = [0; 8];
        if rustix::io::read(&*self.data_ended, &mut count).is_ok() {
            for _ in 0..u64::from_ne_bytes(count) {
                self.data.pop_front();
            }
        }
        self.update_data_listener()
    }

    /// Reads what a control client sent and answers it.
    fn client(&mut self, number: u64) -> Next {
        let Some(mut client) = self.clients.remove(&number) else {
            return Next::Serve;
        };
        let event = client.receive(self.powered, |data| self.device.hash_data(data));
        debug!("control client {number}: {event:?}");
        let (answer, next) = match event {
            Event::Gone => return Next::Serve,
            Event::More => (None, Next::Serve),
            Event::Hashed => (Some(control::result(Code::Success)), Next::Serve),
            Event::Blob { part, data } => (Some(control::result(self.set_state_blob(part, data))), Next::Serve),
            Event::Request(Err(code)) => (Some(control::result(code)), Next::Serve),
            Event::Request(Ok(Request::GetStateBlob { part, offset })) => {
                // It may be large and is wiped, as no other response is.
                return match client.send(&self.get_state_blob(part, offset)) {
                    true => {
                        self.clients.insert(number, client);
                        Next::Serve
                    }
                    false => Next::Serve,
                };
            }
            Event::Request(Ok(Request::SetDataFd)) => {
                let code = self.set_data_fd(client.take_descriptor());
                (Some(control::result(code)), Next::Serve)
            }
            Event::Request(Ok(request)) => {
                let next = if request == Request::Shutdown {
                    Next::Stop
                } else {
                    Next::Serve
                };
                (Some(self.answer(request)), next)
            }
        };
        // A client that does not read its responses is cut off rather than waited for.
        if answer.is_none_or(|answer| client.send(&answer)) {
            self.clients.insert(number, client);
        }
        next
    }

    fn answer(&mut self, request: Request) -> Vec<u8> {
        let device = &self.device;
        let code = match request {
            Request::GetCapability => return control::capability(),
            Request::GetEstablished => return control::established(device.established()),
            Request::GetConfig => {
                let (state_key, migration_key) = device.encryption();
                return control::config(state_key, migration_key);
            }
            Request::GetInfo { flags, offset } => return control::info(&device.describe(flags), offset),
            Request::SetBufferSize(0) => return control::buffer_size(self.buffer_size),
            Request::SetBufferSize(_) if self.powered => Code::BadOrdinal,
            Request::SetBufferSize(size) => {
                self.buffer_size = size.clamp(control::MIN_BUFFER_SIZE, control::MAX_BUFFER_SIZE);
                device.set_buffer_size(usize::try_from(self.buffer_size).unwrap_or(usize::MAX));
                return control::buffer_size(self.buffer_size);
            }
            Request::Init => {
                let result = device.init();
                // When nothing came of it, the TPM has the power that it had.
                self.powered = device.is_powered();
                code(result)
            }
            Request::StoreVolatile => code(device.store_volatile()),
            Request::LockStorage { retries } => {
                let retries = Duration::from_millis(10).saturating_mul(retries);
                code(device.reclaim(retries.min(MAX_LOCK_WAIT)))
            }
            Request::Stop | Request::Shutdown => {
                self.powered = false;
                match device.power_off() {
                    Ok(()) => Code::Success,
                    Err(error) => {
                        warn!("the TPM did not stop in an orderly way: {error}");
                        Code::Fail
                    }
                }
            }
            Request::SetLocality(locality @ 0..=4) => {
                device.set_locality(locality);
                Code::Success
            }
            Request::ResetEstablished(locality @ 0..=4) if device.reset_established(locality) => Code::Success,
            Request::SetLocality(_) | Request::ResetEstablished(_) => Code::BadLocality,
            Request::HashStart => {
                device.hash_start();
                Code::Success
            }
            Request::HashEnd => {
                device.hash_end();
                Code::Success
            }
            Request::Cancel => {
                device.cancel().request(|| self.data.front().is_some_and(has_command));
                Code::Success
            }
            // The data of these and the descriptor of SET_DATAFD were the client's to take.
            Request::HashData(_) | Request::SetDataFd | Request::GetStateBlob { .. } | Request::SetStateBlob { .. } => {
                Code::Success
            }
        };
        control::result(code)
    }

    /// A part of the state, for whoever moves the TPM.
    fn get_state_blob(&self, number: u32, offset: u32) -> Zeroizing<Vec<u8>> {
        let Some(part) = part(number) else {
            return control::state_blob(None, offset);
        };
        match self.device.give(part) {
            Ok(blob) => {
                let blob = blob.as_ref().map(|blob| (&**blob.bytes, blob.sealed));
                control::state_blob(blob, offset)
            }
            Err(error) => Zeroizing::new(control::result(code::<()>(Err(error)))),
        }
    }

    /// A part of the state of a TPM that is to live here.
    fn set_state_blob(&self, number: u32, data: Option<Zeroizing<Vec<u8>>>) -> Code {
        let (Some(part), Some(data)) = (part(number), data) else {
            return Code::BadParameter;
        };
        match self.device.take(part, &data) {
            Ok(()) => Code::Success,
            Err(error) => {
                process::report(&error);
                Code::BadParameter
            }
        }
    }

    /// Takes a descriptor as the data channel, unless there is one whose client is still there.
    fn set_data_fd(&mut self, descriptor: Option<OwnedFd>) -> Code {
        // The data thread may have said that a client left since the events were read.
        if self.data_ended().is_err() {
            return Code::Fail;
        }
        if self.data.len() >= MAX_DATA || !self.data.iter().all(has_left) {
            return Code::IoError;
        }
        let stream = |socket: &OwnedFd| matches!(socket_type(socket), Ok(SocketType::STREAM));
        let Some(socket) = descriptor.filter(stream) else {
            debug!("SET_DATAFD came without a stream socket");
            return Code::BadParameter;
        };
        let handed = self.hand_over(socket).is_ok() && self.update_data_listener().is_ok();
        if handed { Code::Success } else { Code::Fail }
    }
}

/// The answer to a request that may not have been carried out; the log has the reason.
fn code<T>(result: Result<T, StateError>) -> Code {
    match result {
        Ok(_) => Code::Success,
        Err(error) => {
            process::report(&error);
            Code::Fail
        }
    }
}

/// The part of the state with this number.
const fn part(number: u32) -> Option<Part> {
    Some(match number {
        1 => Part::Permanent,
        2 => Part::Volatile,
        3 => Part::Saved,
        _ => return None,
    })
}

/// Serves one data socket after another.
fn data_thread(sockets: &Receiver<OwnedFd>, device: &Device, ended: &OwnedFd) {
    let mut channel = DataChannel::default();
    for socket in sockets {
        channel.serve(&socket, device);
        drop(socket);
        // The counter cannot overflow: there are never more sockets than were handed over.
        let _ = rustix::io::write(ended, &1u64.to_ne_bytes());
    }
}

/// Whether so many data sockets came to their end in time.
fn ended_within(ended: &OwnedFd, mut count: usize, time: Duration) -> bool {
    let until = Instant::now() + time;
    while count > 0 {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut [PollFd::new(ended, PollFlags::IN)], timeout.as_ref()) {
            Ok(0) => return false,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return false,
        }
        let mut more = [0; 8];
        if rustix::io::read(ended, &mut more).is_ok() {
            count = count.saturating_sub(usize::try_from(u64::from_ne_bytes(more)).unwrap_or(usize::MAX));
        }
    }
    true
}

/// Whether there is something to read.
fn has_command(socket: &OwnedFd) -> bool {
    rustix::io::ioctl_fionread(socket).is_ok_and(|bytes| bytes > 0)
}

/// Whether the peer of a socket has closed it.
fn has_left(socket: &OwnedFd) -> bool {
    let mut poll_fd = [PollFd::new(socket, PollFlags::RDHUP)];
    let now = Timespec::try_from(Duration::ZERO).ok();
    poll(&mut poll_fd, now.as_ref()).is_ok_and(|ready| ready > 0)
}
