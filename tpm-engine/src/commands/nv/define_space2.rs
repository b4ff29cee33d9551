//! TPM2_NV_DefineSpace2 — Part 3, 31.17.

use zeroize::Zeroizing;

use super::define_space::define;
use crate::bytes::Digest;
use crate::marshal::Sized2B;
use crate::rc::RcResult;
use crate::tpm::Tpm;
use crate::types::nv::NvPublic2;

command! {
    /// TPM2_NV_DefineSpace2: makes an NV index, whose public area names the type of its handle.
    NvDefineSpace2 = 0x19D, [Nv, PresenceOptional];
    handles { auth_handle: Provision @ User }
    params { auth: Zeroizing<Digest>, public_info: Sized2B<NvPublic2> }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    define(tpm, handles.auth_handle, &params.auth, params.public_info.0.0)?;
    Ok(Reply {})
}

#[cfg(test)]
mod tests {
    use crate::commands::nv::tests::{INDEX, OWNER, PLAIN, public, sized, write};
    use crate::testing::{Bench, plain, with_passwords};

    fn define2(tpm: &mut Bench, area: &[u8]) -> u32 {
        let params = [sized(b""), sized(area)].concat();
        tpm.run(&with_passwords(0x19D, &[OWNER], &[b""], &params)).0
    }

    #[test]
    fn makes_the_same_index_with_the_same_name() {
        let mut tpm = Bench::started();
        let area = public(INDEX, PLAIN, 8, b"");
        let area2 = [&[0x01], &area[..]].concat();
        assert_eq!(define2(&mut tpm, &area2), 0);
        assert_eq!(define2(&mut tpm, &area2), 0x14C);
        assert_eq!(write(&mut tpm, INDEX, b"a", 0), 0);
        let one = tpm.run(&plain(0x169, &INDEX.to_be_bytes())).1;
        let two = tpm.run(&plain(0x19E, &INDEX.to_be_bytes())).1;
        assert_eq!(one[10..12], (area.len() as u16).to_be_bytes());
        assert_eq!(two[10..13], [0, area.len() as u8 + 1, 0x01]);
        assert_eq!(one[12..], two[13..]);
    }

    #[test]
    fn other_types_of_handles_do_not_exist() {
        let mut tpm = Bench::started();
        // TPM_HT_EXTERNAL_NV, TPM_HT_PERMANENT_NV and what is no NV index at all.
        for kind in [0x11, 0x12, 0x02, 0x80] {
            let area = public(u32::from(kind) << 24 | 1, PLAIN, 8, b"");
            assert_eq!(define2(&mut tpm, &[&[kind], &area[..]].concat()), 0x2D8);
        }
        let area = public(0x1100_0001, PLAIN, 8, b"");
        assert_eq!(define2(&mut tpm, &[&[0x01], &area[..]].concat()), 0x2C4);
        assert_eq!(define2(&mut tpm, b""), 0x2D5);
    }

    #[test]
    fn reading_needs_an_index() {
        let mut tpm = Bench::started();
        assert_eq!(tpm.run(&plain(0x19E, &INDEX.to_be_bytes())).0, 0x18B);
        assert_eq!(tpm.run(&plain(0x19E, &0x1100_0001u32.to_be_bytes())).0, 0x184);
    }
}
