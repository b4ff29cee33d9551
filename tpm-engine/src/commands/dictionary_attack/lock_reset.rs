//! TPM2_DictionaryAttackLockReset — Part 3, 25.2.

use std::sync::Arc;

use crate::rc::RcResult;
use crate::state::persistent::DictionaryAttack;
use crate::tpm::Tpm;

command! {
    /// TPM2_DictionaryAttackLockReset: forgives all failed tries.
    DictionaryAttackLockReset = 0x139, [Nv];
    handles { lock_handle: Lockout @ User }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, _: Params) -> RcResult<Reply> {
    let da = DictionaryAttack {
        failed_tries: 0,
        ..DictionaryAttack::clone(&tpm.nv.da)
    };
    tpm.nv.change().da = Arc::new(da);
    Ok(Reply {})
}
