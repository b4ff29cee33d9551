//! What waits until the sockets accept: the disk, for what the start has written, and what the TPM prepares while no
//! command runs: primary keys and RSA key pairs.
//!
//! Two threads. One does the computing, at a priority at which it runs only when nothing else on the host wants the
//! processor, and holds no lock: it could be kept from running for long. The other has the priority of the threads that
//! serve commands, takes jobs from the TPM and brings their results back, which takes microseconds. Both sleep, without
//! waking up in between, while there is nothing to do.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use tpm_engine::background::{Job, Outcome};
use tracing::{debug, warn};

use crate::device::{Device, DeviceError};
use crate::process;

/// The threads, which have to be stopped for the TPM to be closed.
pub(crate) struct Background {
    attendant: JoinHandle<Result<(), DeviceError>>,
    results: Sender<Option<Outcome>>,
}

impl Background {
    /// Starts the threads. `None` where that fails: the TPM works without them, and slow commands are slow.
    pub(crate) fn start(device: &Arc<Device>) -> Option<Self> {
        let (jobs, work) = channel();
        let (results, outcomes) = channel();
        let (of_worker, device) = (results.clone(), Arc::clone(device));
        let worker = thread::Builder::new()
            .name("background".to_owned())
            .spawn(move || compute(&work, &of_worker));
        let attendant = worker.and_then(|_| {
            thread::Builder::new()
                .name("jobs".to_owned())
                .spawn(move || attend(&device, &jobs, &outcomes))
        });
        match attendant {
            Ok(attendant) => Some(Self { attendant, results }),
            Err(error) => {
                warn!("nothing is prepared in the background, as no thread could be started: {error}");
                None
            }
        }
    }

    /// Has the device no longer used. What the worker does is left to end with the process.
    ///
    /// # Errors
    /// What the start had written could not be brought to the disk.
    pub(crate) fn stop(self, device: &Device) -> Result<(), DeviceError> {
        device.end_jobs();
        // The attendant may be waiting for a result. It may be gone as well, and a panic has ended the process.
        let _ = self.results.send(None);
        self.attendant.join().unwrap_or(Ok(()))
    }
}

/// Settles the start, which ends the process if it cannot be. Then brings jobs to the worker and results to the TPM, until
/// there are to be no more.
fn attend(device: &Device, jobs: &Sender<Job>, outcomes: &Receiver<Option<Outcome>>) -> Result<(), DeviceError> {
    if let Err(error) = device.settle() {
        process::stop();
        return Err(error);
    }
    while let Some(job) = device.wait_for_job() {
        if jobs.send(job).is_err() {
            return Ok(());
        }
        match outcomes.recv() {
            Ok(Some(outcome)) => device.finish(outcome),
            Ok(None) => {}
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

/// Does one job after the other, until nobody has any more.
fn compute(jobs: &Receiver<Job>, results: &Sender<Option<Outcome>>) {
    if let Err(error) = yield_to_everything() {
        debug!("background work runs at the priority of everything else: {error}");
    }
    // Nobody waits for a job, so nobody cancels one: the process ends without it.
    let never = AtomicBool::new(false);
    for job in jobs {
        if results.send(job.run(&never)).is_err() {
            return;
        }
    }
}

/// Has the calling thread run only while the processor has nothing else to do (SCHED_IDLE).
fn yield_to_everything() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads the parameters that it is given, and changes the calling thread's scheduling alone.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worker_yields_to_everything() {
        let policy = thread::spawn(|| {
            yield_to_everything().unwrap();
            // SAFETY: the call has no memory to care about.
            unsafe { libc::sched_getscheduler(0) }
        });
        assert_eq!(policy.join().unwrap(), libc::SCHED_IDLE);
    }
}
