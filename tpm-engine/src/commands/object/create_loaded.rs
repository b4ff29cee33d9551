//! TPM2_CreateLoaded — Part 3, 12.9.

use std::sync::Arc;

use crate::bytes::Bytes;
use crate::handle::{Hierarchy, Name};
use crate::keys::checks::{check_attributes, check_template};
use crate::keys::creation::{Created, check_auth_size, create};
use crate::keys::derive::{Derive, KdfStream, Stream};
use crate::keys::protect::Protector;
use crate::marshal::{Reader, Sized2B};
use crate::object::{Loaded, Object};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::Private;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::{ObjectType, Public, PublicParms};
use crate::types::scheme::KeyedHashScheme;
use crate::types::sensitive::SensitiveCreate;

/// TPM2B_TEMPLATE: as large as a public area can be.
type Template = Bytes<768>;

command! {
    /// TPM2_CreateLoaded: makes an object, or derives one, and loads it.
    CreateLoaded = 0x191, [];
    handles { parent: Parent @ User }
    params {
        in_sensitive: Sized2B<SensitiveCreate>,
        in_public: Template,
    }
    reply handle object {
        out_private: Private,
        out_public: Sized2B<Public>,
        name: Name,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let Sized2B(sensitive) = params.in_sensitive;
    if !tpm.objects.has_room() {
        return Err(Rc::OBJECT_MEMORY);
    }
    let parent = tpm.object(handles.parent).cloned();
    if handles.parent.is_object() && !parent.as_ref().is_some_and(|parent| parent.public.0.is_parent()) {
        return Err(Rc::TYPE.handle(1));
    }
    let derives = parent
        .as_ref()
        .is_some_and(|parent| parent.public.0.is_derivation_parent());
    let mut reader = Reader::new(&params.in_public, tpm.profile);
    let (template, label) = read_template(&mut reader, derives)
        .and_then(|template| reader.finish().map(|()| template))
        .map_err(|code| code.parameter(2))?;
    check_auth_size(&sensitive.user_auth, template.name_alg).map_err(|code| code.parameter(1))?;
    let mut out_private = Private::EMPTY;
    let Created {
        public,
        sensitive,
        prepared,
    } = match &parent {
        Some(parent) if derives => derive(tpm, parent, template, label, &sensitive)?,
        Some(parent) => {
            check_template(Some(&parent.public.0), &template, sensitive.data.len())
                .map_err(|code| code.parameter(2))?;
            let created = create(template, &sensitive, Stream::Random(&mut tpm.rng), &[], &tpm.cancel)?;
            let protector = Protector::new(&parent.public.0, &parent.sensitive()?.seed)?;
            let iv = tpm.random(protector.iv_size());
            out_private = protector.wrap_child(&created.public, &iv, &created.sensitive)?;
            created
        }
        None => {
            check_template(None, &template, sensitive.data.len()).map_err(|code| code.parameter(2))?;
            let hierarchy = Hierarchy::from_handle(handles.parent).ok_or(Rc::FAILURE)?;
            let stream = Stream::Primary(tpm.primary_stream(hierarchy, &template, &sensitive.data)?);
            create(template, &sensitive, stream, &tpm.seed_binding(hierarchy), &tpm.cancel)?
        }
    };
    let object = tpm.placed(handles.parent, public.clone(), Some(sensitive), prepared)?;
    let name = object.name.clone();
    Ok(Reply {
        object: tpm.objects.insert(Loaded::Object(Arc::new(object)))?,
        out_private,
        out_public: Sized2B(public),
        name,
    })
}

/// A template; one of a derived object holds label and context in the place of its unique field (Part 2, 12.2.6).
fn read_template(reader: &mut Reader<'_>, derives: bool) -> RcResult<(Public, Derive)> {
    if derives {
        let public = Public::read_without_unique(reader)?;
        Ok((public, reader.read()?))
    } else {
        Ok((reader.read()?, Derive::default()))
    }
}

/// Derives an object from the secret of a derivation parent (Part 1, 28).
fn derive(
    tpm: &Tpm,
    parent: &Object,
    template: Public,
    mut label: Derive,
    sensitive: &SensitiveCreate,
) -> RcResult<Created> {
    let PublicParms::KeyedHash(KeyedHashScheme::Xor(hash, _)) = parent.public.0.parms else {
        return Err(Rc::TYPE.handle(1));
    };
    if template.object_type() == ObjectType::Rsa {
        return Err(Rc::TYPE.parameter(2));
    }
    if template.attributes.has(A::SENSITIVE_DATA_ORIGIN) {
        return Err(Rc::ATTRIBUTES);
    }
    check_attributes(Some(&parent.public.0), &template).map_err(|code| code.parameter(2))?;
    if !sensitive.data.is_empty() {
        // What the template leaves open, the sensitive data may say.
        let given: Derive = Reader::new(&sensitive.data, tpm.profile).read()?;
        if label.label.is_empty() {
            label.label = given.label;
        }
        if label.context.is_empty() {
            label.context = given.context;
        }
    }
    let stream = KdfStream::new(hash, &parent.sensitive()?.secret, &label);
    let auth_only = SensitiveCreate {
        user_auth: sensitive.user_auth.clone(),
        data: zeroize::Zeroizing::default(),
    };
    create(template, &auth_only, Stream::Derived(stream), &[], &tpm.cancel)
}
