//! TPM2_SetAlgorithmSet — Part 3, 26.3.

use std::sync::Arc;

use crate::rc::RcResult;
use crate::state::persistent::Management;
use crate::tpm::Tpm;

command! {
    /// TPM2_SetAlgorithmSet: a number that the platform can set and TPM2_GetCapability reports. What algorithms there are
    /// is settled by the profile.
    SetAlgorithmSet = 0x13F, [Nv, PresenceOptional];
    handles { platform: Platform @ User }
    params { algorithm_set: u32 }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let management = Management {
        algorithm_set: params.algorithm_set,
        ..Management::clone(&tpm.nv.management)
    };
    tpm.nv.change().management = Arc::new(management);
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, hex, with_passwords};

    #[test]
    fn the_number_is_reported() {
        let mut tpm = Bench::started();
        let command = with_passwords(0x13F, &[0x4000_000C], &[b""], &hex("00000007"));
        assert_eq!(tpm.run(&command).0, 0);
        let reported = tpm.run_ok("8001 00000016 0000017a 00000006 0000020c 00000001");
        assert_eq!(reported[9..], hex("0000020c 00000007"));
        let owner = with_passwords(0x13F, &[0x4000_0001], &[b""], &hex("00000007"));
        assert_eq!(tpm.run(&owner).0, 0x184);
    }
}
