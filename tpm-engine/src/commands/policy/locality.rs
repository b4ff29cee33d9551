//! TPM2_PolicyLocality — Part 3, 23.8.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyLocality: the command comes from one of these localities.
    PolicyLocality = 0x16F, [];
    handles { policy_session: PolicySession }
    params { locality: u8 }
    reply {}
}

/// Values of TPMA_LOCALITY from here on are the numbers of extended localities; below there is a bit for each.
const FIRST_EXTENDED: u8 = 32;

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    let (before, new) = (session.policy.locality, params.locality);
    let both = match (before, new) {
        (0, _) => new,
        (..FIRST_EXTENDED, ..FIRST_EXTENDED) => before & new,
        _ if before == new => new,
        _ => 0,
    };
    // No locality is left, or none was named.
    if both == 0 {
        return Err(Rc::RANGE.parameter(1));
    }
    session.assert::<PolicyLocality>(&[&[new]]);
    session.policy.locality = both;
    Ok(Reply {})
}
