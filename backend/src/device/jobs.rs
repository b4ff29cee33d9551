//! When the jobs are done that the TPM has for the background: while its machine asks nothing of it.

use std::time::Duration;

use tpm_engine::Tpm;
use tpm_engine::background::{Job, Outcome};
use tracing::debug;

use super::{Device, State};

/// How long no command has come before a job begins. A machine that boots, one of many on a host for example, has the
/// processors to itself: even threads that yield to everything take a share of them when they are many.
const QUIET: Duration = Duration::from_millis(200);

/// What is known of the jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    /// Nothing is to be prepared any more.
    ended: bool,
    /// Commands that have come.
    commands: u64,
    /// How many had come when the TPM was last seen to be quiet.
    quiet_at: Option<u64>,
    /// Whoever takes the jobs sleeps until one is due.
    asleep: bool,
}

impl State {
    /// The TPM, if it has a job.
    fn has_job(&mut self) -> Option<&mut Tpm> {
        // What is prepared for a TPM that was handed over is of no use.
        let gone = self.moving.gone;
        self.tpm.as_mut().filter(|tpm| !gone && tpm.job_is_due())
    }
}

impl Device {
    /// Takes note of a command that the TPM has run.
    pub(super) fn note_command(&self, state: &mut State) {
        state.jobs.commands = state.jobs.commands.wrapping_add(1);
        if state.jobs.asleep && state.has_job().is_some() {
            state.jobs.asleep = false;
            self.job_is_due.notify_one();
        }
    }

    /// Sleeps until the TPM has a job for the background and is quiet; `None` when there are to be no more.
    pub(crate) fn wait_for_job(&self) -> Option<Job> {
        let mut state = self.lock();
        while !state.jobs.ended {
            let seen = state.jobs.commands;
            let quiet = state.jobs.quiet_at == Some(seen);
            let tpm = state.has_job();
            if tpm.is_some() && !quiet {
                let woken = self.job_is_due.wait_timeout(state, QUIET);
                let (woken, waited) = woken.unwrap_or_else(|_| std::process::abort());
                state = woken;
                if waited.timed_out() && state.jobs.commands == seen {
                    state.jobs.quiet_at = Some(seen);
                }
                continue;
            }
            if let Some(job) = tpm.and_then(Tpm::next_job) {
                return Some(job);
            }
            state.jobs.asleep = true;
            state = self.job_is_due.wait(state).unwrap_or_else(|_| std::process::abort());
        }
        None
    }

    /// Ends the preparations.
    pub(crate) fn end_jobs(&self) {
        self.lock().jobs.ended = true;
        self.job_is_due.notify_all();
    }

    /// Gives the TPM what came of a job.
    pub(crate) fn finish(&self, outcome: Outcome) {
        debug!("in the background: {outcome}");
        if let Some(tpm) = &mut self.lock().tpm {
            tpm.finish(outcome);
        }
    }
}
