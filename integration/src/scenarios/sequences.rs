//! HMAC, and hash, HMAC and event sequences (Part 3, 15.5, 17).

use anyhow::Result;

use super::{child, external, flush, startup, storage};
use crate::build::{self, Public};
use crate::client::Tpm;
use crate::codes::{alg, curve, oa, rh};
use crate::keys::Key;
use crate::session::Options;

const HASHES: [u16; 4] = [alg::SHA1, alg::SHA256, alg::SHA384, alg::SHA512];

pub(super) fn hmac(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("keys with a scheme");
    for hash in HASHES {
        let key = tpm.ok(external(&Key::hmac(hash, &[7; 40], b"auth")?))?.handle;
        tpm.ok(build::hmac(key, b"message", alg::NULL).pw(b"auth"))?;
        tpm.ok(build::hmac(key, b"message", hash).pw(b"auth"))?;
        tpm.run(build::hmac(key, b"message", alg::SHA1).pw(b"auth"))?;
        tpm.run(build::hmac(key, b"message", alg::AES).pw(b"auth"))?;
        tpm.ok(build::hmac(key, &[], alg::NULL).pw(b"auth"))?;
        tpm.ok(build::hmac(key, &[1; 1024], alg::NULL).pw(b"auth"))?;
        tpm.fails(build::hmac(key, &[1; 1025], alg::NULL).pw(b"auth"))?;
        tpm.fails(build::hmac(key, b"message", alg::NULL).pw(b"wrong"))?;
        let session = tpm.start(&Options::hmac())?;
        tpm.ok(build::hmac(key, b"message", alg::NULL).session(session, 1, b"auth"))?;
        flush(tpm, &[key, session])?;
    }
    tpm.step("a key without a scheme");
    let mut free = Key::hmac(alg::SHA256, &[7; 20], &[])?;
    free.public.parameters = build::null();
    free.public = free.public.set(oa::DECRYPT);
    let key = tpm.ok(external(&free))?.handle;
    tpm.fails(build::hmac(key, b"message", alg::NULL))?;
    for hash in HASHES {
        tpm.ok(build::hmac(key, b"message", hash))?;
    }
    flush(tpm, &[key])?;
    tpm.step("keys that are not for HMAC");
    let parent = storage(tpm)?;
    for (data, public) in [
        (&[][..], Public::ecc(curve::P256, &[alg::NULL], oa::SIGN)),
        (b"sealed", Public::sealed()),
        (&[], Public::symmetric(alg::AES, 128, alg::CFB)),
        (&[], Public::hmac_key(alg::SHA256).set(oa::RESTRICTED)),
    ] {
        let key = child(tpm, parent, &[], data, &public)?;
        tpm.run(build::hmac(key, b"message", alg::SHA256))?;
        tpm.run(build::hmac_start(key, &[], alg::SHA256))?;
        flush(tpm, &[key])?;
    }
    tpm.fails(build::hmac(rh::OWNER, b"message", alg::SHA256))?;
    tpm.fails(build::hmac(0x8000_0002, b"message", alg::SHA256))?;
    Ok(())
}

pub(super) fn sequences(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("hash sequences");
    for hash in HASHES {
        for hierarchy in [rh::NULL, rh::OWNER, rh::PLATFORM, rh::LOCKOUT] {
            let sequence = tpm.ok(build::hash_sequence_start(b"auth", hash))?.handle;
            tpm.ok(build::sequence_update(sequence, b"first").pw(b"auth"))?;
            tpm.ok(build::sequence_update(sequence, &[5; 200]).pw(b"auth"))?;
            tpm.fails(build::sequence_update(sequence, b"more"))?;
            let done = tpm.run(build::sequence_complete(sequence, b"last", hierarchy).pw(b"auth"))?;
            if done.rc != 0 {
                flush(tpm, &[sequence])?;
            }
            tpm.fails(build::sequence_update(sequence, b"more").pw(b"auth"))?;
        }
    }
    tpm.step("nothing at all, and what the TPM could have made");
    for first in [&b""[..], b"\xFFTCG", b"\xFFTC"] {
        let sequence = tpm.ok(build::hash_sequence_start(&[], alg::SHA256))?.handle;
        tpm.ok(build::sequence_update(sequence, first))?;
        tpm.ok(build::sequence_complete(sequence, b"", rh::OWNER))?;
    }
    tpm.step("HMAC sequences");
    let key = tpm.ok(external(&Key::hmac(alg::SHA256, &[7; 64], b"key")?))?.handle;
    for hash in [alg::NULL, alg::SHA256, alg::SHA1] {
        let answer = tpm.run(build::hmac_start(key, b"auth", hash).pw(b"key"))?;
        if answer.rc == 0 {
            tpm.ok(build::sequence_update(answer.handle, b"first").pw(b"auth"))?;
            tpm.ok(build::sequence_complete(answer.handle, b"last", rh::OWNER).pw(b"auth"))?;
        }
    }
    tpm.fails(build::hmac_start(key, b"auth", alg::NULL).pw(b"wrong"))?;
    tpm.step("values out of range");
    tpm.fails(build::hash_sequence_start(b"auth", alg::AES))?;
    tpm.fails(build::hash_sequence_start(&[1; 65], alg::SHA256))?;
    tpm.run(build::hash_sequence_start(&[1; 64], alg::SHA256))?;
    tpm.fails(build::sequence_update(key, b"data").pw(b"key"))?;
    tpm.fails(build::sequence_complete(key, b"data", rh::NULL).pw(b"key"))?;
    tpm.fails(build::sequence_update(rh::OWNER, b"data"))?;
    let sequence = tpm.run(build::hash_sequence_start(&[], alg::SHA256))?.handle;
    tpm.fails(build::sequence_update(sequence, &[1; 1025]))?;
    tpm.ok(build::sequence_update(sequence, &[1; 1024]))?;
    tpm.fails(build::read_public(sequence))?;
    tpm.fails(build::unseal(sequence))?;
    tpm.run(build::certify(sequence, rh::NULL, b"", &build::null()))?;
    tpm.step("by HMAC session");
    let session = tpm.start(&Options::hmac())?;
    tpm.ok(build::sequence_update(sequence, b"data").session(session, 1, &[]))?;
    tpm.ok(build::sequence_complete(sequence, b"data", rh::NULL).session(session, 1, &[]))?;
    Ok(())
}

pub(super) fn events(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("event sequences");
    for pcr in [rh::NULL, 5, 16, 17, 23, 24] {
        let sequence = tpm.ok(build::hash_sequence_start(b"auth", alg::NULL))?.handle;
        tpm.ok(build::sequence_update(sequence, &[5; 300]).pw(b"auth"))?;
        let complete = build::event_sequence_complete(pcr, sequence, b"last");
        tpm.fails(complete.clone())?;
        let done = tpm.run(complete.auth(1, build::Auth::password(b"auth")))?;
        if done.rc != 0 {
            tpm.fails(build::sequence_complete(sequence, b"last", rh::NULL).pw(b"auth"))?;
            flush(tpm, &[sequence])?;
        }
    }
    tpm.ok(build::pcr_read(&build::pcrs(alg::SHA256, &[5, 16, 23])))?;
    tpm.step("a hash sequence is none");
    let sequence = tpm.ok(build::hash_sequence_start(&[], alg::SHA256))?.handle;
    tpm.fails(build::event_sequence_complete(5, sequence, b"last"))?;
    tpm.fails(build::event_sequence_complete(5, 0x8000_0002, b"last"))?;
    tpm.fails(build::event_sequence_complete(rh::OWNER, sequence, b"last"))?;
    Ok(())
}
