//! TPM2_Create — Part 3, 12.1.

use crate::bytes::Digest;
use crate::keys::checks::check_template;
use crate::keys::creation::check_auth_size;
use crate::keys::protect::Protector;
use crate::marshal::Sized2B;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::creation::CreationData;
use crate::types::pcr::PcrSelections;
use crate::types::public::Public;
use crate::types::sensitive::SensitiveCreate;
use crate::types::ticket::Ticket;
use crate::types::{Data, Private};

command! {
    /// TPM2_Create: makes an object that can be loaded under its parent.
    Create = 0x153, [];
    handles { parent: Object @ User }
    params {
        in_sensitive: Sized2B<SensitiveCreate>,
        in_public: Sized2B<Public>,
        outside_info: Data,
        creation_pcr: PcrSelections,
    }
    reply {
        out_private: Private,
        out_public: Sized2B<Public>,
        creation_data: Sized2B<CreationData>,
        creation_hash: Digest,
        creation_ticket: Ticket,
    }
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    let Params {
        in_sensitive: Sized2B(sensitive),
        in_public: Sized2B(template),
        outside_info,
        creation_pcr,
    } = params;
    let parent = tpm.storage_parent(handles.parent).ok_or(Rc::TYPE.handle(1))?;
    check_template(Some(&parent.public.0), &template, sensitive.data.len()).map_err(|code| code.parameter(2))?;
    check_auth_size(&sensitive.user_auth, template.name_alg).map_err(|code| code.parameter(1))?;
    let created = tpm.create_random(template, &sensitive)?;
    let public = created.public;
    let creation_data = tpm.creation_data(handles.parent, &public, &creation_pcr, outside_info)?;
    let (creation_hash, creation_ticket) = tpm.creation_proof(parent.hierarchy, &public, &creation_data)?;
    let protector = Protector::new(&parent.public.0, &parent.sensitive()?.seed)?;
    let iv = tpm.random(protector.iv_size());
    Ok(Reply {
        out_private: protector.wrap_child(&public, &iv, &created.sensitive)?,
        out_public: Sized2B(public),
        creation_data: Sized2B(creation_data),
        creation_hash,
        creation_ticket,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use crate::testing::keys::{OWNER, Parts, Template, attr, creation, sha256};

    const CREATE: u32 = 0x153;

    #[test]
    fn makes_another_object_every_time_and_says_under_which_parent() {
        let mut tpm = Bench::started();
        let parent = tpm.primary(OWNER, &Template::srk());
        let (name, qualified) = tpm.names(parent);
        let template = Template::ecc(attr::OWN | attr::SIGN);
        let first = tpm.create(parent, &template, b"", b"");
        let reply = tpm.ok_with(CREATE, &[parent], &[b""], &creation(&template, b"", b""));
        let mut parts = Parts(&reply);
        let (_, public, data, hash) = (parts.take(), parts.take(), parts.take(), parts.take());
        assert_ne!(public, first.public);
        assert_eq!(hash, sha256(&[data]));
        let (_, names) = data.split_at(4 + 2 + 32 + 1 + 2);
        let mut names = Parts(names);
        assert_eq!((names.take(), names.take()), (&name[..], &qualified[..]));
    }

    #[test]
    fn a_child_agrees_with_its_parent() {
        let mut tpm = Bench::started();
        let fixed = tpm.primary(OWNER, &Template::srk());
        let movable = attr::ORIGIN | attr::USER | attr::STORAGE;
        let loose = tpm.primary(OWNER, &Template::ecc(movable));
        let wrapped = tpm.primary(OWNER, &Template::ecc(movable | attr::ENCRYPTED_DUPLICATION));
        let storage_aes256 = "0006 0100 0043  0010  0003  0010";
        let sign = attr::ORIGIN | attr::USER | attr::SIGN;
        for (code, parent, template) in [
            (0x000, fixed, Template::ecc(sign)),
            (0x000, fixed, Template::ecc(sign | attr::ENCRYPTED_DUPLICATION)),
            (0x000, fixed, Template::ecc(movable).with_parms(storage_aes256)),
            (0x2D6, fixed, Template::srk().with_parms(storage_aes256)),
            (0x2C2, fixed, Template::ecc(sign | attr::FIXED_PARENT)),
            (0x2C2, loose, Template::ecc(sign | attr::FIXED_PARENT | attr::FIXED_TPM)),
            (0x000, loose, Template::ecc(sign | attr::FIXED_PARENT)),
            (0x2C2, loose, Template::ecc(sign | attr::ENCRYPTED_DUPLICATION)),
            (0x2C2, wrapped, Template::ecc(sign)),
            (0x000, wrapped, Template::ecc(sign | attr::ENCRYPTED_DUPLICATION)),
        ] {
            let params = creation(&template, b"", b"");
            assert_eq!(tpm.code_with(CREATE, &[parent], &params), code, "{template:x?}");
        }
        let mut other_hash = Template::srk();
        other_hash.name_alg = 0x000C;
        assert_eq!(tpm.code_with(CREATE, &[fixed], &creation(&other_hash, b"", b"")), 0x2C3);
    }

    #[test]
    fn refuses_parents_that_are_none() {
        let mut tpm = Bench::started();
        let signer = tpm.primary(OWNER, &Template::ecc(attr::OWN | attr::SIGN));
        let params = creation(&Template::keyed_hash(attr::USER), b"", b"x");
        assert_eq!(tpm.code_with(CREATE, &[signer], &params), 0x18A);
        assert_eq!(tpm.code_with(CREATE, &[OWNER], &params), 0x184);
        assert_eq!(tpm.code_with(CREATE, &[0x8000_0001], &params), 0x910);
    }
}
