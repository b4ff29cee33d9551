//! TPM2_AC_GetCapability — Part 3, 32.2.

use arrayvec::ArrayVec;

use super::AcOutput;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_AC_GetCapability: what an attached component can do.
    AcGetCapability = 0x194, [];
    handles { ac: AttachedComponent }
    params { capability: u32, count: u32 }
    reply { more_data: bool, capabilities_data: ArrayVec<AcOutput, 1> }
}

fn run(_: &mut Tpm, _: Handles, _: Params) -> RcResult<Reply> {
    Err(Rc::HANDLE.handle(1))
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn there_are_no_attached_components() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.code("8001 00000016 00000194 90000000 00000001 00000001"), 0x18B);
        assert_eq!(tpm.code("8001 00000016 00000194 90010000 00000001 00000001"), 0x184);
        assert_eq!(tpm.code("8001 00000016 00000194 40000001 00000001 00000001"), 0x184);
    }
}
