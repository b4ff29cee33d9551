//! TPM2_Commit — Part 3, 19.2.

use crate::bytes::Bytes;
use crate::crypto::ecc::{self, Point};
use crate::crypto::hash::hash;
use crate::keys::secret::padded_point;
use crate::marshal::Sized2B;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::public::PublicParms;
use crate::types::{EccParameter, EccPoint};

command! {
    /// TPM2_Commit: the first half of an ECDAA signature; TPM2_Sign with the counter is the second.
    Commit = 0x18B, [];
    handles { key: Object @ User }
    params {
        p1: Sized2B<EccPoint>,
        s2: Bytes<128>,
        y2: EccParameter,
    }
    reply {
        k: Sized2B<EccPoint>,
        l: Sized2B<EccPoint>,
        e: Sized2B<EccPoint>,
        counter: u16,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let key = tpm.object(handles.key).ok_or(Rc::KEY.handle(1))?;
    let public = &key.public.0;
    let PublicParms::Ecc(parms) = &public.parms else {
        return Err(Rc::KEY.handle(1));
    };
    if !parms.scheme.0.is_some_and(|scheme| scheme.id.is_anonymous()) {
        return Err(Rc::SCHEME.handle(1));
    }
    let curve = parms.curve;
    if params.s2.is_empty() != params.y2.is_empty() {
        return Err(Rc::SIZE.parameter(3));
    }
    let r = tpm.next_ephemeral(curve, &key.name).ok_or(Rc::NO_RESULT)?;
    let on_curve = |point: &Point| ecc::on_curve(curve, &point.x, &point.y);
    let second = if params.s2.is_empty() {
        None
    } else {
        let name_alg = public.name_alg.ok_or(Rc::KEY.handle(1))?;
        let point = EccPoint {
            x: ecc::field_number(curve, &hash(name_alg, &[&params.s2])),
            y: params.y2,
        };
        let point = padded_point(curve, &point).filter(on_curve);
        Some(point.ok_or(Rc::ECC_POINT.parameter(2))?)
    };
    let p1 = &params.p1.0;
    let first = if p1.x.is_empty() && p1.y.is_empty() {
        None
    } else {
        let point = padded_point(curve, p1).filter(on_curve);
        Some(point.ok_or(Rc::ECC_POINT.parameter(1))?)
    };
    let secret = &key.sensitive().map_err(|rc| rc.handle(1))?.secret;
    let times = |scalar: &[u8], point: &Point| ecc::multiply(curve, scalar, point).map_err(|_| Rc::NO_RESULT);
    let (mut k, mut l, mut e) = (EccPoint::default(), EccPoint::default(), EccPoint::default());
    if let Some(second) = &second {
        k = times(secret, second)?.into();
        l = times(&r, second)?.into();
    }
    match (&first, &second) {
        (Some(first), _) => e = times(&r, first)?.into(),
        (None, None) => e = ecc::public(curve, &r).map_err(|_| Rc::NO_RESULT)?.into(),
        (None, Some(_)) => {}
    }
    Ok(Reply {
        k: Sized2B(k),
        l: Sized2B(l),
        e: Sized2B(e),
        counter: tpm.commit_ephemeral(),
    })
}

#[cfg(test)]
mod tests {
    use crypto_bigint::{BoxedUint, NonZero};

    use crate::alg::{Curve, HashAlg};
    use crate::crypto::ecc::{self, parameters};
    use crate::crypto::hash::hash;
    use crate::handle::Handle;
    use crate::profile::ProfileName;
    use crate::rc::Rc;
    use crate::testing::{Bench, hex, with_passwords};

    const KEY: u32 = 0x8000_0000;
    const DIGEST: [u8; 32] = [7; 32];

    /// A TPM with an ECC key of the scheme.
    fn bench(scheme: &str) -> Bench {
        let mut bench = Bench::made(ProfileName::Compat);
        bench.run_ok("8001 0000000c 00000144 0000");
        let public = hex(&format!("0023 000b 00040060 0000 0010 {scheme} 0003 0010 0000 0000"));
        let size = (public.len() as u16).to_be_bytes();
        let creation = [&hex("0004 0000 0000")[..], &size, &public, &hex("0000 00000000")].concat();
        let (code, _) = bench.run(&with_passwords(0x131, &[0x4000_0007], &[b""], &creation));
        assert_eq!(code, 0);
        bench
    }

    fn commit(bench: &mut Bench, params: &[u8]) -> (u32, Vec<u8>) {
        bench.run(&with_passwords(0x18B, &[KEY], &[b""], params))
    }

    fn sign(bench: &mut Bench, scheme: &str) -> (u32, Vec<u8>) {
        let ticket = hex("8024 40000007 0000");
        let params = [&hex("0020")[..], &DIGEST, &hex(scheme), &ticket].concat();
        bench.run(&with_passwords(0x15D, &[KEY], &[b""], &params))
    }

    fn number(bytes: &[u8]) -> BoxedUint {
        BoxedUint::from_be_slice_vartime(bytes)
    }

    #[test]
    fn a_signature_is_made_of_the_commitment_and_of_no_other() {
        let mut bench = bench("001a 000b 0000");
        let (code, response) = commit(&mut bench, &hex("0004 0000 0000 0000 0000"));
        assert_eq!(code, 0);
        // K and L are empty; E is the secret times the base point.
        assert_eq!(response[14..26], hex("0004 0000 0000 0004 0000 0000"));
        assert_eq!(response[96..98], hex("0000"));
        let name = bench.tpm.object(Handle(KEY)).unwrap().name.clone();
        let r = bench.tpm.committed_ephemeral(Curve::P256, &name, 0).unwrap();
        let e = ecc::public(Curve::P256, &r).unwrap();
        assert_eq!((&response[30..62], &response[64..96]), (&*e.x, &*e.y));

        assert_eq!(
            sign(&mut bench, "001a 000b 0001").0,
            Rc::VALUE.get(),
            "no such commitment"
        );
        let (code, response) = sign(&mut bench, "001a 000b 0000");
        assert_eq!(code, 0);
        let (nonce, s) = (&response[20..52], &response[54..86]);
        let n = NonZero::new(number(&parameters::of(Curve::P256).n)).unwrap();
        let d = number(&bench.tpm.object(Handle(KEY)).unwrap().sensitive().unwrap().secret);
        let t = number(&hash(HashAlg::Sha256, &[nonce, &DIGEST])).rem(&n);
        assert_eq!(t.mul_mod(&d, &n).add_mod(&number(&r), &n), number(s));
        assert_eq!(sign(&mut bench, "001a 000b 0000").0, Rc::VALUE.get(), "used up");
    }

    #[test]
    fn points_are_multiplied_by_the_key_and_the_secret() {
        let mut bench = bench("001a 000b 0000");
        // The x of a point is the hash of s2: look for one that is on the curve.
        let (s2, y2) = (0u8..=255)
            .find_map(|s2| {
                let x = ecc::field_number(Curve::P256, &hash(HashAlg::Sha256, &[&[s2]]));
                square_root_on_curve(&x).map(|y| (s2, y))
            })
            .unwrap();
        let params = [&hex("0004 0000 0000 0001")[..], &[s2], &hex("0020"), &y2].concat();
        let (code, response) = commit(&mut bench, &params);
        assert_eq!(code, 0);
        let point = ecc::Point {
            x: ecc::field_number(Curve::P256, &hash(HashAlg::Sha256, &[&[s2]])),
            y: ecc::Coordinate::new(&y2).unwrap(),
        };
        let object = bench.tpm.object(Handle(KEY)).unwrap();
        let secret = object.sensitive().unwrap().secret.clone();
        let r = bench.tpm.committed_ephemeral(Curve::P256, &object.name, 0).unwrap();
        let k = ecc::multiply(Curve::P256, &secret, &point).unwrap();
        let l = ecc::multiply(Curve::P256, &r, &point).unwrap();
        assert_eq!((&response[18..50], &response[52..84]), (&*k.x, &*k.y));
        assert_eq!((&response[88..120], &response[122..154]), (&*l.x, &*l.y));
        assert_eq!(response[154..160], hex("0004 0000 0000"), "no E");

        let mut wrong = params.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(commit(&mut bench, &wrong).0, Rc::ECC_POINT.parameter(2).get());
        assert_eq!(commit(&mut bench, &params[..9]).0 & 0x3F, 0x1A, "cut short");
    }

    /// √(x³ - 3x + b) modulo the prime of P-256, which is 3 modulo 4.
    fn square_root_on_curve(x: &[u8]) -> Option<Vec<u8>> {
        let parameters = parameters::of(Curve::P256);
        let p = crypto_bigint::Odd::new(number(&parameters.p)).unwrap();
        let modulus = p.as_nz_ref();
        let x = number(x);
        let cube = x.mul_mod(&x, modulus).mul_mod(&x, modulus);
        let right = cube
            .add_mod(&x.mul_mod(&number(&parameters.a), modulus), modulus)
            .add_mod(&number(&parameters.b), modulus);
        let exponent = p.as_ref().wrapping_add(BoxedUint::one()).shr(2);
        let params = crypto_bigint::modular::BoxedMontyParams::new(p.clone());
        let root = crypto_bigint::modular::BoxedMontyForm::new(right, &params)
            .pow(&exponent)
            .retrieve();
        let bytes = root.to_be_bytes().to_vec();
        ecc::on_curve(Curve::P256, &x.to_be_bytes(), &bytes).then_some(bytes)
    }

    #[test]
    fn what_does_not_suit_is_refused() {
        let mut ecdsa = bench("0018 000b");
        let empty = hex("0004 0000 0000 0000 0000");
        assert_eq!(commit(&mut ecdsa, &empty).0, Rc::SCHEME.handle(1).get());
        let mut bench = bench("001a 000b 0000");
        let one_of_two = commit(&mut bench, &hex("0004 0000 0000 0001 01 0000"));
        assert_eq!(one_of_two.0, Rc::SIZE.parameter(3).get());
        let off_curve = commit(&mut bench, &hex("0006 0001 01 0001 01 0000 0000"));
        assert_eq!(off_curve.0, Rc::ECC_POINT.parameter(1).get());
        assert_eq!(
            sign(&mut bench, "0010").0,
            Rc::SCHEME.parameter(2).get(),
            "the counter is missing"
        );
    }
}
