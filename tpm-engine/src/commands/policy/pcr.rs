//! TPM2_PolicyPCR — Part 3, 23.7.

use crate::bytes::{Bytes, Digest};
use crate::marshal::{Borrowed, marshal_into};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::pcr::PcrSelections;

command! {
    /// TPM2_PolicyPCR: the selected PCR have these values, and no PCR changes until the policy is used.
    PolicyPcr = 0x17F, [];
    handles { policy_session: PolicySession }
    params<'c> { pcr_digest: Borrowed<'c, { Digest::CAPACITY }>, pcrs: PcrSelections }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
    let counter = tpm.reset.pcr_counter;
    let pcrs = tpm.pcrs.filter(&params.pcrs);
    let session = tpm.policy_session(handles.policy_session)?;
    let given = Some(&*params.pcr_digest).filter(|digest| !digest.is_empty());
    let current = tpm.pcrs.digest(session.hash, &pcrs);
    let trial = session.is_trial();
    if !trial {
        // PCR that were checked before must not have changed since: this check would hide it.
        if session.policy.pcr_counter != 0 && session.policy.pcr_counter != counter {
            return Err(Rc::PCR_CHANGED);
        }
        if given.is_some_and(|given| *given != *current) {
            return Err(Rc::VALUE.parameter(1));
        }
    }
    // In one piece: a hash takes few large parts faster than many small ones.
    let mut selected = Bytes::<128>::EMPTY;
    selected
        .extend_by(|room| marshal_into(room, &pcrs))
        .ok_or(Rc::FAILURE)?;
    let session = tpm.policy_session_mut(handles.policy_session)?;
    session.assert::<PolicyPcr>(&[&selected, given.unwrap_or(&current)]);
    if !trial {
        session.policy.pcr_counter = counter;
    }
    Ok(Reply {})
}
