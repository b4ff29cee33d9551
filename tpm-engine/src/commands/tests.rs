//! What holds for every command of the table: its attributes, and that whatever is done to its bytes is answered with
//! a code that the specification has.

use super::{COMMANDS, CommandInfo, Flag, Role};
use crate::handle::HandleKind;
use crate::profile::ProfileName;
use crate::rc::Rc;
use crate::testing::{Bench, hex, plain, with_passwords};

/// TPMA_CC of every command as libtpms 0.9.2 reports them (TPM2_GetCapability of TPM_CAP_COMMANDS).
const LIBTPMS: &[u32] = &[
    0x0440_011F,
    0x0440_0120,
    0x02C0_0121,
    0x0440_0122,
    0x02C0_0124,
    0x02C0_0125,
    0x02C0_0126,
    0x0240_0127,
    0x0240_0128,
    0x0240_0129,
    0x0240_012A,
    0x0240_012B,
    0x0240_012C,
    0x0240_012D,
    0x0240_012E,
    0x0200_0130,
    0x1200_0131,
    0x0240_0132,
    0x0440_0133,
    0x0440_0134,
    0x0440_0135,
    0x0440_0136,
    0x0440_0137,
    0x0440_0138,
    0x0240_0139,
    0x0240_013A,
    0x0240_013B,
    0x0240_013C,
    0x0240_013D,
    0x0300_013E,
    0x0240_013F,
    0x0240_0140,
    0x0040_0142,
    0x0040_0143,
    0x0040_0144,
    0x0040_0145,
    0x0040_0146,
    0x0400_0147,
    0x0400_0148,
    0x0600_0149,
    0x0400_014A,
    0x0400_014B,
    0x0400_014C,
    0x0600_014D,
    0x0400_014E,
    0x0440_014F,
    0x0400_0150,
    0x0400_0151,
    0x0400_0152,
    0x0200_0153,
    0x0200_0154,
    0x0200_0155,
    0x0200_0156,
    0x1200_0157,
    0x0200_0158,
    0x0200_0159,
    0x1200_015B,
    0x0200_015C,
    0x0200_015D,
    0x0200_015E,
    0x0400_0160,
    0x1000_0161,
    0x0200_0162,
    0x0200_0163,
    0x0200_0164,
    0x0000_0165,
    0x1000_0167,
    0x0200_0168,
    0x0200_0169,
    0x0200_016A,
    0x0200_016B,
    0x0200_016C,
    0x0200_016D,
    0x0200_016E,
    0x0200_016F,
    0x0200_0170,
    0x0200_0171,
    0x0200_0172,
    0x0200_0173,
    0x0200_0174,
    0x1400_0176,
    0x0200_0177,
    0x0000_0178,
    0x0000_017A,
    0x0000_017B,
    0x0000_017C,
    0x0000_017D,
    0x0000_017E,
    0x0200_017F,
    0x0200_0180,
    0x0000_0181,
    0x0240_0182,
    0x0200_0183,
    0x0600_0184,
    0x0540_0185,
    0x1000_0186,
    0x0200_0187,
    0x0200_0188,
    0x0200_0189,
    0x0000_018A,
    0x0200_018B,
    0x0200_018C,
    0x0200_018D,
    0x0000_018E,
    0x0200_018F,
    0x0200_0190,
    0x1200_0191,
    0x0600_0192,
    0x0200_0193,
    0x0400_0197,
];

#[test]
fn as_many_commands_are_reported_as_there_are() {
    for name in ProfileName::ALL {
        let profile = name.newest();
        assert_eq!(super::number(profile), super::of_profile(profile).count(), "{name}");
    }
}

#[test]
fn attributes_agree_with_another_implementation() {
    for info in COMMANDS {
        match LIBTPMS.iter().find(|attributes| **attributes & 0xFFFF == info.code) {
            Some(expected) => assert_eq!(info.attributes(), *expected, "{} ({:#x})", info.name, info.code),
            None => assert!(
                info.code >= 0x194,
                "{} ({:#x}) is older than libtpms",
                info.name,
                info.code
            ),
        }
    }
}

#[test]
fn every_command_of_another_implementation_is_there() {
    for attributes in LIBTPMS {
        let code = attributes & 0xFFFF;
        assert!(COMMANDS.iter().any(|info| info.code == code), "{code:#x}");
    }
    // Those of the library up to 1.84 but for field upgrades, and PolicyCapability and PolicyParameters.
    assert_eq!(COMMANDS.len(), 123);
}

#[test]
fn handles_that_are_authorized_come_first() {
    for info in COMMANDS {
        let roles: Vec<Option<Role>> = info.handles.iter().map(|handle| handle.role).collect();
        assert!(roles.iter().is_sorted_by_key(|role| role.is_none()), "{}", info.name);
    }
}

/// The template of an ECC key that signs, with its size.
const ECC_KEY: &str = "0018 0023 000b 00040060 0000 0010 0018 000b 0003 0010 0000 0000";
/// A template, the base of a key that HMACs, and data that is sealed.
const HMAC_KEY: &str = "0010 0008 000b 00040060 0000 0005 000b 0000";
const NV_PUBLIC: &str = "000e 01000002 000b 02040004 0000 0008";
const DIGEST: &str = "0020 0000000000000000000000000000000000000000000000000000000000000000";
const SIGNATURE: &str = "0018 000b 0001 01 0001 01";

/// Parameters for each command: where it can be, such that the command succeeds. `None` for a command that is not in
/// the list yet.
fn listed_params(code: u32) -> Option<Vec<u8>> {
    let creation = |template: &str| format!("0004 0000 0000 {template} 0000 00000000");
    let text = match code {
        0x120 => "81000001".to_owned(),
        0x121 => "4000000b 01".to_owned(),
        0x127 | 0x143 | 0x18F => "00".to_owned(),
        0x128 => "0000100000000000".to_owned(),
        0x129 | 0x13B | 0x150 | 0x17B => "0000".to_owned(),
        0x12A => format!("0000 {NV_PUBLIC}"),
        0x12B | 0x142 | 0x13F => "00000000".to_owned(),
        0x12C => "0000 0010 00000014".to_owned(),
        0x12D => "00000000 00000000".to_owned(),
        0x12E | 0x133 | 0x148 | 0x14B | 0x14C | 0x14D => "0000 0010".to_owned(),
        0x130 | 0x16F => "01".to_owned(),
        0x131 | 0x153 => creation(ECC_KEY),
        0x191 => format!("0004 0000 0000 {HMAC_KEY}"),
        0x135 => "0000000000000001".to_owned(),
        0x136 | 0x146 => "0004 01020304".to_owned(),
        0x137 => "0004 01020304 0000".to_owned(),
        0x13A => "00000003 000003e8 000003e8".to_owned(),
        0x13C | 0x15C | 0x185 => "0003 616263".to_owned(),
        0x13E => "0003 616263 40000001".to_owned(),
        0x140 => "0010 00000000 00000000".to_owned(),
        0x144 | 0x145 => "0000".to_owned(),
        0x147 => "0004 00000000 0004 00000000".to_owned(),
        0x149 => "0004 00000000 0000 0000".to_owned(),
        0x14A => format!("0000 {DIGEST} 0010 8021 40000007 0000"),
        0x14E => "0004 0000".to_owned(),
        0x151 => "0000 0000 0000 00000000".to_owned(),
        0x152 => format!("0004 00000000 {DIGEST} 0000"),
        0x154 => "0006 0001 01 0001 01".to_owned(),
        0x155 => "0003 616263 000b".to_owned(),
        0x156 => format!("0000 {ECC_KEY} 0004 00000000 0000 0010"),
        0x157 => format!("0004 00000000 {ECC_KEY}"),
        0x158 => "0000 0010 00000001 000b 03 010000".to_owned(),
        0x159 | 0x174 => "0000 0010 0000".to_owned(),
        0x15B => "0000 000b".to_owned(),
        0x15D => format!("{DIGEST} 0010 8024 40000007 0000"),
        0x160 => format!("0000 0000 0000 00000000 {SIGNATURE}"),
        0x161 => "0000000000000001 80000000 40000007 0004 00000000".to_owned(),
        0x164 => "00 0043 0000 0000".to_owned(),
        0x165 => "80000000".to_owned(),
        0x167 => "0000 0010 0008 000b 00000040 0000 0010 0000 0000 40000007".to_owned(),
        0x168 => format!("0004 00000000 {DIGEST}"),
        0x16A => format!("{DIGEST} 0000 {DIGEST} 8022 40000007 0000"),
        0x16C => "00000182".to_owned(),
        0x16D => "0000 0000 0000".to_owned(),
        0x16E | 0x170 | 0x190 | 0x19C => DIGEST.to_owned(),
        0x171 => format!("00000002 {DIGEST} {DIGEST}"),
        0x172 => "0000 0000 0000 0000 8023 40000007 0000".to_owned(),
        0x176 => "0010 00000000000000000000000000000000 0000 00 0010 000b".to_owned(),
        0x177 => format!("{DIGEST} {SIGNATURE}"),
        0x178 | 0x18E => "0003".to_owned(),
        0x17A => "00000006 00000100 00000001".to_owned(),
        0x17D => "0003 616263 000b 40000001".to_owned(),
        0x17E => "00000001 000b 03 010000".to_owned(),
        0x17F => "0000 00000001 000b 03 010000".to_owned(),
        0x182 => "00000000".to_owned(),
        0x183 => "0000".to_owned(),
        0x184 => "0000 0010 0004 0000".to_owned(),
        0x186 => "0000 000b".to_owned(),
        0x188 => format!("{DIGEST} {DIGEST} 00"),
        0x18A => "0008 0005 000b".to_owned(),
        0x18B => "0006 0001 01 0001 01 0000 0000".to_owned(),
        0x18D => "0006 0001 01 0001 01 0006 0001 01 0001 01 0019 0001".to_owned(),
        0x193 => "0000 00 0043 0000".to_owned(),
        0x194 | 0x197 => "0000 0010 0002 3000".to_owned(),
        0x195 => "0000".to_owned(),
        0x196 => "0000 0000 0000 00".to_owned(),
        0x198 | 0x1A1 => "00000000".to_owned(),
        0x199 => "0003 616263 0021 000b".to_owned(),
        0x19A => format!("0006 0001 01 0001 01 0003 616263 {DIGEST} 0021 000b"),
        0x19B => "0000 0000 0000 00000006 00000100".to_owned(),
        0x19D => "0000 0010 01 000e 01000002 000b 02040004 0000 0008".to_owned(),
        0x19F => "0000".to_owned(),
        0x1A0 => "00".to_owned(),
        0x11F | 0x122 | 0x124..=0x126 | 0x132 | 0x134 | 0x138 | 0x139 | 0x13D | 0x14F | 0x15E => String::new(),
        0x162 | 0x163 | 0x169 | 0x16B | 0x173 | 0x17C | 0x180 | 0x181 | 0x187 | 0x189 | 0x18C | 0x192 | 0x19E => {
            String::new()
        }
        _ => return None,
    };
    Some(hex(&text))
}

fn params(code: u32) -> Vec<u8> {
    listed_params(code).unwrap_or_default()
}

/// What the handles of the samples name.
mod there {
    pub(super) const KEY: u32 = 0x8000_0000;
    pub(super) const SEQUENCE: u32 = 0x8000_0001;
    pub(super) const EVENT: u32 = 0x8000_0002;
    pub(super) const INDEX: u32 = 0x0100_0001;
}

/// A TPM in which there is something of every kind.
fn bench() -> Bench {
    let mut tpm = Bench::made(ProfileName::Compat);
    tpm.run_ok("8001 0000000c 00000144 0000");
    let creation = hex(&format!("0004 0000 0000 {HMAC_KEY} 0000 00000000"));
    for (code, handles, params) in [
        (0x131, Some(0x4000_0007), creation),
        (0x186, None, hex("0000 000b")),
        (0x186, None, hex("0000 0010")),
        (
            0x12A,
            Some(0x4000_0001),
            hex("0000 000e 01000001 000b 02040004 0000 0008"),
        ),
        (0x137, None, Vec::new()),
    ] {
        let command = match (code, handles) {
            (0x137, _) => with_passwords(
                0x137,
                &[there::INDEX, there::INDEX],
                &[b""],
                &hex("0008 0000000000000000 0000"),
            ),
            (_, Some(handle)) => with_passwords(code, &[handle], &[b""], &params),
            (_, None) => plain(code, &params),
        };
        let (answer, _) = tpm.run(&command);
        assert_eq!(answer, 0, "preparing with {code:#x}");
    }
    tpm
}

fn handle(info: &CommandInfo, number: usize, kind: HandleKind) -> u32 {
    match (info.code, number) {
        (0x13E | 0x15C, 0) => there::SEQUENCE,
        (0x185, 1) => there::EVENT,
        _ => match kind {
            HandleKind::Object | HandleKind::ObjectOrNull | HandleKind::Context => there::KEY,
            HandleKind::Pcr | HandleKind::PcrOrNull => 16,
            HandleKind::HmacSession => 0x0200_0000,
            HandleKind::PolicySession => 0x0300_0000,
            HandleKind::NvAuth | HandleKind::NvIndex => there::INDEX,
            HandleKind::Platform | HandleKind::Clear => 0x4000_000C,
            HandleKind::Endorsement => 0x4000_000B,
            HandleKind::Lockout => 0x4000_000A,
            _ => 0x4000_0001,
        },
    }
}

fn handles(info: &CommandInfo) -> Vec<u32> {
    let specs = info.handles.iter().enumerate();
    specs.map(|(number, spec)| handle(info, number, spec.kind)).collect()
}

/// A command with as many password sessions as it has handles to authorize.
fn sample(info: &CommandInfo, params: &[u8]) -> Vec<u8> {
    with_sessions(info, &handles(info), info.auth_handles(), params)
}

fn with_sessions(info: &CommandInfo, handles: &[u32], sessions: usize, params: &[u8]) -> Vec<u8> {
    if sessions == 0 {
        let mut body: Vec<u8> = handles.iter().flat_map(|handle| handle.to_be_bytes()).collect();
        body.extend_from_slice(params);
        return plain(info.code, &body);
    }
    with_passwords(info.code, handles, &vec![b"".as_slice(); sessions], params)
}

/// Runs the command, in a TPM of its own if it succeeded last time, and checks that its answer is one of the
/// specification's. Returns the code.
fn answer(tpm: &mut Bench, info: &CommandInfo, what: &str, command: &[u8]) -> u32 {
    let (code, response) = tpm.run(command);
    if code == 0 {
        *tpm = bench();
        return 0;
    }
    assert_eq!(response.len(), 10, "{}, {what}: an error has no parameters", info.name);
    let name = format!("{:?}", Rc::from_code(code).expect("not zero"));
    // TPM_RC_REFERENCE_H0 … H6 and S0 … S6 are numbered from codes that have a name.
    let reference = matches!(code, 0x910..=0x916 | 0x918..=0x91E);
    assert!(reference || !name.contains("TPM_RC_?"), "{}, {what}: {name}", info.name);
    assert_ne!(code, Rc::FAILURE.get(), "{}, {what}: an internal fault", info.name);
    if code & 0x080 != 0 {
        let number = (code >> 8) & 0xF;
        let most = match (code & 0x040, number & 8) {
            (0x040, _) => 15,
            (_, 0) => info.handles.len() as u32,
            // A session of a number that a command can have, or the one that is too many.
            _ => 8 + 4,
        };
        assert!(number <= most, "{}, {what}: {name} of number {number}", info.name);
    }
    code
}

/// Commands whose samples take long are cut and changed with parameters that are wrong at once.
fn commands() -> impl Iterator<Item = &'static CommandInfo> {
    COMMANDS.iter().filter(|info| !info.has(Flag::BeforeStartup))
}

#[test]
fn every_command_has_a_sample() {
    for info in commands() {
        let listed = listed_params(info.code);
        assert!(
            listed.is_some(),
            "say what parameters {} ({:#x}) takes",
            info.name,
            info.code
        );
    }
}

#[test]
fn a_command_cut_short_never_succeeds() {
    let mut tpm = bench();
    for info in commands() {
        let whole = sample(info, &params(info.code));
        let succeeds = tpm.run(&whole).0 == 0;
        tpm = if succeeds { bench() } else { tpm };
        for len in 0..whole.len() {
            let what = format!("cut to {len} of {} bytes", whole.len());
            // The size in the header as it was.
            let code = answer(&mut tpm, info, &what, &whole[..len]);
            assert_eq!(code, Rc::COMMAND_SIZE.get(), "{}, {what}", info.name);
            if len < 10 {
                continue;
            }
            // And as it is.
            let mut cut = whole[..len].to_vec();
            cut[2..6].copy_from_slice(&(len as u32).to_be_bytes());
            let code = answer(&mut tpm, info, &what, &cut);
            assert_ne!(code, 0, "{}, {what}", info.name);
            if succeeds {
                let base = if code & 0x080 != 0 { code & 0x0BF } else { code };
                let allowed = [
                    Rc::INSUFFICIENT.get(),
                    Rc::SIZE.get(),
                    Rc::AUTH_MISSING.get(),
                    Rc::AUTHSIZE.get(),
                ];
                assert!(allowed.contains(&base), "{}, {what}: {code:#x}", info.name);
            }
        }
    }
}

#[test]
fn a_trailing_byte_is_refused() {
    let mut tpm = bench();
    for info in commands() {
        let Some(params) = listed_params(info.code) else {
            continue;
        };
        let succeeds = answer(&mut tpm, info, "as it is", &sample(info, &params)) == 0;
        let longer = sample(info, &[&params[..], &[0]].concat());
        let code = answer(&mut tpm, info, "with a trailing byte", &longer);
        assert_ne!(code, 0, "{}", info.name);
        if succeeds {
            assert_eq!(code, Rc::SIZE.get(), "{}", info.name);
        }
    }
}

#[test]
fn handles_of_every_type_are_answered() {
    const HANDLES: [u32; 21] = [
        0x0000_0000,
        0x0000_0011,
        0x0000_0018,
        there::INDEX,
        0x01FF_FFFF,
        0x0200_0000,
        0x0200_00FF,
        0x0300_0000,
        0x4000_0001,
        0x4000_0007,
        0x4000_0008,
        0x4000_0009,
        0x4000_000A,
        0x4000_000B,
        0x4000_000C,
        0x4000_000D,
        0x4000_0110,
        there::SEQUENCE,
        0x8000_00FF,
        0x8100_0000,
        0x9000_0000,
    ];
    let mut tpm = bench();
    for info in commands() {
        for number in 0..info.handles.len() {
            for other in HANDLES {
                let mut handles = handles(info);
                handles[number] = other;
                let command = with_sessions(info, &handles, info.auth_handles(), &params(info.code));
                let code = answer(&mut tpm, info, &format!("with handle {other:#x}"), &command);
                if !info.handles[number].kind.accepts(crate::handle::Handle(other)) {
                    let value = Rc::VALUE.handle(number as u32 + 1).get();
                    assert_eq!(code, value, "{} with {other:#x} as handle {}", info.name, number + 1);
                }
            }
        }
    }
}

#[test]
fn any_number_of_sessions_is_answered() {
    let mut tpm = bench();
    for info in commands() {
        for sessions in 0..=4 {
            let what = format!("with {sessions} sessions");
            let command = with_sessions(info, &handles(info), sessions, &params(info.code));
            let code = answer(&mut tpm, info, &what, &command);
            if sessions != info.auth_handles() {
                assert_ne!(code, 0, "{}, {what}", info.name);
            }
        }
    }
}

#[test]
fn any_parameters_are_answered() {
    let mut tpm = bench();
    for info in commands() {
        for fill in [0x00, 0x01, 0x80, 0xFF] {
            for len in [0, 1, 2, 7, 64, 200] {
                let what = format!("with {len} bytes of {fill:#x}");
                answer(&mut tpm, info, &what, &sample(info, &vec![fill; len]));
            }
        }
    }
}
