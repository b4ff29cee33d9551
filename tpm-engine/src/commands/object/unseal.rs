//! TPM2_Unseal — Part 3, 12.7.

use zeroize::Zeroizing;

use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::SensitiveData;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::ObjectType;

command! {
    /// TPM2_Unseal: the data of a sealed data object.
    Unseal = 0x15E, [];
    handles { item: Object @ User }
    params {}
    reply<'t> { out_data: &'t Zeroizing<SensitiveData> }
}

fn run<'t>(tpm: &'t mut Tpm, handles: Handles, _: Params) -> RcResult<Reply<'t>> {
    let object = tpm.object(handles.item).ok_or(Rc::TYPE.handle(1))?;
    let public = &object.public.0;
    if public.object_type() != ObjectType::KeyedHash {
        return Err(Rc::TYPE.handle(1));
    }
    if public.attributes.any(A::DECRYPT.with(A::SIGN).with(A::RESTRICTED)) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    Ok(Reply {
        out_data: &object.sensitive()?.secret,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::keys::{OWNER, Template, attr};
    use crate::testing::{Bench, with_passwords};

    const UNSEAL: u32 = 0x15E;

    #[test]
    fn gives_the_sealed_data_to_who_knows_the_authorization_value() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let template = Template::keyed_hash(attr::USER | attr::NO_DA);
        let item = tpm.child(parent, &template, b"auth", &[7; 128]);
        let data = tpm.ok_with(UNSEAL, &[item], &[b"auth"], b"");
        assert_eq!(data, [&[0, 128][..], &[7; 128]].concat());
        // Zeros at the end of an authorization value do not count.
        tpm.ok_with(UNSEAL, &[item], &[b"auth\0"], b"");
        assert_eq!(tpm.run(&with_passwords(UNSEAL, &[item], &[b"wrong"], b"")).0, 0x9A2);
    }

    #[test]
    fn refuses_what_is_no_sealed_data() {
        let mut tpm = Bench::started();
        let srk = tpm.primary(OWNER, &Template::srk());
        let hmac = Template::keyed_hash(attr::OWN | attr::SIGN).with_parms("0005 000b");
        let hmac = tpm.primary(OWNER, &hmac);
        assert_eq!(tpm.code_with(UNSEAL, &[srk], b""), 0x18A);
        assert_eq!(tpm.code_with(UNSEAL, &[hmac], b""), 0x182);
    }
}
