//! TPM2_SetPrimaryPolicy — Part 3, 24.3.

use std::sync::Arc;

use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::handle::{Handle, Hierarchy};
use crate::rc::{Rc, RcResult};
use crate::state::persistent::{AuthPolicy, Hierarchies};
use crate::tpm::Tpm;

command! {
    /// TPM2_SetPrimaryPolicy: gives a hierarchy, lockout or a countdown timer a policy.
    SetPrimaryPolicy = 0x12E, [Nv, PresenceOptional];
    handles { auth_handle: HierarchyPolicy @ User }
    params { auth_policy: Digest, hash_alg: Option<HashAlg> }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    if params.auth_policy.len() != params.hash_alg.map_or(0, HashAlg::digest_size) {
        return Err(Rc::SIZE.parameter(1));
    }
    let policy = AuthPolicy {
        alg: params.hash_alg,
        digest: params.auth_policy,
    };
    if handles.auth_handle == Handle::PLATFORM {
        tpm.settle()?;
        tpm.clear.change().platform_policy = policy;
        return Ok(Reply {});
    }
    if handles.auth_handle.timer().is_some() {
        tpm.settle()?;
        tpm.countdowns.change().set_policy(handles.auth_handle, policy);
        return Ok(Reply {});
    }
    let mut hierarchies = Hierarchies::clone(&tpm.nv.hierarchies);
    match Hierarchy::from_handle(handles.auth_handle).and_then(|hierarchy| hierarchies.get_mut(hierarchy)) {
        Some(record) => record.policy = policy,
        None if handles.auth_handle == Handle::LOCKOUT => hierarchies.lockout_policy = policy,
        None => return Err(Rc::VALUE.handle(1)),
    }
    tpm.nv.change().hierarchies = Arc::new(hierarchies);
    Ok(Reply {})
}
