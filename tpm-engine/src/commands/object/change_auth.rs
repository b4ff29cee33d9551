//! TPM2_ObjectChangeAuth — Part 3, 12.8.

use zeroize::Zeroizing;

use crate::bytes::Digest;
use crate::keys::creation::{check_auth_size, qualified_name};
use crate::keys::protect::{Protector, trimmed};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::Private;

command! {
    /// TPM2_ObjectChangeAuth: the private area of an object with another authorization value.
    ObjectChangeAuth = 0x150, [];
    handles { object: Object @ Admin, parent: Object }
    params { new_auth: Zeroizing<Digest> }
    reply { out_private: Private }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let object = tpm.object(handles.object).cloned().ok_or(Rc::TYPE.handle(1))?;
    let public = &object.public.0;
    check_auth_size(&params.new_auth, public.name_alg).map_err(|code| code.parameter(1))?;
    // The Qualified Name tells whose child it is.
    let parent = tpm.object(handles.parent).cloned().ok_or(Rc::TYPE.handle(2))?;
    if qualified_name(public.name_alg, &parent.qualified_name, &object.name) != object.qualified_name {
        return Err(Rc::TYPE.handle(2));
    }
    let mut sensitive = object.sensitive()?.clone();
    sensitive.auth = trimmed(&params.new_auth);
    let protector = Protector::new(&parent.public.0, &parent.sensitive()?.seed)?;
    let iv = tpm.random(protector.iv_size());
    Ok(Reply {
        out_private: protector.wrap_child(public, &iv, &sensitive)?,
    })
}
