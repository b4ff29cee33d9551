//! TPM2_PolicyAuthorizeNV — Part 3, 23.22.

use crate::marshal::Reader;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::TaggedDigest;

command! {
    /// TPM2_PolicyAuthorizeNV: an NV index holds the policy as it is now.
    PolicyAuthorizeNv = 0x192, [NvRead];
    handles { auth_handle: NvAuth @ User, nv_index: NvIndex, policy_session: PolicySession }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let session = tpm.policy_session(handles.policy_session)?;
    if !session.is_trial() {
        tpm.check_nv_read(handles.auth_handle, handles.nv_index)?;
        let data = tpm.nv_data(handles.nv_index)?;
        // What is wrong with the contents has no number: they are no parameter.
        let stored: TaggedDigest = Reader::new(data, tpm.profile).read()?;
        if stored.alg != session.hash {
            return Err(Rc::HASH);
        }
        if stored.digest != session.policy.digest {
            return Err(Rc::VALUE);
        }
    }
    let name = tpm.name(handles.nv_index);
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session.clear_digest();
    session.assert::<PolicyAuthorizeNv>(&[&name]);
    Ok(Reply {})
}
