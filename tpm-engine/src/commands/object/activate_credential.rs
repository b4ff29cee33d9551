//! TPM2_ActivateCredential — Part 3, 12.5.

use zeroize::Zeroizing;

use crate::bytes::Digest;
use crate::keys::protect::Protector;
use crate::marshal::Reader;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::{EncryptedSecret, IdObject};

command! {
    /// TPM2_ActivateCredential: the credential that was made for an object of this TPM.
    ActivateCredential = 0x147, [];
    handles { activate: Object @ Admin, key: Object @ User }
    params {
        credential_blob: IdObject,
        secret: EncryptedSecret,
    }
    reply { cert_info: Zeroizing<Digest> }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).cloned().ok_or(Rc::TYPE.handle(2))?;
    let public = &key.public.0;
    if !public.object_type().is_asymmetric() || !public.is_parent() {
        return Err(Rc::TYPE.handle(2));
    }
    let name = tpm.name(handles.activate);
    let seed = tpm
        .recover_secret(&key, b"IDENTITY", &params.secret)
        .map_err(|code| code.parameter(2))?;
    let open = || {
        let protector = Protector::new(public, &seed)?;
        let plain = protector.unwrap(&name, false, Reader::new(&params.credential_blob, tpm.profile))?;
        let mut reader = Reader::new(&plain, tpm.profile);
        let credential = reader.read()?;
        reader.finish().map(|()| credential)
    };
    let cert_info = open().map_err(|code: Rc| code.parameter(1))?;
    Ok(Reply { cert_info })
}

#[cfg(test)]
mod tests {
    use crate::testing::keys::{ENDORSEMENT, OWNER, Parts, Template, attr, sized};
    use crate::testing::{Bench, plain, with_passwords};

    const ACTIVATE: u32 = 0x147;
    const MAKE: u32 = 0x168;

    struct Credential {
        key: u32,
        object: u32,
        blob: Vec<u8>,
        secret: Vec<u8>,
    }

    fn make(tpm: &mut Bench, key: u32, credential: &[u8], name: &[u8]) -> Result<(Vec<u8>, Vec<u8>), u32> {
        let body = [&key.to_be_bytes()[..], &sized(&[credential, name])].concat();
        match tpm.run(&plain(MAKE, &body)) {
            (0, response) => {
                let mut parts = Parts(&response[10..]);
                Ok((parts.take().to_vec(), parts.take().to_vec()))
            }
            (code, _) => Err(code),
        }
    }

    fn setup(tpm: &mut Bench, endorsement: &Template) -> Credential {
        let key = tpm.primary(ENDORSEMENT, endorsement);
        let object = tpm.primary(OWNER, &Template::attestation_key());
        let name = tpm.names(object).0;
        let (blob, secret) = make(tpm, key, b"credential", &name).unwrap();
        Credential {
            key,
            object,
            blob,
            secret,
        }
    }

    fn activate(tpm: &mut Bench, object: u32, key: u32, blob: &[u8], secret: &[u8]) -> (u32, Vec<u8>) {
        let (code, response) = tpm.run(&with_passwords(
            ACTIVATE,
            &[object, key],
            &[b"", b""],
            &sized(&[blob, secret]),
        ));
        (code, response.get(14..26).unwrap_or_default().to_vec())
    }

    #[test]
    fn a_credential_is_for_one_object_beside_one_key() {
        let mut tpm = Bench::started();
        for endorsement in [Template::srk(), Template::rsa(attr::OWN | attr::STORAGE)] {
            let Credential {
                key,
                object,
                blob,
                secret,
            } = setup(&mut tpm, &endorsement);
            let (code, info) = activate(&mut tpm, object, key, &blob, &secret);
            assert_eq!((code, &info[..]), (0, &b"\0\x0Acredential"[..]));
            assert_eq!(activate(&mut tpm, key, key, &blob, &secret).0, 0x1DF);
            for at in 2..blob.len() {
                let mut changed = blob.clone();
                changed[at] ^= 1;
                assert_eq!(activate(&mut tpm, object, key, &changed, &secret).0, 0x1DF, "byte {at}");
            }
            tpm.tpm.objects.clear();
        }
    }

    #[test]
    fn refuses_secrets_that_are_not_for_the_key() {
        let mut tpm = Bench::started();
        let ecc = setup(&mut tpm, &Template::srk());
        let rsa = setup(&mut tpm, &Template::rsa(attr::OWN | attr::STORAGE));
        for (code, credential, secret) in [
            (0x2D5, &rsa, &rsa.secret[1..]),
            (0x2C4, &rsa, &[0; 256][..]),
            (0x2E7, &ecc, &sized(&[&[1; 32], &[1; 32]])),
            (0x2DA, &ecc, &ecc.secret[..ecc.secret.len() - 1]),
        ] {
            let found = activate(&mut tpm, credential.object, credential.key, &credential.blob, secret).0;
            assert_eq!(found, code);
        }
    }

    #[test]
    fn only_storage_keys_protect_credentials_that_are_no_longer_than_a_digest() {
        let mut tpm = Bench::started();
        let key = tpm.primary(ENDORSEMENT, &Template::srk());
        let signer = tpm.primary(OWNER, &Template::attestation_key());
        let cipher = tpm.primary(OWNER, &Template::aes(attr::OWN | attr::STORAGE));
        assert_eq!(make(&mut tpm, signer, b"x", b"name"), Err(0x18A));
        assert_eq!(make(&mut tpm, cipher, b"x", b"name"), Err(0x18A));
        assert_eq!(make(&mut tpm, key, &[1; 33], b"name"), Err(0x1D5));
        assert!(make(&mut tpm, key, &[1; 32], b"name").is_ok());
        assert_eq!(activate(&mut tpm, key, signer, b"", b"").0, 0x28A);
    }
}
