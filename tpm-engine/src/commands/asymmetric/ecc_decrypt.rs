//! TPM2_ECC_Decrypt — Part 3, 14.9.

use zeroize::Zeroizing;

use super::{choose_kdf2, ecc_decryption_key};
use crate::bytes::Digest;
use crate::crypto::{CryptoError, ecc};
use crate::keys::secret::padded_point;
use crate::marshal::Sized2B;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::scheme::KdfScheme;
use crate::types::{EccPoint, MaxBuffer};

command! {
    /// TPM2_ECC_Decrypt: decrypts with a private key what TPM2_ECC_Encrypt made.
    EccDecrypt = 0x19A, [];
    handles { key: Object @ User }
    params {
        c1: Sized2B<EccPoint>,
        c2: Zeroizing<MaxBuffer>,
        c3: Digest,
        in_scheme: KdfScheme,
    }
    reply { plain_text: Zeroizing<MaxBuffer> }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let (key, parms) = ecc_decryption_key(tpm, handles.key)?;
    let hash = choose_kdf2(params.in_scheme).map_err(|code| code.parameter(4))?;
    let c1 = padded_point(parms.curve, &params.c1.0).ok_or(Rc::ECC_POINT.parameter(1))?;
    let mut text = params.c2;
    ecc::ecc_decrypt(parms.curve, &key.sensitive()?.secret, &c1, hash, &mut text, &params.c3).map_err(|error| {
        match error {
            // Without a number: which of the three was changed cannot be told.
            CryptoError::Decrypt => Rc::VALUE,
            CryptoError::Infinity => Rc::NO_RESULT,
            _ => Rc::ECC_POINT.parameter(1),
        }
    })?;
    Ok(Reply { plain_text: text })
}

#[cfg(test)]
mod tests {
    use crate::profile::ProfileName;
    use crate::testing::keys::{OWNER, Parts, Template, attr, sized};
    use crate::testing::{Bench, hex, plain};

    const ENCRYPT: u32 = 0x199;
    const DECRYPT: u32 = 0x19A;
    const KDF2: &str = "0021 000b";

    fn encryption(key: u32, message: &[u8], scheme: &str) -> Vec<u8> {
        plain(
            ENCRYPT,
            &[&key.to_be_bytes()[..], &sized(&[message]), &hex(scheme)].concat(),
        )
    }

    /// C1, C2 and C3.
    fn encrypt(tpm: &mut Bench, key: u32, message: &[u8], scheme: &str) -> [Vec<u8>; 3] {
        let (code, response) = tpm.run(&encryption(key, message, scheme));
        assert_eq!(code, 0);
        let mut parts = Parts(&response[10..]);
        [(); 3].map(|()| parts.take().to_vec())
    }

    fn decryption(parts: &[Vec<u8>; 3], scheme: &str) -> Vec<u8> {
        let [c1, c2, c3] = parts;
        [sized(&[c1, c2, c3]), hex(scheme)].concat()
    }

    #[test]
    fn takes_back_what_was_encrypted() {
        let mut tpm = Bench::started();
        for parms in [
            "0010 0010 0003 0010",
            "0010 0019 000b 0003 0010",
            "0010 0010 0004 0010",
            "0010 0010 0020 0010",
        ] {
            let template = Template::ecc(attr::OWN | attr::DECRYPT).with_parms(parms);
            let key = tpm.primary(OWNER, &template);
            for (scheme, message) in [(KDF2, &b"message"[..]), ("0021 000d", &[0x42; 1024]), (KDF2, b"")] {
                let parts = encrypt(&mut tpm, key, message, scheme);
                assert_eq!(parts[1].len(), message.len());
                let reply = tpm.ok_with(DECRYPT, &[key], &[b""], &decryption(&parts, scheme));
                assert_eq!(Parts(&reply).take(), message, "{parms}");
            }
        }
    }

    #[test]
    fn refuses_whatever_was_changed() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::ecc(attr::OWN | attr::DECRYPT));
        let good = encrypt(&mut tpm, key, b"message", KDF2);
        let other = encrypt(&mut tpm, key, b"message", KDF2);
        let changed = |position: usize, part: &[u8]| {
            let mut parts = good.clone();
            parts[position] = part.to_vec();
            decryption(&parts, KDF2)
        };
        let off_curve = sized(&[&[1; 32], &[1; 32]]);
        for (code, params) in [
            (0x1E7, changed(0, &off_curve)),
            (0x1E7, changed(0, &sized(&[b"", b""]))),
            (0x1D5, changed(0, b"")),
            (0x084, changed(0, &other[0])),
            (0x084, changed(1, &other[1])),
            (0x084, changed(1, b"")),
            (0x084, changed(2, &other[2])),
            (0x084, changed(2, &good[2][..31])),
            (0x084, changed(2, b"")),
            (0x084, decryption(&good, "0021 000c")),
            (0x4D2, decryption(&good, "0010")),
            (0x4D2, decryption(&good, "0020 000b")),
            (0x4D2, decryption(&good, "0007 000b")),
            (0x4CC, decryption(&good, "0015 000b")),
            (0x4C3, decryption(&good, "0021 0010")),
        ] {
            assert_eq!(tpm.code_with(DECRYPT, &[key], &params), code, "{params:x?}");
        }
        for (code, scheme) in [
            (0x2D2, "0010"),
            (0x2D2, "0022 000b"),
            (0x2CC, "0019 000b"),
            (0x2C3, "0021 0000"),
        ] {
            assert_eq!(tpm.run(&encryption(key, b"message", scheme)).0, code, "{scheme}");
        }
        assert_eq!(tpm.run(&encryption(key, &[0; 1025], KDF2)).0, 0x1D5);
    }

    #[test]
    fn refuses_keys_of_other_kinds_and_uses() {
        let mut tpm = Bench::started();
        let nothing = decryption(&[sized(&[&[1], &[1]]), vec![1], vec![1; 32]], KDF2);
        for (encrypts, decrypts, template) in [
            (0, 0x182, Template::ecc(attr::OWN | attr::SIGN)),
            (0, 0x182, Template::srk()),
            (0x19C, 0x19C, Template::rsa(attr::OWN | attr::DECRYPT)),
            (0x19C, 0x19C, Template::aes(attr::OWN | attr::DECRYPT)),
        ] {
            let key = tpm.primary(OWNER, &template);
            assert_eq!(tpm.run(&encryption(key, b"message", KDF2)).0, encrypts, "{template:x?}");
            assert_eq!(tpm.code_with(DECRYPT, &[key], &nothing), decrypts, "{template:x?}");
        }
    }

    #[test]
    fn approved_algorithms_have_no_part_in_it() {
        let mut tpm = Bench::made(ProfileName::Fips);
        tpm.run_ok("8001 0000000c 00000144 0000");
        let key = tpm.primary(OWNER, &Template::ecc(attr::OWN | attr::DECRYPT));
        assert_eq!(tpm.run(&encryption(key, b"message", KDF2)).0, 0x143);
        let list = tpm.run_ok("8001 00000016 0000017a 00000000 00000021 00000001");
        assert_eq!(list[9..], hex("0022 00000404"), "KDF2 is not listed");
    }
}
