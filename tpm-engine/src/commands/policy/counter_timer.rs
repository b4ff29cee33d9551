//! TPM2_PolicyCounterTimer — Part 3, 23.10.

use super::operand::{Operand, Operation, counterpart};
use crate::marshal::Marshal;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyCounterTimer: a condition on Time, Clock and the counts of resets holds.
    PolicyCounterTimer = 0x16D, [];
    handles { policy_session: PolicySession }
    params { operand_b: Operand, offset: u16, operation: Operation }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let info = tpm.time_info().to_vec();
    // A range that lies outside makes no sense in a trial either.
    let actual = counterpart(&info, params.offset, params.operand_b.len())?;
    let session = tpm.policy_session_mut(handles.policy_session)?;
    if !session.is_trial() && !params.operation.holds(actual, &params.operand_b) {
        return Err(Rc::POLICY);
    }
    let arguments = params
        .operation
        .hash(session.hash, &params.operand_b, params.offset, &[]);
    session.assert::<PolicyCounterTimer>(&[&arguments]);
    Ok(Reply {})
}
