//! TPM2_EC_Ephemeral — Part 3, 19.3.

use crate::alg::Curve;
use crate::crypto::ecc;
use crate::marshal::Sized2B;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::EccPoint;

command! {
    /// TPM2_EC_Ephemeral: an ephemeral public point for a key agreement with TPM2_ZGen_2Phase.
    EcEphemeral = 0x18E, [];
    handles {}
    params { curve: Curve }
    reply {
        q: Sized2B<EccPoint>,
        counter: u16,
    }
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let secret = tpm.next_ephemeral(params.curve, &[]).ok_or(Rc::NO_RESULT)?;
    let point = ecc::public(params.curve, &secret).map_err(|_| Rc::NO_RESULT)?;
    Ok(Reply {
        q: Sized2B(point.into()),
        counter: tpm.commit_ephemeral(),
    })
}

#[cfg(test)]
mod tests {
    use crate::alg::Curve;
    use crate::crypto::ecc;
    use crate::testing::{Bench, hex};

    #[test]
    fn every_point_is_new_and_on_the_curve() {
        let mut tpm = Bench::started();
        let first = tpm.run_ok("8001 0000000c 0000018e 0003");
        let second = tpm.run_ok("8001 0000000c 0000018e 0003");
        for (answer, counter) in [(&first, "0000"), (&second, "0001")] {
            assert_eq!(answer[..4], hex("0044 0020"));
            assert!(ecc::on_curve(Curve::P256, &answer[4..36], &answer[38..70]));
            assert_eq!(answer[70..], hex(counter));
        }
        assert_ne!(first[..70], second[..70]);
    }

    #[test]
    fn refuses_unknown_curves() {
        assert_eq!(Bench::started().code("8001 0000000c 0000018e 0000"), 0x1E6);
    }
}
