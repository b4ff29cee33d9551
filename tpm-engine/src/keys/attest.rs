//! Attestation (Part 1, 31): what the TPM says about itself, signed.

use crate::alg::HashAlg;
use crate::commands::capability::properties::FIRMWARE_VERSION;
use crate::crypto::hash::hash;
use crate::crypto::kdf;
use crate::handle::{Handle, Hierarchy};
use crate::marshal::Marshal;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attest::{Attest, AttestData, Attested};
use crate::types::scheme::Scheme;
use crate::types::signature::Signature;
use crate::types::{ClockInfo, Data, TimeInfo};

impl Tpm {
    /// Clock, its safety and the counts of power cycles, as they are.
    pub(crate) fn clock_info(&self) -> ClockInfo {
        ClockInfo {
            clock: self.timer.clock,
            reset_count: self.nv.counters.reset_count,
            restart_count: self.reset.restart_count,
            safe: self.timer.safe,
        }
    }

    /// Time and Clock, as they are.
    pub(crate) fn time_info(&self) -> TimeInfo {
        TimeInfo {
            time: self.timer.time,
            clock_info: self.clock_info(),
        }
    }

    /// The scheme with which `signer` will sign an attestation; `None` when it is TPM_RH_NULL. `handle` and `parameter`
    /// are the numbers of the signer and of the scheme in the command: TPM_RC_KEY for what cannot sign, TPM_RC_SCHEME for
    /// a scheme that does not suit it.
    pub(crate) fn attestation_scheme(
        &self,
        (signer, handle): (Handle, u32),
        (given, parameter): (Option<Scheme>, u32),
    ) -> RcResult<Option<Scheme>> {
        if signer == Handle::NULL {
            return Ok(None);
        }
        let object = self.object(signer).ok_or(Rc::KEY.handle(handle))?;
        if !object.public.0.is_signer() {
            return Err(Rc::KEY.handle(handle));
        }
        self.choose_sign_scheme(object, given)
            .map_err(|code| code.parameter(parameter))
    }

    /// Makes the attestation structure and signs it with `scheme`, which [`Self::attestation_scheme`] chose.
    pub(crate) fn attest(
        &mut self,
        signer: Handle,
        scheme: Option<Scheme>,
        qualifying_data: &Data,
        attested: Attested,
    ) -> RcResult<(AttestData, Signature)> {
        let object = self.object(signer).cloned();
        let mut attest = Attest {
            qualified_signer: match &object {
                Some(key) => key.qualified_name.clone(),
                None => self.name(signer),
            },
            extra_data: qualifying_data.clone(),
            clock_info: self.clock_info(),
            firmware_version: FIRMWARE_VERSION,
            attested,
        };
        let candid = object
            .as_ref()
            .is_some_and(|key| matches!(key.hierarchy, Hierarchy::Platform | Hierarchy::Endorsement));
        if !candid {
            self.obfuscate(&mut attest);
        }
        let bytes = attest.to_vec();
        let data = AttestData::new(&bytes).ok_or(Rc::FAILURE)?;
        let signature = match (object, scheme) {
            (Some(key), Some(scheme)) => {
                let digest = hash(scheme.hash.ok_or(Rc::SCHEME)?, &[&bytes]);
                self.sign(&key, scheme, &digest)?
            }
            _ => Signature::Null,
        };
        Ok((data, signature))
    }

    /// Hides counts and version from the verifiers of keys that do not belong to platform or endorsement hierarchy, so
    /// that two of them cannot tell that they speak to the same TPM (Part 1, 36.7).
    fn obfuscate(&self, attest: &mut Attest) {
        let mut mask = [0u8; 16];
        kdf::kdfa(
            HashAlg::Sha512,
            self.proof(Hierarchy::Owner),
            b"OBFUSCATE",
            &attest.qualified_signer,
            &[],
            128,
            &mut mask,
        );
        let mask = u128::from_be_bytes(mask);
        let word = |shift: u32| u32::try_from((mask >> shift) & 0xFFFF_FFFF).unwrap_or_default();
        let version = u64::from(word(96)) << 32 | u64::from(word(64));
        attest.firmware_version = attest.firmware_version.wrapping_add(version);
        let clock = &mut attest.clock_info;
        clock.reset_count = clock.reset_count.wrapping_add(word(32));
        clock.restart_count = clock.restart_count.wrapping_add(word(0));
    }
}
