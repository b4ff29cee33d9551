//! Capabilities, self-tests, random numbers and hashes (Part 3, 10, 16, 22.1 and 30).

use anyhow::Result;

use super::startup;
use crate::build::{self, list16, scheme};
use crate::client::Tpm;
use crate::codes::{alg, cap, curve, rh};
use crate::wire::Out;

pub(super) fn lists(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    for capability in [
        cap::ALGS,
        cap::COMMANDS,
        cap::PP_COMMANDS,
        cap::AUDIT_COMMANDS,
        cap::PCRS,
        cap::PCR_PROPERTIES,
    ] {
        tpm.step("a list");
        tpm.ok(build::get_capability(capability, 0, 1000))?;
    }
    tpm.ok(build::get_capability(cap::ECC_CURVES, 0, 100))?;
    tpm.ok(build::get_capability(cap::AUTH_POLICIES, rh::OWNER, 100))?;
    tpm.step("handles");
    for first in [
        0u32,
        0x0100_0000,
        0x0200_0000,
        0x0300_0000,
        0x4000_0000,
        0x8000_0000,
        0x8100_0000,
        0x9000_0000,
    ] {
        tpm.run(build::get_capability(cap::HANDLES, first, 100))?;
    }
    tpm.step("no such capability");
    for capability in [11u32, 12, 0x100, 0xFFFF_FFFF] {
        tpm.run(build::get_capability(capability, 0, 1))?;
    }
    Ok(())
}

pub(super) fn properties(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("fixed");
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x100, 100))?;
    tpm.step("variable");
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0x200, 100))?;
    tpm.step("each by itself");
    for property in (0x100..0x130).chain(0x200..0x216) {
        tpm.ok(build::get_capability(cap::TPM_PROPERTIES, property, 1))?;
    }
    Ok(())
}

pub(super) fn ends_of_lists(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("one and none");
    for capability in [
        cap::ALGS,
        cap::HANDLES,
        cap::COMMANDS,
        cap::PCRS,
        cap::TPM_PROPERTIES,
        cap::ECC_CURVES,
    ] {
        tpm.run(build::get_capability(capability, 0, 0))?;
        tpm.run(build::get_capability(capability, 0, 1))?;
        tpm.run(build::get_capability(capability, 1, 1))?;
        tpm.run(build::get_capability(capability, 0xFFFF_FFFF, 1))?;
    }
    tpm.step("in the middle");
    tpm.ok(build::get_capability(cap::ALGS, 0x0B, 3))?;
    tpm.ok(build::get_capability(cap::COMMANDS, 0x144, 3))?;
    tpm.ok(build::get_capability(cap::COMMANDS, 0x2000_0000, 3))?;
    tpm.ok(build::get_capability(cap::ECC_CURVES, 4, 1))?;
    tpm.ok(build::get_capability(cap::PCR_PROPERTIES, 3, 2))?;
    tpm.ok(build::get_capability(cap::TPM_PROPERTIES, 0, 300))?;
    Ok(())
}

pub(super) fn self_tests(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("self-tests");
    tpm.ok(build::self_test(1))?;
    tpm.ok(build::self_test(0))?;
    tpm.fails(build::self_test(2))?;
    tpm.ok(build::incremental_self_test(&list16(&[])))?;
    tpm.ok(build::incremental_self_test(&list16(&[alg::SHA256, alg::AES])))?;
    tpm.run(build::incremental_self_test(&list16(&[0x7FFF])))?;
    tpm.run(build::incremental_self_test(&list16(&[alg::SHA1; 70])))?;
    tpm.ok(build::get_test_result())?;
    Ok(())
}

pub(super) fn random_and_hash(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("random bytes");
    for count in [0u16, 1, 32, 48, 64, 65, 1000, 0xFFFF] {
        tpm.ok(build::get_random(count))?;
    }
    tpm.ok(build::stir_random(&[]))?;
    tpm.ok(build::stir_random(&[1; 128]))?;
    tpm.fails(build::stir_random(&[1; 129]))?;
    tpm.step("hashes");
    for hash in [alg::SHA1, alg::SHA256, alg::SHA384, alg::SHA512] {
        for hierarchy in [rh::NULL, rh::OWNER, rh::ENDORSEMENT, rh::PLATFORM] {
            tpm.ok(build::hash(b"message", hash, hierarchy))?;
        }
    }
    tpm.ok(build::hash(&[], alg::SHA256, rh::OWNER))?;
    tpm.ok(build::hash(&[7; 1024], alg::SHA256, rh::OWNER))?;
    tpm.fails(build::hash(&[7; 1025], alg::SHA256, rh::OWNER))?;
    tpm.step("a message that looks as if the TPM had made it gets no ticket");
    tpm.ok(build::hash(b"\xFFTCG and more", alg::SHA256, rh::OWNER))?;
    tpm.ok(build::hash(b"\xFFTC", alg::SHA256, rh::OWNER))?;
    tpm.step("no such hash or hierarchy");
    tpm.fails(build::hash(b"", alg::NULL, rh::OWNER))?;
    tpm.fails(build::hash(b"", alg::AES, rh::OWNER))?;
    tpm.fails(build::hash(b"", alg::SHA256, rh::LOCKOUT))?;
    tpm.fails(build::hash(b"", alg::SHA256, 0x8000_0000))?;
    tpm.step("in a hierarchy that is off");
    tpm.ok(build::hierarchy_control(rh::PLATFORM, rh::OWNER, 0))?;
    tpm.run(build::hash(b"message", alg::SHA256, rh::OWNER))?;
    Ok(())
}

pub(super) fn parameters(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("RSA");
    for bits in [512u16, 1024, 2048, 3072, 4096] {
        for exponent in [0u32, 3, 5, 7, 65537, 0x0101_0101] {
            let head = [scheme(&[alg::RSA, alg::NULL, alg::NULL])].concat();
            tpm.run(build::test_parms(&Out::new().raw(&head).u16(bits).u32(exponent).0))?;
        }
    }
    for rsa_scheme in [alg::RSASSA, alg::RSAPSS, alg::OAEP, alg::RSAES, alg::ECDSA, alg::HMAC] {
        let head = if rsa_scheme == alg::RSAES {
            vec![rsa_scheme]
        } else {
            vec![rsa_scheme, alg::SHA256]
        };
        let out = Out::new()
            .u16(alg::RSA)
            .u16(alg::NULL)
            .raw(&scheme(&head))
            .u16(2048)
            .u32(0);
        tpm.run(build::test_parms(&out.0))?;
    }
    tpm.step("ECC");
    for id in [1u16, 2, 3, 4, 5, 6, 0x10, 0x11, 0x20, 0xFFFF] {
        for ecc_scheme in [
            vec![alg::NULL],
            vec![alg::ECDSA, alg::SHA256],
            vec![alg::ECDAA, alg::SHA256, 1],
        ] {
            let parts = [
                scheme(&[alg::ECC, alg::NULL]),
                scheme(&ecc_scheme),
                scheme(&[id, alg::NULL]),
            ];
            tpm.run(build::test_parms(&parts.concat()))?;
        }
    }
    for kdf in [alg::MGF1, alg::KDF1_56A, alg::KDF2, alg::KDF1_108] {
        let numbers = [alg::ECC, alg::NULL, alg::NULL, curve::P256, kdf, alg::SHA256];
        tpm.run(build::test_parms(&scheme(&numbers)))?;
    }
    tpm.step("block ciphers");
    for cipher in [alg::AES, alg::CAMELLIA, alg::TDES, alg::SM4, alg::XOR] {
        for bits in [64u16, 128, 192, 256] {
            for mode in [alg::CFB, alg::CTR, alg::OFB, alg::CBC, alg::ECB, alg::CMAC, alg::NULL] {
                tpm.run(build::test_parms(&scheme(&[alg::SYMCIPHER, cipher, bits, mode])))?;
            }
        }
    }
    tpm.step("keyed hashes");
    for numbers in [
        vec![alg::KEYEDHASH, alg::NULL],
        vec![alg::KEYEDHASH, alg::HMAC, alg::SHA256],
        vec![alg::KEYEDHASH, alg::HMAC, alg::NULL],
        vec![alg::KEYEDHASH, alg::XOR, alg::SHA256, alg::KDF1_108],
        vec![alg::KEYEDHASH, alg::XOR, alg::SHA256, alg::MGF1],
        vec![alg::KEYEDHASH, alg::XOR, alg::SHA256, alg::NULL],
        vec![alg::KEYEDHASH, alg::RSASSA, alg::SHA256],
        vec![alg::SHA256],
        vec![alg::NULL],
    ] {
        tpm.run(build::test_parms(&scheme(&numbers)))?;
    }
    tpm.step("the parameters of a storage key");
    let out = Out::new()
        .u16(alg::RSA)
        .raw(&build::aes128_cfb())
        .u16(alg::NULL)
        .u16(2048)
        .u32(0);
    tpm.ok(build::test_parms(&out.0))?;
    Ok(())
}

pub(super) fn curves(tpm: &mut Tpm) -> Result<()> {
    startup(tpm)?;
    tpm.step("each curve's parameters");
    for id in [0u16, 1, 2, 3, 4, 5, 6, 0x10, 0x11, 0x20, 0xFFFF] {
        tpm.run(build::ecc_parameters(id))?;
    }
    Ok(())
}
