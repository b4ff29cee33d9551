//! TPM2_DictionaryAttackParameters — Part 3, 25.3.

use std::sync::Arc;

use crate::rc::RcResult;
use crate::state::persistent::DictionaryAttack;
use crate::tpm::Tpm;

command! {
    /// TPM2_DictionaryAttackParameters: how many tries there are, and how fast they are forgiven, in seconds.
    DictionaryAttackParameters = 0x13A, [Nv];
    handles { lock_handle: Lockout @ User }
    params { new_max_tries: u32, new_recovery_time: u32, lockout_recovery: u32 }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let da = &tpm.nv.da;
    let da = DictionaryAttack {
        // Without a recovery time nothing is counted (Part 1, 19.8.5).
        failed_tries: if params.new_recovery_time == 0 {
            0
        } else {
            da.failed_tries
        },
        max_tries: params.new_max_tries,
        recovery_time: params.new_recovery_time,
        lockout_recovery: params.lockout_recovery,
        lockout_auth_enabled: da.lockout_auth_enabled,
    };
    tpm.nv.change().da = Arc::new(da);
    Ok(Reply {})
}
