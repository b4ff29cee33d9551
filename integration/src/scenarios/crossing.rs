//! What one TPM made is taken by the other: keys, duplicates, signatures, credentials, what keys computed.
//!
//! Only what has a public format can cross. Each crossing runs in both directions. It judges the answers itself: here the
//! two TPMs are not told the same, so there is nothing to compare.

use anyhow::{Context, Result, ensure};

use super::{child, create, created, flush, primary, startup, storage};
use crate::build::{self, Public, null, scheme};
use crate::client::Tpm;
use crate::codes::{alg, curve, na, oa, rh};
use crate::crypto;
use crate::session::Options;

/// One crossing.
#[derive(Debug, Clone, Copy)]
pub struct Crossing {
    /// What crosses.
    pub name: &'static str,
    /// What the first TPM makes and the second takes; both fresh from `_TPM_Init`.
    run: fn(&mut Tpm, &mut Tpm) -> Result<()>,
}

/// All of them.
pub const ALL: &[Crossing] = &[
    Crossing {
        name: "exported keys",
        run: exported,
    },
    Crossing {
        name: "duplicates",
        run: duplicates,
    },
    Crossing {
        name: "rewrapped duplicates",
        run: rewrapped,
    },
    Crossing {
        name: "attestations",
        run: attestations,
    },
    Crossing {
        name: "credentials",
        run: credentials,
    },
    Crossing {
        name: "messages",
        run: messages,
    },
];

impl Crossing {
    /// Runs it.
    ///
    /// # Errors
    /// One TPM does not take what the other made, or takes what was damaged.
    pub fn run(&self, maker: &mut Tpm, taker: &mut Tpm) -> Result<()> {
        startup(maker)?;
        startup(taker)?;
        (self.run)(maker, taker)
    }
}

/// TPM_CC_Duplicate.
const DUPLICATE: u32 = 0x14B;

/// The policy that lets an object be duplicated: TPM2_PolicyCommandCode (Part 3, 23.11).
fn policy() -> Result<Vec<u8>> {
    let code = build::policy_command_code(0, DUPLICATE).code.to_be_bytes();
    crypto::hash(alg::SHA256, &[&[0; 32], &code, &DUPLICATE.to_be_bytes()])
}

/// A template of what may leave its TPM.
fn moving(public: Public) -> Result<Public> {
    Ok(public.unset(oa::FIXED_TPM | oa::FIXED_PARENT).policy(&policy()?))
}

/// One template of each kind, and what to seal.
fn templates() -> Result<Vec<(Public, &'static [u8])>> {
    let rsa = Public::rsa(2048, &[alg::RSASSA, alg::SHA256], oa::SIGN);
    let p384 = Public::ecc(curve::P384, &[alg::ECDSA, alg::SHA256], oa::SIGN);
    [
        (Public::sealed(), &b"sealed data"[..]),
        (Public::hmac_key(alg::SHA256), &[]),
        (Public::symmetric(alg::AES, 128, alg::CFB), &[]),
        (Public::symmetric(alg::CAMELLIA, 256, alg::CFB), &[]),
        (Public::ecc(curve::P256, &[alg::ECDSA, alg::SHA256], oa::SIGN), &[]),
        (p384, &[]),
        (rsa, &[]),
    ]
    .into_iter()
    .map(|(public, data)| Ok((moving(public)?, data)))
    .collect()
}

/// TPMT_PUBLIC of an object.
fn area(tpm: &mut Tpm, object: u32) -> Result<Vec<u8>> {
    tpm.ok(build::read_public(object))?.first()
}

/// Lets one TPM know the public area of a key that the other holds.
fn introduce(holder: &mut Tpm, key: u32, other: &mut Tpm) -> Result<u32> {
    let public = area(holder, key)?;
    Ok(other.ok(build::load_external(&[], &public, rh::OWNER))?.handle)
}

/// TPM2_Duplicate: the inner key, the duplicate and the encrypted seed.
fn duplicate(tpm: &mut Tpm, object: u32, parent: u32, key: &[u8], cipher: &[u8]) -> Result<[Vec<u8>; 3]> {
    let session = tpm.start(&Options::policy())?;
    tpm.ok(build::policy_command_code(session, DUPLICATE))?;
    // The session ends with the command.
    let answer = tpm.ok(build::duplicate(object, parent, key, cipher).session(session, 0, &[]))?;
    let mut input = answer.read();
    Ok([input.b2()?.to_vec(), input.b2()?.to_vec(), input.b2()?.to_vec()])
}

/// That both hold the same object: what one does with it, the other undoes, accepts or does alike.
fn same(maker: &mut Tpm, made: u32, taker: &mut Tpm, taken: u32, public: &Public, data: &[u8]) -> Result<()> {
    let message = b"what both are given";
    match public.kind {
        alg::KEYEDHASH if public.attributes & oa::SIGN == 0 => {
            ensure!(taker.ok(build::unseal(taken).pw(b"auth"))?.first()? == data);
        }
        alg::KEYEDHASH => {
            let mac = |tpm: &mut Tpm, key| tpm.ok(build::hmac(key, message, alg::NULL).pw(b"auth"))?.first();
            ensure!(mac(maker, made)? == mac(taker, taken)?, "HMACs differ");
        }
        alg::SYMCIPHER => {
            let call = |key, data: &[u8], decrypt| {
                build::encrypt_decrypt2(key, data, decrypt, alg::NULL, &[7; 16]).pw(b"auth")
            };
            let cipher = maker.ok(call(made, message, 0))?.first()?;
            ensure!(cipher != message && taker.ok(call(taken, &cipher, 1))?.first()? == message);
        }
        _ => {
            let digest = crypto::hash(alg::SHA256, &[message])?;
            let sign = |key| build::sign(key, &digest, &null(), &build::no_hash_check()).pw(b"auth");
            let signature = maker.ok(sign(made))?.params;
            taker.ok(build::verify_signature(taken, &digest, &signature))?;
            let signature = taker.ok(sign(taken))?.params;
            maker.ok(build::verify_signature(made, &digest, &signature))?;
            maker.fails(build::verify_signature(made, &[1; 32], &signature))?;
        }
    }
    Ok(())
}

/// Duplicates without any wrapper, loaded by TPM2_LoadExternal.
fn exported(maker: &mut Tpm, taker: &mut Tpm) -> Result<()> {
    let parent = storage(maker)?;
    for (public, data) in templates()? {
        let made = child(maker, parent, b"auth", data, &public)?;
        let area = area(maker, made)?;
        let [_, blob, _] = duplicate(maker, made, rh::NULL, &[], &null())?;
        // TPM2B_SENSITIVE.
        let sensitive = crate::wire::In(&blob).b2()?.to_vec();
        let taken = taker.ok(build::load_external(&sensitive, &area, rh::NULL))?.handle;
        ensure!(maker.name(made)? == taker.name(taken)?, "names differ");
        same(maker, made, taker, taken, &public, data)?;
        flush(taker, &[taken])?;
        let mut damaged = sensitive;
        if let Some(byte) = damaged.last_mut() {
            *byte ^= 1;
        }
        taker.fails(build::load_external(&damaged, &area, rh::NULL))?;
        flush(maker, &[made])?;
    }
    Ok(())
}

/// Duplicates with outer and inner wrappers, to ECC and RSA parents.
fn duplicates(maker: &mut Tpm, taker: &mut Tpm) -> Result<()> {
    let aes = build::aes128_cfb();
    let home = storage(maker)?;
    for parent in [Public::ecc_parent(), Public::rsa_parent(2048)] {
        let theirs = taker.ok(primary(rh::OWNER, &[], &[], &parent))?.handle;
        let known = introduce(taker, theirs, maker)?;
        for (public, data) in templates()? {
            let (private, bytes) = created(&maker.ok(create(home, b"auth", data, &public))?)?;
            for (key, cipher) in [(&[][..], null()), (&[], aes.clone()), (&[9; 16], aes.clone())] {
                let made = maker.ok(build::load(home, &private, &bytes))?.handle;
                let [chosen, blob, seed] = duplicate(maker, made, known, key, &cipher)?;
                let key = if key.is_empty() { &chosen } else { key };
                let import = |blob: &[u8], seed: &[u8]| build::import(theirs, key, &bytes, blob, seed, &cipher);
                let private = taker.ok(import(&blob, &seed))?.first()?;
                let taken = taker.ok(build::load(theirs, &private, &bytes))?.handle;
                same(maker, made, taker, taken, &public, data)?;
                flush(taker, &[taken])?;
                let mut damaged = blob.clone();
                if let Some(byte) = damaged.last_mut() {
                    *byte ^= 1;
                }
                taker.fails(import(&damaged, &seed))?;
                taker.fails(import(&blob, &[]))?;
                flush(maker, &[made])?;
            }
        }
        flush(maker, &[known])?;
        flush(taker, &[theirs])?;
    }
    Ok(())
}

/// A duplicate that the taker wraps anew, for the TPM it came from.
fn rewrapped(maker: &mut Tpm, taker: &mut Tpm) -> Result<()> {
    let home = storage(maker)?;
    let between = storage(taker)?;
    let known = introduce(taker, between, maker)?;
    let (public, data) = (moving(Public::sealed())?, b"there and back");
    let made = child(maker, home, b"auth", data, &public)?;
    let (bytes, name) = (area(maker, made)?, maker.name(made)?);
    let [_, blob, seed] = duplicate(maker, made, known, &[], &null())?;
    let back = introduce(maker, home, taker)?;
    let answer = taker.ok(build::rewrap(between, back, &blob, &name, &seed))?;
    taker.fails(build::rewrap(between, back, &blob, &name, &[]))?;
    let mut input = answer.read();
    let (blob, seed) = (input.b2()?, input.b2()?);
    let private = maker
        .ok(build::import(home, &[], &bytes, blob, seed, &null()))?
        .first()?;
    flush(maker, &[known, made])?;
    let again = maker.ok(build::load(home, &private, &bytes))?.handle;
    ensure!(maker.ok(build::unseal(again).pw(b"auth"))?.first()? == data);
    Ok(())
}

/// Attestations of every kind, by keys of every kind.
fn attestations(maker: &mut Tpm, taker: &mut Tpm) -> Result<()> {
    let parent = storage(maker)?;
    let index = 0x0100_0001;
    let attributes = na::AUTHREAD | na::AUTHWRITE | na::NO_DA;
    let space = build::nv_public(index, alg::SHA256, attributes, &[], 8);
    maker.ok(build::nv_define_space(rh::OWNER, &[], &space))?;
    maker.ok(build::nv_write(index, index, b"contents", 0))?;
    let restricted = oa::SIGN | oa::RESTRICTED;
    for public in [
        Public::ecc(curve::P256, &[alg::ECDSA, alg::SHA256], restricted),
        Public::ecc(curve::P384, &[alg::ECDSA, alg::SHA384], restricted),
        Public::ecc(curve::P521, &[alg::ECDSA, alg::SHA512], restricted),
        Public::ecc(curve::P256, &[alg::ECSCHNORR, alg::SHA256], restricted),
        Public::rsa(2048, &[alg::RSASSA, alg::SHA256], restricted),
        Public::rsa(2048, &[alg::RSAPSS, alg::SHA256], restricted),
    ] {
        let hash = public_hash(&public);
        let (private, bytes) = created(&maker.ok(create(parent, &[], &[], &public))?)?;
        let signer = maker.ok(build::load(parent, &private, &bytes))?.handle;
        let verifier = introduce(maker, signer, taker)?;
        let (data, given) = (b"nonce", null());
        for call in [
            build::quote(signer, data, &given, &build::pcrs(alg::SHA256, &[0, 16])),
            build::certify(parent, signer, data, &given),
            build::get_time(rh::ENDORSEMENT, signer, data, &given),
            build::nv_certify(signer, index, index, data, &given, 8, 0),
            build::get_command_audit_digest(rh::ENDORSEMENT, signer, data, &given),
        ] {
            let answer = maker.ok(call)?;
            let mut input = answer.read();
            let mut attest = input.b2()?.to_vec();
            let verify = |attest: &[u8]| {
                let digest = crypto::hash(hash, &[attest])?;
                anyhow::Ok(build::verify_signature(verifier, &digest, input.0))
            };
            taker.ok(verify(&attest)?)?;
            if let Some(byte) = attest.last_mut() {
                *byte ^= 1;
            }
            taker.fails(verify(&attest)?)?;
        }
        flush(maker, &[signer])?;
        flush(taker, &[verifier])?;
    }
    Ok(())
}

/// The hash of a key's scheme, which stands at its end for RSA and before curve and KDF for ECC.
fn public_hash(public: &Public) -> u16 {
    // symmetric, scheme, hash.
    let hash = public.parameters.get(4..6).and_then(|raw| raw.try_into().ok());
    hash.map_or(alg::SHA256, u16::from_be_bytes)
}

/// Credentials that the maker makes for keys of the taker.
fn credentials(maker: &mut Tpm, taker: &mut Tpm) -> Result<()> {
    let credential = b"a credential of any size";
    for public in [Public::ecc_parent(), Public::rsa_parent(2048)] {
        let key = taker.ok(primary(rh::ENDORSEMENT, &[], &[], &public))?.handle;
        let known = introduce(taker, key, maker)?;
        let object = storage(taker)?;
        let name = taker.name(object)?;
        let answer = maker.ok(build::make_credential(known, credential, &name))?;
        let mut input = answer.read();
        let (blob, secret) = (input.b2()?.to_vec(), input.b2()?);
        let answer = taker.ok(build::activate_credential(object, key, &blob, secret))?;
        ensure!(answer.first()? == credential, "another credential");
        taker.fails(build::activate_credential(key, key, &blob, secret))?;
        let mut damaged = blob;
        if let Some(byte) = damaged.last_mut() {
            *byte ^= 1;
        }
        taker.fails(build::activate_credential(object, key, &damaged, secret))?;
        flush(taker, &[key, object])?;
        flush(maker, &[known])?;
    }
    Ok(())
}

/// Messages that the maker encrypts to keys of the taker, and secrets that both come to by ECDH.
fn messages(maker: &mut Tpm, taker: &mut Tpm) -> Result<()> {
    let key = taker
        .ok(primary(
            rh::OWNER,
            &[],
            &[],
            &Public::rsa(2048, &[alg::NULL], oa::DECRYPT),
        ))?
        .handle;
    let known = introduce(taker, key, maker)?;
    for given in [
        &[alg::RSAES][..],
        &[alg::OAEP, alg::SHA1],
        &[alg::OAEP, alg::SHA256],
        &[alg::OAEP, alg::SHA384],
    ] {
        let (given, label) = (scheme(given), if given.len() > 1 { &b"label\0"[..] } else { &[] });
        let cipher = maker
            .ok(build::rsa_encrypt(known, b"message", &given, label))?
            .first()?;
        let plain = taker.ok(build::rsa_decrypt(key, &cipher, &given, label))?;
        ensure!(plain.first()? == b"message", "another message");
    }
    for curve in [curve::P256, curve::P384, curve::P521, curve::BN256] {
        let public = Public::ecc(curve, &[alg::ECDH, alg::SHA256], oa::DECRYPT);
        let key = taker.ok(primary(rh::OWNER, &[], &[], &public))?.handle;
        let known = introduce(taker, key, maker)?;
        let answer = maker.ok(build::ecdh_keygen(known))?;
        let mut input = answer.read();
        let (z, ephemeral) = (input.b2()?.to_vec(), input.b2()?);
        let answer = taker
            .ok(build::ecdh_zgen(key, ephemeral))
            .with_context(|| format!("curve {curve:#x}"))?;
        ensure!(answer.first()? == z, "curve {curve:#x}: another secret");
        flush(taker, &[key])?;
        flush(maker, &[known])?;
    }
    Ok(())
}
