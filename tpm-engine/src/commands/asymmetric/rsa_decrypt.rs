//! TPM2_RSA_Decrypt — Part 3, 14.3.

use zeroize::Zeroizing;

use super::{check_label, choose_padding};
use crate::crypto::CryptoError;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::PublicParms;
use crate::types::scheme::RsaDecrypt;
use crate::types::{Data, RsaBytes};

command! {
    /// TPM2_RSA_Decrypt: decrypts with a private key.
    RsaDecryptCommand = 0x159, [];
    handles { key: Object @ User }
    params {
        cipher_text: RsaBytes,
        in_scheme: RsaDecrypt,
        label: Data,
    }
    reply { message: Zeroizing<RsaBytes> }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).cloned().ok_or(Rc::KEY.handle(1))?;
    let PublicParms::Rsa(parms) = &key.public.0.parms else {
        return Err(Rc::KEY.handle(1));
    };
    let attributes = key.public.0.attributes;
    if attributes.has(A::RESTRICTED) || !attributes.has(A::DECRYPT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    check_label(&params.label).map_err(|code| code.parameter(3))?;
    let padding = choose_padding(parms.scheme.0, params.in_scheme, &params.label).map_err(|code| code.parameter(2))?;
    let message = key
        .rsa_private()?
        .decrypt(padding, &params.cipher_text, &mut tpm.rng)
        .map_err(|error| match error {
            CryptoError::Size => Rc::SIZE,
            _ => Rc::VALUE,
        })?;
    Ok(Reply { message })
}

#[cfg(test)]
mod tests {
    use crate::testing::keys::{OWNER, Parts, Template, attr, sized};
    use crate::testing::{Bench, hex, plain};

    const ENCRYPT: u32 = 0x174;
    const DECRYPT: u32 = 0x159;

    fn encrypt(tpm: &mut Bench, key: u32, message: &[u8], scheme: &str, label: &[u8]) -> Result<Vec<u8>, u32> {
        let body = [
            &key.to_be_bytes()[..],
            &sized(&[message]),
            &hex(scheme),
            &sized(&[label]),
        ]
        .concat();
        match tpm.run(&plain(ENCRYPT, &body)) {
            (0, response) => Ok(Parts(&response[10..]).take().to_vec()),
            (code, _) => Err(code),
        }
    }

    fn decryption(cipher: &[u8], scheme: &str, label: &[u8]) -> Vec<u8> {
        [sized(&[cipher]), hex(scheme), sized(&[label])].concat()
    }

    #[test]
    fn each_scheme_takes_back_what_it_made() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::rsa(attr::OWN | attr::DECRYPT));
        for (scheme, label) in [("0015", &b""[..]), ("0017 000b", b"label\0"), ("0017 000c", b"")] {
            let cipher = encrypt(&mut tpm, key, b"message", scheme, label).unwrap();
            let reply = tpm.ok_with(DECRYPT, &[key], &[b""], &decryption(&cipher, scheme, label));
            assert_eq!(Parts(&reply).take(), b"message", "{scheme}");
        }
        let cipher = encrypt(&mut tpm, key, b"message", "0010", b"").unwrap();
        let reply = tpm.ok_with(DECRYPT, &[key], &[b""], &decryption(&cipher, "0010", b""));
        assert_eq!(Parts(&reply).take(), [&[0; 249][..], b"message"].concat());
    }

    #[test]
    fn refuses_wrong_labels_sizes_and_schemes() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::rsa(attr::OWN | attr::DECRYPT));
        let oaep = "0017 000b";
        let cipher = encrypt(&mut tpm, key, b"message", oaep, b"label\0").unwrap();
        for (code, params) in [
            (0x084, decryption(&cipher, oaep, b"other\0")),
            (0x3C4, decryption(&cipher, oaep, b"label")),
            (0x095, decryption(&cipher[1..], oaep, b"label\0")),
            (0x084, decryption(&[0xFF; 256], "0010", b"")),
            (0x2C4, decryption(&cipher, "0014 000b", b"")),
        ] {
            assert_eq!(tpm.code_with(DECRYPT, &[key], &params), code);
        }
        assert_eq!(encrypt(&mut tpm, key, &[1; 191], oaep, b""), Err(0x084));
        assert_eq!(encrypt(&mut tpm, key, b"message", oaep, b"label"), Err(0x3C4));
        let bound = Template::rsa(attr::OWN | attr::DECRYPT).with_parms("0010 0015 0800 00000000");
        let bound = tpm.primary(OWNER, &bound);
        assert_eq!(encrypt(&mut tpm, bound, b"message", oaep, b""), Err(0x2D2));
        assert!(encrypt(&mut tpm, bound, b"message", "0010", b"").is_ok());
    }

    #[test]
    fn refuses_keys_of_other_kinds_and_uses() {
        let mut tpm = Bench::started();
        let ecc = tpm.primary(OWNER, &Template::ecc(attr::OWN | attr::DECRYPT));
        let params = decryption(&[1; 256], "0010", b"");
        assert_eq!(encrypt(&mut tpm, ecc, b"x", "0010", b""), Err(0x19C));
        assert_eq!(tpm.code_with(DECRYPT, &[ecc], &params), 0x19C);
        let signer = tpm.primary(OWNER, &Template::rsa(attr::OWN | attr::SIGN));
        assert_eq!(encrypt(&mut tpm, signer, b"x", "0010", b""), Err(0x182));
        assert_eq!(tpm.code_with(DECRYPT, &[signer], &params), 0x182);
        let storage = tpm.primary(OWNER, &Template::rsa(attr::OWN | attr::STORAGE));
        assert_eq!(tpm.code_with(DECRYPT, &[storage], &params), 0x182);
    }
}
