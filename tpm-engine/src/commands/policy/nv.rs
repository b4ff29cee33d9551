//! TPM2_PolicyNV — Part 3, 23.9.

use super::operand::{Operand, Operation};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyNV: a condition on the contents of an NV index holds.
    PolicyNv = 0x149, [NvRead];
    handles { auth_handle: NvAuth @ User, nv_index: NvIndex, policy_session: PolicySession }
    params { operand_b: Operand, offset: u16, operation: Operation }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    if !tpm.policy_session(handles.policy_session)?.is_trial() {
        tpm.check_nv_read(handles.auth_handle, handles.nv_index)?;
        let data = tpm.nv_data(handles.nv_index)?;
        let actual = data
            .get(usize::from(params.offset)..)
            .ok_or(Rc::VALUE.parameter(2))?
            .get(..params.operand_b.len())
            .ok_or(Rc::SIZE.parameter(1))?;
        if !params.operation.holds(actual, &params.operand_b) {
            return Err(Rc::POLICY);
        }
    }
    let name = tpm.name(handles.nv_index);
    let session = tpm.policy_session_mut(handles.policy_session)?;
    let arguments = params
        .operation
        .hash(session.hash, &params.operand_b, params.offset, &[]);
    session.assert::<PolicyNv>(&[&arguments, &name]);
    Ok(Reply {})
}
