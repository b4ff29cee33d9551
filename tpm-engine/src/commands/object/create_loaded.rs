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
            let created = tpm.create_random(template, &sensitive)?;
            let protector = Protector::new(&parent.public.0, &parent.sensitive()?.seed)?;
            let iv = tpm.random(protector.iv_size());
            out_private = protector.wrap_child(&created.public, &iv, &created.sensitive)?;
            created
        }
        None => {
            check_template(None, &template, sensitive.data.len()).map_err(|code| code.parameter(2))?;
            let hierarchy = Hierarchy::from_handle(handles.parent).ok_or(Rc::FAILURE)?;
            tpm.create_primary(hierarchy, template, &sensitive)?
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

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::testing::keys::{Blob, NULL, OWNER, Parts, Template, attr, sensitive, sha256, sized};

    const CREATE_LOADED: u32 = 0x191;
    const IMPORT: u32 = 0x156;

    fn params(template: &Template, data: &[u8]) -> Vec<u8> {
        [sensitive(b"", data), sized(&[&template.bytes()])].concat()
    }

    #[test]
    fn makes_primary_and_ordinary_objects() {
        let mut tpm = Bench::started();
        let primary = tpm.primary(OWNER, &Template::srk());
        let (same, reply) = tpm.ok_handle(CREATE_LOADED, &[OWNER], b"", &params(&Template::srk(), b""));
        assert_eq!(tpm.names(same), tpm.names(primary), "TPM2_CreatePrimary makes the same");
        assert!(Parts(&reply).take().is_empty(), "nobody loads a primary object");
        let child = params(&Template::ecc(attr::OWN | attr::SIGN), b"");
        let (loaded, reply) = tpm.ok_handle(CREATE_LOADED, &[primary], b"", &child);
        let mut parts = Parts(&reply);
        let blob = Blob {
            private: parts.take().to_vec(),
            public: parts.take().to_vec(),
        };
        let again = tpm.load(primary, &blob);
        assert_eq!(tpm.names(again), tpm.names(loaded));
    }

    /// A derivation parent with a secret that the test knows.
    fn derivation_parent(tpm: &mut Bench) -> u32 {
        let srk = tpm.primary(OWNER, &Template::srk());
        let (seed, secret) = ([0x73; 32], [0x6B; 32]);
        let unique = crate::crypto::hmac::hmac(crate::alg::HashAlg::Sha256, &seed, &[&secret]);
        let public = Template::keyed_hash(attr::USER | attr::STORAGE)
            .with_parms("000a 000b 0022")
            .with_unique(&sized(&[&unique]))
            .bytes();
        let area = [vec![0, 8], sized(&[b"", &seed, &secret])].concat();
        let import = [sized(&[b"", &public, &sized(&[&area]), b""]), vec![0, 0x10]].concat();
        let reply = tpm.ok_with(IMPORT, &[srk], &[b""], &import);
        let private = Parts(&reply).take().to_vec();
        tpm.load(srk, &Blob { private, public })
    }

    #[test]
    fn derives_the_same_object_from_the_same_label_and_context() {
        let mut tpm = Bench::started();
        let parent = derivation_parent(&mut tpm);
        let ecc = Template::ecc(attr::USER | attr::FIXED_PARENT | attr::SIGN);
        let labelled = ecc.clone().with_unique(&sized(&[b"label", b"context"]));
        let (handle, reply) = tpm.ok_handle(CREATE_LOADED, &[parent], b"", &params(&labelled, b""));
        let mut parts = Parts(&reply);
        let (private, public) = (parts.take(), parts.take());
        assert!(private.is_empty());
        // The peer derives the same point of this secret, label and context.
        assert_eq!(
            public[public.len() - 68..][..34],
            crate::testing::hex("0020 40e78556ed346293a18ba7ab84f753993fa06d8bbbf11733230de92158d56f6f")
        );
        let name = tpm.names(handle).0;
        assert_eq!(name[2..], sha256(&[public]));
        // What the template leaves empty, the sensitive data may give.
        let given = params(&ecc.clone().with_unique(&[0; 4]), &sized(&[b"label", b"context"]));
        let (from_data, _) = tpm.ok_handle(CREATE_LOADED, &[parent], b"", &given);
        let other = params(&ecc.with_unique(&sized(&[b"label", b"another"])), b"");
        let (other, _) = tpm.ok_handle(CREATE_LOADED, &[parent], b"", &other);
        assert_eq!(tpm.names(from_data).0, name);
        assert_ne!(tpm.names(other).0, name);
    }

    #[test]
    fn refuses_what_cannot_be_derived() {
        let mut tpm = Bench::started();
        let parent = derivation_parent(&mut tpm);
        let derived = attr::USER | attr::FIXED_PARENT | attr::SIGN;
        let label = sized(&[b"label", b""]);
        for (code, template) in [
            (0x2CA, Template::rsa(derived).with_unique(&label)),
            (0x082, Template::ecc(derived | attr::ORIGIN).with_unique(&label)),
            (0x2C2, Template::ecc(derived | attr::FIXED_TPM).with_unique(&label)),
            (0x2C2, Template::ecc(attr::USER | attr::SIGN).with_unique(&label)),
            (0x2D5, Template::ecc(derived).with_unique(&sized(&[&[1; 33], b""]))),
            (0x2D5, Template::ecc(derived).with_unique(&[&label[..], &[0]].concat())),
            (0x2DA, Template::ecc(derived).with_unique(&label[..label.len() - 1])),
        ] {
            let params = params(&template, b"");
            assert_eq!(tpm.code_with(CREATE_LOADED, &[parent], &params), code, "{template:x?}");
        }
    }

    #[test]
    fn refuses_wrong_templates_and_parents() {
        let mut tpm = Bench::started();
        let signer = tpm.primary(OWNER, &Template::ecc(attr::OWN | attr::SIGN));
        let good = params(&Template::srk(), b"");
        assert_eq!(tpm.code_with(CREATE_LOADED, &[signer], &good), 0x18A);
        let bytes = Template::srk().bytes();
        for (code, template) in [
            (0x2DA, &bytes[..bytes.len() - 1]),
            (0x2D5, &[&bytes[..], &[0]].concat()),
            (0x2DA, b""),
        ] {
            let params = [sensitive(b"", b""), sized(&[template])].concat();
            assert_eq!(tpm.code_with(CREATE_LOADED, &[NULL], &params), code);
        }
        let contradiction = params(&Template::ecc(attr::FIXED_TPM | attr::ORIGIN | attr::SIGN), b"");
        assert_eq!(tpm.code_with(CREATE_LOADED, &[NULL], &contradiction), 0x2C2);
        let long = [sensitive(&[1; 33], b""), sized(&[&bytes])].concat();
        assert_eq!(tpm.code_with(CREATE_LOADED, &[NULL], &long), 0x1D5);
    }
}
