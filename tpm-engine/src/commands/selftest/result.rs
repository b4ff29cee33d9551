//! TPM2_GetTestResult — Part 3, 10.4.

use crate::rc::{Rc, RcResult};
use crate::tpm::{Phase, Tpm};
use crate::types::MaxBuffer;

command! {
    /// TPM2_GetTestResult: whether the TPM works. In failure mode the data names what failed.
    GetTestResult = 0x17C, [InFailureMode, WithoutKeys];
    handles {}
    params {}
    reply { data: MaxBuffer, result: u32 }
}

fn run(tpm: &mut Tpm, _: Handles, _: Params) -> RcResult<Reply> {
    Ok(match tpm.phase {
        Phase::Failed(reason) => Reply {
            data: MaxBuffer::truncated(reason.as_bytes()),
            result: Rc::FAILURE.get(),
        },
        _ => Reply {
            data: MaxBuffer::EMPTY,
            result: 0,
        },
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn says_that_all_is_well() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run_ok("8001 0000000a 0000017c"), [0; 6]);
        assert_eq!(tpm.code("8001 0000000b 0000017c 00"), 0x95);
    }

    #[test]
    fn needs_a_start_up() {
        assert_eq!(Bench::unstarted().code("8001 0000000a 0000017c"), 0x100);
    }
}
