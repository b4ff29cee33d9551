//! TPM2_ReadOnlyControl — Part 3, 24.9, and the mode that it switches (Part 1, 42).

use crate::handle::Handle;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::NvAttributes;

command! {
    /// TPM2_ReadOnlyControl: turns read-only mode on or off, until TPM Reset or Restart.
    ReadOnlyControl = 0x1A0, [Nv];
    handles { auth_handle: Platform @ User }
    params { state: bool }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    if tpm.clear.read_only != params.state {
        tpm.settle()?;
        tpm.clear.change().read_only = params.state;
    }
    Ok(Reply {})
}

/// The commands that read-only mode refuses (Part 1, 42.3): they make objects or NV indices, or change what persists.
const REFUSED: &[u32] = &[
    // NV_UndefineSpaceSpecial, EvictControl, HierarchyControl, NV_UndefineSpace
    0x11F, 0x120, 0x121, 0x122,
    // ChangeEPS, ChangePPS, Clear, ClearControl, ClockSet, HierarchyChangeAuth, NV_DefineSpace
    0x124, 0x125, 0x126, 0x127, 0x128, 0x129, 0x12A,
    // PCR_Allocate, PCR_SetAuthPolicy, PP_Commands, SetPrimaryPolicy, FieldUpgradeStart, ClockRateAdjust
    0x12B, 0x12C, 0x12D, 0x12E, 0x12F, 0x130,
    // CreatePrimary, NV_GlobalWriteLock, NV_Increment, DictionaryAttackParameters, NV_ChangeAuth
    0x131, 0x132, 0x134, 0x13A, 0x13B, // SetAlgorithmSet, SetCommandCodeAuditStatus, FieldUpgradeData
    0x13F, 0x140, 0x141,
    // ObjectChangeAuth, Create, PCR_SetAuthValue, CreateLoaded, NV_DefineSpace2, SetCapability
    0x150, 0x153, 0x183, 0x191, 0x19D, 0x19F,
];

/// The commands that it refuses unless the index is gone after the next TPM Reset anyway: NV_SetBits, NV_Extend,
/// NV_Write, NV_WriteLock and NV_ReadLock.
const VOLATILE_ONLY: &[u32] = &[0x135, 0x136, 0x137, 0x138, 0x14F];

/// PolicySecret, which it refuses for PIN indices: they would count the use.
const POLICY_SECRET: u32 = 0x151;

impl Tpm {
    /// Whether read-only mode lets the command pass; it is asked before any authorization (Part 1, 42.2).
    pub(crate) fn check_read_only(&self, code: u32, handles: &[Handle]) -> RcResult<()> {
        let volatile = |index: Option<&Handle>| {
            index
                .and_then(|index| self.nv_attributes(*index))
                .is_some_and(|attributes| attributes.has(NvAttributes::ORDERLY.with(NvAttributes::CLEAR_STCLEAR)))
        };
        let counts = |entity: Option<&Handle>| entity.is_some_and(|entity| self.pin_available(*entity).is_some());
        let refused = self.clear.read_only
            && (REFUSED.contains(&code)
                || VOLATILE_ONLY.contains(&code) && !volatile(handles.get(1))
                || code == POLICY_SECRET && counts(handles.first()));
        if refused { Err(Rc::READ_ONLY) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, hex, plain, with_passwords};

    const OWNER: u32 = 0x4000_0001;
    const PLATFORM: u32 = 0x4000_000C;
    const INDEX: u32 = 0x0100_0001;
    /// TPMA_NV: read and written with its own value, noDA; and what makes an index volatile.
    const PLAIN: u32 = 0x0204_0004;
    const VOLATILE: u32 = 0x0C00_0000;

    fn control(tpm: &mut Bench, by: u32, state: u8) -> u32 {
        tpm.run(&with_passwords(0x1A0, &[by], &[b""], &[state])).0
    }

    fn define(tpm: &mut Bench, index: u32, attributes: u32) -> u32 {
        let area = [
            &index.to_be_bytes()[..],
            &[0, 0x0B],
            &attributes.to_be_bytes(),
            &[0, 0, 0, 8],
        ]
        .concat();
        let params = [&[0, 0, 0, 14], &area[..]].concat();
        tpm.run(&with_passwords(0x12A, &[OWNER], &[b""], &params)).0
    }

    fn write(tpm: &mut Bench, index: u32) -> u32 {
        tpm.run(&with_passwords(0x137, &[index, index], &[b""], &hex("0001 61 0000")))
            .0
    }

    fn start(tpm: &mut Bench, kind: u8) {
        assert_eq!(tpm.run(&plain(0x144, &[0, kind])).0, 0);
    }

    #[test]
    fn what_persists_cannot_be_changed() {
        let mut tpm = Bench::started();
        assert_eq!(define(&mut tpm, INDEX, PLAIN), 0);
        assert_eq!(define(&mut tpm, INDEX + 1, PLAIN | VOLATILE), 0);
        assert_eq!(control(&mut tpm, OWNER, 1), 0x184);
        assert_eq!(control(&mut tpm, PLATFORM, 2), 0x1C4);
        assert_eq!(control(&mut tpm, PLATFORM, 1), 0);
        let flags = tpm.run_ok("8001 00000016 0000017a 00000006 00000201 00000001");
        assert_eq!(flags[16] & 0x10, 0x10);
        // Before any authorization is looked at.
        assert_eq!(tpm.run(&with_passwords(0x126, &[PLATFORM], &[b"wrong"], &[])).0, 0x156);
        assert_eq!(define(&mut tpm, INDEX + 2, PLAIN), 0x156);
        assert_eq!(write(&mut tpm, INDEX), 0x156);
        assert_eq!(write(&mut tpm, INDEX + 1), 0);
        // An index that is not there is still not there.
        assert_eq!(write(&mut tpm, INDEX + 2), 0x18B);
        assert_eq!(control(&mut tpm, PLATFORM, 0), 0);
        assert_eq!(write(&mut tpm, INDEX), 0);
    }

    #[test]
    fn a_pin_index_cannot_vouch() {
        let mut tpm = Bench::started();
        // TPM_NT_PIN_PASS: owner writes.
        assert_eq!(define(&mut tpm, INDEX, 0x0206_0092), 0);
        assert_eq!(tpm.tpm.check_read_only(POLICY_SECRET, &[Handle(INDEX)]), Ok(()));
        assert_eq!(control(&mut tpm, PLATFORM, 1), 0);
        assert_eq!(
            tpm.tpm.check_read_only(POLICY_SECRET, &[Handle(INDEX)]),
            Err(Rc::READ_ONLY)
        );
        assert_eq!(tpm.tpm.check_read_only(POLICY_SECRET, &[Handle::OWNER]), Ok(()));
    }

    #[test]
    fn lasts_over_resume_and_not_over_restart() {
        let mut tpm = Bench::started();
        assert_eq!(control(&mut tpm, PLATFORM, 1), 0);
        assert_eq!(tpm.run(&plain(0x145, &[0, 1])).0, 0);
        let mut tpm = Bench::on(tpm.memory.clone());
        start(&mut tpm, 1);
        assert_eq!(define(&mut tpm, INDEX, PLAIN), 0x156);
        assert_eq!(tpm.run(&plain(0x145, &[0, 1])).0, 0);
        let mut tpm = Bench::on(tpm.memory.clone());
        start(&mut tpm, 0);
        assert_eq!(define(&mut tpm, INDEX, PLAIN), 0);
    }
}
