//! TPM2_CreatePrimary — Part 3, 24.1.

use std::sync::Arc;

use crate::bytes::Digest;
use crate::handle::{Hierarchy, Name};
use crate::keys::checks::check_template;
use crate::keys::creation::{check_auth_size, create};
use crate::keys::derive::Stream;
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
    let stream = Stream::Primary(tpm.primary_stream(hierarchy, &template, &sensitive.data)?);
    let created = create(template, &sensitive, stream, &tpm.seed_binding(hierarchy), &tpm.cancel)?;
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
