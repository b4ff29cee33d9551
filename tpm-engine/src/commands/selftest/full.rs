//! TPM2_SelfTest — Part 3, 10.2.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_SelfTest: tests all algorithms, or those that have not been tested yet.
    SelfTest = 0x143, [Nv];
    handles {}
    params { full_test: bool }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    // Nothing is untested after start-up.
    if params.full_test
        && let Some(test) = tpm.self_tests.iter().find(|test| !(test.run)())
    {
        tpm.fail(test.name);
        return Err(Rc::FAILURE);
    }
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::crypto::self_test::SelfTest;
    use crate::testing::{Bench, hex};

    #[test]
    fn passes_in_full_and_in_part() {
        let mut tpm = Bench::started();
        tpm.run_ok("8001 0000000b 00000143 00");
        tpm.run_ok("8001 0000000b 00000143 01");
        assert_eq!(tpm.code("8001 0000000b 00000143 02"), 0x1C4);
        assert_eq!(tpm.code("8001 0000000a 00000143"), 0x1DA);
    }

    /// Part 1, 12.4.3: in failure mode the TPM answers two commands.
    #[test]
    fn a_failed_test_leads_to_failure_mode() {
        let mut tpm = Bench::started();
        tpm.tpm.self_tests = &[SelfTest {
            name: "a test that fails",
            run: || false,
        }];
        tpm.run_ok("8001 0000000b 00000143 00");
        assert_eq!(tpm.code("8001 0000000b 00000143 01"), 0x101);
        for refused in [
            "8001 0000000c 0000017b 0004",
            "8001 0000000c 00000144 0000",
            "8001 0000000b 00000143 00",
            "8001 0000000a 00000181",
        ] {
            assert_eq!(tpm.code(refused), 0x101, "{refused}");
        }
        let result = tpm.run_ok("8001 0000000a 0000017c");
        assert_eq!(
            result,
            [&hex("0011")[..], b"a test that fails", &hex("00000101")].concat()
        );
        let family = tpm.run_ok("8001 00000016 0000017a 00000006 00000100 00000001");
        assert_eq!(family, hex("01 00000006 00000001 00000100 322e3000"));
        assert_eq!(
            tpm.code("8002 00000023 0000017a 00000009 40000009 0000 00 0000 00000006 00000100 00000001"),
            0x101
        );
    }
}
