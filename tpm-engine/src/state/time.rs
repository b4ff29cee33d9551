//! Time and Clock (Part 1, 36).

use super::orderly::ClockRecord;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal};
use crate::platform::Clock;
use crate::rc::RcResult;

/// How far Clock may run ahead of its NV copy, in milliseconds: 2^22, the most that Part 1, 36.3.2 allows, so that
/// keeping time costs a write every 70 minutes and no command pays for it otherwise.
pub(crate) const CLOCK_UPDATE_INTERVAL: u64 = 1 << 22;

/// Time since `_TPM_Init` and Clock, which counts while the TPM is powered.
#[derive(Debug, Clone)]
pub(crate) struct Timer {
    /// The host's time of the last update.
    last: u64,
    /// Milliseconds since `_TPM_Init`.
    pub(crate) time: u64,
    /// Milliseconds that the TPM was powered since the last TPM2_Clear.
    pub(crate) clock: u64,
    /// Whether Clock cannot have been reported larger than it is.
    pub(crate) safe: bool,
    /// The value of Clock at which its NV copy must be renewed.
    pub(crate) renew_at: u64,
    /// TPM_CLOCK_ADJUST: by how many steps the clock runs fast (positive) or slow, see TPM2_ClockRateAdjust.
    pub(crate) rate: i32,
    /// Milliseconds times [`Self::RATE_UNIT`] that rate adjustment has not yet given to the clock.
    remainder: i64,
}

impl Timer {
    /// One step of rate adjustment is a part in this many.
    const RATE_UNIT: i64 = 30_000;
    /// The steps of TPM2_ClockRateAdjust: 1 %, 0.1 % and 33 parts in a million.
    pub(crate) const COARSE: i32 = 300;
    pub(crate) const MEDIUM: i32 = 30;
    pub(crate) const FINE: i32 = 1;
    /// The rate is never changed by more than a sixth: a clock can be off by 15 % (Part 1, 36.3.1).
    const RATE_LIMIT: i32 = 5000;

    pub(crate) fn new(record: &ClockRecord, clock: &mut dyn Clock) -> Self {
        Self {
            last: clock.now_ms(),
            time: 0,
            clock: record.clock,
            safe: record.safe,
            renew_at: record.clock.saturating_add(CLOCK_UPDATE_INTERVAL),
            rate: 0,
            remainder: 0,
        }
    }

    /// From now on the host's time counts: none has passed since the timer was put into a snapshot, as the guest did not
    /// run meanwhile.
    pub(crate) fn go_on(&mut self, clock: &mut dyn Clock) {
        self.last = clock.now_ms();
    }

    /// Time as what differences are made of: a moment before `_TPM_Init` is negative.
    pub(crate) fn signed_time(&self) -> i64 {
        i64::try_from(self.time).unwrap_or(i64::MAX)
    }

    /// Lets the host's time pass; returns the milliseconds by which Time advanced.
    pub(crate) fn advance(&mut self, clock: &mut dyn Clock) -> u64 {
        let now = clock.now_ms();
        let elapsed = now.saturating_sub(self.last);
        // A host's clock that has gone back, against its promise, starts to count from there.
        self.last = now;
        if elapsed == 0 {
            return 0;
        }
        let adjusted = match self.rate {
            0 => elapsed,
            rate => {
                let scaled = i64::try_from(elapsed)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(i64::from(rate));
                let total = self.remainder.saturating_add(scaled);
                self.remainder = total.checked_rem(Self::RATE_UNIT).unwrap_or_default();
                elapsed.saturating_add_signed(total.checked_div(Self::RATE_UNIT).unwrap_or_default())
            }
        };
        self.time = self.time.saturating_add(adjusted);
        self.clock = self.clock.saturating_add(adjusted);
        adjusted
    }

    /// Sets Clock, whose NV copy has this value already.
    pub(crate) fn set_clock(&mut self, clock: u64) {
        self.clock = clock;
        self.renew_at = clock.saturating_add(CLOCK_UPDATE_INTERVAL);
    }

    /// Lets the clock run faster, or slower for a negative step, within [`Self::RATE_LIMIT`].
    pub(crate) fn adjust_rate(&mut self, step: i32) {
        self.rate = self
            .rate
            .saturating_add(step)
            .clamp(-Self::RATE_LIMIT, Self::RATE_LIMIT);
    }
}

/// The timer as a snapshot of the TPM holds it, to be used after [`Timer::go_on`]: the time of one host means nothing to
/// another.
impl Marshal for Timer {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let Self {
            last: _,
            time,
            clock,
            safe,
            renew_at,
            rate,
            remainder,
        } = self;
        time.marshal(sink);
        clock.marshal(sink);
        safe.marshal(sink);
        renew_at.marshal(sink);
        rate.marshal(sink);
        remainder.marshal(sink);
    }
}

impl Unmarshal<'_> for Timer {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        Ok(Self {
            last: 0,
            time: reader.read()?,
            clock: reader.read()?,
            safe: reader.read()?,
            renew_at: reader.read()?,
            rate: reader.read()?,
            remainder: reader.read()?,
        })
    }
}
