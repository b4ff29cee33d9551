//! TPM2_ClockRateAdjust — Part 3, 29.3.

use crate::marshal::{Reader, Unmarshal};
use crate::rc::{Rc, RcResult};
use crate::state::time::Timer;
use crate::tpm::Tpm;

command! {
    /// TPM2_ClockRateAdjust: lets Time and Clock run slower or faster.
    ClockRateAdjust = 0x130, [PresenceOptional];
    handles { auth: Provision @ User }
    params { rate_adjust: ClockAdjust }
    reply {}
}

/// TPM_CLOCK_ADJUST (Part 2, 6.7) as a step of the rate, in parts of [`Timer::RATE_UNIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockAdjust(i32);

impl Unmarshal<'_> for ClockAdjust {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let [raw] = reader.array()?;
        Ok(Self(match raw.cast_signed() {
            -3 => -Timer::COARSE,
            -2 => -Timer::MEDIUM,
            -1 => -Timer::FINE,
            0 => 0,
            1 => Timer::FINE,
            2 => Timer::MEDIUM,
            3 => Timer::COARSE,
            _ => return Err(Rc::VALUE),
        }))
    }
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    tpm.timer.adjust_rate(params.rate_adjust.0);
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, with_passwords};

    fn adjust(tpm: &mut Bench, step: i8) -> u32 {
        let command = with_passwords(0x130, &[0x4000_0001], &[b""], &step.to_be_bytes());
        tpm.run(&command).0
    }

    /// How far Clock advances in `ms` milliseconds of the host.
    fn advance(tpm: &mut Bench, ms: u64) -> u64 {
        let read =
            |tpm: &mut Bench| u64::from_be_bytes(tpm.run_ok("8001 0000000a 00000181")[8..16].try_into().unwrap());
        let before = read(tpm);
        tpm.pass(ms);
        read(tpm) - before
    }

    #[test]
    fn steps_add_up() {
        let mut tpm = Bench::started();
        assert_eq!(adjust(&mut tpm, 3), 0);
        assert_eq!(advance(&mut tpm, 1_000_000), 1_010_000);
        assert_eq!(adjust(&mut tpm, -3), 0);
        assert_eq!(adjust(&mut tpm, -2), 0);
        assert_eq!(advance(&mut tpm, 1_000_000), 999_000);
        assert_eq!(adjust(&mut tpm, 2), 0);
        assert_eq!(adjust(&mut tpm, -1), 0);
        assert_eq!(advance(&mut tpm, 3_000_000), 2_999_900);
        assert_eq!(adjust(&mut tpm, 0), 0);
    }

    #[test]
    fn no_adjustment_goes_beyond_a_sixth() {
        let mut tpm = Bench::started();
        for _ in 0..40 {
            assert_eq!(adjust(&mut tpm, 3), 0);
        }
        assert_eq!(advance(&mut tpm, 600_000), 700_000);
        for _ in 0..80 {
            assert_eq!(adjust(&mut tpm, -3), 0);
        }
        assert_eq!(advance(&mut tpm, 600_000), 500_000);
    }

    #[test]
    fn small_steps_of_time_are_adjusted_all_the_same() {
        let mut tpm = Bench::started();
        assert_eq!(adjust(&mut tpm, -3), 0);
        assert_eq!((0..1000).map(|_| advance(&mut tpm, 1)).sum::<u64>(), 990);
    }

    #[test]
    fn refuses_other_steps() {
        let mut tpm = Bench::started();
        assert_eq!(adjust(&mut tpm, 4), 0x1C4);
        assert_eq!(adjust(&mut tpm, -4), 0x1C4);
    }
}
