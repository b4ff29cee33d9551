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

#[cfg(test)]
mod tests {
    use crate::testing::keys::{Blob, OWNER, Parts, Template, attr, sized};
    use crate::testing::{Bench, with_passwords};

    const CHANGE: u32 = 0x150;
    const UNSEAL: u32 = 0x15E;

    #[test]
    fn the_new_private_area_has_the_new_value_and_the_loaded_object_the_old_one() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let template = Template::keyed_hash(attr::USER | attr::NO_DA);
        let blob = tpm.create(parent, &template, b"old", b"data");
        let old = tpm.load(parent, &blob);
        let reply = tpm.ok_with(CHANGE, &[old, parent], &[b"old"], &sized(&[b"new"]));
        let changed = Blob {
            private: Parts(&reply).take().to_vec(),
            ..blob
        };
        assert_eq!(changed.private.len(), blob.private.len());
        let new = tpm.load(parent, &changed);
        for (handle, password) in [(old, &b"old"[..]), (new, b"new")] {
            assert_eq!(tpm.ok_with(UNSEAL, &[handle], &[password], b""), b"\0\x04data");
        }
        let stale = with_passwords(UNSEAL, &[new], &[b"old"], b"");
        assert_eq!(tpm.run(&stale).0, 0x9A2);
    }

    #[test]
    fn refuses_a_stranger_as_parent_and_a_value_that_is_too_long() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let child = tpm.child(parent, &Template::keyed_hash(attr::USER), b"", b"data");
        let mut code =
            |handles: &[u32], auth: &[u8]| tpm.run(&with_passwords(CHANGE, handles, &[b""], &sized(&[auth]))).0;
        assert_eq!(code(&[child, child], b"new"), 0x28A);
        assert_eq!(code(&[parent, parent], b"new"), 0x28A);
        assert_eq!(code(&[child, parent], &[1; 33]), 0x1D5);
        assert_eq!(code(&[child, OWNER], b"new"), 0x284);
    }
}
