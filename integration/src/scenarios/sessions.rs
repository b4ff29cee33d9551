//! Sessions and authorization (Part 3, 11; Part 1, 19 to 21).

use anyhow::Result;

use super::{child, external, flush, primary, startup, storage};
use crate::build::{self, Auth, Call, Patch, Public};
use crate::client::Tpm;
use crate::codes::{alg, cap, curve, na, oa, rh, sa};
use crate::keys::Key;
use crate::session::{Cipher, Options};

const KEEP: u8 = sa::CONTINUE;
const INDEX: u32 = 0x0100_0010;

pub(super) fn starting(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let start = |nonce: &[u8], kind, symmetric: &[u8], hash| {
        build::start_auth_session(rh::NULL, rh::NULL, nonce, &[], kind, symmetric, hash)
    };
    tpm.step("kinds and hashes");
    for kind in 0..5 {
        for hash in [alg::SHA1, alg::SHA256, alg::SHA384, alg::SHA512, alg::NULL, alg::AES] {
            let answer = tpm.run(start(&[1; 16], kind, &build::null(), hash))?;
            if answer.rc == 0 {
                flush(tpm, &[answer.handle])?;
            }
        }
    }
    tpm.step("nonces");
    for size in [0, 15, 16, 20, 32, 33, 64, 65] {
        let answer = tpm.run(start(&vec![1; size], 0, &build::null(), alg::SHA256))?;
        if answer.rc == 0 {
            flush(tpm, &[answer.handle])?;
        }
    }
    tpm.step("ciphers");
    for numbers in [
        vec![alg::AES, 128, alg::CFB],
        vec![alg::AES, 256, alg::CFB],
        vec![alg::AES, 64, alg::CFB],
        vec![alg::AES, 128, alg::CBC],
        vec![alg::AES, 128, alg::NULL],
        vec![alg::XOR, alg::SHA256],
        vec![alg::XOR, alg::NULL],
        vec![alg::CAMELLIA, 128, alg::CFB],
        vec![alg::TDES, 128, alg::CFB],
        vec![alg::SHA256],
    ] {
        let answer = tpm.run(start(&[1; 16], 0, &build::scheme(&numbers), alg::SHA256))?;
        if answer.rc == 0 {
            flush(tpm, &[answer.handle])?;
        }
    }
    tpm.step("a salt without a key, and keys that are none");
    let salted =
        |key, salt: &[u8]| build::start_auth_session(key, rh::NULL, &[1; 16], salt, 0, &build::null(), alg::SHA256);
    tpm.fails(salted(rh::NULL, &[1; 32]))?;
    tpm.fails(salted(0x8000_0000, &[1; 32]))?;
    tpm.fails(salted(rh::OWNER, &[]))?;
    let signer = tpm.ok(external(&Key::ecdsa([3; 32])?))?.handle;
    tpm.fails(salted(signer, &[1; 32]))?;
    let hmac = tpm.ok(external(&Key::hmac(alg::SHA256, &[7; 32], &[])?))?.handle;
    tpm.fails(salted(hmac, &[1; 32]))?;
    let key = storage(tpm)?;
    tpm.fails(salted(key, &[]))?;
    tpm.fails(salted(key, &[1; 32]))?;
    tpm.fails(salted(key, &build::point(&[1; 32], &[2; 32])))?;
    flush(tpm, &[signer, hmac])?;
    tpm.step("bound to what cannot be bound to");
    let bound = |bind| build::start_auth_session(rh::NULL, bind, &[1; 16], &[], 0, &build::null(), alg::SHA256);
    for entity in [
        rh::OWNER,
        rh::ENDORSEMENT,
        rh::PLATFORM,
        rh::LOCKOUT,
        0,
        16,
        key,
        0x0100_0009,
        0x8100_0009,
        rh::PW,
    ] {
        let answer = tpm.run(bound(entity))?;
        if answer.rc == 0 {
            flush(tpm, &[answer.handle])?;
        }
    }
    tpm.step("a session authorizes nothing here");
    tpm.run(start(&[1; 16], 0, &build::null(), alg::SHA256).pw(&[]))?;
    tpm.fails(start(&[1; 16], 0, &build::null(), alg::SHA256).patch(Patch::Append(vec![0])))?;
    Ok(())
}

pub(super) fn slots(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("until memory is full");
    let mut handles = Vec::new();
    for _ in 0..3 {
        if let (_, Some(handle)) = tpm.try_start(&Options::hmac())? {
            handles.push(handle);
        }
    }
    tpm.step("saved ones make room");
    for _ in 0..70 {
        let Some(handle) = handles.pop() else { break };
        tpm.run(build::context_save(handle))?;
        if let (_, Some(handle)) = tpm.try_start(&Options::policy())? {
            handles.push(handle);
        }
    }
    tpm.ok(build::get_capability(cap::HANDLES, 0x0200_0000, 100))?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x0300_0000, 100))?;
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 22))?;
    for handle in 0x0200_0000..0x0200_0003 {
        tpm.run(build::flush_context(handle))?;
        tpm.run(build::flush_context(handle))?;
    }
    tpm.try_start(&Options::hmac())?;
    tpm.ok(build::get_capability(cap::HANDLES, 0x0200_0000, 100))?;
    Ok(())
}

/// Commands that authorize an NV index in one way or another.
fn write(auth: Auth) -> Call {
    build::nv_write(INDEX, INDEX, b"data", 0).auth(0, auth)
}

fn read(auth: Auth) -> Call {
    build::nv_read(INDEX, INDEX, 4, 0).auth(0, auth)
}

fn define(tpm: &mut Tpm, auth: &[u8], policy: &[u8]) -> Result<()> {
    let attributes = na::AUTHREAD | na::AUTHWRITE | na::POLICYREAD | na::POLICYWRITE | na::NO_DA;
    tpm.ok(build::nv_define_space(
        rh::OWNER,
        auth,
        &build::nv_public(INDEX, alg::SHA256, attributes, policy, 8),
    ))?;
    Ok(())
}

pub(super) fn hmac_authorization(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    define(tpm, b"index", &[])?;
    for hash in [alg::SHA1, alg::SHA256, alg::SHA384, alg::SHA512] {
        tpm.step("unbound");
        let session = tpm.start(&Options::hmac().hash(hash))?;
        tpm.ok(write(Auth::session(session, KEEP, b"index")))?;
        tpm.ok(read(Auth::session(session, KEEP, b"index")))?;
        tpm.fails(read(Auth::session(session, KEEP, b"wrong")))?;
        tpm.ok(read(Auth::session(session, 0, b"index")))?;
        tpm.step("it has ended");
        tpm.fails(read(Auth::session(session, KEEP, b"index")))?;
    }
    tpm.step("salted");
    let key = storage(tpm)?;
    let session = tpm.start(&Options::hmac().salted(key))?;
    tpm.ok(write(Auth::session(session, KEEP, b"index")))?;
    flush(tpm, &[session, key])?;
    tpm.step("salted with RSA");
    let key = tpm
        .ok(external(&Key::rsa(2048, &[alg::OAEP, alg::SHA256], oa::DECRYPT, &[])))?
        .handle;
    let session = tpm.start(&Options::hmac().salted(key))?;
    tpm.ok(write(Auth::session(session, KEEP, b"index")))?;
    flush(tpm, &[session, key])?;
    tpm.step("bound to the entity it authorizes, and to another");
    let session = tpm.start(&Options::hmac().bound(INDEX, b"index"))?;
    let bound = |attributes| Auth::bound(session, attributes, b"index");
    tpm.ok(read(bound(KEEP)))?;
    tpm.fails(read(Auth::session(session, KEEP, b"index")))?;
    tpm.step("writing changes the name, and with it the binding");
    tpm.ok(write(bound(KEEP)))?;
    tpm.run(read(bound(KEEP)))?;
    tpm.run(build::clear_control(rh::LOCKOUT, 0).session(session, KEEP, &[]))?;
    let session = tpm.start(&Options::hmac().bound(rh::OWNER, &[]))?;
    tpm.ok(read(Auth::session(session, KEEP, b"index")))?;
    Ok(())
}

pub(super) fn passwords(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    define(tpm, b"index", &[])?;
    tpm.step("passwords");
    tpm.ok(write(Auth::password(b"index")))?;
    tpm.ok(read(Auth::password(b"index")))?;
    tpm.fails(read(Auth::password(b"wrong")))?;
    tpm.fails(read(Auth::password(b"")))?;
    tpm.run(read(Auth::password(b"index\0\0")))?;
    tpm.step("a password session's other fields");
    let raw = |nonce: &[u8], attributes: u8| {
        let out = crate::wire::Out::new()
            .u32(rh::PW)
            .b2(nonce)
            .u8(attributes)
            .b2(b"index");
        Auth::Raw(out.0)
    };
    for attributes in [0u8, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x81, 0xFF] {
        tpm.run(read(raw(&[], attributes)))?;
    }
    tpm.run(read(raw(&[1; 16], 0)))?;
    tpm.step("malformed areas");
    tpm.fails(read(Auth::Raw(vec![])))?;
    tpm.fails(read(Auth::Raw(vec![0x40])))?;
    tpm.fails(read(Auth::Raw(rh::PW.to_be_bytes().to_vec())))?;
    tpm.fails(read(Auth::Raw([&raw_bytes()[..], &[0]].concat())))?;
    tpm.fails(read(Auth::password(b"index")).bare())?;
    tpm.step("too many");
    for count in 2..5 {
        let mut call = read(Auth::password(b"index"));
        call.auths = vec![Auth::password(b"index"); count];
        tpm.run(call)?;
    }
    tpm.step("handles of other kinds in the session's place");
    for handle in [
        0u32,
        0x0100_0000,
        0x0200_0000,
        0x0300_0000,
        rh::OWNER,
        rh::NULL,
        0x8000_0000,
        0x8100_0000,
    ] {
        tpm.run(read(Auth::session(handle, 0, b"index")))?;
    }
    Ok(())
}

fn raw_bytes() -> Vec<u8> {
    crate::wire::Out::new().u32(rh::PW).u16(0).u8(0).b2(b"index").0
}

pub(super) fn encryption(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    define(tpm, b"index", &[])?;
    let key = storage(tpm)?;
    for cipher in [
        Cipher::Aes(128),
        Cipher::Aes(256),
        Cipher::Xor(alg::SHA256),
        Cipher::Xor(alg::SHA1),
        Cipher::Null,
    ] {
        tpm.step("one session that authorizes and encrypts");
        let session = tpm.start(&Options::hmac().cipher(cipher).salted(key))?;
        tpm.run(write(Auth::session(session, KEEP | sa::DECRYPT, b"index")))?;
        tpm.run(read(Auth::session(session, KEEP | sa::ENCRYPT, b"index")))?;
        tpm.step("both ways");
        tpm.run(build::get_random(8).with(session, KEEP | sa::ENCRYPT))?;
        tpm.run(build::hash(b"message", alg::SHA256, rh::OWNER).with(session, KEEP | sa::DECRYPT | sa::ENCRYPT))?;
        tpm.step("a password and a session that encrypts");
        tpm.run(write(Auth::password(b"index")).with(session, KEEP | sa::DECRYPT))?;
        tpm.run(read(Auth::password(b"index")).with(session, KEEP | sa::ENCRYPT))?;
        tpm.step("one authorizes, another encrypts");
        let other = tpm.start(&Options::hmac())?;
        tpm.run(write(Auth::session(other, KEEP, b"index")).with(session, KEEP | sa::DECRYPT))?;
        tpm.run(read(Auth::session(other, KEEP, b"index")).with(session, KEEP | sa::ENCRYPT))?;
        flush(tpm, &[session, other])?;
        if cipher == Cipher::Null {
            continue;
        }
        tpm.step("two encrypt, one each way");
        let to = tpm.start(&Options::hmac().cipher(cipher))?;
        let from = tpm.start(&Options::hmac().cipher(cipher).hash(alg::SHA1))?;
        let call = build::hash(b"message", alg::SHA256, rh::OWNER);
        tpm.ok(call.clone().with(to, KEEP | sa::DECRYPT).with(from, KEEP | sa::ENCRYPT))?;
        tpm.ok(call.clone().with(from, KEEP | sa::ENCRYPT).with(to, KEEP | sa::DECRYPT))?;
        tpm.step("two for the same direction");
        tpm.fails(call.clone().with(to, KEEP | sa::DECRYPT).with(from, KEEP | sa::DECRYPT))?;
        tpm.fails(call.clone().with(to, KEEP | sa::ENCRYPT).with(from, KEEP | sa::ENCRYPT))?;
        tpm.fails(call.clone().with(to, KEEP).with(from, KEEP | sa::ENCRYPT))?;
        tpm.fails(call.clone().with(to, KEEP | sa::ENCRYPT).with(to, KEEP | sa::DECRYPT))?;
        tpm.step("commands without a parameter that can be encrypted");
        tpm.fails(build::self_test(1).with(to, KEEP | sa::DECRYPT))?;
        tpm.fails(build::self_test(1).with(to, KEEP | sa::ENCRYPT))?;
        tpm.fails(build::read_clock().with(to, KEEP | sa::ENCRYPT))?;
        tpm.fails(build::get_capability(cap::ALGS, 0, 1).with(to, KEEP | sa::DECRYPT))?;
        tpm.fails(build::flush_context(key).with(to, KEEP))?;
        flush(tpm, &[to, from])?;
    }
    tpm.step("a bound session encrypts with the authValue, too");
    let session = tpm.start(&Options::hmac().cipher(Cipher::Aes(128)).bound(INDEX, b"index"))?;
    tpm.ok(read(Auth::bound(session, KEEP | sa::ENCRYPT, b"index")))?;
    Ok(())
}

pub(super) fn audit(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let session = tpm.start(&Options::hmac())?;
    let other = tpm.start(&Options::hmac())?;
    let key = tpm.ok(external(&Key::ecdsa([3; 32])?))?.handle;
    let digest = |session| build::get_session_audit_digest(rh::ENDORSEMENT, key, session, b"nonce", &build::null());
    tpm.step("before the first audit");
    tpm.fails(digest(session))?;
    tpm.step("auditing");
    tpm.ok(build::get_random(8).with(session, KEEP | sa::AUDIT))?;
    tpm.ok(digest(session))?;
    tpm.run(build::get_random(8).with(session, KEEP | sa::AUDIT | sa::AUDIT_EXCLUSIVE))?;
    tpm.step("another command ends its exclusiveness");
    tpm.ok(build::get_random(8))?;
    tpm.fails(build::get_random(8).with(session, KEEP | sa::AUDIT | sa::AUDIT_EXCLUSIVE))?;
    tpm.ok(build::get_random(8).with(session, KEEP | sa::AUDIT))?;
    tpm.step("reset");
    tpm.ok(build::get_random(8).with(session, KEEP | sa::AUDIT | sa::AUDIT_RESET))?;
    tpm.ok(digest(session))?;
    tpm.step("two audit");
    tpm.fails(
        build::get_random(8)
            .with(session, KEEP | sa::AUDIT)
            .with(other, KEEP | sa::AUDIT),
    )?;
    tpm.step("attributes that need audit");
    tpm.run(build::get_random(8).with(other, KEEP | sa::AUDIT_EXCLUSIVE))?;
    tpm.run(build::get_random(8).with(other, KEEP | sa::AUDIT_RESET))?;
    for reserved in [8u8, 0x10] {
        tpm.run(build::get_random(8).with(other, KEEP | sa::AUDIT | reserved))?;
    }
    tpm.step("a policy session cannot audit");
    let policy = tpm.start(&Options::policy())?;
    tpm.run(build::get_random(8).with(policy, KEEP | sa::AUDIT))?;
    tpm.run(build::get_random(8).with(policy, KEEP))?;
    tpm.step("a session that does nothing");
    tpm.run(build::get_random(8).with(other, KEEP))?;
    tpm.run(build::get_random(8).pw(&[]))?;
    tpm.fails(digest(policy))?;
    tpm.fails(digest(0x0200_0009))?;
    tpm.step("a bound session that audits is bound no longer");
    flush(tpm, &[session, other, policy])?;
    define(tpm, b"index", &[])?;
    let bound = tpm.start(&Options::hmac().bound(INDEX, b"index"))?;
    tpm.run(read(Auth::session(bound, KEEP | sa::AUDIT, b"index")))?;
    tpm.run(read(Auth::session(bound, KEEP, b"index")))?;
    Ok(())
}

pub(super) fn roles(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let parent = storage(tpm)?;
    tpm.step("an object that wants a policy for everything");
    let strict = Public::sealed().unset(oa::USER_WITH_AUTH).policy(&[7; 32]);
    let sealed = child(tpm, parent, b"auth", b"data", &strict)?;
    tpm.fails(build::unseal(sealed).pw(b"auth"))?;
    let session = tpm.start(&Options::hmac())?;
    tpm.fails(build::unseal(sealed).session(session, KEEP, b"auth"))?;
    let policy = tpm.start(&Options::policy())?;
    tpm.fails(build::unseal(sealed).session(policy, KEEP, b"auth"))?;
    flush(tpm, &[sealed])?;
    tpm.step("the admin role");
    for attributes in [0, oa::ADMIN_WITH_POLICY] {
        let key = child(
            tpm,
            parent,
            b"auth",
            &[],
            &Public::ecc(curve::P256, &[alg::NULL], oa::SIGN).set(attributes),
        )?;
        let certify = |auth: Auth| build::certify(key, rh::NULL, b"nonce", &build::null()).auth(0, auth);
        let change = |auth: Auth| build::object_change_auth(key, parent, b"new").auth(0, auth);
        for call in [certify(Auth::password(b"auth")), change(Auth::password(b"auth"))] {
            tpm.run(call)?;
        }
        tpm.run(certify(Auth::session(session, KEEP, b"auth")))?;
        tpm.run(change(Auth::session(policy, KEEP, b"auth")))?;
        flush(tpm, &[key])?;
    }
    tpm.step("dictionary-attack protection");
    let guarded = child(tpm, parent, b"auth", b"data", &Public::sealed())?;
    for _ in 0..5 {
        tpm.fails(build::unseal(guarded).pw(b"wrong"))?;
        tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x20E, 1))?;
    }
    tpm.fails(build::unseal(guarded).pw(b"auth"))?;
    tpm.ok(build::dictionary_attack_lock_reset(rh::LOCKOUT))?;
    tpm.ok(build::unseal(guarded).pw(b"auth"))?;
    tpm.step("a trial session authorizes nothing");
    let trial = tpm.start(&Options::trial())?;
    tpm.fails(build::unseal(guarded).session(trial, KEEP, b"auth"))?;
    tpm.step("a primary key's parent in the endorsement hierarchy is authorized the same way");
    tpm.fails(primary(rh::ENDORSEMENT, &[], &[], &Public::ecc_parent()).pw(b"wrong"))?;
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x20E, 1))?;
    Ok(())
}
