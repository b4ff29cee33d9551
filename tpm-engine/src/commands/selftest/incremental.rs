//! TPM2_IncrementalSelfTest — Part 3, 10.3.

use arrayvec::ArrayVec;

use crate::commands::capability::algorithms;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

/// TPML_ALG (Part 2, 10.9.3); MAX_ALG_LIST_SIZE is 64.
type AlgorithmList = ArrayVec<u16, 64>;

command! {
    /// TPM2_IncrementalSelfTest: tests the algorithms named that have not been tested; tells which still have not been.
    IncrementalSelfTest = 0x142, [Nv, WithoutKeys];
    handles {}
    params { to_test: AlgorithmList }
    reply { to_do: AlgorithmList }
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let known = algorithms::list(tpm.profile);
    if params
        .to_test
        .iter()
        .any(|wanted| !known.clone().any(|entry| entry.alg == *wanted))
    {
        return Err(Rc::VALUE.parameter(1));
    }
    // What has been tested is not tested again. There is little left after start-up, and all of that is tested.
    tpm.test_keys()?;
    Ok(Reply {
        to_do: AlgorithmList::new(),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn nothing_is_left_to_do() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run_ok("8001 0000000e 00000142 00000000"), [0; 4]);
        assert_eq!(tpm.run_ok("8001 00000012 00000142 00000002 0006 000b"), [0; 4]);
    }

    #[test]
    fn refuses_algorithms_that_are_not_there() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.code("8001 00000010 00000142 00000001 7777"), 0x1C4);
        assert_eq!(tpm.code("8001 00000010 00000142 00000001 0010"), 0x1C4);
        assert_eq!(tpm.code("8001 0000000e 00000142 00000041"), 0x1D5);
        assert_eq!(tpm.code("8001 00000010 00000142 00000002 0006"), 0x1DA);
    }
}
