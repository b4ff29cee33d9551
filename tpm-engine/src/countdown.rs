//! Authenticated countdown timers (Part 1, 40): an ACT that is not set again in time signals to the platform.
//!
//! Nothing ticks here. A timer knows the value of Time at which it expires, and whether it has is seen when somebody
//! looks.

use arrayvec::ArrayVec;

use crate::handle::{Handle, TIMER_COUNT};
use crate::marshal::{Marshal, Reader, Sink, Unmarshal, put_list, structure};
use crate::rc::RcResult;
use crate::state::persistent::AuthPolicy;

structure! {
    /// One timer.
    #[derive(Debug, Clone, Default)]
    struct Countdown {
        /// Value of Time, in milliseconds, at which it signals; [`Self::NEVER`] for one that was told not to. `None`: it
        /// does not run.
        deadline: Option<u64>,
        signaled: bool,
        /// It had signaled before the last `_TPM_Init` (TPMA_ACT_PRESERVE_SIGNALED).
        preserved: bool,
        /// It was set since the last start-up.
        updated: bool,
        policy: AuthPolicy,
    }

    /// What TPM2_Shutdown(STATE) saves of a timer.
    #[derive(Debug, Clone)]
    pub(crate) struct SavedCountdown {
        /// Seconds.
        remaining: u32,
        signaled: bool,
        policy: AuthPolicy,
    }

    /// TPMS_ACT_DATA (Part 2, 10.8.5).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(crate) struct CountdownData {
        pub(crate) handle: Handle,
        /// Seconds.
        pub(crate) timeout: u32,
        /// TPMA_ACT (Part 2, 8.12).
        pub(crate) attributes: u32,
    }
}

/// What TPM2_Shutdown(STATE) saves of all timers.
pub(crate) type SavedCountdowns = ArrayVec<SavedCountdown, TIMER_COUNT>;

impl Countdown {
    const NEVER: u64 = u64::MAX;

    fn has_signaled(&self, now: u64) -> bool {
        self.signaled || self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Seconds until it signals, begun ones included; 0 for one that does not run.
    fn remaining(&self, now: u64) -> u32 {
        match self.deadline {
            None => 0,
            Some(Self::NEVER) => u32::MAX,
            Some(deadline) => u32::try_from(deadline.saturating_sub(now).div_ceil(1000)).unwrap_or(u32::MAX),
        }
    }

    fn run(&mut self, seconds: u32, now: u64) {
        self.signaled = false;
        self.deadline = Some(match seconds {
            u32::MAX => Self::NEVER,
            seconds => now.saturating_add(u64::from(seconds).saturating_mul(1000)),
        });
    }

    fn set(&mut self, seconds: u32, now: u64) {
        let running = self.remaining(now) != 0;
        self.signaled = self.has_signaled(now);
        self.updated = true;
        self.preserved = false;
        if seconds != 0 {
            self.run(seconds, now);
        } else {
            // One that runs expires at once; one that does not stays as it is.
            self.deadline = None;
            self.signaled |= running;
        }
    }

    fn save(&self, now: u64) -> SavedCountdown {
        let remaining = match self.remaining(now) {
            // Shutting down again and again must not put off the signal for ever (Part 1, 40).
            seconds @ 2..=0xFFFF_FFFE if !self.updated => seconds / 2,
            seconds => seconds,
        };
        SavedCountdown {
            remaining,
            signaled: self.has_signaled(now),
            policy: self.policy.clone(),
        }
    }
}

/// All timers, TPM_RH_ACT_0 to TPM_RH_ACT_F.
#[derive(Debug, Clone, Default)]
pub(crate) struct Countdowns {
    timers: [Countdown; TIMER_COUNT],
}

/// The timers as a snapshot of the TPM holds them.
impl Marshal for Countdowns {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let Self { timers } = self;
        put_list(timers, sink);
    }
}

impl Unmarshal<'_> for Countdowns {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let mut countdowns = Self::default();
        reader.list_into(&mut countdowns.timers)?;
        Ok(countdowns)
    }
}

impl Countdowns {
    fn get(&self, handle: Handle) -> Option<&Countdown> {
        self.timers.get(handle.timer()?)
    }

    /// Whether the timer has signaled and was not set again since.
    pub(crate) fn has_signaled(&self, handle: Handle, now: u64) -> bool {
        self.get(handle).is_some_and(|timer| timer.has_signaled(now))
    }

    /// The timers that have signaled, a bit each.
    pub(crate) fn signaled(&self, now: u64) -> u16 {
        let bits = self.timers.iter().zip(0..).filter(|(timer, _)| timer.has_signaled(now));
        bits.fold(0, |mask, (_, bit)| mask | 1u16.wrapping_shl(bit))
    }

    /// Milliseconds until the next of those that run signals.
    pub(crate) fn next(&self, now: u64) -> Option<u64> {
        let deadlines = self.timers.iter().filter_map(|timer| timer.deadline);
        let waiting = deadlines.filter(|deadline| *deadline > now && *deadline != Countdown::NEVER);
        waiting.map(|deadline| deadline.saturating_sub(now)).min()
    }

    /// TPM2_ACT_SetTimeout.
    pub(crate) fn set(&mut self, handle: Handle, seconds: u32, now: u64) {
        if let Some(timer) = handle.timer().and_then(|number| self.timers.get_mut(number)) {
            timer.set(seconds, now);
        }
    }

    pub(crate) fn policy(&self, handle: Handle) -> Option<&AuthPolicy> {
        self.get(handle).map(|timer| &timer.policy)
    }

    pub(crate) fn set_policy(&mut self, handle: Handle, policy: AuthPolicy) {
        if let Some(timer) = handle.timer().and_then(|number| self.timers.get_mut(number)) {
            timer.policy = policy;
        }
    }

    /// What TPM2_GetCapability reports, in ascending order of handles.
    pub(crate) fn data(&self, now: u64) -> impl Iterator<Item = CountdownData> {
        Handle::timers()
            .zip(&self.timers)
            .map(move |(handle, timer)| CountdownData {
                handle,
                timeout: timer.remaining(now),
                attributes: u32::from(timer.has_signaled(now)) | u32::from(timer.preserved) << 1,
            })
    }

    pub(crate) fn save(&self, now: u64) -> SavedCountdowns {
        self.timers.iter().map(|timer| timer.save(now)).collect()
    }

    /// The timers after `_TPM_Init` of a TPM that had power: stopped, but they know whether they had signaled.
    pub(crate) fn after_init(&self, now: u64) -> Self {
        Self {
            timers: self.timers.each_ref().map(|timer| Countdown {
                preserved: timer.preserved || timer.has_signaled(now),
                ..Countdown::default()
            }),
        }
    }

    /// TPM Resume: the timers go on where TPM2_Shutdown left them.
    pub(crate) fn resume(&mut self, saved: &SavedCountdowns, now: u64) {
        for (timer, saved) in self.timers.iter_mut().zip(saved) {
            timer.policy = saved.policy.clone();
            timer.preserved |= saved.signaled;
            if saved.remaining != 0 {
                timer.run(saved.remaining, now);
            } else {
                timer.signaled = saved.signaled;
            }
        }
    }
}
