//! TPM2_LoadExternal — Part 3, 12.3.

use std::sync::Arc;

use crate::handle::{Handle, Hierarchy, HierarchyHandle, Name};
use crate::keys::checks::{Blame, check_areas};
use crate::keys::protect::trimmed;
use crate::marshal::{Reader, Sized2B, Unmarshal};
use crate::object::{Loaded, MaybeSensitive, Object};
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::attributes::ObjectAttributes as A;
use crate::types::public::AnyPublic;
use crate::types::sensitive::Sensitive;

command! {
    /// TPM2_LoadExternal: loads an object that no parent of this TPM protects, or only its public area.
    LoadExternal = 0x167, [];
    handles {}
    params {
        in_private: OptionalSensitive,
        in_public: Sized2B<AnyPublic>,
        hierarchy: HierarchyHandle,
    }
    reply handle object {
        name: Name,
    }
}

/// TPM2B_SENSITIVE that may be empty.
pub(crate) struct OptionalSensitive(Option<Sensitive>);

impl Unmarshal<'_> for OptionalSensitive {
    const SIZED: bool = true;

    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        if reader.rest().starts_with(&[0, 0]) {
            return reader.read::<u16>().map(|_| Self(None));
        }
        let Sized2B(sensitive) = reader.read()?;
        Ok(Self(Some(sensitive)))
    }
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    let Params {
        in_private: OptionalSensitive(mut sensitive),
        in_public: Sized2B(AnyPublic(public)),
        hierarchy: HierarchyHandle(handle),
    } = params;
    if !tpm.objects.has_room() {
        return Err(Rc::OBJECT_MEMORY);
    }
    let hierarchy = Hierarchy::from_handle(handle).ok_or(Rc::FAILURE)?;
    if !tpm.hierarchy_enabled(hierarchy) {
        return Err(Rc::HIERARCHY.parameter(3));
    }
    if let Some(sensitive) = &mut sensitive {
        // A secret that others know may not stand in a hierarchy, nor look like one that is this TPM's alone.
        if handle != Handle::NULL {
            return Err(Rc::HIERARCHY.parameter(3));
        }
        if public
            .attributes
            .any(A::FIXED_TPM.with(A::FIXED_PARENT).with(A::RESTRICTED))
        {
            return Err(Rc::ATTRIBUTES.parameter(2));
        }
        sensitive.auth = trimmed(&sensitive.auth);
    }
    let blame = Blame {
        public: 2,
        sensitive: 1,
    };
    let prepared = check_areas(None, &public, sensitive.as_ref(), blame)?;
    let name = public.name();
    let object = Object {
        hierarchy,
        external: true,
        primary: false,
        st_clear: public.attributes.has(A::ST_CLEAR),
        public: AnyPublic(public),
        sensitive: MaybeSensitive(sensitive),
        name: name.clone(),
        // Nothing stands above an external object.
        qualified_name: name.clone(),
        prepared,
    };
    Ok(Reply {
        object: tpm.objects.insert(Loaded::Object(Arc::new(object)))?,
        name,
    })
}

#[cfg(test)]
mod tests {
    use crate::profile::ProfileName;
    use crate::testing::keys::{ENDORSEMENT, Template, attr, sha256, sized};
    use crate::testing::{Bench, hex, plain};

    const LOAD_EXTERNAL: u32 = 0x167;
    /// The base point of P-256: the public point of the scalar 1.
    const X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    const Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

    fn signer(attributes: u32) -> Template {
        Template::ecc(attributes).with_unique(&sized(&[&hex(X), &hex(Y)]))
    }

    /// TPMT_SENSITIVE without an authorization value.
    fn area(object_type: u16, seed: &[u8], secret: &[u8]) -> Vec<u8> {
        [object_type.to_be_bytes().as_slice(), &sized(&[b"", seed, secret])].concat()
    }

    fn sign_template() -> Template {
        signer(attr::USER | attr::SIGN)
    }

    #[test]
    fn an_external_object_is_its_own_root() {
        let mut tpm = Bench::started();
        let template = sign_template();
        let handle = tpm.external(&area(0x23, b"", &[1]), &template.bytes()).unwrap();
        let (name, qualified) = tpm.names(handle);
        assert_eq!(name[2..], sha256(&[&template.bytes()]));
        assert_eq!(name, qualified);
    }

    #[test]
    fn a_public_area_alone_goes_into_any_hierarchy_that_is_enabled() {
        let mut tpm = Bench::started();
        let public = sized(&[b"", &signer(attr::OWN | attr::SIGN).bytes()]);
        let mut load = |hierarchy: u32| {
            let body = [&public[..], &hierarchy.to_be_bytes()].concat();
            tpm.run(&plain(LOAD_EXTERNAL, &body)).0
        };
        assert_eq!(load(ENDORSEMENT), 0);
        assert_eq!(load(0x4000_000A), 0x3C4);
        tpm.tpm.clear.change().endorsement_enabled = false;
        let body = [&public[..], &ENDORSEMENT.to_be_bytes()].concat();
        assert_eq!(tpm.run(&plain(LOAD_EXTERNAL, &body)).0, 0x3C5);
        let private = sized(&[&area(0x23, b"", &[1]), &sign_template().bytes()]);
        let body = [&private[..], &0x4000_0001u32.to_be_bytes()].concat();
        assert_eq!(tpm.run(&plain(LOAD_EXTERNAL, &body)).0, 0x3C5);
    }

    #[test]
    fn refuses_areas_that_do_not_belong_together() {
        let mut tpm = Bench::started();
        let one = area(0x23, b"", &[1]);
        let order = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
        let off_curve = Template::ecc(attr::USER | attr::SIGN).with_unique(&sized(&[&hex(X), &hex(X)]));
        let short = Template::ecc(attr::USER | attr::SIGN).with_unique(&sized(&[&hex(X)[1..], &hex(Y)]));
        for (code, private, template) in [
            (0x0A5, area(0x23, b"", &[2]), sign_template()),
            (0x087, area(0x23, b"", &[0]), sign_template()),
            (0x087, area(0x23, b"", &order), sign_template()),
            (0x1CA, area(0x08, b"", &[1]), sign_template()),
            (0x1C7, area(0x23, &[1; 33], &[1]), sign_template()),
            (0x2E7, vec![], off_curve),
            (0x2DC, vec![], short),
            (0x2C2, one.clone(), signer(attr::OWN | attr::SIGN)),
            (0x2C2, one.clone(), signer(attr::USER | attr::SIGN | attr::RESTRICTED)),
            (0x2C2, one.clone(), signer(attr::USER)),
            (0x2D5, vec![], signer(attr::SIGN).with_unique(&[0; 5])),
        ] {
            assert_eq!(tpm.external(&private, &template.bytes()), Err(code), "{template:x?}");
        }
    }

    #[test]
    fn refuses_symmetric_keys_of_the_wrong_size_or_digest() {
        let mut tpm = Bench::started();
        let seed = [7; 32];
        let template =
            |key: &[u8]| Template::aes(attr::USER | attr::SIGN).with_unique(&sized(&[&sha256(&[&seed, key])]));
        for (code, seed, key, template) in [
            (None, &seed[..], &[1; 16][..], template(&[1; 16])),
            (Some(0x0A5), &seed, &[1; 16], template(&[2; 16])),
            (Some(0x1C7), &seed, &[1; 15], template(&[1; 15])),
            (Some(0x1C7), &seed[1..], &[1; 16], template(&[1; 16])),
            (Some(0x1D5), &seed, &[1; 33], template(&[1; 33])),
        ] {
            let result = tpm.external(&area(0x25, seed, key), &template.bytes());
            assert_eq!(result.err(), code, "{template:x?}");
        }
        let hmac = Template::keyed_hash(attr::USER | attr::SIGN)
            .with_parms("0005 000b")
            .with_unique(&sized(&[&sha256(&[&seed, &[1; 65]])]));
        let result = tpm.external(&area(0x08, &seed, &[1; 65]), &hmac.bytes());
        assert_eq!(result, Err(0x1C7), "a key that is longer than a block");
    }

    #[test]
    fn refuses_weak_tdes_keys() {
        let mut tpm = Bench::made(ProfileName::Compat);
        tpm.run_ok("8001 0000000c 00000144 0000");
        let (one, two) = ("1011131416171919", "3032323434373738");
        for (code, key) in [
            (None, [one, two].concat()),
            (None, ["1110121517161818", two].concat()),
            (None, [one, two, "5051525457565859"].concat()),
            (Some(0x1DC), [one, one].concat()),
            (Some(0x1DC), [one, "1110121517161818"].concat()),
            (Some(0x1DC), [one, two, one].concat()),
            (Some(0x1DC), [one, "fefefefefefefefe"].concat()),
            (Some(0x1DC), ["0000000000000000", two].concat()),
            (Some(0x1DC), [one, two, "01fe01fe01fe01fe"].concat()),
        ] {
            let (seed, key) = ([7; 32], hex(&key));
            let parms = if key.len() == 16 {
                "0003 0080 0043"
            } else {
                "0003 00c0 0043"
            };
            let template = Template::aes(attr::USER | attr::SIGN)
                .with_parms(parms)
                .with_unique(&sized(&[&sha256(&[&seed, &key])]));
            let loaded = tpm.external(&area(0x25, &seed, &key), &template.bytes());
            assert_eq!(loaded.err(), code, "{key:x?}");
            if let Ok(handle) = loaded {
                assert_eq!(tpm.run(&plain(0x165, &handle.to_be_bytes())).0, 0);
            }
        }
    }
}
