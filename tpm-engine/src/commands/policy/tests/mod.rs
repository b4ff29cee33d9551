//! Policy commands: their digests against those of another TPM, and what they check.

use crate::testing::session::{POLICY, Start, TRIAL};
mod authorizations;

use crate::testing::{Bench, hex, with_passwords};

/// Runs policy commands in a session of each kind; the code of the last and the policyDigest.
fn run(commands: &[(u32, &str)]) -> [(u32, String); 2] {
    [POLICY, TRIAL].map(|kind| {
        let mut bench = Bench::started();
        let session = Start::of(kind).run(&mut bench).unwrap().handle;
        let results: Vec<u32> = commands
            .iter()
            .map(|(code, params)| bench.policy(session, *code, params).err().unwrap_or_default())
            .collect();
        let (last, before) = results.split_last().unwrap();
        assert!(before.iter().all(|code| *code == 0), "{before:x?}");
        let digest = bench.policy_digest(session);
        (*last, digest.iter().map(|byte| format!("{byte:02x}")).collect())
    })
}

/// The policyDigest after policy commands that all succeed, in both kinds of session.
fn digest(commands: &[(u32, &str)]) -> String {
    let [policy, trial] = run(commands);
    assert_eq!(policy, trial);
    assert_eq!(policy.0, 0);
    policy.1
}

/// The code of the last of some policy commands, in both kinds of session.
fn code(commands: &[(u32, &str)]) -> u32 {
    let [policy, trial] = run(commands);
    assert_eq!(policy.0, trial.0);
    policy.0
}

const D1: &str = "0020 1111111111111111111111111111111111111111111111111111111111111111";
const D2: &str = "0020 2222222222222222222222222222222222222222222222222222222222222222";
const ZEROS: &str = "0020 0000000000000000000000000000000000000000000000000000000000000000";

/// Digests that swtpm computes.
#[test]
fn digests_are_those_of_another_tpm() {
    let vectors: [(&[(u32, &str)], &str); 11] = [
        (
            &[(0x188, "0004 11111111 0004 22222222 01")],
            "70b46b61d0fea6eac8f129406ca9918e529e4edf3e5f6c5632506003b530aaf9",
        ),
        (
            &[(0x188, "0004 11111111 0004 22222222 00")],
            "56b3031c06e35d82abf1f0e2ec95b1abc6acfcfe4ab737f80034ccbb16488868",
        ),
        (
            &[(0x18F, "01"), (0x18F, "01")],
            "fa458976640e47b5447ff4ec1a2eab0d2684e7706acd7adcef4741d718760bad",
        ),
        (
            &[(0x171, &format!("00000002 0000 {ZEROS}"))],
            "ea2ea990858ea20febf2b99103262cb4e6d43520467d130d26bbf911a13267ae",
        ),
        (
            &[(0x16D, "0000 0000 0000")],
            "343cf59f970da647a747ef7583b183fe4e3a693de2b252b2b38997fe4be637fb",
        ),
        (
            &[(0x187, ""), (0x16B, "")],
            "6a5b9b585e41e4e312c51e5ec8abde008514414b1126887fa027e4cefddfceec",
        ),
        (
            &[(0x16B, "")],
            "8fcd2169ab92694e0c633f1ab772842b8241bbc20288981fc7ac1eddc1fddb0e",
        ),
        (
            &[(0x18C, "")],
            "8fcd2169ab92694e0c633f1ab772842b8241bbc20288981fc7ac1eddc1fddb0e",
        ),
        (
            &[(0x17F, "0000 00000001 000b 03 010000")],
            "093ceb41181d47808862d7946268ee6a17a10e3d1b79b32351bc56e4beaceff0",
        ),
        (
            &[(0x17F, "0000 00000000")],
            "0236b3d936e962df76207a2402de6096ec64c2aafc9b1ed3b4adb5b6754f010e",
        ),
        (&[(0x16F, "03"), (0x180, "")], &ZEROS[5..]),
    ];
    for (commands, expected) in vectors {
        assert_eq!(digest(commands), expected, "{commands:x?}");
    }
}

#[test]
fn localities_narrow_down() {
    const LOCALITY: u32 = 0x16F;
    for (values, expected) in [
        (&["00"][..], 0x1CD),
        (&["03", "02"], 0),
        (&["03", "04"], 0x1CD),
        (&["03", "20"], 0x1CD),
        (&["20", "20"], 0),
        (&["20", "21"], 0x1CD),
        (&["20", "01"], 0x1CD),
    ] {
        let commands: Vec<(u32, &str)> = values.iter().map(|value| (LOCALITY, *value)).collect();
        assert_eq!(code(&commands), expected, "{values:?}");
    }
}

#[test]
fn a_command_code_is_one_that_there_is_and_stays() {
    const CODE: u32 = 0x16C;
    assert_eq!(code(&[(CODE, "00000001")]), 0x1E4);
    assert_eq!(code(&[(CODE, "20000144")]), 0x1E4);
    assert_eq!(code(&[(CODE, "00000144"), (CODE, "00000144")]), 0);
    assert_eq!(code(&[(CODE, "00000144"), (CODE, "00000145")]), 0x1C4);
}

#[test]
fn a_session_is_tied_to_one_digest() {
    const CP: u32 = 0x16E;
    const NAME: u32 = 0x170;
    const TEMPLATE: u32 = 0x190;
    const PARAMETERS: u32 = 0x19C;
    const SELECT: u32 = 0x188;
    const SEND: u32 = 0x196;
    const NAMES: &str = "0000 0000 00";
    for command in [CP, NAME, TEMPLATE, PARAMETERS] {
        assert_eq!(code(&[(command, "0001 11")]), 0x1D5);
        assert_eq!(code(&[(command, D1)]), 0);
        let repeated = if matches!(command, CP | TEMPLATE) { 0 } else { 0x151 };
        assert_eq!(code(&[(command, D1), (command, D1)]), repeated);
        let another = if command == TEMPLATE { 0x1C4 } else { 0x151 };
        assert_eq!(code(&[(command, D1), (command, D2)]), another);
        for other in [CP, NAME, TEMPLATE, PARAMETERS]
            .into_iter()
            .filter(|other| *other != command)
        {
            assert_eq!(code(&[(command, D1), (other, D1)]), 0x151);
        }
        assert_eq!(code(&[(command, D1), (SELECT, NAMES)]), 0x151);
        assert_eq!(code(&[(command, D1), (SEND, "0000 0000 0000 00")]), 0x151);
    }
    for (command, names) in [(SELECT, NAMES), (SEND, "0000 0000 0000 00")] {
        assert_eq!(code(&[(0x16C, "00000144"), (command, names)]), 0x143);
        assert_eq!(code(&[(command, names), (command, names)]), 0x151);
    }
    assert_eq!(code(&[(SELECT, "0000 0000 02")]), 0x3C4);
}

#[test]
fn written_or_not_cannot_both_be() {
    assert_eq!(code(&[(0x18F, "01"), (0x18F, "00")]), 0x1C4);
    assert_eq!(code(&[(0x18F, "02")]), 0x1C4);
}

#[test]
fn one_branch_must_be_the_policy_so_far() {
    const OR: u32 = 0x171;
    assert_eq!(code(&[(OR, "00000001 0000")]), 0x1D5);
    assert_eq!(code(&[(OR, &format!("00000009 {}", "0000".repeat(9)))]), 0x1D5);
    assert_eq!(code(&[(OR, "0000")]), 0x1DA);
    let [policy, trial] = run(&[(OR, "00000002 0000 0000")]);
    assert_eq!((policy.0, trial.0), (0x1C4, 0));
}

#[test]
fn conditions_on_time_are_checked() {
    const TIMER: u32 = 0x16D;
    assert_eq!(code(&[(TIMER, "0000 0019 0000")]), 0);
    assert_eq!(code(&[(TIMER, "0000 001a 0000")]), 0x2C4);
    assert_eq!(code(&[(TIMER, "0002 0000 0018 0000")]), 0x8D);
    assert_eq!(code(&[(TIMER, "0000 0000 000c")]), 0x3C4);
    // The first byte of Time is not 0xFF, and restartCount is 0.
    let [policy, trial] = run(&[(TIMER, "0001 ff 0000 0000")]);
    assert_eq!((policy.0, trial.0), (0x126, 0));
    assert_eq!(code(&[(TIMER, "0004 00000000 0014 0000")]), 0);
}

#[test]
fn pcr_must_have_the_values_that_are_given() {
    const PCR: u32 = 0x17F;
    for digest in [D1, "0001 11"] {
        let [policy, trial] = run(&[(PCR, &format!("{digest} 00000001 000b 03 010000"))]);
        assert_eq!((policy.0, trial.0), (0x1C4, 0));
    }
    let mut bench = Bench::started();
    let session = Start::policy().run(&mut bench).unwrap().handle;
    bench.policy(session, PCR, "0000 00000001 000b 03 010000").unwrap();
    // Another PCR changes: what was checked before is not to be trusted any more.
    let extend = with_passwords(0x182, &[9], &[b""], &hex(&format!("00000001 000b {}", "11".repeat(32))));
    assert_eq!(bench.run(&extend).0, 0);
    assert_eq!(bench.policy(session, PCR, "0000 00000001 000b 03 010000"), Err(0x128));
    bench.policy(session, 0x180, "").unwrap();
    bench.policy(session, PCR, "0000 00000001 000b 03 010000").unwrap();
}

#[test]
fn conditions_on_capabilities_are_checked() {
    const CAPABILITY: u32 = 0x19B;
    // Operand, offset, operation, capability, property.
    for (params, expected) in [
        // RSA is asymmetric and an object.
        ("0006 000100000009 0000 0000 00000000 00000001", 0),
        ("0006 000100000008 0000 0000 00000000 00000001", 0x126),
        ("0004 00000009 0002 0000 00000000 00000001", 0),
        ("0007 00010000000900 0000 0000 00000000 00000001", 0x8D),
        ("0000 0007 0000 00000000 00000001", 0x2C4),
        // An algorithm that there is not has no property.
        ("0001 00 0000 0000 00000000 000000ff", 0x8D),
        ("0004 40000001 0000 0000 00000001 40000001", 0),
        ("0004 81000001 0000 0000 00000001 81000001", 0x8D),
        ("0004 00400144 0000 0000 00000002 00000144", 0),
        ("0004 00000140 0000 0000 00000004 00000140", 0),
        ("0008 00000100 322e3000 0000 0000 00000006 00000100", 0),
        ("0002 0003 0000 0000 00000008 00000003", 0),
        ("0004 00000100 0000 0000 00000006 00000101", 0x126),
    ] {
        let [policy, trial] = run(&[(CAPABILITY, params)]);
        assert_eq!((policy.0, trial.0), (expected, 0), "{params}");
    }
    assert_eq!(code(&[(CAPABILITY, "0000 0000 0000 000000ff 00000001")]), 0x4C4);
}

#[test]
fn a_secure_channel_is_asked_for_once() {
    const SPDM: u32 = 0x1A1;
    let name = format!("0022 000b {}", "11".repeat(32));
    assert_eq!(code(&[(SPDM, &format!("{name} {name}"))]), 0);
    assert_eq!(code(&[(SPDM, "0000 0000"), (SPDM, "0000 0000")]), 0x84);
    assert_eq!(code(&[(SPDM, "0003 000b11 0000")]), 0x1D5);
    assert_eq!(code(&[(SPDM, "0000 0003 777711")]), 0x2C3);
}
