//! TPM2_NV_DefineSpace — Part 3, 31.3.

use zeroize::Zeroizing;

use crate::bytes::Digest;
use crate::handle::Handle;
use crate::marshal::Sized2B;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;
use crate::types::MaxNvBuffer;
use crate::types::attributes::NvAttributes as A;
use crate::types::nv::{NvKind, NvPublic};

command! {
    /// TPM2_NV_DefineSpace: makes an NV index.
    NvDefineSpace = 0x12A, [Nv, PresenceOptional];
    handles { auth_handle: Provision @ User }
    params { auth: Zeroizing<Digest>, public_info: Sized2B<NvPublic> }
    reply {}
}

fn run(tpm: &mut Tpm, handles: Handles, params: Params) -> RcResult<Reply> {
    define(tpm, handles.auth_handle, &params.auth, params.public_info.0)?;
    Ok(Reply {})
}

/// Checks the public area of a new index, which is the command's second parameter, and makes the index.
pub(super) fn define(tpm: &mut Tpm, by: Handle, auth: &Digest, public: NvPublic) -> RcResult<()> {
    let digest_size = public.name_alg.digest_size();
    let policy_size = public.auth_policy.len();
    if policy_size != 0 && policy_size != digest_size {
        return Err(Rc::SIZE.parameter(2));
    }
    let auth = auth.without_trailing_zeros();
    if auth.len() > digest_size {
        return Err(Rc::SIZE.parameter(1));
    }
    if by == Handle::PLATFORM && !tpm.clear.platform_nv_enabled {
        return Err(Rc::HIERARCHY.handle(1));
    }
    check_kind(&public).map_err(|code| code.parameter(2))?;
    check_attributes(public.attributes).map_err(|code| code.parameter(2))?;
    if public.attributes.has(A::PLATFORMCREATE) != (by == Handle::PLATFORM) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    if public.attributes.has(A::POLICY_DELETE) && by != Handle::PLATFORM {
        return Err(Rc::ATTRIBUTES.parameter(2));
    }
    // It could never be written in one piece.
    if public.attributes.has(A::WRITEALL) && usize::from(public.data_size.0) > MaxNvBuffer::CAPACITY {
        return Err(Rc::SIZE.parameter(2));
    }
    tpm.nv_define(public, Zeroizing::new(Digest::truncated(auth)))
}

/// What the type of an index asks of its size and attributes (Part 2, 13.4).
fn check_kind(public: &NvPublic) -> RcResult<()> {
    let attributes = public.attributes;
    let kind = attributes.kind().ok_or(Rc::ATTRIBUTES)?;
    let size = match kind {
        NvKind::Ordinary => public.data_size.0.into(),
        NvKind::Extend => public.name_alg.digest_size(),
        NvKind::Counter | NvKind::Bits | NvKind::PinFail | NvKind::PinPass => 8,
    };
    if usize::from(public.data_size.0) != size {
        return Err(Rc::SIZE);
    }
    let allowed = match kind {
        NvKind::Counter => !attributes.has(A::CLEAR_STCLEAR),
        // Failures are counted by the index itself.
        NvKind::PinFail if !attributes.has(A::NO_DA) => false,
        NvKind::PinFail | NvKind::PinPass => !attributes.any(A::AUTHWRITE.with(A::GLOBALLOCK).with(A::WRITEDEFINE)),
        NvKind::Ordinary | NvKind::Bits | NvKind::Extend => true,
    };
    if allowed { Ok(()) } else { Err(Rc::ATTRIBUTES) }
}

/// What is asked of the attributes of every new index.
fn check_attributes(attributes: A) -> RcResult<()> {
    let read = A::OWNERREAD.with(A::PPREAD).with(A::AUTHREAD).with(A::POLICYREAD);
    let write = A::OWNERWRITE.with(A::PPWRITE).with(A::AUTHWRITE).with(A::POLICYWRITE);
    if attributes.any(A::WRITTEN.with(A::WRITELOCKED).with(A::READLOCKED))
        || !attributes.any(read)
        || !attributes.any(write)
        || attributes.has(A::CLEAR_STCLEAR.with(A::WRITEDEFINE))
    {
        return Err(Rc::ATTRIBUTES);
    }
    Ok(())
}
