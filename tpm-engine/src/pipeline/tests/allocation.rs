//! Cheap commands do not touch the heap once they are warm, under an allocator that counts.

use allocation_counter::measure;

use super::INDEX;
use crate::testing::keys::{NULL, OWNER, Template, attr, creation, sized};
use crate::testing::{Bench, command, hex, plain, with_passwords};
use crate::tpm::{Locality, ResponseBuffer};

/// Runs a command and tells how often that allocated. It must succeed.
fn count(bench: &mut Bench, command: &[u8], response: &mut ResponseBuffer) -> u64 {
    let counted = measure(|| bench.tpm.execute(Locality::ZERO, command, response));
    assert_eq!(
        response.as_slice()[6..10],
        [0; 4],
        "the response code of {command:02x?}"
    );
    counted.count_total
}

/// As [`count`], of the second of two runs.
fn when_warm(bench: &mut Bench, command: &[u8]) -> u64 {
    let mut response = ResponseBuffer::default();
    count(bench, command, &mut response);
    count(bench, command, &mut response)
}

/// As [`when_warm`] of TPM2_StartAuthSession; each session is flushed before the next starts.
fn session_when_warm(bench: &mut Bench, key: u32, params: &[u8]) -> u64 {
    let start = command(0x8001, 0x176, &[key, NULL], &[], params);
    let mut response = ResponseBuffer::default();
    let mut counted = 0;
    for _ in 0..2 {
        counted = count(bench, &start, &mut response);
        let handle = response.as_slice()[10..14].to_vec();
        assert_eq!(bench.run(&plain(0x165, &handle)).0, 0);
    }
    counted
}

/// An index of 64 bytes that its own, empty authorization value reads and writes.
fn define_index(bench: &mut Bench) {
    let public = [&INDEX.to_be_bytes()[..], &hex("000b 02040004 0000 0040")].concat();
    let define = with_passwords(0x12A, &[OWNER], &[b""], &sized(&[b"", &public]));
    assert_eq!(bench.run(&define).0, 0);
}

#[test]
fn an_allocation_is_counted() {
    let mut bench = Bench::started();
    let create = with_passwords(0x131, &[OWNER], &[b""], &creation(&Template::srk(), b"", b""));
    assert_ne!(when_warm(&mut bench, &create), 0);
}

#[test]
fn cheap_commands_do_not_allocate() {
    let mut bench = Bench::started();
    define_index(&mut bench);
    let write = [sized(&[&[0x5A; 64]]), vec![0, 0]].concat();
    assert_eq!(bench.run(&with_passwords(0x137, &[INDEX, INDEX], &[b""], &write)).0, 0);
    let hash = |size: usize, hierarchy: u32| {
        let params = [
            sized(&[&vec![0x5A; size]]),
            hex("000b"),
            hierarchy.to_be_bytes().to_vec(),
        ];
        plain(0x17D, &params.concat())
    };
    let digests = [hex("00000002 000b"), vec![1; 32], hex("000c"), vec![2; 48]].concat();
    for (what, command) in [
        ("PCR_Read", plain(0x17E, &hex("00000002 000b03ff0000 000c03ff0000"))),
        ("PCR_Extend", with_passwords(0x182, &[7], &[b""], &digests)),
        ("GetRandom", plain(0x17B, &hex("0020"))),
        ("ReadClock", plain(0x181, &[])),
        ("Hash", hash(1024, NULL)),
        ("Hash with a ticket", hash(1024, OWNER)),
        (
            "NV_Read",
            with_passwords(0x14E, &[INDEX, INDEX], &[b""], &hex("0040 0000")),
        ),
    ] {
        assert_eq!(when_warm(&mut bench, &command), 0, "{what}");
    }
}

#[test]
fn capabilities_do_not_allocate() {
    let mut bench = Bench::started();
    define_index(&mut bench);
    bench.primary(OWNER, &Template::srk());
    for (capability, first) in [
        (0u32, 0u32),
        (1, 0),
        (1, INDEX),
        (1, 0x0200_0000),
        (1, 0x0300_0000),
        (1, 0x4000_0000),
        (1, 0x8000_0000),
        (1, 0x8100_0000),
        (2, 0),
        (3, 0),
        (4, 0),
        (5, 0),
        (6, 0x100),
        (6, 0x200),
        (7, 0),
        (8, 0),
        (9, 0x4000_0000),
        (10, 0x4000_0110),
    ] {
        let command = plain(0x17A, &[capability, first, 1000].map(u32::to_be_bytes).concat());
        assert_eq!(
            when_warm(&mut bench, &command),
            0,
            "capability {capability} from {first:#x} on"
        );
    }
}

#[test]
fn objects_and_policies_in_use_do_not_allocate() {
    let mut bench = Bench::started();
    let parent = bench.primary(OWNER, &Template::srk());
    let sealed = bench.child(parent, &Template::keyed_hash(attr::USER | attr::NO_DA), b"", &[7; 128]);
    let mac = Template::keyed_hash(attr::OWN | attr::SIGN).with_parms("0005 000b");
    let mac = bench.primary(OWNER, &mac);
    let start = [sized(&[&[0x77; 16]]), hex("0000 01 0010 000b")].concat();
    let (code, response) = bench.run(&command(0x8001, 0x176, &[NULL, NULL], &[], &start));
    assert_eq!(code, 0);
    let policy = response[10..14].to_vec();
    let buffer = [sized(&[&[0x5A; 1024]]), hex("0010")].concat();
    for (what, command) in [
        ("ReadPublic", plain(0x173, &parent.to_be_bytes())),
        ("Unseal", with_passwords(0x15E, &[sealed], &[b""], &[])),
        ("HMAC", with_passwords(0x155, &[mac], &[b""], &buffer)),
        (
            "PolicyPCR",
            plain(0x17F, &[&policy[..], &hex("0000 00000001 000b030f0000")].concat()),
        ),
        ("PolicyGetDigest", plain(0x189, &policy)),
    ] {
        assert_eq!(when_warm(&mut bench, &command), 0, "{what}");
    }
}

#[test]
fn starting_a_session_does_not_allocate() {
    let mut bench = Bench::started();
    let nonce = sized(&[&[0x77; 32]]);
    // HMAC, policy and trial; without and with encryption of parameters.
    for kind in [0u8, 1, 3] {
        for symmetric in ["0010", "0006 0080 0043"] {
            let params = [&nonce[..], &[0, 0, kind], &hex(symmetric), &hex("000b")].concat();
            assert_eq!(
                session_when_warm(&mut bench, NULL, &params),
                0,
                "type {kind}, {symmetric}"
            );
        }
    }
    // Salted with a point, here the generator: what an RSA key computes with is on the heap.
    let key = bench.primary(OWNER, &Template::ecc(attr::OWN | attr::DECRYPT));
    let generator = crate::crypto::ecc::parameters::of(crate::alg::Curve::P256);
    let salt = sized(&[&sized(&[&generator.gx, &generator.gy])]);
    let params = [nonce, salt, hex("00 0010 000b")].concat();
    assert_eq!(session_when_warm(&mut bench, key, &params), 0, "salted");
}
