//! TPM2_PCR_SetAuthPolicy and TPM2_PCR_SetAuthValue — Part 3, 22.6 and 22.7.
//!
//! This TPM has one group of PCR with an authorization of its own, 20 to 22, as libtpms has it. The PC Client profile
//! asks for none; guests and tests that use the group find it here as they do there.

pub(crate) mod policy {
    //! TPM2_PCR_SetAuthPolicy — Part 3, 22.6.

    use std::sync::Arc;

    use crate::alg::HashAlg;
    use crate::bytes::Digest;
    use crate::handle::PcrHandle;
    use crate::rc::{Rc, RcResult};
    use crate::state::pcr;
    use crate::state::persistent::{AuthPolicy, PcrAllocation};
    use crate::tpm::Tpm;

    command! {
        /// TPM2_PCR_SetAuthPolicy: gives a group of PCR a policy.
        PcrSetAuthPolicy = 0x12C, [Nv, PresenceOptional];
        handles { platform: Platform @ User }
        params { auth_policy: Digest, hash_alg: Option<HashAlg>, pcr: PcrHandle }
        reply {}
    }

    fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
        if params.auth_policy.len() != params.hash_alg.map_or(0, HashAlg::digest_size) {
            return Err(Rc::SIZE.parameter(1));
        }
        if !pcr::attributes(params.pcr.0.0).is_some_and(|attributes| attributes.auth_group) {
            return Err(Rc::VALUE.parameter(3));
        }
        let policy = AuthPolicy {
            alg: params.hash_alg,
            digest: params.auth_policy,
        };
        let allocation = PcrAllocation {
            policy,
            ..PcrAllocation::clone(&tpm.nv.pcr)
        };
        tpm.nv.change().pcr = Arc::new(allocation);
        Ok(Reply {})
    }
}

pub(crate) mod value {
    //! TPM2_PCR_SetAuthValue — Part 3, 22.7.

    use zeroize::Zeroizing;

    use crate::bytes::Digest;
    use crate::rc::{Rc, RcResult};
    use crate::state::pcr;
    use crate::tpm::Tpm;

    command! {
        /// TPM2_PCR_SetAuthValue: gives a group of PCR an authorization value, until TPM Reset or Restart.
        PcrSetAuthValue = 0x183, [];
        handles { pcr: Pcr @ User }
        params { auth: Zeroizing<Digest> }
        reply {}
    }

    fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
        if !pcr::attributes(handles.pcr.0).is_some_and(|attributes| attributes.auth_group) {
            return Err(Rc::VALUE);
        }
        tpm.clear.change().pcr_auth = params.auth;
        Ok(Reply {})
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, hex, with_passwords};

    const PLATFORM: u32 = 0x4000_000C;

    fn set_policy(params: &str) -> Vec<u8> {
        with_passwords(0x12C, &[PLATFORM], &[b""], &hex(params))
    }

    fn extend(pcr: u32, password: &[u8]) -> Vec<u8> {
        with_passwords(0x182, &[pcr], &[password], &hex("00000000"))
    }

    #[test]
    fn a_policy_shuts_out_passwords_for_the_group_alone() {
        let mut tpm = Bench::started();
        let policy = format!("0020 {} 000b 00000014", "11".repeat(32));
        assert_eq!(tpm.run(&set_policy(&policy)).0, 0);
        for pcr in [20, 21, 22] {
            assert_eq!(tpm.run_at(2, &extend(pcr, b"")).0, 0x124);
        }
        assert_eq!(tpm.run_at(2, &extend(19, b"")).0, 0);
        assert_eq!(tpm.run(&set_policy("0000 0010 00000015")).0, 0);
        assert_eq!(tpm.run_at(2, &extend(20, b"")).0, 0);
    }

    #[test]
    fn a_policy_must_be_of_its_hash_and_for_the_group() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run(&set_policy("0000 000b 00000014")).0, 0x1D5);
        assert_eq!(tpm.run(&set_policy("0001 aa 0010 00000014")).0, 0x1D5);
        assert_eq!(tpm.run(&set_policy("0000 0011 00000014")).0, 0x2C3);
        assert_eq!(tpm.run(&set_policy("0000 0010 00000000")).0, 0x3C4);
        assert_eq!(tpm.run(&set_policy("0000 0010 00000018")).0, 0x3C4);
    }

    #[test]
    fn an_authorization_value_counts_for_the_group_until_a_reset() {
        let mut tpm = Bench::started();
        let set = |pcr: u32, old: &[u8]| with_passwords(0x183, &[pcr], &[old], &hex("0003 aabb00"));
        assert_eq!(tpm.run(&set(20, b"")).0, 0);
        assert_eq!(tpm.run(&set(21, b"")).0, 0x9A2);
        assert_eq!(tpm.run_at(2, &extend(22, &[0xAA, 0xBB])).0, 0);
        assert_eq!(tpm.run_at(2, &extend(19, b"")).0, 0);
        assert_eq!(tpm.run(&set(0, b"")).0, 0x84);
        tpm.tpm.power_on();
        tpm.run_ok("8001 0000000c 00000144 0000");
        assert_eq!(tpm.run_at(2, &extend(22, b"")).0, 0);
    }
}
