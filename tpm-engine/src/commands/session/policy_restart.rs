//! TPM2_PolicyRestart — Part 3, 11.2.

use crate::rc::{Rc, RcResult};
use crate::session::PolicyState;
use crate::tpm::Tpm;

command! {
    /// TPM2_PolicyRestart: takes a policy session back to the state in which nothing has been asserted.
    PolicyRestart = 0x180, [];
    handles { session_handle: PolicySession }
    params {}
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, _: Params) -> RcResult<Reply> {
    let session = tpm.sessions.get_mut(handles.session_handle).ok_or(Rc::FAILURE)?;
    // The nonce stays, and with it the time from which expirations count.
    session.policy = PolicyState::new(session.hash, session.policy.start_time);
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::testing::session::{POLICY, Start, TRIAL};

    #[test]
    fn a_policy_starts_again() {
        for kind in [POLICY, TRIAL] {
            let mut tpm = Bench::started();
            let session = Start::of(kind).run(&mut tpm).unwrap();
            tpm.policy(session.handle, 0x18C, "").unwrap();
            assert_ne!(tpm.policy_digest(session.handle), [0; 32]);
            tpm.policy(session.handle, 0x180, "").unwrap();
            assert_eq!(tpm.policy_digest(session.handle), [0; 32]);
        }
    }

    #[test]
    fn the_handle_must_name_a_policy_session() {
        let mut tpm = Bench::started();
        let hmac = Start::hmac().run(&mut tpm).unwrap();
        assert_eq!(tpm.policy(hmac.handle, 0x180, ""), Err(0x184));
        assert_eq!(tpm.policy(hmac.handle + 0x0100_0000, 0x180, ""), Err(0x18B));
        assert_eq!(tpm.policy(0x0300_0007, 0x180, ""), Err(0x910));
    }
}
