//! What reads, writes and locks of NV indices of each type do.

mod starts;

use crate::testing::{Bench, plain, with_passwords};

pub(super) const OWNER: u32 = 0x4000_0001;
const PLATFORM: u32 = 0x4000_000C;
pub(super) const INDEX: u32 = 0x0100_0001;
const AUTHWRITE: u32 = 1 << 2;
const AUTHREAD: u32 = 1 << 18;
/// An index that its own, empty authorization value reads and writes, free of dictionary-attack protection.
pub(super) const PLAIN: u32 = AUTHWRITE | AUTHREAD | NO_DA;
const NO_DA: u32 = 1 << 25;
pub(super) const OWNERWRITE: u32 = 1 << 1;
pub(super) const OWNERREAD: u32 = 1 << 17;
const ORDERLY: u32 = 1 << 26;
const CLEAR_STCLEAR: u32 = 1 << 27;
const WRITEDEFINE: u32 = 1 << 13;
const WRITE_STCLEAR: u32 = 1 << 14;
const READ_STCLEAR: u32 = 1 << 31;
const GLOBALLOCK: u32 = 1 << 15;
const WRITTEN: u32 = 1 << 29;
const WRITELOCKED: u32 = 1 << 11;
const READLOCKED: u32 = 1 << 28;
const PLATFORMCREATE: u32 = 1 << 30;
const COUNTER: u32 = 1 << 4;
const BITS: u32 = 2 << 4;
const EXTEND: u32 = 4 << 4;
const PIN_FAIL: u32 = 8 << 4;
const PIN_PASS: u32 = 9 << 4;

pub(super) fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// TPMS_NV_PUBLIC with SHA-256.
pub(super) fn public(index: u32, attributes: u32, size: u16, policy: &[u8]) -> Vec<u8> {
    [
        &index.to_be_bytes()[..],
        &[0, 0x0B],
        &attributes.to_be_bytes(),
        &sized(policy),
        &size.to_be_bytes(),
    ]
    .concat()
}

fn define_by(tpm: &mut Bench, by: u32, auth: &[u8], public: &[u8]) -> u32 {
    let params = [sized(auth), sized(public)].concat();
    tpm.run(&with_passwords(0x12A, &[by], &[b""], &params)).0
}

pub(super) fn define(tpm: &mut Bench, index: u32, attributes: u32, size: u16) -> u32 {
    define_by(tpm, OWNER, b"", &public(index, attributes, size, b""))
}

fn undefine(tpm: &mut Bench, by: u32, index: u32) -> u32 {
    tpm.run(&with_passwords(0x122, &[by, index], &[b""], &[])).0
}

/// One of the commands that take an authorization handle and an index.
fn act(tpm: &mut Bench, code: u32, by: u32, index: u32, auth: &[u8], params: &[u8]) -> u32 {
    tpm.run(&with_passwords(code, &[by, index], &[auth], params)).0
}

fn write_by(tpm: &mut Bench, by: u32, index: u32, auth: &[u8], data: &[u8], offset: u16) -> u32 {
    let params = [sized(data), offset.to_be_bytes().to_vec()].concat();
    act(tpm, 0x137, by, index, auth, &params)
}

pub(super) fn write(tpm: &mut Bench, index: u32, data: &[u8], offset: u16) -> u32 {
    write_by(tpm, index, index, b"", data, offset)
}

fn read_by(tpm: &mut Bench, by: u32, index: u32, auth: &[u8], size: u16, offset: u16) -> Result<Vec<u8>, u32> {
    let params = [size.to_be_bytes(), offset.to_be_bytes()].concat();
    let (code, response) = tpm.run(&with_passwords(0x14E, &[by, index], &[auth], &params));
    if code == 0 {
        Ok(response[16..16 + usize::from(size)].to_vec())
    } else {
        Err(code)
    }
}

fn read(tpm: &mut Bench, index: u32, size: u16) -> Result<Vec<u8>, u32> {
    read_by(tpm, index, index, b"", size, 0)
}

fn number(tpm: &mut Bench, index: u32) -> u64 {
    u64::from_be_bytes(read(tpm, index, 8).unwrap().try_into().unwrap())
}

fn increment(tpm: &mut Bench, index: u32) -> u32 {
    act(tpm, 0x134, index, index, b"", &[])
}

fn write_lock(tpm: &mut Bench, index: u32) -> u32 {
    act(tpm, 0x138, index, index, b"", &[])
}

fn read_lock(tpm: &mut Bench, index: u32) -> u32 {
    act(tpm, 0x14F, index, index, b"", &[])
}

fn attributes(tpm: &mut Bench, index: u32) -> u32 {
    let (code, response) = tpm.run(&plain(0x169, &index.to_be_bytes()));
    assert_eq!(code, 0);
    u32::from_be_bytes(response[18..22].try_into().unwrap())
}

/// Power goes away and comes back, with TPM2_Shutdown before (if any) and TPM2_Startup after it.
fn cycle(tpm: Bench, shutdown: Option<u8>, startup: u8) -> Bench {
    let mut tpm = tpm;
    if let Some(kind) = shutdown {
        assert_eq!(tpm.run(&plain(0x145, &[0, kind])).0, 0);
    }
    let mut tpm = Bench::on(tpm.memory.clone());
    assert_eq!(tpm.run(&plain(0x144, &[0, startup])).0, 0);
    tpm
}

#[test]
fn definitions_that_make_no_sense_are_refused() {
    let mut tpm = Bench::started();
    for (attributes, size, code) in [
        (PLAIN | COUNTER, 32, 0x2D5),
        (PLAIN | BITS, 7, 0x2D5),
        (PLAIN | EXTEND, 8, 0x2D5),
        (PLAIN | EXTEND, 20, 0x2D5),
        (PLAIN | 3 << 4, 8, 0x2C2),
        (PLAIN | 15 << 4, 8, 0x2C2),
        // PIN indices are never written with their own value; a PIN fail index counts failures itself.
        (PLAIN | PIN_FAIL, 8, 0x2C2),
        (PLAIN | PIN_PASS, 8, 0x2C2),
        (OWNERWRITE | AUTHREAD | PIN_FAIL, 8, 0x2C2),
        (OWNERWRITE | AUTHREAD | PIN_PASS | GLOBALLOCK, 8, 0x2C2),
        (OWNERWRITE | AUTHREAD | PIN_PASS | WRITEDEFINE, 8, 0x2C2),
        (PLAIN | COUNTER | CLEAR_STCLEAR, 8, 0x2C2),
        (PLAIN | WRITTEN, 8, 0x2C2),
        (PLAIN | WRITELOCKED, 8, 0x2C2),
        (PLAIN | READLOCKED, 8, 0x2C2),
        (AUTHWRITE, 8, 0x2C2),
        (AUTHREAD, 8, 0x2C2),
        (PLAIN | CLEAR_STCLEAR | WRITEDEFINE, 8, 0x2C2),
        (PLAIN | PLATFORMCREATE, 8, 0x182),
        (PLAIN | 1 << 10, 8, 0x2C2),
        (PLAIN | 1 << 12, 1025, 0x2D5),
        (PLAIN, 2049, 0x2D5),
        (PLAIN | 1 << 8, 8, 0x2E1),
        (PLAIN | 1 << 20, 8, 0x2E1),
    ] {
        assert_eq!(
            define(&mut tpm, INDEX, attributes, size),
            code,
            "{attributes:#x} {size}"
        );
    }
    assert_eq!(define_by(&mut tpm, PLATFORM, b"", &public(INDEX, PLAIN, 8, b"")), 0x182);
    assert_eq!(
        define_by(&mut tpm, OWNER, &[1; 33], &public(INDEX, PLAIN, 8, b"")),
        0x1D5
    );
    assert_eq!(
        define_by(&mut tpm, OWNER, b"", &public(INDEX, PLAIN, 8, &[1; 31])),
        0x2D5
    );
    assert_eq!(define(&mut tpm, 0x0200_0001, PLAIN, 8), 0x2C4);
    let wrong_hash = [
        &INDEX.to_be_bytes()[..],
        &[0, 0x10],
        &PLAIN.to_be_bytes(),
        &[0, 0, 0, 8],
    ]
    .concat();
    assert_eq!(define_by(&mut tpm, OWNER, b"", &wrong_hash), 0x2C3);
    assert_eq!(define_by(&mut tpm, OWNER, b"", &[]), 0x2D5);
    assert_eq!(tpm.run(&with_passwords(0x12A, &[0x4000_000B], &[b""], &[])).0, 0x184);
}

#[test]
fn an_index_is_defined_once_and_removed_by_who_may() {
    let mut tpm = Bench::started();
    assert_eq!(define(&mut tpm, INDEX, PLAIN, 0), 0);
    assert_eq!(define(&mut tpm, INDEX, PLAIN, 8), 0x14C);
    assert_eq!(undefine(&mut tpm, PLATFORM, INDEX), 0);
    assert_eq!(undefine(&mut tpm, OWNER, INDEX), 0x28B);
    let of_platform = public(INDEX, PLAIN | PLATFORMCREATE, 8, b"");
    assert_eq!(define_by(&mut tpm, PLATFORM, b"", &of_platform), 0);
    assert_eq!(undefine(&mut tpm, OWNER, INDEX), 0x149);
    assert_eq!(undefine(&mut tpm, PLATFORM, INDEX), 0);
    let by_policy = public(INDEX, PLAIN | PLATFORMCREATE | 1 << 10, 8, b"");
    assert_eq!(define_by(&mut tpm, PLATFORM, b"", &by_policy), 0);
    assert_eq!(undefine(&mut tpm, PLATFORM, INDEX), 0x282);
    // Only a policy gives the ADMIN role.
    assert_eq!(
        tpm.run(&with_passwords(0x11F, &[INDEX, PLATFORM], &[b"", b""], &[])).0,
        0x124
    );
    assert_eq!(
        tpm.run(&with_passwords(0x13B, &[INDEX], &[b""], &sized(b"new"))).0,
        0x124
    );
}

#[test]
fn the_public_area_and_its_name_change_when_the_index_is_written() {
    let mut tpm = Bench::started();
    define(&mut tpm, INDEX, PLAIN, 16);
    let before = tpm.run(&plain(0x169, &INDEX.to_be_bytes())).1;
    let area = public(INDEX, PLAIN, 16, b"");
    assert_eq!(before[10..12], (area.len() as u16).to_be_bytes());
    assert_eq!(before[12..12 + area.len()], area);
    let digest = crate::crypto::hash::hash(crate::alg::HashAlg::Sha256, &[&area]);
    assert_eq!(before[12 + area.len()..], [&[0, 34, 0, 0x0B][..], &*digest].concat());
    assert_eq!(write(&mut tpm, INDEX, b"abc", 2), 0);
    let after = tpm.run(&plain(0x169, &INDEX.to_be_bytes())).1;
    assert_ne!(before[26..], after[26..]);
    assert_eq!(attributes(&mut tpm, INDEX), PLAIN | WRITTEN);
}

#[test]
fn reads_and_writes_stay_in_the_index() {
    let mut tpm = Bench::started();
    assert_eq!(read(&mut tpm, INDEX, 1), Err(0x18B));
    define(&mut tpm, INDEX, PLAIN, 16);
    assert_eq!(read(&mut tpm, INDEX, 1), Err(0x14A));
    assert_eq!(write(&mut tpm, INDEX, b"abc", 2), 0);
    assert_eq!(read(&mut tpm, INDEX, 7).unwrap(), b"\xFF\xFFabc\xFF\xFF");
    assert_eq!(write(&mut tpm, INDEX, &[0; 17], 0), 0x146);
    assert_eq!(write(&mut tpm, INDEX, b"a", 16), 0x146);
    assert_eq!(write(&mut tpm, INDEX, b"", 16), 0);
    assert_eq!(write(&mut tpm, INDEX, b"", 17), 0x2C4);
    assert_eq!(write(&mut tpm, INDEX, &[0; 1025], 0), 0x1D5);
    assert_eq!(read(&mut tpm, INDEX, 17), Err(0x146));
    assert_eq!(read_by(&mut tpm, INDEX, INDEX, b"", 1, 16), Err(0x146));
    assert_eq!(read_by(&mut tpm, INDEX, INDEX, b"", 0, 16).unwrap(), b"");
    assert_eq!(read_by(&mut tpm, INDEX, INDEX, b"", 0, 17), Err(0x2C4));
    assert_eq!(read(&mut tpm, INDEX, 1025), Err(0x1C4));
}

#[test]
fn an_index_that_is_written_whole_takes_nothing_less() {
    let mut tpm = Bench::started();
    define(&mut tpm, INDEX, PLAIN | 1 << 12, 8);
    assert_eq!(write(&mut tpm, INDEX, &[1; 7], 0), 0x146);
    assert_eq!(write(&mut tpm, INDEX, &[1; 7], 1), 0x146);
    assert_eq!(write(&mut tpm, INDEX, &[1; 8], 0), 0);
}

#[test]
fn attributes_say_who_reads_and_writes() {
    let mut tpm = Bench::started();
    define(&mut tpm, INDEX, PLAIN, 8);
    define(&mut tpm, INDEX + 1, OWNERREAD | OWNERWRITE, 8);
    assert_eq!(write_by(&mut tpm, OWNER, INDEX, b"", b"a", 0), 0x149);
    assert_eq!(read_by(&mut tpm, OWNER, INDEX, b"", 1, 0), Err(0x149));
    assert_eq!(write_by(&mut tpm, INDEX + 1, INDEX, b"", b"a", 0), 0x12F);
    assert_eq!(write_by(&mut tpm, INDEX, INDEX + 1, b"", b"a", 0), 0x149);
    assert_eq!(write(&mut tpm, INDEX + 1, b"a", 0), 0x12F);
    assert_eq!(read(&mut tpm, INDEX + 1, 1), Err(0x12F));
    assert_eq!(write_by(&mut tpm, OWNER, INDEX + 1, b"", b"a", 0), 0);
    assert_eq!(read_by(&mut tpm, OWNER, INDEX + 1, b"", 1, 0).unwrap(), b"a");
    assert_eq!(read_by(&mut tpm, PLATFORM, INDEX + 1, b"", 1, 0), Err(0x149));
    define_by(
        &mut tpm,
        OWNER,
        b"secret\0",
        &public(INDEX + 2, AUTHREAD | AUTHWRITE, 8, b""),
    );
    assert_eq!(write(&mut tpm, INDEX + 2, b"a", 0), 0x98E);
    assert_eq!(write_by(&mut tpm, INDEX + 2, INDEX + 2, b"secret", b"a", 0), 0);
}

#[test]
fn each_type_has_its_own_command_to_write() {
    let mut tpm = Bench::started();
    for (at, kind, size) in [(0, 0, 8), (1, COUNTER, 8), (2, BITS, 8), (3, EXTEND, 32)] {
        let index = INDEX + at;
        assert_eq!(define(&mut tpm, index, PLAIN | kind, size), 0);
        let expected = |own: u32| if own == kind { 0 } else { 0x282 };
        assert_eq!(write(&mut tpm, index, b"a", 0), if kind == 0 { 0 } else { 0x082 });
        assert_eq!(increment(&mut tpm, index), expected(COUNTER));
        assert_eq!(act(&mut tpm, 0x135, index, index, b"", &[0; 8]), expected(BITS));
        assert_eq!(
            act(&mut tpm, 0x136, index, index, b"", &sized(b"abc")),
            expected(EXTEND)
        );
    }
    assert_eq!(number(&mut tpm, INDEX + 1), 1);
    assert_eq!(number(&mut tpm, INDEX + 2), 0);
    act(&mut tpm, 0x135, INDEX + 2, INDEX + 2, b"", &[0x80, 0, 0, 0, 0, 0, 0, 1]);
    act(&mut tpm, 0x135, INDEX + 2, INDEX + 2, b"", &[0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(number(&mut tpm, INDEX + 2), 0x8000_0000_0000_0003);
    // SHA-256 of 32 zeros and "abc", as another implementation computes it.
    assert_eq!(
        read(&mut tpm, INDEX + 3, 32).unwrap(),
        crate::testing::hex("365aa7d8f7f9402c4b9434502b4cc89ddb09fe50d7cd95b493b834c62d5a5370")
    );
}

#[test]
fn a_new_counter_goes_on_from_the_highest_that_was_removed() {
    let mut tpm = Bench::started();
    define(&mut tpm, INDEX, PLAIN | COUNTER, 8);
    define(&mut tpm, INDEX + 1, PLAIN | COUNTER | ORDERLY, 8);
    for _ in 0..5 {
        increment(&mut tpm, INDEX);
        increment(&mut tpm, INDEX + 1);
    }
    // A counter that is still there does not count.
    define(&mut tpm, INDEX + 2, PLAIN | COUNTER, 8);
    increment(&mut tpm, INDEX + 2);
    assert_eq!(number(&mut tpm, INDEX + 2), 1);
    undefine(&mut tpm, OWNER, INDEX + 1);
    let mut tpm = cycle(tpm, None, 0);
    assert_eq!(define(&mut tpm, INDEX + 1, PLAIN | COUNTER, 8), 0);
    increment(&mut tpm, INDEX + 1);
    assert_eq!(number(&mut tpm, INDEX + 1), 6);
}

#[test]
fn locks_hold_and_asking_again_is_no_error() {
    let mut tpm = Bench::started();
    define(&mut tpm, INDEX, PLAIN, 8);
    assert_eq!(write_lock(&mut tpm, INDEX), 0x282);
    assert_eq!(read_lock(&mut tpm, INDEX), 0x282);
    define(&mut tpm, INDEX + 1, PLAIN | WRITE_STCLEAR | READ_STCLEAR, 8);
    assert_eq!(act(&mut tpm, 0x138, OWNER, INDEX + 1, b"", &[]), 0x149);
    assert_eq!(act(&mut tpm, 0x14F, OWNER, INDEX + 1, b"", &[]), 0x149);
    for _ in 0..2 {
        assert_eq!(write_lock(&mut tpm, INDEX + 1), 0);
        assert_eq!(read_lock(&mut tpm, INDEX + 1), 0);
    }
    assert_eq!(write(&mut tpm, INDEX + 1, b"a", 0), 0x148);
    assert_eq!(read(&mut tpm, INDEX + 1, 1), Err(0x148));
    assert_eq!(act(&mut tpm, 0x138, OWNER, INDEX + 1, b"", &[]), 0);
    for (at, attributes) in [(2, GLOBALLOCK), (3, GLOBALLOCK | ORDERLY)] {
        assert_eq!(define(&mut tpm, INDEX + at, PLAIN | attributes, 8), 0);
    }
    assert_eq!(tpm.run(&with_passwords(0x132, &[OWNER], &[b""], &[])).0, 0);
    assert_eq!(write(&mut tpm, INDEX + 2, b"a", 0), 0x148);
    assert_eq!(write(&mut tpm, INDEX + 3, b"a", 0), 0x148);
    assert_eq!(write(&mut tpm, INDEX, b"a", 0), 0);
}

#[test]
fn a_pin_fail_index_counts_failures_in_a_row() {
    let mut tpm = Bench::started();
    let area = public(INDEX, OWNERWRITE | OWNERREAD | AUTHREAD | NO_DA | PIN_FAIL, 8, b"");
    assert_eq!(define_by(&mut tpm, OWNER, b"pin", &area), 0);
    let try_pin = |tpm: &mut Bench, pin: &[u8]| read_by(tpm, INDEX, INDEX, pin, 8, 0);
    let look = |tpm: &mut Bench| read_by(tpm, OWNER, INDEX, b"", 8, 0).unwrap();
    assert_eq!(try_pin(&mut tpm, b"pin"), Err(0x12F));
    assert_eq!(write_by(&mut tpm, OWNER, INDEX, b"", &[0, 0, 0, 0, 0, 0, 0, 3], 0), 0);
    assert_eq!(try_pin(&mut tpm, b"bad"), Err(0x9A2));
    assert_eq!(look(&mut tpm), [0, 0, 0, 1, 0, 0, 0, 3]);
    assert_eq!(try_pin(&mut tpm, b"pin").unwrap(), [0, 0, 0, 0, 0, 0, 0, 3]);
    for _ in 0..2 {
        assert_eq!(try_pin(&mut tpm, b"bad"), Err(0x9A2));
    }
    // The count is durable.
    let mut tpm = cycle(tpm, None, 0);
    assert_eq!(try_pin(&mut tpm, b"bad"), Err(0x9A2));
    assert_eq!(try_pin(&mut tpm, b"pin"), Err(0x12F));
    assert_eq!(look(&mut tpm), [0, 0, 0, 3, 0, 0, 0, 3]);
}

#[test]
fn a_pin_pass_index_counts_successes() {
    let mut tpm = Bench::started();
    let area = public(INDEX, OWNERWRITE | OWNERREAD | NO_DA | PIN_PASS, 8, b"");
    assert_eq!(define_by(&mut tpm, OWNER, b"pin", &area), 0);
    write_by(&mut tpm, OWNER, INDEX, b"", &[0, 0, 0, 0, 0, 0, 0, 2], 0);
    assert_eq!(read_by(&mut tpm, INDEX, INDEX, b"bad", 8, 0), Err(0x9A2));
    assert_eq!(
        read_by(&mut tpm, INDEX, INDEX, b"pin", 8, 0).unwrap(),
        [0, 0, 0, 1, 0, 0, 0, 2]
    );
    // A use counts although the command then fails.
    assert_eq!(act(&mut tpm, 0x14F, INDEX, INDEX, b"pin", &[]), 0x282);
    assert_eq!(read_by(&mut tpm, INDEX, INDEX, b"pin", 8, 0), Err(0x12F));
    assert_eq!(
        read_by(&mut tpm, OWNER, INDEX, b"", 8, 0).unwrap(),
        [0, 0, 0, 2, 0, 0, 0, 2]
    );
}

#[test]
fn orderly_indices_are_not_written_to_nv() {
    let mut tpm = Bench::started();
    define(&mut tpm, INDEX, PLAIN | ORDERLY, 8);
    define(&mut tpm, INDEX + 1, PLAIN | COUNTER | ORDERLY, 8);
    increment(&mut tpm, INDEX + 1);
    let before = tpm.memory.commits.load(std::sync::atomic::Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(write(&mut tpm, INDEX, b"a", 0), 0);
        assert_eq!(increment(&mut tpm, INDEX + 1), 0);
    }
    assert_eq!(tpm.memory.commits.load(std::sync::atomic::Ordering::Relaxed), before);
}

#[test]
fn what_was_never_written_is_all_ones_but_zero_in_ram_and_in_pins() {
    let mut tpm = Bench::started();
    for (attributes, rest) in [(AUTHREAD, 0xFF), (AUTHREAD | ORDERLY, 0), (AUTHREAD | PIN_FAIL, 0)] {
        assert_eq!(
            define(&mut tpm, INDEX, OWNERWRITE | OWNERREAD | NO_DA | attributes, 8),
            0
        );
        assert_eq!(write_by(&mut tpm, OWNER, INDEX, b"", &[1], 1), 0);
        let contents = read_by(&mut tpm, OWNER, INDEX, b"", 8, 0).unwrap();
        assert_eq!(contents, [rest, 1, rest, rest, rest, rest, rest, rest]);
        assert_eq!(undefine(&mut tpm, OWNER, INDEX), 0);
    }
}

#[test]
fn space_is_limited_in_bytes_and_in_number() {
    let mut tpm = Bench::started();
    for at in 0..32 {
        assert_eq!(define(&mut tpm, INDEX + at, PLAIN, 2048), 0);
    }
    assert_eq!(define(&mut tpm, INDEX + 32, PLAIN, 1), 0x14B);
    assert_eq!(define(&mut tpm, INDEX + 32, PLAIN, 0), 0);
    assert_eq!(undefine(&mut tpm, OWNER, INDEX), 0);
    for at in 33..257 {
        assert_eq!(define(&mut tpm, INDEX + at, PLAIN, 1), 0, "{at}");
    }
    assert_eq!(define(&mut tpm, INDEX, PLAIN, 0), 0x14B);
}

#[test]
fn a_failing_store_changes_nothing() {
    let mut tpm = Bench::started();
    define(&mut tpm, INDEX, PLAIN, 8);
    define(&mut tpm, INDEX + 1, PLAIN | COUNTER | ORDERLY, 8);
    write(&mut tpm, INDEX, b"before", 0);
    tpm.memory.broken.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(write(&mut tpm, INDEX, b"after!", 0), 0x923);
    assert_eq!(undefine(&mut tpm, OWNER, INDEX), 0x923);
    assert_eq!(increment(&mut tpm, INDEX + 1), 0x923);
    assert_eq!(define(&mut tpm, INDEX + 2, PLAIN | ORDERLY, 8), 0x923);
    tpm.memory.broken.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(read(&mut tpm, INDEX, 6).unwrap(), b"before");
    assert_eq!(read(&mut tpm, INDEX + 1, 8), Err(0x14A));
    assert_eq!(read(&mut tpm, INDEX + 2, 8), Err(0x18B));
}
