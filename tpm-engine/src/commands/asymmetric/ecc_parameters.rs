//! TPM2_ECC_Parameters — Part 3, 14.6.

use crate::alg::{Curve, HashAlg};
use crate::crypto::ecc::parameters::{self, CurveParameters};
use crate::marshal::{Marshal, Sink, put_sized};
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::ALG_NULL;
use crate::types::scheme::{Kdf, KdfScheme};

command! {
    /// TPM2_ECC_Parameters: the numbers that make a curve.
    EccParameters = 0x178, [];
    handles {}
    params { curve: Curve }
    reply { parameters: CurveDetail }
}

/// TPMS_ALGORITHM_DETAIL_ECC (Part 2, 11.2.5.8).
pub(crate) struct CurveDetail(Curve);

impl Marshal for CurveDetail {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        let curve = self.0;
        curve.marshal(sink);
        curve.bits().marshal(sink);
        // The KDF of key agreement, with a hash of the curve's strength; no curve asks for a signature scheme.
        KdfScheme(agreement_hash(curve).map(|hash| (Kdf::Kdf1Sp80056a, hash))).marshal(sink);
        ALG_NULL.marshal(sink);
        let CurveParameters { p, a, b, gx, gy, n, h } = parameters::of(curve);
        for number in [p, a, b, gx, gy, n, h] {
            put_sized(sink, &number);
        }
    }
}

const fn agreement_hash(curve: Curve) -> Option<HashAlg> {
    match curve {
        Curve::P192 | Curve::P224 | Curve::P256 => Some(HashAlg::Sha256),
        Curve::P384 => Some(HashAlg::Sha384),
        Curve::P521 => Some(HashAlg::Sha512),
        Curve::BnP256 | Curve::BnP638 => None,
        Curve::Sm2P256 => Some(HashAlg::Sm3),
    }
}

fn run(_: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    Ok(Reply {
        parameters: CurveDetail(params.curve),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Bench, hex};

    #[test]
    fn tells_the_numbers_of_a_curve() {
        let mut tpm = Bench::started();
        let p256 = tpm.run_ok("8001 0000000c 00000178 0003");
        assert_eq!(&p256[..10], hex("0003 0100 0020 000b 0010"));
        assert_eq!(&p256[10..12], &[0, 32]);
        assert_eq!(p256.len(), 10 + 6 * 34 + 3);
        let p384 = tpm.run_ok("8001 0000000c 00000178 0004");
        assert_eq!(&p384[..10], hex("0004 0180 0020 000c 0010"));
        assert_eq!(p384.len(), 10 + 6 * 50 + 3);
    }

    #[test]
    fn refuses_unknown_curves() {
        assert_eq!(Bench::started().code("8001 0000000c 00000178 0000"), 0x1E6);
    }
}
