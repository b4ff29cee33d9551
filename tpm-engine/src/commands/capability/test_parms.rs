//! TPM2_TestParms — Part 3, 30.3.

use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::public::PublicParms;

command! {
    /// TPM2_TestParms: whether the TPM supports a combination of algorithm parameters.
    TestParms = 0x18A, [];
    handles {}
    params { parameters: PublicParms }
    reply {}
}

fn run(_: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    // What this TPM's profile does not have was refused while it was read.
    let Params { parameters: _ } = params;
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, hex, plain};

    fn code(tpm: &mut Bench, parms: &str) -> u32 {
        tpm.run(&plain(0x18A, &hex(parms))).0
    }

    #[test]
    fn accepts_what_there_is() {
        let mut tpm = Bench::started();
        for parms in [
            "0008 0010",
            "0008 0005 000b",
            "0025 0006 0080 0043",
            "0001 0006 0080 0043 0010 0800 00000000",
            "0023 0010 0018 000b 0003 0010",
        ] {
            assert_eq!(code(&mut tpm, parms), 0, "{parms}");
        }
    }

    #[test]
    fn names_what_there_is_not() {
        let mut tpm = Bench::started();
        for (parms, expected) in [
            ("0007", 0x1CA),
            ("0025 0006 0081 0043", 0x1C4),
            ("0001 0010 0010 0801 00000000", 0x1C4),
            ("0008 0005 0010", 0x1C3),
            ("0008", 0x1DA),
            ("0008 0010 00", 0x95),
        ] {
            assert_eq!(code(&mut tpm, parms), expected, "{parms}");
        }
    }
}
