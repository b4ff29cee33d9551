//! The device behind a vhost-user connection: queue 0, the window, and the config space (docs/vhost-user-tpm.md).

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crb_interface::layout::{CONFIG_CONTROL, DATA_BUFFER_SIZE, PAGE};
use crb_interface::{Action, Config, Control, Crb, LocalMemory};
use vhost::vhost_user::message::{
    VhostTransferStateDirection, VhostTransferStatePhase, VhostUserProtocolFeatures, VhostUserVirtioFeatures,
};
use vhost_user_backend::{VhostUserBackend, VringT};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_queue::QueueT;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};

use super::chain::{read_command, write_response};
use super::requests::Requests;
use super::transfer::Transfer;
use super::vring::Vring;
use super::waiting::{Last, Waiting};
use super::worker::{Buffers, Window, Worker};
use crate::device::{Device, StateError};
use crate::process;

/// Entries that queue 0 can have.
const MAX_QUEUE_SIZE: usize = 16;
/// How long a monitor that goes on with its TPM waits for the lock of a state directory that was given up.
const LOCK_WAIT: Duration = Duration::from_secs(1);

pub(super) type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

/// What was found where commands are.
enum Found {
    Command,
    /// A chain whose command had been executed already: the window showed it.
    Announcement,
    Nothing,
}

/// What is known of the monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Monitor {
    /// Neither a request nor a command of a virtio-tpm driver has come.
    New,
    /// It has sent a request: it says itself what has become of its machine.
    Tells,
    /// A driver's command came first. It knows none of our requests, so that whatever looks like one is its guest's, whose
    /// writes to the config space it passes on.
    Plain,
}

/// Why the window and the queue were left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// There is nothing to do, or the queue is not ours any more.
    Done,
    /// A request of the monitor comes first. There may be more commands.
    Interrupted,
}

/// The device behind one connection.
pub(super) struct Endpoint {
    tpm: Arc<Device>,
    /// The CRB behind the config space.
    config: Crb<LocalMemory>,
    monitor: Mutex<Monitor>,
    worker: Mutex<Worker>,
    /// Requests of the monitor that the worker makes way for.
    requests: Requests,
    window: Mutex<Option<Arc<Window>>>,
    /// Queue 0, since it was first looked at.
    queue: Mutex<Option<Vring>>,
    /// The queue was stopped and not used since.
    stopped: AtomicBool,
    /// The TPM was saved by this monitor, which can go on with it by starting the queue again.
    departed: AtomicBool,
    transfer: Mutex<Option<Transfer>>,
    ended: AtomicBool,
    exit: Mutex<Option<(EventConsumer, EventNotifier)>>,
}

impl Endpoint {
    /// A device for a TPM; `most_poll` bounds polling.
    pub(super) fn new(tpm: Arc<Device>, most_poll: Duration) -> io::Result<Self> {
        let config = Crb::new(LocalMemory::default(), Config::default());
        config.reset();
        config.set_established(tpm.established());
        Ok(Self {
            tpm,
            config,
            monitor: Mutex::new(Monitor::New),
            worker: Mutex::new(Worker {
                memory: None,
                window: None,
                buffers: Buffers::new(),
                waiting: Waiting::new(most_poll),
                polling: false,
            }),
            requests: Requests::default(),
            window: Mutex::default(),
            queue: Mutex::default(),
            stopped: AtomicBool::new(true),
            departed: AtomicBool::new(false),
            transfer: Mutex::default(),
            ended: AtomicBool::new(false),
            exit: Mutex::new(Some(new_event_consumer_and_notifier(EventFlag::NONBLOCK)?)),
        })
    }

    /// Executes one command, if there is one.
    fn serve_one(&self, worker: &mut Worker, vring: &Vring) -> io::Result<Found> {
        if worker.polling && self.serve_polled(worker, vring)? {
            return Ok(Found::Command);
        }
        let Some(memory) = &worker.memory else {
            return Ok(Found::Nothing);
        };
        let memory = memory.memory();
        let Worker { window, buffers, .. } = worker;
        // A request to cancel finds the command in the queue or in our hands, never in between.
        let popped = self.tpm.cancel().taking(|| {
            let chain = vring.get_mut().get_queue_mut().pop_descriptor_chain(memory.clone());
            let Some(chain) = chain else { return (false, None) };
            let window = window.as_ref().filter(|window| window.holds(&chain));
            let taken = match window {
                Some(window) => window.crb.take_command(&mut buffers.command),
                // A virtio-tpm driver knows no localities.
                None => Some((0, read_command(&memory, &chain, &mut buffers.command))),
            };
            (taken.is_some(), Some((chain, window, taken)))
        });
        let Some((chain, window, taken)) = popped else {
            return Ok(Found::Nothing);
        };
        let found = match taken {
            Some(_) => Found::Command,
            None => Found::Announcement,
        };
        let head = chain.head_index();
        if let Some(window) = window {
            vring.add_used(head, 0).map_err(io::Error::other)?;
            if let Some((locality, len)) = taken {
                self.execute_in(&window.crb, locality, len, buffers);
                window.signal(vring)?;
            }
        } else {
            self.first_command();
            let (locality, len) = taken.unwrap_or_default();
            let command = buffers.command.get(..len).unwrap_or_default();
            let response = self.tpm.execute(locality, command, &mut buffers.response);
            let used = write_response(&memory, chain, response);
            vring.add_used(head, used).map_err(io::Error::other)?;
            vring.signal_used_queue()?;
        }
        Ok(found)
    }

    /// A virtio-tpm driver has sent a command. The first on a connection whose monitor says nothing is that of a machine
    /// that was switched on. Not so the first after the device was reset or its queue stopped: a guest can do that, and
    /// would clear its PCRs.
    fn first_command(&self) {
        let mut monitor = lock(&self.monitor);
        if *monitor == Monitor::New {
            *monitor = Monitor::Plain;
            if let Err(error) = self.tpm.first_command() {
                // Its commands fail.
                process::report(&error);
            }
            self.config.set_established(self.tpm.established());
        }
    }

    /// Whether a request is to be carried out: it comes from the monitor.
    fn heeds(&self) -> bool {
        let mut monitor = lock(&self.monitor);
        if *monitor == Monitor::New {
            *monitor = Monitor::Tells;
        }
        *monitor == Monitor::Tells
    }

    /// Executes the command that is seen in the window while that is polled; false when there is none.
    fn serve_polled(&self, worker: &mut Worker, vring: &Vring) -> io::Result<bool> {
        let window = worker.window.as_ref().filter(|window| window.crb.polled_command());
        let Some(window) = window else { return Ok(false) };
        self.serve_window(window, &mut worker.buffers, vring)?;
        Ok(true)
    }

    /// Executes the command that waits in the window, if there is one still.
    fn serve_window(&self, window: &Window, buffers: &mut Buffers, vring: &Vring) -> io::Result<()> {
        self.serve_crb(&window.crb, buffers);
        window.signal(vring)
    }

    /// Executes the command that waits in a CRB, if there is one still.
    fn serve_crb<M: crb_interface::Memory>(&self, crb: &Crb<M>, buffers: &mut Buffers) {
        if let Some((locality, len)) = crb.take_command(&mut buffers.command) {
            self.execute_in(crb, locality, len, buffers);
        }
    }

    /// Executes a command that was taken from a CRB.
    fn execute_in<M: crb_interface::Memory>(&self, crb: &Crb<M>, locality: u8, len: usize, buffers: &mut Buffers) {
        let command = buffers.command.get(..len).unwrap_or_default();
        // The guest's request stands in the window before the monitor passes it on: it is found there, or comes later.
        let cancelled = || crb.cancel_requested();
        let response = self
            .tpm
            .execute_unless(cancelled, locality, command, &mut buffers.response);
        // A monitor that has left has completed the command itself, and may be at another one by now.
        if !self.ended.load(Ordering::Relaxed) {
            crb.complete(response);
        }
    }

    /// Serves the window and the queue until there has been no command for the time that polling is worth. Requests of the
    /// monitor come in between.
    ///
    /// # Errors
    /// The kick cannot be taken: it would be there again for ever.
    fn serve(&self, vring: &Vring) -> io::Result<()> {
        loop {
            self.requests.wait();
            let mut worker = lock(&self.worker);
            if vring.is_stopped() {
                // The kick is from before that.
                return vring.take_kick();
            }
            self.go_on();
            // The monitor waits for what is in the window. The rest of what a kick means takes system calls and locks.
            let first = self.serve_first(&mut worker, vring);
            let taken = vring.take_kick();
            let result = first.and_then(|found| self.serve_all(&mut worker, vring, found));
            // Where it ended early: a command that comes now waits for a queue that works, or another process.
            worker.end_polling();
            match result {
                // The kick was for all that is there.
                Ok(Left::Interrupted) => taken?,
                Ok(Left::Done) => return taken,
                // A queue that cannot be read is the monitor's fault: it stays dead, the process lives on.
                Err(error) => {
                    tracing::warn!(%error, "queue 0 is broken; it is ignored until the monitor sets it up again");
                    return taken;
                }
            }
        }
    }

    /// The queue was started, if it had been stopped.
    fn go_on(&self) {
        self.stopped.store(false, Ordering::Relaxed);
        if self.departed.load(Ordering::Relaxed)
            && let Err(error) = self.resume()
        {
            // Its commands fail.
            process::report(&error);
        }
    }

    /// Executes the command that is in the window already when this side wakes; false when there is none yet.
    fn serve_first(&self, worker: &mut Worker, vring: &Vring) -> io::Result<bool> {
        if self.is_over(worker) {
            return Ok(false);
        }
        worker.begin_polling();
        let found = self.serve_polled(worker, vring)?;
        if found {
            worker.waiting.came(Last::Command);
        }
        Ok(found)
    }

    /// Serves what comes. `found` says whether the kick has led to a command already.
    fn serve_all(&self, worker: &mut Worker, vring: &Vring, found: bool) -> io::Result<Left> {
        let (mut kicked, mut promised) = (!found, false);
        while !self.is_over(worker) {
            vring.disable_notification().map_err(io::Error::other)?;
            loop {
                match self.serve_one(worker, vring)? {
                    Found::Command => {
                        worker.waiting.came(Last::Command);
                        promised = false;
                    }
                    Found::Announcement => promised = false,
                    // Asked again, the driver's ring would say the same for ever.
                    Found::Nothing if promised => return vring.nothing_to_take().map(|()| Left::Done),
                    Found::Nothing => {
                        if kicked {
                            worker.waiting.came(Last::Kick);
                        }
                        // Where the monitor waits for this processor, no command comes while it is kept.
                        if worker.shares_processor() || !worker.waiting.polls() {
                            break;
                        }
                        worker.poll();
                    }
                }
                kicked = false;
                if self.is_over(worker) {
                    return Ok(Left::Done);
                }
                if self.requests.is_pending() {
                    break;
                }
            }
            if worker.end_polling()
                && let Some(window) = &worker.window
            {
                self.serve_window(window, &mut worker.buffers, vring)?;
                worker.waiting.came(Last::Command);
                if !self.requests.is_pending() {
                    continue;
                }
            }
            // Nobody has to announce again what comes now: it is looked for when the request is carried out.
            if self.requests.is_pending() {
                return Ok(Left::Interrupted);
            }
            if let Some(window) = &worker.window {
                window.crb.memory().device_will_sleep();
            }
            promised = vring.enable_notification().map_err(io::Error::other)?;
            if !promised {
                break;
            }
        }
        Ok(Left::Done)
    }

    /// Whether the queue is not ours any more: the connection has ended, or the monitor has made another one.
    fn is_over(&self, worker: &Worker) -> bool {
        let replaced = worker.window.as_ref().is_some_and(|window| !window.crb.is_current());
        self.ended.load(Ordering::Relaxed) || replaced
    }

    /// The connection is over: the queue is left alone, whatever its memory says.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.tpm.release();
    }

    /// Keeps the queue, for requests to cancel what waits in it.
    fn meet(&self, vring: &Vring) {
        let mut queue = lock(&self.queue);
        if queue.is_none() {
            // One that came before is for the command that is there by now, if there is one.
            self.tpm.cancel().forget_unless(|| vring.has_command());
            *queue = Some(vring.clone());
        }
    }

    /// Carries out a request of the monitor.
    fn control(&self, request: Control) -> Result<(), StateError> {
        let window = lock(&self.window).clone();
        // A request to cancel is for the command that is being executed, and waits for none.
        let _request = (request != Control::Cancel).then(|| self.requests.begin());
        match request {
            Control::Cancel => {
                match window {
                    // A monitor does not wait for this to arrive: by then the command may have ended and the next begun.
                    Some(window) => {
                        let wanted = || window.crb.executing() && window.crb.cancel_requested();
                        self.tpm.cancel().request_if(wanted);
                    }
                    None => {
                        let queue = lock(&self.queue);
                        let waits = || queue.as_ref().is_none_or(Vring::has_command);
                        self.tpm.cancel().request(waits);
                    }
                }
                return Ok(());
            }
            Control::PowerOn => {
                self.tpm.power_cycle()?;
                self.config.reset();
            }
            Control::HashStart => self.tpm.hash_start(),
            Control::HashData => {
                let mut data = [0; DATA_BUFFER_SIZE];
                let len = window.map_or(0, |window| window.crb.take_hash_data(&mut data));
                self.tpm.hash_data(data.get(..len).unwrap_or_default());
            }
            Control::HashEnd => self.tpm.hash_end(),
            // One of the localities that may has asked, or the monitor would not.
            Control::ResetEstablishment => drop(self.tpm.reset_established(4)),
            Control::Recover => self.tpm.recover()?,
            Control::Resume => self.resume()?,
        }
        self.config.set_established(self.tpm.established());
        Ok(())
    }

    /// The monitor goes on here after the TPM was saved.
    fn resume(&self) -> Result<(), StateError> {
        self.departed.store(false, Ordering::Relaxed);
        self.tpm.reclaim(LOCK_WAIT)
    }

    fn begin_transfer(&self, direction: VhostTransferStateDirection, file: File) -> io::Result<Transfer> {
        if !self.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other(
                "queue 0 has to be stopped before device state is transferred",
            ));
        }
        match direction {
            VhostTransferStateDirection::SAVE => {
                let registers = self.config.save().unwrap_or_default();
                let state = self.tpm.depart(&registers).map_err(io::Error::other)?;
                self.departed.store(true, Ordering::Relaxed);
                Transfer::save(state.bytes, file)
            }
            VhostTransferStateDirection::LOAD => Transfer::load(file),
        }
    }

    fn end_transfer(&self, transfer: Transfer) -> io::Result<()> {
        let died = |_| io::Error::other("the thread of the transfer died");
        match transfer {
            Transfer::Save(thread) => thread.join().map_err(died)?.inspect_err(|_| {
                // Nobody has all of it: the TPM is still here.
                if let Err(error) = self.resume() {
                    process::report(&error);
                }
            }),
            Transfer::Load(thread) => {
                let state = thread.join().map_err(died)??;
                let registers = self.tpm.arrive(&state).map_err(io::Error::other)?;
                if !self.config.restore(&registers) {
                    self.config.reset();
                }
                self.config.set_established(self.tpm.established());
                Ok(())
            }
        }
    }

    /// A write to the registers in the config space, carried out before it is acknowledged.
    fn write_config(&self, offset: u32, data: &[u8]) {
        let actions = self.config.write(u64::from(offset), data);
        if actions.contains(Action::Start) {
            self.serve_crb(&self.config, &mut Buffers::new());
        }
    }
}

impl VhostUserBackend for Endpoint {
    type Bitmap = ();
    type Vring = Vring;

    fn num_queues(&self) -> usize {
        1
    }

    fn max_queue_size(&self) -> usize {
        MAX_QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_F_VERSION_1 | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::DEVICE_STATE
    }

    fn set_event_idx(&self, _enabled: bool) {
        // Not offered.
    }

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let size = usize::try_from(size).unwrap_or(PAGE).min(PAGE);
        let mut out = vec![0; size];
        self.config.read(u64::from(offset), &mut out);
        out
    }

    fn set_config(&self, offset: u32, data: &[u8]) -> io::Result<()> {
        if offset != CONFIG_CONTROL {
            let _request = self.requests.begin();
            self.write_config(offset, data);
            return Ok(());
        }
        if !self.heeds() {
            // An error would end the connection, and with the next one the guest would have a TPM that was switched on.
            tracing::warn!("a guest has written a request to the config space; it is ignored");
            return Ok(());
        }
        let request = <[u8; 4]>::try_from(data)
            .ok()
            .and_then(|number| Control::from_number(u32::from_le_bytes(number)))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is no request of this number"))?;
        tracing::debug!(?request, "the monitor asks");
        self.control(request).map_err(|error| {
            process::report(&error);
            io::Error::other(error)
        })
    }

    fn update_memory(&self, memory: Memory) -> io::Result<()> {
        let (window, found) = match Window::find(&memory.memory()) {
            Ok(window) => (window, Ok(())),
            Err(error) => {
                // The queue must find none, either.
                if let Ok(exclusive) = memory.lock() {
                    exclusive.replace(GuestMemoryMmap::new());
                }
                (None, Err(error))
            }
        };
        lock(&self.window).clone_from(&window);
        let _request = self.requests.begin();
        let mut worker = lock(&self.worker);
        worker.window = window;
        worker.memory = Some(memory);
        found
    }

    fn stop_vring(&self, _queue: u32) -> io::Result<()> {
        // The command that is being executed ends first, and one that nobody has announced. The others stay in the queue.
        let _request = self.requests.begin();
        let _worker = lock(&self.worker);
        self.stopped.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn set_device_state_fd(
        &self,
        direction: VhostTransferStateDirection,
        _phase: VhostTransferStatePhase,
        file: File,
    ) -> io::Result<Option<File>> {
        let mut transfer = lock(&self.transfer);
        if transfer.as_ref().is_some_and(|transfer| !transfer.is_over()) {
            return Err(io::Error::other("the transfer before this one is not over"));
        }
        let _request = self.requests.begin();
        let begun = self.begin_transfer(direction, file);
        *transfer = Some(begun.inspect_err(|error| tracing::warn!(%error, "no device state is transferred"))?);
        Ok(None)
    }

    fn check_device_state(&self) -> io::Result<()> {
        let transfer = lock(&self.transfer).take();
        let transfer = transfer.ok_or_else(|| io::Error::other("there was no transfer"))?;
        let _request = self.requests.begin();
        self.end_transfer(transfer).inspect_err(|error| process::report(error))
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        lock(&self.exit).take()
    }

    fn handle_event(&self, queue: u16, events: EventSet, vrings: &[Vring], _thread: usize) -> io::Result<()> {
        match vrings.get(usize::from(queue)) {
            Some(vring) if events == EventSet::IN => {
                self.meet(vring);
                self.serve(vring)
            }
            Some(vring) => vring.take_kick(),
            None => Ok(()),
        }
    }
}

/// The lock of something that no panic can leave half changed: a panic ends the process.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
