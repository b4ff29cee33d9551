//! TPM2_ACT_SetTimeout — Part 3, 33.2.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_ACT_SetTimeout: sets a countdown timer, in seconds, and takes back its signal.
    ActSetTimeout = 0x198, [];
    handles { act_handle: Timer @ User }
    params { start_timeout: u32 }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let now = tpm.timer.time;
    // The largest value turns the signal off, and the timer with it; there must be a signal.
    if params.start_timeout == u32::MAX && !tpm.countdowns.has_signaled(handles.act_handle, now) {
        return Err(Rc::VALUE.parameter(1));
    }
    tpm.settle()?;
    tpm.countdowns
        .change()
        .set(handles.act_handle, params.start_timeout, now);
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use crate::testing::{Bench, hex, plain, with_passwords};

    const ACT_0: u32 = 0x4000_0110;
    const ACT_F: u32 = 0x4000_011F;
    const SIGNALED: u32 = 1;
    const PRESERVED: u32 = 2;

    fn set(tpm: &mut Bench, act: u32, seconds: u32) -> u32 {
        tpm.run(&with_passwords(0x198, &[act], &[b""], &seconds.to_be_bytes()))
            .0
    }

    /// Seconds that remain, and the attributes.
    fn look(tpm: &mut Bench, act: u32) -> (u32, u32) {
        let query = [hex("0000000a"), act.to_be_bytes().to_vec(), hex("00000001")].concat();
        let (code, response) = tpm.run(&plain(0x17A, &query));
        assert_eq!(
            (code, &response[15..23]),
            (0, &[&[0, 0, 0, 1], &act.to_be_bytes()[..]].concat()[..])
        );
        let word = |at: usize| u32::from_be_bytes(response[at..at + 4].try_into().unwrap());
        (word(23), word(27))
    }

    fn wait(tpm: &Bench, ms: u64) {
        tpm.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn start(tpm: &mut Bench, kind: u8) {
        assert_eq!(tpm.run(&plain(0x144, &[0, kind])).0, 0);
    }

    #[test]
    fn a_timer_that_is_not_set_again_in_time_signals() {
        let mut tpm = Bench::started();
        assert_eq!(set(&mut tpm, ACT_0, 10), 0);
        assert_eq!(look(&mut tpm, ACT_0), (10, 0));
        wait(&tpm, 9_001);
        assert_eq!(look(&mut tpm, ACT_0), (1, 0));
        assert_eq!(set(&mut tpm, ACT_0, 5), 0);
        assert_eq!(look(&mut tpm, ACT_0), (5, 0));
        wait(&tpm, 5_000);
        assert_eq!(tpm.tpm.signaled_timers(), 1);
        assert_eq!(look(&mut tpm, ACT_0), (0, SIGNALED));
        assert_eq!(look(&mut tpm, ACT_F), (0, 0));
        assert_eq!(set(&mut tpm, ACT_0, 5), 0);
        assert_eq!(look(&mut tpm, ACT_0), (5, 0));
        assert_eq!(tpm.tpm.signaled_timers(), 0);
    }

    #[test]
    fn zero_expires_a_timer_that_runs_and_the_largest_value_silences_one_that_signals() {
        let mut tpm = Bench::started();
        assert_eq!(set(&mut tpm, ACT_F, 0), 0);
        assert_eq!(look(&mut tpm, ACT_F), (0, 0));
        assert_eq!(set(&mut tpm, ACT_F, u32::MAX), 0x1C4);
        assert_eq!(set(&mut tpm, ACT_F, 7), 0);
        assert_eq!(set(&mut tpm, ACT_F, u32::MAX), 0x1C4);
        assert_eq!(set(&mut tpm, ACT_F, 0), 0);
        assert_eq!(look(&mut tpm, ACT_F), (0, SIGNALED));
        assert_eq!(set(&mut tpm, ACT_F, u32::MAX), 0);
        assert_eq!(look(&mut tpm, ACT_F), (u32::MAX, 0));
        wait(&tpm, u64::from(u32::MAX) * 2000);
        assert_eq!(look(&mut tpm, ACT_F), (u32::MAX, 0));
    }

    #[test]
    fn resume_goes_on_and_all_else_stops() {
        for (shutdown, startup, expected) in [(1, 1, 5), (1, 0, 0), (0, 0, 0)] {
            let mut tpm = Bench::started();
            set(&mut tpm, ACT_0, 5);
            assert_eq!(tpm.run(&plain(0x145, &[0, shutdown])).0, 0);
            let mut tpm = Bench::on(tpm.memory.clone());
            start(&mut tpm, startup);
            assert_eq!(look(&mut tpm, ACT_0), (expected, 0));
        }
    }

    #[test]
    fn a_timer_that_nobody_sets_is_halved_by_each_shutdown() {
        let mut tpm = Bench::started();
        set(&mut tpm, ACT_0, 9);
        for expected in [9, 4, 2, 1, 1] {
            assert_eq!(tpm.run(&plain(0x145, &[0, 1])).0, 0);
            tpm = Bench::on(tpm.memory.clone());
            start(&mut tpm, 1);
            assert_eq!(look(&mut tpm, ACT_0), (expected, 0));
        }
    }

    #[test]
    fn that_it_signaled_is_known_after_a_reset() {
        let mut tpm = Bench::started();
        set(&mut tpm, ACT_0, 5);
        wait(&tpm, 5_000);
        tpm.tpm.power_on();
        start(&mut tpm, 0);
        assert_eq!(look(&mut tpm, ACT_0), (0, PRESERVED));
        assert_eq!(set(&mut tpm, ACT_0, 5), 0);
        assert_eq!(look(&mut tpm, ACT_0), (5, 0));
        // Over a resume the signal itself stays, too, even without power in between.
        wait(&tpm, 5_000);
        assert_eq!(tpm.run(&plain(0x145, &[0, 1])).0, 0);
        let mut tpm = Bench::on(tpm.memory.clone());
        start(&mut tpm, 1);
        assert_eq!(look(&mut tpm, ACT_0), (0, SIGNALED | PRESERVED));
    }

    #[test]
    fn the_host_knows_when_to_look() {
        let mut tpm = Bench::unstarted();
        assert_eq!(tpm.tpm.until_next_timer(), None);
        start(&mut tpm, 0);
        set(&mut tpm, ACT_0, 5);
        set(&mut tpm, ACT_F, 3);
        wait(&tpm, 500);
        assert_eq!(tpm.tpm.until_next_timer(), Some(Duration::from_millis(2500)));
        wait(&tpm, 2500);
        assert_eq!(tpm.tpm.until_next_timer(), Some(Duration::from_secs(2)));
        assert_eq!(tpm.tpm.signaled_timers(), 0x8000);
        wait(&tpm, 2000);
        assert_eq!(tpm.tpm.until_next_timer(), None);
        assert_eq!(tpm.tpm.signaled_timers(), 0x8001);
        assert_eq!(set(&mut tpm, ACT_0, u32::MAX), 0);
        assert_eq!(tpm.tpm.until_next_timer(), None);
    }

    #[test]
    fn setting_a_timer_voids_a_shutdown() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run(&plain(0x145, &[0, 1])).0, 0);
        set(&mut tpm, ACT_0, 5);
        let mut tpm = Bench::on(tpm.memory.clone());
        assert_eq!(tpm.run(&plain(0x144, &[0, 1])).0, 0x1C4);
    }

    #[test]
    fn the_platform_authorizes_unless_the_timer_has_a_policy() {
        let mut tpm = Bench::started();
        let change = with_passwords(0x129, &[0x4000_000C], &[b""], &hex("0001 61"));
        assert_eq!(tpm.run(&change).0, 0);
        assert_eq!(set(&mut tpm, ACT_0, 5), 0x9A2);
        let command = with_passwords(0x198, &[ACT_0], &[b"a"], &[0, 0, 0, 5]);
        assert_eq!(tpm.run(&command).0, 0);
        let policy = [&[0, 32][..], &[7; 32], &[0, 0x0B]].concat();
        assert_eq!(tpm.run(&with_passwords(0x12E, &[ACT_0], &[b"a"], &policy)).0, 0);
        let (_, digest) = tpm.tpm.auth_policy(crate::handle::Handle(ACT_0)).unwrap();
        assert_eq!(digest[..], [7; 32]);
        for handle in [0x4000_010F, 0x4000_0120, 0x4000_0001] {
            assert_eq!(set(&mut tpm, handle, 5), 0x184);
        }
    }
}
