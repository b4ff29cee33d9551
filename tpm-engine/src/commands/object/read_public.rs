//! TPM2_ReadPublic — Part 3, 12.4.

use crate::handle::Name;
use crate::marshal::Sized2B;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::public::AnyPublic;

command! {
    /// TPM2_ReadPublic: the public area and the Names of a loaded object.
    ReadPublic = 0x173, [];
    handles { object: Object }
    params {}
    reply<'t> {
        out_public: Sized2B<&'t AnyPublic>,
        name: &'t Name,
        qualified_name: &'t Name,
    }
}

fn run<'t>(tpm: &'t mut Tpm, handles: Handles, _: Params) -> RcResult<Reply<'t>> {
    // A sequence has no public area.
    let object = tpm.object(handles.object).ok_or(Rc::SEQUENCE)?;
    Ok(Reply {
        out_public: Sized2B(&object.public),
        name: &object.name,
        qualified_name: &object.qualified_name,
    })
}
