//! TPM2_SelfTest — Part 3, 10.2.

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_SelfTest: tests all algorithms, or those that have not been tested yet.
    SelfTest = 0x143, [Nv, WithoutKeys];
    handles {}
    params { full_test: bool }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    if !params.full_test {
        tpm.test_keys()?;
    } else if let Some(test) = tpm.self_tests.iter().find(|test| !(test.run)()) {
        tpm.fail(test.name);
        return Err(Rc::FAILURE);
    } else {
        tpm.keys_tested = true;
    }
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::crypto::self_test::{SelfTest, When};
    use crate::testing::{Bench, hex};

    /// A wrong answer of RSA or of elliptic curves.
    static FAILING: &[SelfTest] = &[SelfTest {
        name: "a test that fails",
        when: When::FirstUse,
        run: || false,
    }];

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
        tpm.tpm.self_tests = FAILING;
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

    /// Each of these finds out by itself that the algorithm is broken, and nothing leaves the TPM after that.
    #[test]
    fn what_was_never_used_is_tested_before_it_is() {
        use crate::testing::keys::{OWNER, Template, creation};
        let create_primary =
            crate::testing::with_passwords(0x131, &[OWNER], &[b""], &creation(&Template::srk(), b"", b""));
        for first_use in [
            hex("8001 0000000b 00000143 00"),
            hex("8001 0000000e 00000142 00000000"),
            create_primary,
        ] {
            let mut tpm = Bench::started();
            tpm.tpm.self_tests = FAILING;
            // What uses no keys goes on.
            tpm.run_ok("8001 0000000c 0000017b 0004");
            tpm.run_ok("8001 0000000a 00000181");
            assert_eq!(tpm.run(&first_use).0, 0x101);
            assert_eq!(tpm.code("8001 0000000c 0000017b 0004"), 0x101);
            let result = tpm.run_ok("8001 0000000a 0000017c");
            assert!(result[2..].starts_with(b"a test that fails"));
        }
    }

    #[test]
    fn keys_are_tested_once() {
        use crate::testing::keys::{OWNER, Template};
        let mut tpm = Bench::started();
        tpm.primary(OWNER, &Template::srk());
        tpm.tpm.self_tests = FAILING;
        tpm.run_ok("8001 0000000b 00000143 00");
        tpm.primary(OWNER, &Template::srk());
    }
}
