//! TPM2_ReadClock — Part 3, 29.1.

use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::TimeInfo;

command! {
    /// TPM2_ReadClock: Time and Clock.
    ReadClock = 0x181, [WithoutKeys];
    handles {}
    params {}
    reply { current_time: TimeInfo }
}

fn run(tpm: &mut Tpm, _: Handles, _: Params) -> RcResult<Reply> {
    Ok(Reply {
        current_time: tpm.time_info(),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, hex};

    const READ: &str = "8001 0000000a 00000181";

    #[test]
    fn time_begins_at_power_on_and_clock_at_manufacture() {
        let mut tpm = Bench::started();
        assert_eq!(
            tpm.run_ok(READ),
            hex("0000000000000000 0000000000000000 00000001 00000000 01")
        );
        tpm.pass(1000);
        assert_eq!(
            tpm.run_ok(READ),
            hex("00000000000003e8 00000000000003e8 00000001 00000000 01")
        );
        tpm.run_ok("8001 0000000c 00000145 0001");
        tpm.tpm.power_on();
        tpm.pass(5);
        tpm.run_ok("8001 0000000c 00000144 0001");
        tpm.pass(1);
        assert_eq!(
            tpm.run_ok(READ),
            hex("0000000000000006 00000000000003ee 00000001 00000001 01")
        );
    }

    #[test]
    fn a_host_clock_that_jumps_back_costs_no_time_after_it() {
        let mut tpm = Bench::started();
        tpm.pass(1000);
        tpm.run_ok(READ);
        tpm.clock.0.store(10, std::sync::atomic::Ordering::Relaxed);
        tpm.run_ok(READ);
        tpm.pass(7);
        assert_eq!(tpm.run_ok(READ)[..8], 1007u64.to_be_bytes());
    }

    #[test]
    fn power_lost_without_a_shutdown_shows_in_safe() {
        let mut tpm = Bench::started();
        tpm.pass(1000);
        tpm.run_ok(READ);
        tpm.tpm.power_on();
        tpm.run_ok("8001 0000000c 00000144 0000");
        let reply = tpm.run_ok(READ);
        assert!(u64::from_be_bytes(reply[8..16].try_into().unwrap()) >= 1000);
        assert_eq!(reply[16..], hex("00000002 00000000 00"));
        tpm.pass(crate::state::time::CLOCK_UPDATE_INTERVAL);
        assert_eq!(tpm.run_ok(READ)[24], 1);
    }
}
