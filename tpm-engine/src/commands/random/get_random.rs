//! TPM2_GetRandom — Part 3, 16.1.

use crate::bytes::Digest;
use crate::rc::RcResult;
use crate::tpm::Tpm;

command! {
    /// TPM2_GetRandom: the next octets of the random number generator.
    GetRandom = 0x17B, [WithoutKeys];
    handles {}
    params { bytes_requested: u16 }
    reply { random_bytes: Digest }
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    // No more than the largest digest, however much was asked for.
    Ok(Reply {
        random_bytes: tpm.random(usize::from(params.bytes_requested)),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn gives_what_was_asked_for_up_to_the_largest_digest() {
        let mut tpm = Bench::started();
        let first = tpm.run_ok("8001 0000000c 0000017b 0020");
        let second = tpm.run_ok("8001 0000000c 0000017b 0020");
        assert_eq!((first.len(), &first[..2]), (34, &[0, 32][..]));
        assert_ne!(first, second);
        assert_eq!(tpm.run_ok("8001 0000000c 0000017b ffff").len(), 2 + 64);
        assert_eq!(tpm.run_ok("8001 0000000c 0000017b 0000"), [0, 0]);
    }

    #[test]
    fn refuses_a_cut_or_overlong_command() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.code("8001 0000000b 0000017b 00"), 0x1DA);
        assert_eq!(tpm.code("8001 0000000d 0000017b 0020 00"), 0x95);
    }
}
