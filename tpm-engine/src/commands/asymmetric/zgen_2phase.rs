//! TPM2_ZGen_2Phase — Part 3, 14.7.

use super::ecc_decryption_key;
use crate::crypto::CryptoError;
use crate::crypto::ecc::{self, Agreement, Parties};
use crate::keys::secret::padded_point;
use crate::marshal::{Reader, Sized2B, Unmarshal};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::EccPoint;
use crate::types::scheme::SchemeId;

command! {
    /// TPM2_ZGen_2Phase: what two parties share, each with a static and an ephemeral key.
    ZGen2Phase = 0x18D, [];
    handles { key: Object @ User }
    params {
        static_b: Sized2B<EccPoint>,
        ephemeral_b: Sized2B<EccPoint>,
        scheme: KeyExchange,
        counter: u16,
    }
    reply {
        z1: Sized2B<EccPoint>,
        z2: Sized2B<EccPoint>,
    }
}

/// TPMI_ECC_KEY_EXCHANGE (Part 2, 11.2.5.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyExchange(SchemeId);

impl Unmarshal<'_> for KeyExchange {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        SchemeId::from_id(reader.read()?)
            .filter(|id| matches!(id, SchemeId::Ecdh | SchemeId::Ecmqv | SchemeId::Sm2))
            .filter(|id| reader.profile.schemes.contains(id))
            .map(Self)
            .ok_or(Rc::SCHEME)
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let (key, parms) = ecc_decryption_key(tpm, handles.key)?;
    let KeyExchange(scheme) = params.scheme;
    if parms.scheme.0.is_some_and(|own| own.id != scheme) {
        return Err(Rc::SCHEME.parameter(3));
    }
    let curve = parms.curve;
    let point = |given: &EccPoint| padded_point(curve, given).filter(|point| ecc::on_curve(curve, &point.x, &point.y));
    let static_b = point(&params.static_b.0).ok_or(Rc::ECC_POINT.parameter(1))?;
    let ephemeral_b = point(&params.ephemeral_b.0).ok_or(Rc::ECC_POINT.parameter(2))?;
    let ephemeral = tpm
        .committed_ephemeral(curve, &[], params.counter)
        .ok_or(Rc::VALUE.parameter(4))?;
    let secret = &key.sensitive()?.secret;
    let code = |error| match error {
        CryptoError::Infinity => Rc::NO_RESULT,
        _ => Rc::KEY.handle(1),
    };
    let agree = |agreement| {
        let parties = Parties {
            own_static: secret,
            own_ephemeral: &ephemeral,
            peer_static: &static_b,
            peer_ephemeral: &ephemeral_b,
        };
        ecc::agree(curve, agreement, &parties).map_err(code)
    };
    let nothing = EccPoint::default();
    let (z1, z2) = match scheme {
        SchemeId::Ecmqv => (agree(Agreement::Mqv)?.into(), nothing),
        SchemeId::Sm2 => (agree(Agreement::Sm2)?.into(), nothing),
        _ => (
            ecc::multiply(curve, secret, &static_b).map_err(code)?.into(),
            ecc::multiply(curve, &ephemeral, &ephemeral_b).map_err(code)?.into(),
        ),
    };
    tpm.end_ephemeral(params.counter);
    Ok(Reply {
        z1: Sized2B(z1),
        z2: Sized2B(z2),
    })
}

#[cfg(test)]
mod tests {
    use crate::alg::Curve;
    use crate::crypto::drbg::HmacDrbg;
    use crate::crypto::ecc::{self, Agreement, Coordinate, Parties, Point};
    use crate::handle::Handle;
    use crate::profile::ProfileName;
    use crate::rc::Rc;
    use crate::testing::{Bench, hex, with_passwords};
    use crate::types::public::Unique;

    const KEY: u32 = 0x8000_0000;

    /// A TPM with a decryption key of P-256, and its public point.
    fn bench(attributes: &str) -> (Bench, Point) {
        let mut bench = Bench::made(ProfileName::Compat);
        bench.run_ok("8001 0000000c 00000144 0000");
        let public = hex(&format!(
            "0016 0023 000b {attributes} 0000 0010 0010 0003 0010 0000 0000"
        ));
        let creation = [&hex("0004 0000 0000")[..], &public, &hex("0000 00000000")].concat();
        let (code, _) = bench.run(&with_passwords(0x131, &[0x4000_0007], &[b""], &creation));
        assert_eq!(code, 0);
        let Unique::Ecc(point) = bench.tpm.object(Handle(KEY)).unwrap().public.0.unique.clone() else {
            panic!("not an ECC key");
        };
        (bench, Point { x: point.x, y: point.y })
    }

    fn sized(point: &Point) -> Vec<u8> {
        [&hex("0044 0020")[..], &point.x, &hex("0020"), &point.y].concat()
    }

    fn zgen(bench: &mut Bench, points: [&Point; 2], scheme_and_counter: &str) -> (u32, Vec<u8>) {
        let params = [sized(points[0]), sized(points[1]), hex(scheme_and_counter)].concat();
        bench.run(&with_passwords(0x18D, &[KEY], &[b""], &params))
    }

    #[test]
    fn both_parties_come_to_the_same_points() {
        let mut rng = HmacDrbg::new(b"a peer", &[], &[]);
        let (own, own_point) = ecc::generate(Curve::P256, &mut rng);
        let (ephemeral, ephemeral_point) = ecc::generate(Curve::P256, &mut rng);
        let (mut bench, static_a) = bench("00020060");
        for (scheme, counter) in [("0019", "0000"), ("001d", "0001"), ("001b", "0002")] {
            let answer = bench.run_ok("8001 0000000c 0000018e 0003");
            let ephemeral_a = Point {
                x: Coordinate::new(&answer[4..36]).unwrap(),
                y: Coordinate::new(&answer[38..70]).unwrap(),
            };
            let (code, response) = zgen(
                &mut bench,
                [&own_point, &ephemeral_point],
                &format!("{scheme} {counter}"),
            );
            assert_eq!(code, 0, "{scheme}");
            let parties = Parties {
                own_static: &own,
                own_ephemeral: &ephemeral,
                peer_static: &static_a,
                peer_ephemeral: &ephemeral_a,
            };
            let (z1, z2) = match scheme {
                "0019" => {
                    let second = ecc::multiply(Curve::P256, &ephemeral, &ephemeral_a).unwrap();
                    (ecc::multiply(Curve::P256, &own, &static_a), sized(&second))
                }
                "001d" => (ecc::agree(Curve::P256, Agreement::Mqv, &parties), hex("0004 0000 0000")),
                _ => (ecc::agree(Curve::P256, Agreement::Sm2, &parties), hex("0004 0000 0000")),
            };
            let expected = [sized(&z1.unwrap()), z2].concat();
            assert_eq!(response[14..][..expected.len()], expected, "{scheme}");
            let (again, _) = zgen(
                &mut bench,
                [&own_point, &ephemeral_point],
                &format!("{scheme} {counter}"),
            );
            assert_eq!(again, Rc::VALUE.parameter(4).get(), "an ephemeral key is used once");
        }
    }

    #[test]
    fn what_does_not_suit_is_refused() {
        let mut rng = HmacDrbg::new(b"a peer", &[], &[]);
        let (_, good) = ecc::generate(Curve::P256, &mut rng);
        let mut bad = good.clone();
        bad.y[0] ^= 1;
        let (mut bench, _) = bench("00020060");
        bench.run_ok("8001 0000000c 0000018e 0003");
        for (points, rest, code) in [
            ([&bad, &good], "0019 0000", Rc::ECC_POINT.parameter(1)),
            ([&good, &bad], "0019 0000", Rc::ECC_POINT.parameter(2)),
            ([&good, &good], "0010 0000", Rc::SCHEME.parameter(3)),
            ([&good, &good], "0018 0000", Rc::SCHEME.parameter(3)),
            ([&good, &good], "0019 0001", Rc::VALUE.parameter(4)),
        ] {
            assert_eq!(zgen(&mut bench, points, rest).0, code.get(), "{rest}");
        }
        let (mut signer, _) = super::tests::bench("00040060");
        assert_eq!(
            zgen(&mut signer, [&good, &good], "0019 0000").0,
            Rc::ATTRIBUTES.handle(1).get()
        );
    }
}
