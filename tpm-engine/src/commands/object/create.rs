//! TPM2_Create — Part 3, 12.1.

use crate::bytes::Digest;
use crate::keys::checks::check_template;
use crate::keys::creation::{check_auth_size, create};
use crate::keys::derive::Stream;
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
    let created = create(template, &sensitive, Stream::Random(&mut tpm.rng), &[], &tpm.cancel)?;
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
