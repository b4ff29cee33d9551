//! TPM2_PP_Commands — Part 3, 26.2.

use std::sync::Arc;

use super::CommandList;
use crate::commands::{self, Flag};
use crate::rc::RcResult;
use crate::state::persistent::Management;
use crate::tpm::Tpm;

command! {
    /// TPM2_PP_Commands: which commands need physical presence when the platform authorizes them.
    PpCommands = 0x12D, [Nv, Presence];
    handles { platform: Platform @ User }
    params { set_list: CommandList, clear_list: CommandList }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let mut management = Management::clone(&tpm.nv.management);
    let lists = [(params.set_list, true), (params.clear_list, false)];
    for (code, needed) in lists
        .iter()
        .flat_map(|(list, needed)| list.iter().map(|code| (*code, *needed)))
    {
        // Codes for which there is no choice change nothing.
        if commands::find(tpm.profile, code).is_ok_and(|info| info.has(Flag::PresenceOptional)) {
            management.presence.set(code, needed);
        }
    }
    tpm.nv.change().management = Arc::new(management);
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::testing::{Bench, hex, with_passwords};

    const PLATFORM: u32 = 0x4000_000C;

    fn set(tpm: &mut Bench, params: &str) -> u32 {
        tpm.run(&with_passwords(0x12D, &[PLATFORM], &[b""], &hex(params))).0
    }

    fn clock_set(tpm: &mut Bench, handle: u32) -> u32 {
        tpm.run(&with_passwords(0x128, &[handle], &[b""], &hex("0000000000001000")))
            .0
    }

    fn listed(tpm: &mut Bench) -> Vec<u8> {
        tpm.run_ok("8001 00000016 0000017a 00000003 00000000 000000fe")[9..].to_vec()
    }

    #[test]
    fn needs_physical_presence_itself() {
        let mut tpm = Bench::started();
        assert_eq!(set(&mut tpm, "00000000 00000000"), 0x990);
        tpm.presence.store(true, Ordering::Relaxed);
        assert_eq!(set(&mut tpm, "00000000 00000000"), 0);
        assert_eq!(listed(&mut tpm), hex("0000012d"));
    }

    #[test]
    fn the_platform_needs_presence_for_what_is_listed() {
        let mut tpm = Bench::started();
        tpm.presence.store(true, Ordering::Relaxed);
        assert_eq!(
            set(&mut tpm, "00000003 00000128 0000017b 00001111 00000001 0000012d"),
            0
        );
        assert_eq!(listed(&mut tpm), hex("00000128 0000012d"));
        tpm.presence.store(false, Ordering::Relaxed);
        assert_eq!(clock_set(&mut tpm, PLATFORM), 0x990);
        assert_eq!(clock_set(&mut tpm, 0x4000_0001), 0);
        tpm.presence.store(true, Ordering::Relaxed);
        assert_eq!(clock_set(&mut tpm, PLATFORM), 0);
        assert_eq!(set(&mut tpm, "00000000 00000001 00000128"), 0);
        tpm.presence.store(false, Ordering::Relaxed);
        assert_eq!(clock_set(&mut tpm, PLATFORM), 0);
    }

    /// Part 3 marks in its tables where the platform's authorization can be tied to presence: TPM_RH_PLATFORM+{PP}.
    #[test]
    fn the_choice_is_there_where_the_specification_marks_it() {
        for info in crate::commands::COMMANDS {
            let marked = matches!(info.code, 0x11F..=0x12C | 0x12E..=0x132 | 0x13F | 0x140 | 0x19D);
            assert_eq!(info.has(Flag::PresenceOptional), marked, "{}", info.name);
            assert_eq!(info.has(Flag::Presence), info.code == 0x12D, "{}", info.name);
        }
    }
}
