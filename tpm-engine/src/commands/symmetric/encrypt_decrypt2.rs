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
