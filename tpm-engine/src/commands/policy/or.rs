//! TPM2_PolicyOR — Part 3, 23.6.

use arrayvec::ArrayVec;

use crate::bytes::Digest;
use crate::marshal::{Reader, Unmarshal};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyOR: one of several policies is fulfilled; the policyDigest becomes that of all of them.
    PolicyOr = 0x171, [];
    handles { policy_session: PolicySession }
    params { digests: Branches }
    reply {}
}

/// TPML_DIGEST of at least two entries (Part 2, 10.9.4).
pub(crate) struct Branches(ArrayVec<Digest, 8>);

impl Unmarshal<'_> for Branches {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        // The count is looked at before the entries are.
        match reader.rest() {
            [0, 0, 0, 0 | 1, ..] => Err(Rc::SIZE),
            _ => reader.read().map(Self),
        }
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let session = tpm.policy_session_mut(handles.policy_session)?;
    let Branches(branches) = params.digests;
    if !session.is_trial() && !branches.contains(&session.policy.digest) {
        return Err(Rc::VALUE.parameter(1));
    }
    let parts: ArrayVec<&[u8], 8> = branches.iter().map(|branch| &**branch).collect();
    session.clear_digest();
    session.assert::<PolicyOr>(&parts);
    Ok(Reply {})
}
