//! TPM2_HierarchyChangeAuth — Part 3, 24.8.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::bytes::Digest;
use crate::handle::{Handle, Hierarchy};
use crate::rc::{Rc, RcResult};
use crate::state::persistent::Hierarchies;
use crate::tpm::Tpm;

command! {
    /// TPM2_HierarchyChangeAuth: gives a hierarchy, or lockout, a new authorization value.
    HierarchyChangeAuth = 0x129, [Nv, PresenceOptional, WithoutKeys];
    handles { auth_handle: HierarchyAuth @ User }
    params { new_auth: Zeroizing<Digest> }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let auth = Zeroizing::new(Digest::truncated(params.new_auth.without_trailing_zeros()));
    if handles.auth_handle == Handle::PLATFORM {
        tpm.settle()?;
        tpm.clear.change().platform_auth = auth;
        return Ok(Reply {});
    }
    let mut hierarchies = Hierarchies::clone(&tpm.nv.hierarchies);
    match Hierarchy::from_handle(handles.auth_handle).and_then(|hierarchy| hierarchies.get_mut(hierarchy)) {
        Some(record) => record.auth = auth,
        None if handles.auth_handle == Handle::LOCKOUT => hierarchies.lockout_auth = auth,
        None => return Err(Rc::VALUE.handle(1)),
    }
    tpm.nv.change().hierarchies = Arc::new(hierarchies);
    Ok(Reply {})
}
