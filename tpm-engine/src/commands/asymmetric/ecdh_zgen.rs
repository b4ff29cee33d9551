//! TPM2_ECDH_ZGen — Part 3, 14.5.

use super::ecc_decryption_key;
use crate::crypto::{CryptoError, ecc};
use crate::keys::secret::padded_point;
use crate::marshal::Sized2B;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::EccPoint;
use crate::types::scheme::SchemeId;

command! {
    /// TPM2_ECDH_ZGen: the point that a loaded private key shares with a public point.
    EcdhZGen = 0x154, [];
    handles { key: Object @ User }
    params { in_point: Sized2B<EccPoint> }
    reply { out_point: Sized2B<EccPoint> }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let (key, parms) = ecc_decryption_key(tpm, handles.key)?;
    if parms.scheme.0.is_some_and(|scheme| scheme.id != SchemeId::Ecdh) {
        return Err(Rc::SCHEME.handle(1));
    }
    let theirs = padded_point(parms.curve, &params.in_point.0).ok_or(Rc::ECC_POINT.parameter(1))?;
    let product = ecc::multiply(parms.curve, &key.sensitive()?.secret, &theirs).map_err(|error| match error {
        CryptoError::Infinity => Rc::NO_RESULT,
        _ => Rc::ECC_POINT.parameter(1),
    })?;
    Ok(Reply {
        out_point: Sized2B(product.into()),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::testing::keys::{OWNER, Parts, Template, attr, sized};

    const KEY_GEN: u32 = 0x163;
    const Z_GEN: u32 = 0x154;

    #[test]
    fn both_sides_come_to_the_same_point() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::ecc(attr::OWN | attr::DECRYPT));
        let (code, response) = tpm.run(&crate::testing::plain(KEY_GEN, &key.to_be_bytes()));
        assert_eq!(code, 0);
        let mut parts = Parts(&response[10..]);
        let (shared, ephemeral) = (parts.take(), parts.take());
        let reply = tpm.ok_with(Z_GEN, &[key], &[b""], &sized(&[ephemeral]));
        assert_eq!(Parts(&reply).take(), shared);
    }

    #[test]
    fn refuses_points_and_keys_that_do_not_suit() {
        let mut tpm = Bench::started();
        let key = tpm.primary(OWNER, &Template::ecc(attr::OWN | attr::DECRYPT));
        let off_curve = sized(&[&sized(&[&[1; 32], &[1; 32]])]);
        assert_eq!(tpm.code_with(Z_GEN, &[key], &off_curve), 0x1E7);
        assert_eq!(tpm.code_with(Z_GEN, &[key], &sized(&[b""])), 0x1D5);
        for (code, template) in [
            (0x182, Template::srk()),
            (0x182, Template::ecc(attr::OWN | attr::SIGN)),
            (0x19C, Template::aes(attr::OWN | attr::DECRYPT)),
        ] {
            let key = tpm.primary(OWNER, &template);
            assert_eq!(tpm.code_with(Z_GEN, &[key], &off_curve), code, "{template:x?}");
        }
    }
}
