//! TPM2_ClockSet — Part 3, 29.2.

use std::sync::Arc;

use crate::rc::{Rc, RcResult};
use crate::state::orderly::ClockRecord;
use crate::tpm::Tpm;

/// The largest value that Clock can be set to: it must not run over in the life of a TPM.
const MAX_CLOCK: u64 = 0xFFFF_0000_0000_0000;

command! {
    /// TPM2_ClockSet: sets Clock forward.
    ClockSet = 0x128, [Nv, PresenceOptional];
    handles { auth: Provision @ User }
    params { new_time: u64 }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    if params.new_time > MAX_CLOCK || params.new_time < tpm.timer.clock {
        return Err(Rc::VALUE.parameter(1));
    }
    tpm.nv.change().clock = Arc::new(ClockRecord {
        clock: params.new_time,
        safe: tpm.timer.safe,
        exact: false,
    });
    // Clock is volatile: it moves when its NV copy has.
    tpm.nv.commit()?;
    tpm.timer.set_clock(params.new_time);
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use crate::testing::{Bench, with_passwords};

    fn set(time: u64) -> Vec<u8> {
        with_passwords(0x128, &[0x4000_0001], &[b""], &time.to_be_bytes())
    }

    fn clock(tpm: &mut Bench) -> u64 {
        u64::from_be_bytes(tpm.run_ok("8001 0000000a 00000181")[8..16].try_into().unwrap())
    }

    #[test]
    fn sets_the_clock_forward_only() {
        let mut tpm = Bench::started();
        tpm.pass(100);
        assert_eq!(tpm.run(&set(99)).0, 0x1C4);
        assert_eq!(tpm.run(&set(100)).0, 0);
        assert_eq!(tpm.run(&set(1 << 44)).0, 0);
        assert_eq!(clock(&mut tpm), 1 << 44);
        assert_eq!(tpm.run(&set(0xFFFF_0000_0000_0001)).0, 0x1C4);
        assert_eq!(tpm.run(&set(0xFFFF_0000_0000_0000)).0, 0);
    }

    #[test]
    fn the_clock_does_not_move_when_it_cannot_be_written() {
        let mut tpm = Bench::started();
        tpm.memory.broken.store(true, Ordering::Relaxed);
        assert_eq!(tpm.run(&set(5000)).0, 0x923);
        assert_eq!(clock(&mut tpm), 0);
    }

    #[test]
    fn the_clock_never_goes_back_when_power_is_lost() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run(&set(1 << 40)).0, 0);
        let mut tpm = Bench::on(tpm.memory.clone());
        tpm.run_ok("8001 0000000c 00000144 0000");
        assert!(clock(&mut tpm) >= 1 << 40);
    }

    #[test]
    fn only_owner_and_platform_may() {
        let mut tpm = Bench::started();
        let endorsement = with_passwords(0x128, &[0x4000_000B], &[b""], &[0; 8]);
        assert_eq!(tpm.run(&endorsement).0, 0x184);
    }
}
