//! Signing, encryption, key agreement, symmetric ciphers (Part 3, 14, 15 and 20).

use anyhow::Result;

use super::{external, external_public, flush, known, startup, storage};
use crate::build::{self, Public, null, null_ticket, scheme, signature_ecdsa};
use crate::client::Tpm;
use crate::codes::{alg, curve, oa, rh, st};
use crate::crypto;
use crate::keys::Key;
use crate::wire::In;

const DIGESTS: [(u16, usize); 4] = [(alg::SHA1, 20), (alg::SHA256, 32), (alg::SHA384, 48), (alg::SHA512, 64)];

pub(super) fn signing(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let key = Key::ecdsa([3; 32])?;
    let (x, y) = crypto::p256_public(&[3; 32])?;
    let mut free = key.clone();
    free.public = Public::ecc(curve::P256, &[alg::NULL], oa::SIGN)
        .external()
        .unique(build::point(&x, &y));
    let keys = [
        ("ECDSA", key.clone()),
        ("ECC without a scheme", free),
        ("RSASSA", Key::rsa(2048, &[alg::RSASSA, alg::SHA256], oa::SIGN, &[])),
        ("RSAPSS", Key::rsa(1024, &[alg::RSAPSS, alg::SHA256], oa::SIGN, &[])),
        ("RSA without a scheme", Key::rsa(2048, &[alg::NULL], oa::SIGN, &[])),
        (
            "RSA for both",
            Key::rsa(1024, &[alg::NULL], oa::SIGN | oa::DECRYPT, &[]),
        ),
        ("HMAC", Key::hmac(alg::SHA256, &[7; 32], &[])?),
        ("restricted", key.clone().set(oa::RESTRICTED)),
        ("for X.509 only", key.clone().set(oa::X509_SIGN)),
        (
            "a key to decrypt",
            Key::rsa(2048, &[alg::OAEP, alg::SHA256], oa::DECRYPT, &[]),
        ),
        ("sealed data", Key::sealed(b"data", &[])?),
        ("AES", Key::symmetric(alg::AES, alg::CFB, &[7; 16], &[])?),
        ("a parent", Key::ecc_parent([4; 32], &[5; 32])?),
    ];
    let parent = storage(tpm)?;
    for (what, key) in keys {
        tpm.step(what);
        let handle = known(tpm, parent, &key)?;
        for (_, size) in DIGESTS.iter().copied().chain([(0, 0), (0, 31), (0, 33)]) {
            let digest = vec![0x42; size];
            for given in [
                vec![alg::NULL],
                vec![alg::ECDSA, alg::SHA256],
                vec![alg::ECDSA, alg::SHA384],
                vec![alg::RSASSA, alg::SHA256],
                vec![alg::RSASSA, alg::SHA1],
                vec![alg::RSAPSS, alg::SHA512],
                vec![alg::HMAC, alg::SHA256],
                vec![alg::HMAC, alg::SHA384],
                vec![alg::ECDSA, alg::NULL],
                vec![alg::OAEP, alg::SHA256],
            ] {
                let answer = tpm.run(build::sign(handle, &digest, &scheme(&given), &build::no_hash_check()))?;
                if answer.rc == 0 {
                    let verified = tpm.run(build::verify_signature(handle, &digest, &answer.params))?.rc;
                    tpm.fact(&format!("its own signature: {verified:#x}"));
                }
            }
        }
        tpm.step("with a ticket");
        let hashed = tpm.ok(build::hash(b"message", alg::SHA256, rh::OWNER))?;
        let mut input = hashed.read();
        let (digest, ticket) = (input.b2()?.to_vec(), input.0.to_vec());
        tpm.run(build::sign(handle, &digest, &null(), &ticket))?;
        tpm.run(build::sign(handle, &[1; 32], &null(), &ticket))?;
        tpm.run(build::sign(handle, &digest, &null(), &null_ticket(st::VERIFIED)))?;
        let hashed = tpm.ok(build::hash(b"message", alg::SHA256, rh::NULL))?;
        tpm.run(build::sign(handle, &digest, &null(), &hashed.params[34..]))?;
        tpm.run(build::sign(handle, &digest, &null(), &ticket).pw(b"wrong"))?;
        flush(tpm, &[handle])?;
    }
    Ok(())
}

pub(super) fn verifying(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let digest = crypto::hash(alg::SHA256, &[b"message"])?;
    let (r, s) = crypto::p256_sign(&[3; 32], &digest)?;
    let good = signature_ecdsa(&r, &s);
    let key = Key::ecdsa([3; 32])?;
    for hierarchy in [rh::OWNER, rh::NULL, rh::PLATFORM] {
        tpm.step("a signature made elsewhere");
        let handle = tpm.ok(external_public(&key, hierarchy))?.handle;
        tpm.ok(build::verify_signature(handle, &digest, &good))?;
        tpm.step("damaged");
        for position in 0..good.len() {
            let mut damaged = good.clone();
            damaged[position] ^= 1;
            tpm.run(build::verify_signature(handle, &digest, &damaged))?;
        }
        for size in [0, 20, 31, 33] {
            tpm.run(build::verify_signature(handle, &vec![1; size], &good))?;
        }
        for (r, s) in [
            (&[0; 32][..], &[0; 32][..]),
            (&[0xFF; 32], &s),
            (&r, &[0xFF; 32]),
            (&[], &[]),
            (&r[1..], &s),
        ] {
            tpm.run(build::verify_signature(handle, &digest, &signature_ecdsa(r, s)))?;
        }
        tpm.run(build::verify_signature(
            handle,
            &digest,
            &build::signature_hmac(&[1; 32]),
        ))?;
        tpm.run(build::verify_signature(handle, &digest, &null()))?;
        flush(tpm, &[handle])?;
    }
    tpm.step("RSA");
    let handle = tpm
        .ok(external(&Key::rsa(2048, &[alg::RSASSA, alg::SHA256], oa::SIGN, &[])))?
        .handle;
    let signature = tpm
        .ok(build::sign(handle, &digest, &null(), &build::no_hash_check()))?
        .params;
    tpm.ok(build::verify_signature(handle, &digest, &signature))?;
    for (position, bits) in [(0, 1), (1, 2), (3, 1), (5, 1), (6, 1), (100, 1), (261, 1)] {
        let mut damaged = signature.clone();
        damaged[position] ^= bits;
        tpm.run(build::verify_signature(handle, &digest, &damaged))?;
    }
    tpm.run(build::verify_signature(handle, &[0; 20], &signature))?;
    flush(tpm, &[handle])?;
    tpm.step("a signature of ECDAA, which only who knows the issuer's secrets can tell");
    let mut anonymous = good.clone();
    anonymous[1] = 0x1A;
    for own in [vec![alg::ECDAA, alg::SHA256, 0], vec![alg::ECDSA, alg::SHA256]] {
        let handle = tpm.ok(external(&Key::ecc([3; 32], &own, oa::SIGN, &[])?))?.handle;
        tpm.run(build::verify_signature(handle, &digest, &anonymous))?;
        tpm.run(build::verify_signature(handle, &digest, &good))?;
        flush(tpm, &[handle])?;
    }
    tpm.step("keys that verify nothing");
    let parent = storage(tpm)?;
    tpm.run(build::verify_signature(parent, &digest, &good))?;
    tpm.run(build::verify_signature(rh::OWNER, &digest, &good))?;
    Ok(())
}

pub(super) fn rsa(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let schemes = [
        vec![alg::NULL],
        vec![alg::RSAES],
        vec![alg::OAEP, alg::SHA1],
        vec![alg::OAEP, alg::SHA256],
        vec![alg::OAEP, alg::SHA512],
        vec![alg::OAEP, alg::NULL],
        vec![alg::RSASSA, alg::SHA256],
    ];
    for own in [vec![alg::NULL], vec![alg::RSAES], vec![alg::OAEP, alg::SHA256]] {
        let handle = tpm.ok(external(&Key::rsa(2048, &own, oa::DECRYPT, &[])))?.handle;
        for given in &schemes {
            for message in [
                &b"message"[..],
                &[],
                &[0, 0, 1],
                &[1; 62],
                &[1; 190],
                &[1; 191],
                &[1; 245],
                &[1; 256],
                &[0xFF; 256],
            ] {
                for label in [&b"label\0"[..], b"no nul", b""] {
                    tpm.step("there and back");
                    let sealed = tpm.run(build::rsa_encrypt(handle, message, &scheme(given), label))?;
                    if sealed.rc == 0 {
                        tpm.run(build::rsa_decrypt(handle, &sealed.first()?, &scheme(given), label))?;
                    }
                    if given[0] != alg::OAEP || message.len() != 7 {
                        break;
                    }
                }
            }
        }
        tpm.step("ciphertexts that are none");
        for cipher in [&[][..], &[1; 255], &[1; 256], &[0xFF; 256], &[1; 257]] {
            for given in &schemes {
                tpm.run(build::rsa_decrypt(handle, cipher, &scheme(given), &[]))?;
            }
        }
        tpm.run(build::rsa_decrypt(handle, &[1; 256], &null(), &[]).pw(b"wrong"))?;
        flush(tpm, &[handle])?;
    }
    tpm.step("keys that do not decrypt");
    let parent = storage(tpm)?;
    for key in [
        Key::rsa(2048, &[alg::NULL], oa::SIGN, &[]),
        Key::rsa_parent(&[5; 32]),
        Key::ecc([3; 32], &[alg::ECDH, alg::SHA256], oa::DECRYPT, &[])?,
        Key::sealed(b"data", &[])?,
    ] {
        let handle = known(tpm, parent, &key)?;
        tpm.run(build::rsa_encrypt(handle, b"message", &null(), &[]))?;
        tpm.run(build::rsa_decrypt(handle, &[1; 256], &null(), &[]))?;
        flush(tpm, &[handle])?;
    }
    Ok(())
}

pub(super) fn ecdh(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let (x, y) = crypto::p256_public(&[9; 32])?;
    let point = build::point(&x, &y);
    let parent = storage(tpm)?;
    for (what, key) in [
        ("ECDH", Key::ecc([3; 32], &[alg::ECDH, alg::SHA256], oa::DECRYPT, &[])?),
        ("any scheme", Key::ecc([3; 32], &[alg::NULL], oa::DECRYPT, &[])?),
        ("a key to sign", Key::ecdsa([3; 32])?),
        ("a parent", Key::ecc_parent([4; 32], &[5; 32])?),
        ("RSA", Key::rsa(2048, &[alg::NULL], oa::DECRYPT, &[])),
    ] {
        tpm.step(what);
        let handle = known(tpm, parent, &key)?;
        let made = tpm.run(build::ecdh_keygen(handle))?;
        if made.rc == 0 {
            let mut input = made.read();
            let (z, public) = (input.b2()?.to_vec(), input.b2()?.to_vec());
            let mut public = In(&public);
            let shared = crypto::p256_ecdh(&[3; 32], public.b2()?, public.b2()?).unwrap_or_default();
            tpm.fact(&format!("the shared point is right: {}", In(&z).b2()? == shared));
        }
        tpm.run(build::ecdh_zgen(handle, &point))?;
        for (x, y) in [
            (&x[..], &x[..]),
            (&[], &[]),
            (&[0; 32], &[0; 32]),
            (&x[1..], &y),
            (&[1; 33], &y),
        ] {
            tpm.run(build::ecdh_zgen(handle, &build::point(x, y)))?;
        }
        tpm.run(build::ecdh_zgen(handle, &[]))?;
        tpm.run(build::ecdh_zgen(handle, &point).pw(b"wrong"))?;
        flush(tpm, &[handle])?;
    }
    tpm.step("ephemeral keys");
    for id in [curve::P256, curve::P384, curve::P521, curve::P192, curve::BN256, 0x77] {
        tpm.run(build::ec_ephemeral(id))?;
    }
    Ok(())
}

pub(super) fn ciphers(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let modes = [alg::CFB, alg::CTR, alg::OFB, alg::CBC, alg::ECB, alg::NULL, alg::CMAC];
    for (cipher, size) in [
        (alg::AES, 16),
        (alg::AES, 32),
        (alg::CAMELLIA, 16),
        (alg::CAMELLIA, 32),
        (alg::TDES, 16),
    ] {
        for own in [alg::CFB, alg::CBC, alg::NULL] {
            tpm.step("a key of each mode");
            let secret: Vec<u8> = (0..size).map(|byte| byte * 7 + 1).collect();
            let loaded = tpm.run(external(&Key::symmetric(cipher, own, &secret, &[])?))?;
            if loaded.rc != 0 {
                continue;
            }
            let handle = loaded.handle;
            let block = if cipher == alg::TDES { 8 } else { 16 };
            for mode in modes {
                for length in [0, 1, 16, 17, 32, 1024, 1025] {
                    for iv in [block, 0] {
                        let (iv, data) = (vec![3; iv], vec![5; length]);
                        let sealed = tpm.run(build::encrypt_decrypt2(handle, &data, 0, mode, &iv))?;
                        if sealed.rc == 0 {
                            tpm.run(build::encrypt_decrypt2(handle, &sealed.first()?, 1, mode, &iv))?;
                            tpm.run(build::encrypt_decrypt(handle, 0, mode, &iv, &data))?;
                        }
                    }
                }
            }
            tpm.run(build::encrypt_decrypt2(handle, &[5; 16], 2, own, &[3; 16]))?;
            tpm.run(build::encrypt_decrypt2(handle, &[5; 16], 0, own, &[3; 15]))?;
            flush(tpm, &[handle])?;
        }
    }
    tpm.step("keys that are not for it");
    for key in [Key::ecdsa([3; 32])?, Key::sealed(b"data", &[])?] {
        let handle = tpm.ok(external(&key))?.handle;
        tpm.run(build::encrypt_decrypt2(handle, &[5; 16], 0, alg::CFB, &[3; 16]))?;
        tpm.run(build::encrypt_decrypt(handle, 0, alg::CFB, &[3; 16], &[5; 16]))?;
        flush(tpm, &[handle])?;
    }
    let parent = storage(tpm)?;
    tpm.run(build::encrypt_decrypt2(parent, &[5; 16], 0, alg::CFB, &[3; 16]))?;
    tpm.step("keys for one direction");
    for direction in [oa::SIGN, oa::DECRYPT] {
        let mut key = Key::symmetric(alg::AES, alg::CFB, &[7; 16], &[])?;
        key.public = key.public.unset(direction);
        let loaded = tpm.run(external(&key))?;
        if loaded.rc == 0 {
            for way in [0, 1] {
                tpm.run(build::encrypt_decrypt2(
                    loaded.handle,
                    &[5; 16],
                    way,
                    alg::CFB,
                    &[3; 16],
                ))?;
            }
            flush(tpm, &[loaded.handle])?;
        }
    }
    tpm.step("a size that the peer has not");
    tpm.run(external(&Key::symmetric(alg::AES, alg::CFB, &[7; 24], &[])?))?;
    Ok(())
}

pub(super) fn commits(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    let (x, y) = crypto::p256_public(&[9; 32])?;
    let point = build::point(&x, &y);
    for (what, own) in [
        ("ECDAA", vec![alg::ECDAA, alg::SHA256, 0]),
        ("ECDSA", vec![alg::ECDSA, alg::SHA256]),
        ("ECSchnorr", vec![alg::ECSCHNORR, alg::SHA256]),
        ("no scheme", vec![alg::NULL]),
    ] {
        tpm.step(what);
        let loaded = tpm.run(external(&Key::ecc([3; 32], &own, oa::SIGN, &[])?))?;
        if loaded.rc != 0 {
            continue;
        }
        let handle = loaded.handle;
        let empty = build::point(&[], &[]);
        for (p1, s2, y2) in [
            (&empty, &[][..], &[][..]),
            (&point, &[], &[]),
            (&empty, b"base", &y),
            (&point, b"base", &y),
            (&empty, b"base", &[]),
            (&empty, &[], &y),
            (&build::point(&x, &x), &[], &[]),
        ] {
            tpm.run(build::commit(handle, p1, s2, y2))?;
        }
        for given in [
            vec![alg::NULL],
            vec![alg::ECDAA, alg::SHA256, 1],
            vec![alg::ECDAA, alg::SHA256, 99],
            vec![alg::ECSCHNORR, alg::SHA256],
        ] {
            tpm.run(build::sign(handle, &[7; 32], &scheme(&given), &build::no_hash_check()))?;
        }
        flush(tpm, &[handle])?;
    }
    tpm.step("two-phase key exchange");
    let handle = tpm
        .ok(external(&Key::ecc([3; 32], &[alg::NULL], oa::DECRYPT, &[])?))?
        .handle;
    // ECMQV makes libtpms 0.9 fail for good.
    for exchange in [alg::ECDH, alg::SM2, alg::NULL, alg::ECDSA] {
        let counter = tpm.run(build::ec_ephemeral(curve::P256))?;
        let counter = counter
            .params
            .last_chunk::<2>()
            .map_or(0, |counter| u16::from_be_bytes(*counter));
        tpm.run(build::zgen_2phase(handle, &point, &point, exchange, counter))?;
        tpm.run(build::zgen_2phase(handle, &point, &point, exchange, counter))?;
        tpm.run(build::zgen_2phase(handle, &build::point(&x, &x), &point, exchange, 0))?;
    }
    tpm.step("ECC encryption");
    for own in [vec![alg::NULL], vec![alg::ECDH, alg::SHA256]] {
        let key = tpm.ok(external(&Key::ecc([3; 32], &own, oa::DECRYPT, &[])?))?.handle;
        for given in [
            vec![alg::NULL],
            vec![alg::KDF2, alg::SHA256],
            vec![alg::KDF1_56A, alg::SHA256],
            vec![alg::MGF1, alg::SHA256],
        ] {
            let sealed = tpm.run(build::ecc_encrypt(key, b"message", &scheme(&given)))?;
            let (mut c1, mut c2, mut c3) = (point.clone(), vec![1], vec![2; 32]);
            if sealed.rc == 0 {
                let mut input = sealed.read();
                (c1, c2, c3) = (input.b2()?.to_vec(), input.b2()?.to_vec(), input.b2()?.to_vec());
            }
            tpm.run(build::ecc_decrypt(key, &c1, &c2, &c3, &scheme(&given)))?;
            tpm.run(build::ecc_decrypt(key, &c1, &c2, &[0; 32], &scheme(&given)))?;
        }
        flush(tpm, &[key])?;
    }
    Ok(())
}
