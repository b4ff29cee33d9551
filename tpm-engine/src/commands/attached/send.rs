//! TPM2_AC_Send — Part 3, 32.3.

use zeroize::Zeroizing;

use super::AcOutput;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::MaxBuffer;

command! {
    /// TPM2_AC_Send: gives an object to an attached component.
    AcSend = 0x195, [];
    handles { send_object: Object @ Dup, auth_handle: NvAuth @ User, ac: AttachedComponent }
    params { ac_data_in: Zeroizing<MaxBuffer> }
    reply { ac_data_out: AcOutput }
}

fn run(_: &mut Tpm, _: Handles, _: Params) -> RcResult<Reply> {
    Err(Rc::HANDLE.handle(3))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, hex, with_passwords};

    #[test]
    fn there_is_nowhere_to_send_an_object_to() {
        let mut tpm = Bench::started();
        let params = hex("0000");
        let send = |handles: &[u32]| with_passwords(0x195, handles, &[b"", b""], &params);
        assert_eq!(tpm.run(&send(&[0x8000_0000, 0x4000_0001, 0x9000_0000])).0, 0x910);
        assert_eq!(tpm.run(&send(&[0x8000_0000, 0x4000_0001, 0x4000_0001])).0, 0x384);
        assert_eq!(tpm.run(&send(&[0x4000_0001, 0x4000_0001, 0x9000_0000])).0, 0x184);
    }
}
