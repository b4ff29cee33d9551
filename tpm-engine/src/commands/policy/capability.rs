//! TPM2_PolicyCapability — Part 3, 23.23.

use super::operand::{Operand, Operation, counterpart};
use crate::commands::capability::get_capability::{Capability, entry};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyCapability: a condition on a property that TPM2_GetCapability reports holds.
    PolicyCapability = 0x19B, [];
    handles { policy_session: PolicySession }
    params { operand_b: Operand, offset: u16, operation: Operation, capability: Capability, property: u32 }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let trial = tpm.policy_session(handles.policy_session)?.is_trial();
    if !trial {
        let data = entry(tpm, params.capability, params.property)?;
        let actual = counterpart(&data, params.offset, params.operand_b.len())?;
        if !params.operation.holds(actual, &params.operand_b) {
            return Err(Rc::POLICY);
        }
    }
    let session = tpm.policy_session_mut(handles.policy_session)?;
    let subject = [params.capability as u32, params.property].map(u32::to_be_bytes);
    let arguments = params.operation.hash(
        session.hash,
        &params.operand_b,
        params.offset,
        &[subject.as_flattened()],
    );
    session.assert::<PolicyCapability>(&[&arguments]);
    Ok(Reply {})
}
