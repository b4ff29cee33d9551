//! Policies (Part 3, 23): the assertions that a policy session gathers.

pub(crate) mod ac_send_select;
pub(crate) mod auth_value;
pub(crate) mod authorize;
pub(crate) mod authorize_nv;
pub(crate) mod capability;
pub(crate) mod command_code;
pub(crate) mod counter_timer;
pub(crate) mod cp_hash;
pub(crate) mod duplication_select;
pub(crate) mod get_digest;
pub(crate) mod grant;
pub(crate) mod locality;
pub(crate) mod name_hash;
pub(crate) mod nv;
pub(crate) mod nv_written;
pub(crate) mod operand;
pub(crate) mod or;
pub(crate) mod parameters;
pub(crate) mod password;
pub(crate) mod pcr;
pub(crate) mod physical_presence;
pub(crate) mod secret;
pub(crate) mod signed;
pub(crate) mod template;
#[cfg(test)]
mod tests;
pub(crate) mod ticket;
pub(crate) mod transport_spdm;

use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::commands::Command;
use crate::crypto::hash::{hash, hash_by};
use crate::handle::{Handle, Name};
use crate::rc::{Rc, RcResult};
use crate::session::{BoundDigest, Session, SessionType};
use crate::tpm::Tpm;

impl Tpm {
    /// The policy session of a handle that the pipeline has found to be one.
    fn policy_session(&self, handle: Handle) -> RcResult<&Session> {
        self.sessions.get(handle).ok_or(Rc::FAILURE)
    }

    /// The policy session of a handle that the pipeline has found to be one, to be changed.
    fn policy_session_mut(&mut self, handle: Handle) -> RcResult<&mut Session> {
        self.sessions.get_mut(handle).ok_or(Rc::FAILURE)
    }
}

impl Session {
    /// Whether the session only computes a policyDigest: what it is told is not checked.
    fn is_trial(&self) -> bool {
        self.kind == SessionType::Trial
    }

    /// Extends policyDigest: H(policyDigest || the code of `C` || `parts`).
    fn assert<C: Command>(&mut self, parts: &[&[u8]]) {
        self.policy.digest = hash_by(self.hash, |hash| {
            hash.update(&self.policy.digest);
            hash.update(&C::INFO.code.to_be_bytes());
            for part in parts {
                hash.update(part);
            }
        });
    }

    /// PolicyUpdate (Part 3, 23.2.3): a second extension takes in policyRef.
    fn assert_with_ref<C: Command>(&mut self, name: &Name, policy_ref: &[u8]) {
        self.assert::<C>(&[name]);
        self.policy.digest = hash(self.hash, &[&self.policy.digest, policy_ref]);
    }

    /// policyDigest starts again from zeros, as if nothing had been asserted before.
    fn clear_digest(&mut self) {
        self.policy.digest = Digest::zeroed(self.hash.digest_size()).unwrap_or_default();
    }

    /// Whether `digest` is as long as one of the session's hash: a bare TPM_RC_SIZE if not.
    fn check_size(&self, digest: &Digest) -> RcResult<()> {
        if digest.len() == self.hash.digest_size() {
            Ok(())
        } else {
            Err(Rc::SIZE)
        }
    }

    /// Whether the session is tied to just this digest already.
    fn is_tied_to(&self, kind: BoundDigest, digest: &Digest) -> bool {
        self.policy.bound_kind == kind && self.policy.bound_digest == *digest
    }

    /// Whether the session is tied to no digest yet: TPM_RC_CPHASH if it is, as there is room for one only.
    fn check_untied(&self) -> RcResult<()> {
        if self.policy.bound_kind == BoundDigest::None {
            Ok(())
        } else {
            Err(Rc::CPHASH)
        }
    }

    /// Ties the session to a digest of the command that it may authorize.
    fn tie(&mut self, kind: BoundDigest, digest: &Digest) {
        self.policy.bound_kind = kind;
        self.policy.bound_digest = digest.clone();
    }
}

/// The hash in a Name that a caller gave: TPM_RC_HASH or TPM_RC_SIZE, bare, where it is not one.
fn hash_of_name(tpm: &Tpm, name: &Name) -> RcResult<HashAlg> {
    let mut reader = crate::marshal::Reader::new(name, tpm.profile);
    let alg: HashAlg = reader.read().map_err(|_| Rc::HASH)?;
    if reader.rest().len() == alg.digest_size() {
        Ok(alg)
    } else {
        Err(Rc::SIZE)
    }
}
