//! TPM2_SetCapability — Part 3, 30.4.

use crate::marshal::{Reader, Sized2B, Unmarshal};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

/// TPMS_SET_CAPABILITY_DATA (Part 2, 10.10.3): there is no capability that could be set, so none can be read.
#[derive(Debug)]
pub(crate) enum SetCapabilityData {}

impl Unmarshal<'_> for SetCapabilityData {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        reader.read::<u32>()?;
        Err(Rc::VALUE)
    }
}

command! {
    /// TPM2_SetCapability: changes a capability, where one can be changed.
    SetCapability = 0x19F, [Nv];
    handles { auth_handle: Hierarchy @ User }
    params { set_capability_data: Sized2B<SetCapabilityData> }
    reply {}
}

fn run(_: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    match params.set_capability_data.0 {}
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, hex, with_passwords};

    #[test]
    fn no_capability_can_be_set() {
        let mut tpm = Bench::started();
        for capability in ["00000000", "00000006", "0000000a", "00000100"] {
            let params = [hex("0004"), hex(capability)].concat();
            assert_eq!(
                tpm.run(&with_passwords(0x19F, &[0x4000_000C], &[b""], &params)).0,
                0x1C4
            );
        }
        let mut code = |params: &str| tpm.run(&with_passwords(0x19F, &[0x4000_0001], &[b""], &hex(params))).0;
        assert_eq!(code("0000"), 0x1D5);
        assert_eq!(code("0004 0000"), 0x1DA);
        assert_eq!(tpm.run(&with_passwords(0x19F, &[0x4000_000A], &[b""], &[])).0, 0x184);
    }
}
