//! TPM2_CreatePrimary — Part 3, 24.1.

use std::sync::Arc;

use crate::bytes::Digest;
use crate::handle::{Hierarchy, Name};
use crate::keys::checks::check_template;
use crate::keys::creation::check_auth_size;
use crate::marshal::Sized2B;
use crate::object::Loaded;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::Data;
use crate::types::creation::CreationData;
use crate::types::pcr::PcrSelections;
use crate::types::public::Public;
use crate::types::sensitive::SensitiveCreate;
use crate::types::ticket::Ticket;

command! {
    /// TPM2_CreatePrimary: derives an object from a hierarchy's seed and loads it.
    CreatePrimary = 0x131, [PresenceOptional];
    handles { primary: Hierarchy @ User }
    params {
        in_sensitive: Sized2B<SensitiveCreate>,
        in_public: Sized2B<Public>,
        outside_info: Data,
        creation_pcr: PcrSelections,
    }
    reply handle object {
        out_public: Sized2B<Public>,
        creation_data: Sized2B<CreationData>,
        creation_hash: Digest,
        creation_ticket: Ticket,
        name: Name,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let Params {
        in_sensitive: Sized2B(sensitive),
        in_public: Sized2B(template),
        outside_info,
        creation_pcr,
    } = params;
    if !tpm.objects.has_room() {
        return Err(Rc::OBJECT_MEMORY);
    }
    check_template(None, &template, sensitive.data.len()).map_err(|code| code.parameter(2))?;
    check_auth_size(&sensitive.user_auth, template.name_alg).map_err(|code| code.parameter(1))?;
    let hierarchy = Hierarchy::from_handle(handles.primary).ok_or(Rc::FAILURE)?;
    let created = tpm.create_primary(hierarchy, template, &sensitive)?;
    let public = created.public;
    let creation_data = tpm.creation_data(handles.primary, &public, &creation_pcr, outside_info)?;
    let (creation_hash, creation_ticket) = tpm.creation_proof(hierarchy, &public, &creation_data)?;
    let object = tpm.placed(
        handles.primary,
        public.clone(),
        Some(created.sensitive),
        created.prepared,
    )?;
    let name = object.name.clone();
    Ok(Reply {
        object: tpm.objects.insert(Loaded::Object(Arc::new(object)))?,
        out_public: Sized2B(public),
        creation_data: Sized2B(creation_data),
        creation_hash,
        creation_ticket,
        name,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::keys::{ENDORSEMENT, NULL, OWNER, Parts, Template, attr, creation, sensitive, sha256, sized};
    use crate::testing::{Bench, hex};

    const CREATE_PRIMARY: u32 = 0x131;

    #[test]
    fn the_same_template_gives_the_same_key_and_any_other_another() {
        let mut tpm = Bench::started();
        let first = tpm.primary(OWNER, &Template::srk());
        let again = tpm.primary(OWNER, &Template::srk());
        let other_unique = tpm.primary(OWNER, &Template::srk().with_unique(&hex("0001 01 0000")));
        let other_hierarchy = tpm.primary(ENDORSEMENT, &Template::srk());
        let with_data = creation(&Template::srk(), b"", b"data");
        let (other_data, _) = tpm.ok_handle(CREATE_PRIMARY, &[OWNER], b"", &with_data);
        let with_auth = creation(&Template::srk(), b"auth", b"");
        let (other_auth, _) = tpm.ok_handle(CREATE_PRIMARY, &[OWNER], b"", &with_auth);
        let name = tpm.names(first).0;
        assert_eq!(tpm.names(again).0, name);
        assert_eq!(tpm.names(other_auth).0, name, "the authorization value does not go in");
        for other in [other_unique, other_hierarchy, other_data] {
            assert_ne!(tpm.names(other).0, name);
        }
    }

    #[test]
    fn answers_with_names_and_the_circumstances() {
        let mut tpm = Bench::started();
        let params = [
            sensitive(b"", b""),
            sized(&[&Template::srk().bytes(), b"outside"]),
            hex("00000001 000b 03 010000"),
        ]
        .concat();
        let (handle, reply) = tpm.ok_handle(CREATE_PRIMARY, &[OWNER], b"", &params);
        let mut parts = Parts(&reply);
        let (public, data, hash) = (parts.take(), parts.take(), parts.take());
        let (tag, mut rest) = parts.0.split_at(6);
        assert_eq!(tag, hex("8021 40000001"));
        let mut parts = Parts(std::mem::take(&mut rest));
        let (_, name) = (parts.take(), parts.take());
        assert_eq!(name, [hex("000b"), sha256(&[public])].concat());
        assert_eq!(hash, sha256(&[data]));
        // one PCR of zeros, locality 0, and the hierarchy's handle as parent
        let expected = [
            hex("00000001 000b 03 010000 0020"),
            sha256(&[&[0; 32]]),
            hex("01 0010 0004 40000001 0004 40000001 0007"),
            b"outside".to_vec(),
        ]
        .concat();
        assert_eq!(data, expected);
        let (loaded, qualified) = tpm.names(handle);
        assert_eq!(loaded, name);
        assert_eq!(qualified, [hex("000b"), sha256(&[&OWNER.to_be_bytes(), name])].concat());
    }

    #[test]
    fn keys_of_the_null_hierarchy_end_with_a_reset_and_others_stay() {
        let mut tpm = Bench::started();
        let handles = [OWNER, NULL].map(|hierarchy| tpm.primary(hierarchy, &Template::srk()));
        let before = handles.map(|handle| tpm.names(handle).0);
        tpm.tpm.power_on();
        tpm.run_ok("8001 0000000c 00000144 0000");
        let handles = [OWNER, NULL].map(|hierarchy| tpm.primary(hierarchy, &Template::srk()));
        let after = handles.map(|handle| tpm.names(handle).0);
        assert_eq!(before[0], after[0]);
        assert_ne!(before[1], after[1]);
    }

    #[test]
    fn refuses_templates_that_contradict_themselves() {
        let mut tpm = Bench::started();
        let srk = attr::OWN | attr::STORAGE;
        let seal = attr::OWN & !attr::ORIGIN;
        for (code, template, data) in [
            // fixedTPM without fixedParent and the reverse
            (0x2C2, Template::ecc(srk & !attr::FIXED_PARENT), &b""[..]),
            (0x2C2, Template::ecc(srk & !attr::FIXED_TPM), b""),
            // restricted for both uses or none; a key for no use
            (0x2C2, Template::ecc(srk | attr::SIGN), b""),
            (0x2C2, Template::ecc(attr::OWN | attr::RESTRICTED), b""),
            (0x2C2, Template::ecc(attr::OWN), b""),
            (0x2C2, Template::aes(attr::OWN), b""),
            // data that nobody gave, or that nobody may give
            (0x2C2, Template::keyed_hash(seal), b""),
            (0x2C2, Template::keyed_hash(attr::OWN), b"x"),
            (0x2C2, Template::ecc(srk & !attr::ORIGIN), b"x"),
            (0x2C2, Template::aes((srk & !attr::ORIGIN) | attr::DECRYPT), &[1; 16]),
            (0x2C2, Template::ecc(srk | attr::ENCRYPTED_DUPLICATION), b""),
            // schemes and symmetric algorithms that do not suit the use
            (0x2D2, Template::ecc(attr::OWN | attr::RESTRICTED | attr::SIGN), b""),
            (
                0x2D2,
                Template::ecc(attr::OWN | attr::SIGN).with_parms("0010 0019 000b 0003 0010"),
                b"",
            ),
            (0x2D2, Template::keyed_hash(attr::OWN | attr::SIGN), b""),
            (
                0x2D2,
                Template::aes(attr::OWN | attr::DECRYPT).with_parms("0006 0080 003f"),
                b"",
            ),
            (0x2D6, Template::ecc(srk).with_parms("0010 0010 0003 0010"), b""),
            (
                0x2D6,
                Template::ecc(attr::OWN | attr::SIGN).with_parms("0006 0080 0043 0010 0003 0010"),
                b"",
            ),
            (
                0x2CC,
                Template::ecc(attr::OWN | attr::SIGN).with_parms("0010 0010 0003 0022 000b"),
                b"",
            ),
            // sizes
            (0x087, Template::aes(attr::USER | attr::DECRYPT), &[1; 15]),
            (
                0x095,
                Template::keyed_hash(attr::USER | attr::SIGN).with_parms("0005 000b"),
                &[1; 65],
            ),
            (
                0x08D,
                Template::rsa(attr::OWN | attr::SIGN).with_parms("0010 0010 0800 00000003"),
                b"",
            ),
            (
                0x2C4,
                Template::rsa(attr::OWN | attr::SIGN).with_parms("0010 0010 07ff 00000000"),
                b"",
            ),
        ] {
            let code_is = tpm.code_with(CREATE_PRIMARY, &[OWNER], &creation(&template, b"", data));
            assert_eq!(code_is, code, "{template:x?}");
        }
    }

    #[test]
    fn refuses_wrong_sizes_handles_and_passwords() {
        let mut tpm = Bench::started();
        let srk = Template::srk();
        let mut policy = Template::srk();
        policy.policy = vec![0; 31];
        for (code, handle, params) in [
            (0x2D5, OWNER, creation(&policy, b"", b"")),
            (0x1D5, OWNER, creation(&srk, &[1; 33], b"")),
            (0x1D5, OWNER, creation(&srk, b"", &[1; 129])),
            (0x000, OWNER, creation(&srk, &[[1; 16], [0; 16], [0; 16]].concat(), b"")),
            (0x184, 0x8000_0000, creation(&srk, b"", b"")),
            (0x184, 0x4000_000A, creation(&srk, b"", b"")),
        ] {
            assert_eq!(tpm.code_with(CREATE_PRIMARY, &[handle], &params), code, "{params:x?}");
        }
        let params = creation(&srk, b"", b"");
        let wrong = crate::testing::with_passwords(CREATE_PRIMARY, &[OWNER], &[b"wrong"], &params);
        assert_eq!(tpm.run(&wrong).0, 0x9A2);
        let cut = &params[..params.len() - 1];
        assert_eq!(tpm.code_with(CREATE_PRIMARY, &[OWNER], cut), 0x4DA);
    }

    #[test]
    fn refuses_when_there_is_no_room() {
        let mut tpm = Bench::started();
        let template = Template::keyed_hash(attr::USER);
        let params = creation(&template, b"", b"sealed");
        while tpm.tpm.objects.has_room() {
            assert_eq!(tpm.code_with(CREATE_PRIMARY, &[OWNER], &params), 0);
        }
        assert_eq!(tpm.code_with(CREATE_PRIMARY, &[OWNER], &params), 0x902);
    }

    #[test]
    fn can_be_cancelled() {
        let mut tpm = Bench::started();
        tpm.cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        let params = creation(&Template::rsa(attr::OWN | attr::SIGN), b"", b"");
        assert_eq!(tpm.code_with(CREATE_PRIMARY, &[OWNER], &params), 0x909);
        assert!(tpm.tpm.objects.iter().next().is_none());
    }
}
