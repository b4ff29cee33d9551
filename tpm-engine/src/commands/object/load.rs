//! TPM2_Load — Part 3, 12.2.

use std::sync::Arc;

use crate::handle::Name;
use crate::keys::checks::{Blame, check_areas};
use crate::keys::protect::Protector;
use crate::marshal::{Borrowed, Reader, Sized2B};
use crate::object::Loaded;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::Private;
use crate::types::public::Public;

command! {
    /// TPM2_Load: loads an object under the parent that protects it.
    Load = 0x157, [];
    handles { parent: Object @ User }
    params<'c> {
        in_private: Borrowed<'c, { Private::CAPACITY }>,
        in_public: Sized2B<Public>,
    }
    reply handle object {
        name: Name,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
    let Sized2B(public) = params.in_public;
    if !tpm.objects.has_room() {
        return Err(Rc::OBJECT_MEMORY);
    }
    if params.in_private.is_empty() {
        return Err(Rc::SIZE.parameter(1));
    }
    let parent = tpm.storage_parent(handles.parent).ok_or(Rc::TYPE.handle(1))?;
    let protector = Protector::new(&parent.public.0, &parent.sensitive()?.seed)?;
    let sensitive = protector
        .unwrap_child(&public, Reader::new(&params.in_private, tpm.profile))
        .map_err(|code| code.parameter(1))?;
    let blame = Blame {
        public: 2,
        sensitive: 1,
    };
    let prepared = check_areas(Some(&parent.public.0), &public, Some(&sensitive), blame)?;
    let object = tpm.placed(handles.parent, public, Some(sensitive), prepared)?;
    let name = object.name.clone();
    Ok(Reply {
        object: tpm.objects.insert(Loaded::Object(Arc::new(object)))?,
        name,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::testing::keys::{OWNER, Template, attr, sized};

    const LOAD: u32 = 0x157;

    #[test]
    fn every_changed_byte_of_either_area_is_noticed() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let blob = tpm.create(parent, &Template::keyed_hash(attr::USER), b"", b"sealed");
        for at in 2..blob.private.len() {
            let mut private = blob.private.clone();
            private[at] ^= 1;
            let params = sized(&[&private, &blob.public]);
            assert_eq!(tpm.code_with(LOAD, &[parent], &params), 0x1DF, "byte {at}");
        }
        let last = blob.public.len() - 1;
        let mut public = blob.public.clone();
        public[last] ^= 1;
        assert_eq!(tpm.code_with(LOAD, &[parent], &sized(&[&blob.private, &public])), 0x1DF);
        let loaded = tpm.load(parent, &blob);
        assert_eq!(tpm.names(loaded).0[2..], crate::testing::keys::sha256(&[&blob.public]));
    }

    #[test]
    fn refuses_empty_areas_and_parents_that_are_none() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let stranger = tpm.primary(OWNER, &Template::srk().with_unique(&[0, 1, 1, 0, 0]));
        let blob = tpm.create(parent, &Template::keyed_hash(attr::USER), b"", b"sealed");
        let params = sized(&[&blob.private, &blob.public]);
        assert_eq!(tpm.code_with(LOAD, &[parent], &sized(&[b"", &blob.public])), 0x1D5);
        assert_eq!(tpm.code_with(LOAD, &[parent], &sized(&[&blob.private, b""])), 0x2D5);
        assert_eq!(tpm.code_with(LOAD, &[stranger], &params), 0x1DF);
        let sealed = tpm.load(parent, &blob);
        assert_eq!(tpm.code_with(LOAD, &[sealed], &params), 0x18A);
        while tpm.tpm.objects.has_room() {
            tpm.load(parent, &blob);
        }
        assert_eq!(tpm.code_with(LOAD, &[parent], &params), 0x902);
    }
}
