//! TPM2_StirRandom — Part 3, 16.2.

use zeroize::Zeroizing;

use crate::bytes::Bytes;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

command! {
    /// TPM2_StirRandom: additional input for the random number generator.
    StirRandom = 0x146, [Nv, WithoutKeys];
    handles {}
    params { in_data: Zeroizing<Bytes<128>> }
    reply {}
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    // The caller's data is no entropy: fresh entropy of our own goes in with it (SP 800-90A, 8.6.8).
    let mut entropy = Zeroizing::new([0u8; 32]);
    if tpm.entropy.fill(&mut *entropy).is_err() {
        tpm.fail("the entropy source failed");
        return Err(Rc::FAILURE);
    }
    tpm.rng.reseed(&*entropy, &params.in_data);
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn takes_up_to_128_bytes() {
        let mut tpm = Bench::started();
        tpm.run_ok("8001 00000010 00000146 0004 01020304");
        let mut long = crate::testing::hex("8001 0000008d 00000146 0081");
        long.extend_from_slice(&[0; 129]);
        assert_eq!(tpm.run(&long).0, 0x1D5);
    }
}
