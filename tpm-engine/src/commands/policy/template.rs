//! TPM2_PolicyTemplate — Part 3, 23.21.

use crate::bytes::Digest;
use crate::rc::{Rc, RcResult};
use crate::session::BoundDigest;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyTemplate: only an object of this template is created.
    PolicyTemplate = 0x190, [];
    handles { policy_session: PolicySession }
    params { template_hash: Digest }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    if !session.is_tied_to(BoundDigest::Template, &params.template_hash) {
        if session.policy.bound_kind == BoundDigest::Template {
            return Err(Rc::VALUE.parameter(1));
        }
        session.check_untied()?;
    }
    session
        .check_size(&params.template_hash)
        .map_err(|code| code.parameter(1))?;
    session.assert::<PolicyTemplate>(&[&params.template_hash]);
    session.tie(BoundDigest::Template, &params.template_hash);
    Ok(Reply {})
}
