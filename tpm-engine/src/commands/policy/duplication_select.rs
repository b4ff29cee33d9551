//! TPM2_PolicyDuplicationSelect — Part 3, 23.15.

use crate::crypto::hash::hash;
use crate::handle::Name;
use crate::rc::{Rc, RcResult};
use crate::session::BoundDigest;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyDuplicationSelect: only duplication to this parent is authorized.
    PolicyDuplicationSelect = 0x188, [];
    handles { policy_session: PolicySession }
    params { object_name: Name, new_parent_name: Name, include_object: bool }
    reply {}
}

/// TPM2_Duplicate.
const DUPLICATE: u32 = 0x14B;

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session.check_untied()?;
    if session.policy.command_code != 0 {
        return Err(Rc::COMMAND_CODE);
    }
    let names = hash(session.hash, &[&params.object_name, &params.new_parent_name]);
    session.tie(BoundDigest::NameHash, &names);
    let object: &[u8] = if params.include_object {
        &params.object_name
    } else {
        &[]
    };
    session.assert::<PolicyDuplicationSelect>(&[object, &params.new_parent_name, &[u8::from(params.include_object)]]);
    session.policy.command_code = DUPLICATE;
    Ok(Reply {})
}
