//! TPM2_SetCommandCodeAuditStatus — Part 3, 21.2.

use std::sync::Arc;

use super::CommandList;
use crate::alg::HashAlg;
use crate::bytes::Digest;
use crate::commands;
use crate::rc::{Rc, RcResult};
use crate::state::persistent::CommandAudit;
use crate::tpm::Tpm;

/// TPM2_Shutdown, which cannot be audited: the digest could change after it was saved.
const SHUTDOWN: u32 = 0x145;

command! {
    /// TPM2_SetCommandCodeAuditStatus: which commands are audited, or with which hash.
    SetCommandCodeAuditStatus = 0x140, [Nv, PresenceOptional];
    handles { auth: Provision @ User }
    params { audit_alg: Option<HashAlg>, set_list: CommandList, clear_list: CommandList }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let mut audit = CommandAudit::clone(&tpm.nv.audit);
    if let Some(alg) = params.audit_alg
        && alg != audit.hash_alg
    {
        if !params.set_list.is_empty() || !params.clear_list.is_empty() {
            return Err(Rc::VALUE.parameter(1));
        }
        audit.hash_alg = alg;
        tpm.nv.change().audit = Arc::new(audit);
        // The digest so far is of the old hash; a new one begins with the next command that is audited.
        tpm.nv.commit()?;
        tpm.reset.change().command_audit_digest = Digest::EMPTY;
        tpm.current.unaudited = true;
        return Ok(Reply {});
    }
    for code in &params.set_list {
        if *code != SHUTDOWN && commands::find(tpm.profile, *code).is_ok() {
            audit.commands.set(*code, true);
        }
    }
    for code in &params.clear_list {
        if *code != <SetCommandCodeAuditStatus as commands::Command>::INFO.code {
            audit.commands.set(*code, false);
        }
    }
    if audit.commands != tpm.nv.audit.commands {
        tpm.nv.change().audit = Arc::new(audit);
    }
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::alg::HashAlg;
    use crate::crypto::hash::hash;
    use crate::testing::{Bench, hex, with_passwords};

    fn set(tpm: &mut Bench, params: &str) -> u32 {
        tpm.run(&with_passwords(0x140, &[0x4000_0001], &[b""], &hex(params))).0
    }

    fn audited(tpm: &mut Bench) -> Vec<u8> {
        tpm.run_ok("8001 00000016 0000017a 00000004 00000000 000000fe")[9..].to_vec()
    }

    #[test]
    fn commands_are_put_on_the_list_and_taken_off() {
        let mut tpm = Bench::started();
        assert_eq!(audited(&mut tpm), hex("00000140"));
        // TPM2_GetRandom; not TPM2_Shutdown and not what is no command.
        let list = "0010 00000003 0000017b 00000145 00001111 00000000";
        assert_eq!(set(&mut tpm, list), 0);
        assert_eq!(audited(&mut tpm), hex("00000140 0000017b"));
        assert_eq!(set(&mut tpm, "0010 00000000 00000002 00000140 0000017b"), 0);
        assert_eq!(audited(&mut tpm), hex("00000140"));
    }

    #[test]
    fn the_list_survives_a_power_cycle() {
        let mut tpm = Bench::started();
        assert_eq!(set(&mut tpm, "0010 00000001 0000017b 00000000"), 0);
        let mut tpm = Bench::on(tpm.memory.clone());
        tpm.run_ok("8001 0000000c 00000144 0000");
        assert_eq!(audited(&mut tpm), hex("00000140 0000017b"));
    }

    #[test]
    fn audited_commands_extend_the_digest() {
        let mut tpm = Bench::started();
        assert_eq!(set(&mut tpm, "0010 00000001 00000181 00000000"), 0);
        let before = tpm.tpm.reset.command_audit_digest.clone();
        let reply = tpm.run_ok("8001 0000000a 00000181");
        let command = hash(HashAlg::Sha256, &[&hex("00000181")]);
        let response = hash(HashAlg::Sha256, &[&hex("00000000 00000181"), &reply]);
        let expected = hash(HashAlg::Sha256, &[&before, &command, &response]);
        assert_eq!(tpm.tpm.reset.command_audit_digest, expected);
        assert_eq!(tpm.tpm.nv.audit.counter, 1);
        tpm.run_ok("8001 0000000c 0000017b 0004");
        assert_eq!(tpm.tpm.reset.command_audit_digest, expected, "not audited");
    }

    #[test]
    fn a_new_hash_begins_a_new_digest() {
        let mut tpm = Bench::started();
        assert_eq!(set(&mut tpm, "000c 00000001 0000017b 00000000"), 0x1C4);
        assert_eq!(set(&mut tpm, "000b 00000001 0000017b 00000000"), 0, "no new hash");
        assert_eq!(tpm.tpm.reset.command_audit_digest.len(), 32);
        assert_eq!(set(&mut tpm, "000c 00000000 00000000"), 0);
        assert!(tpm.tpm.reset.command_audit_digest.is_empty());
        tpm.run_ok("8001 0000000c 0000017b 0004");
        assert_eq!(
            (tpm.tpm.reset.command_audit_digest.len(), tpm.tpm.nv.audit.counter),
            (48, 2)
        );
    }

    #[test]
    fn refuses_wrong_parameters() {
        let mut tpm = Bench::started();
        assert_eq!(set(&mut tpm, "0011 00000000 00000000"), 0x1C3);
        assert_eq!(set(&mut tpm, "0010 000000ff"), 0x2D5);
        let lockout = with_passwords(0x140, &[0x4000_000A], &[b""], &hex("0010 00000000 00000000"));
        assert_eq!(tpm.run(&lockout).0, 0x184);
    }
}
