//! TPM2_EncryptDecrypt2 — Part 3, 15.3.

use zeroize::Zeroizing;

use super::encrypt_decrypt::{Numbers, OptionalMode, Request, crypt};
use crate::keys::protect::Iv;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::MaxBuffer;

command! {
    /// TPM2_EncryptDecrypt2: TPM2_EncryptDecrypt with the data where a session can encrypt them.
    EncryptDecrypt2 = 0x193, [];
    handles { key: Object @ User }
    params {
        in_data: Zeroizing<MaxBuffer>,
        decrypt: bool,
        in_mode: OptionalMode,
        iv_in: Iv,
    }
    reply {
        out_data: Zeroizing<MaxBuffer>,
        iv_out: Iv,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let request = Request {
        decrypt: params.decrypt,
        mode: params.in_mode,
        iv: params.iv_in,
        data: params.in_data,
    };
    let numbers = Numbers {
        mode: 3,
        iv: 4,
        data: 1,
    };
    let (out_data, iv_out) = crypt(tpm, handles.key, request, &numbers)?;
    Ok(Reply { out_data, iv_out })
}

#[cfg(test)]
mod tests {
    use crate::testing::keys::{OWNER, Parts, Template, attr, sized};
    use crate::testing::{Bench, hex};

    const FIRST: u32 = 0x164;
    const SECOND: u32 = 0x193;

    fn params(data: &[u8], decrypt: u8, mode: &str, iv: &[u8]) -> Vec<u8> {
        [sized(&[data]), vec![decrypt], hex(mode), sized(&[iv])].concat()
    }

    #[test]
    fn data_come_back_and_both_forms_agree() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::aes(attr::OWN | attr::SIGN | attr::DECRYPT));
        let plain = [0x55; 33];
        let reply = tpm.ok_with(SECOND, &[key], &[b""], &params(&plain, 0, "0043", &[1; 16]));
        let other = [vec![0], hex("0010"), sized(&[&[1; 16], &plain])].concat();
        assert_eq!(tpm.ok_with(FIRST, &[key], &[b""], &other), reply);
        let mut parts = Parts(&reply);
        let (cipher, iv) = (parts.take(), parts.take());
        assert_eq!((cipher.len(), iv.len()), (33, 16));
        let back = tpm.ok_with(SECOND, &[key], &[b""], &params(cipher, 1, "0010", &[1; 16]));
        assert_eq!(Parts(&back).take(), plain);
    }

    #[test]
    fn refuses_uses_modes_and_vectors_that_do_not_suit() {
        let mut tpm = Bench::started();
        let encrypts = tpm.primary(OWNER, &Template::aes(attr::OWN | attr::SIGN));
        let open = Template::aes(attr::OWN | attr::SIGN).with_parms("0006 0080 0010");
        let open = tpm.primary(OWNER, &open);
        let storage = tpm.primary(OWNER, &Template::aes(attr::OWN | attr::STORAGE));
        let ecc = tpm.primary(OWNER, &Template::ecc(attr::OWN | attr::SIGN));
        for (code, key, params) in [
            (0x182, encrypts, params(b"x", 1, "0043", &[1; 16])),
            (0x4D5, encrypts, params(b"x", 0, "0043", &[1; 15])),
            (0x3C9, encrypts, params(b"x", 0, "0099", &[1; 16])),
            (0x2C4, encrypts, params(b"x", 2, "0043", &[1; 16])),
            (0x3C9, open, params(b"x", 0, "0010", &[1; 16])),
            (0x182, storage, params(b"x", 0, "0043", &[1; 16])),
            (0x19C, ecc, params(b"x", 0, "0043", &[1; 16])),
            (0x1D5, encrypts, params(&[1; 1025], 0, "0043", &[1; 16])),
        ] {
            assert_eq!(tpm.code_with(SECOND, &[key], &params), code);
        }
    }
}
