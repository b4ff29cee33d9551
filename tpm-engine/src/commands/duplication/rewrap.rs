//! TPM2_Rewrap — Part 3, 13.2.

use super::{LABEL, plain, private};
use crate::handle::{Handle, Name};
use crate::keys::protect::{Iv, Protector};
use crate::marshal::Reader;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::{EncryptedSecret, Private};

command! {
    /// TPM2_Rewrap: a duplicate for one parent as a duplicate for another.
    Rewrap = 0x152, [];
    handles { old_parent: ObjectOrNull @ User, new_parent: ObjectOrNull }
    params {
        in_duplicate: Private,
        name: Name,
        in_sym_seed: EncryptedSecret,
    }
    reply {
        out_duplicate: Private,
        out_sym_seed: EncryptedSecret,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    // There is an outer wrapper exactly if there is a parent that it is for.
    if params.in_sym_seed.is_empty() != (handles.old_parent == Handle::NULL) {
        return Err(Rc::HANDLE.handle(1));
    }
    let content = if handles.old_parent == Handle::NULL {
        plain(&params.in_duplicate)
    } else {
        let parent = tpm.storage_parent(handles.old_parent).ok_or(Rc::TYPE.handle(1))?;
        let seed = tpm
            .recover_secret(&parent, LABEL, &params.in_sym_seed)
            .map_err(|_| Rc::VALUE.parameter(3))?;
        let protector = Protector::new(&parent.public.0, &seed)?;
        protector
            .unwrap(&params.name, false, Reader::new(&params.in_duplicate, tpm.profile))
            .map_err(|code| code.parameter(1))?
    };
    if handles.new_parent == Handle::NULL {
        return Ok(Reply {
            out_duplicate: private(&content)?,
            out_sym_seed: EncryptedSecret::EMPTY,
        });
    }
    let parent = tpm.storage_parent(handles.new_parent).ok_or(Rc::TYPE.handle(2))?;
    let (seed, out_sym_seed) = tpm.make_secret(&parent.public.0, LABEL)?;
    let protector = Protector::new(&parent.public.0, &seed)?;
    Ok(Reply {
        out_duplicate: private(&protector.wrap(&params.name, &Iv::EMPTY, content)?)?,
        out_sym_seed,
    })
}
