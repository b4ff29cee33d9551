//! TPM2_StartAuthSession — Part 3, 11.1.

use zeroize::Zeroizing;

use crate::alg::{CipherMode, HashAlg};
use crate::bytes::{Bytes, Digest};
use crate::crypto::kdf;
use crate::handle::{Handle, HandleType};
use crate::marshal::Borrowed;
use crate::rc::{Rc, RcResult};
use crate::session::{PolicyState, Session, SessionType};
use crate::tpm::Tpm;
use crate::types::EncryptedSecret;
use crate::types::attributes::ObjectAttributes;
use crate::types::symmetric::SymDef;

command! {
    /// TPM2_StartAuthSession: makes an HMAC, policy or trial session.
    StartAuthSession = 0x176, [];
    handles { tpm_key: ObjectOrNull, bind: EntityOrNull }
    params<'c> {
        nonce_caller: Borrowed<'c, { Digest::CAPACITY }>,
        encrypted_salt: Borrowed<'c, { EncryptedSecret::CAPACITY }>,
        session_type: SessionType,
        symmetric: SymDef,
        auth_hash: HashAlg,
    }
    reply handle session_handle { nonce_tpm: Digest }
}

/// The fewest bytes of a caller's nonce (Part 1, 19.6.3).
const MIN_NONCE: usize = 16;

fn run(tpm: &mut Tpm, handles: Handles, params: Params<'_>) -> RcResult<Reply> {
    let hash = params.auth_hash;
    let nonce_size = params.nonce_caller.len();
    if !(MIN_NONCE..=hash.digest_size()).contains(&nonce_size) {
        return Err(Rc::SIZE.parameter(1));
    }
    let salt = salt(tpm, handles.tpm_key, &params.encrypted_salt)?;
    check_bind(tpm, handles.bind)?;
    if matches!(params.symmetric, SymDef::Cipher(def) if def.mode != Some(CipherMode::Cfb)) {
        return Err(Rc::MODE.parameter(4));
    }
    let slot = tpm.sessions.check_room()?;
    let nonce_tpm: Digest = tpm.random(nonce_size);
    let bind = Some(handles.bind).filter(|bind| *bind != Handle::NULL);
    let mut key = Zeroizing::new(Digest::EMPTY);
    if bind.is_some() || !salt.is_empty() {
        let mut secret = Zeroizing::new(Bytes::<128>::truncated(tpm.auth_value(handles.bind)));
        secret.extend(&salt).ok_or(Rc::FAILURE)?;
        *key = Digest::zeroed(hash.digest_size()).ok_or(Rc::FAILURE)?;
        let bits = u32::try_from(hash.digest_size().saturating_mul(8)).map_err(|_| Rc::FAILURE)?;
        kdf::kdfa(hash, &secret, b"ATH", &nonce_tpm, &params.nonce_caller, bits, &mut key);
    }
    let bound_da = bind.is_some_and(|bind| !tpm.da_exempt(bind));
    let session = Session {
        kind: params.session_type,
        hash,
        symmetric: params.symmetric,
        key,
        nonce_tpm: nonce_tpm.clone(),
        // Only HMAC sessions are bound: a policy says by itself whether the authorization value takes part.
        bound: match bind.filter(|_| params.session_type == SessionType::Hmac) {
            Some(bind) => tpm.bind_value(hash, bind),
            None => Zeroizing::new(Digest::EMPTY),
        },
        bound_da,
        bound_lockout: bound_da && bind == Some(Handle::LOCKOUT),
        epoch: tpm.nv.counters.time_epoch,
        audit: false,
        audit_digest: Digest::EMPTY,
        policy: PolicyState::new(hash, tpm.timer.time),
    };
    Ok(Reply {
        session_handle: tpm.sessions.insert(slot, session)?,
        nonce_tpm,
    })
}

/// The salt that the caller encrypted for a key of this TPM, or none.
fn salt(tpm: &mut Tpm, key: Handle, encrypted: &[u8]) -> RcResult<Zeroizing<Digest>> {
    if key == Handle::NULL {
        return if encrypted.is_empty() {
            Ok(Zeroizing::new(Digest::EMPTY))
        } else {
            Err(Rc::VALUE.parameter(2))
        };
    }
    let object = tpm.object(key).cloned().ok_or(Rc::KEY.handle(1))?;
    let public = &object.public.0;
    if !public.object_type().is_asymmetric() {
        return Err(Rc::KEY.handle(1));
    }
    if encrypted.is_empty() {
        return Err(Rc::VALUE.parameter(2));
    }
    // This command needs no authorization of the key, so that nothing has looked for its private part before.
    if object.sensitive.0.is_none() {
        return Err(Rc::HANDLE.handle(1));
    }
    if !public.attributes.has(ObjectAttributes::DECRYPT) {
        return Err(Rc::ATTRIBUTES.handle(1));
    }
    tpm.recover_secret(&object, b"SECRET", encrypted)
        .map_err(|_| Rc::VALUE.parameter(2))
}

/// Whether a session can be bound to the entity.
fn check_bind(tpm: &Tpm, bind: Handle) -> RcResult<()> {
    let suits = match bind.kind() {
        // Without its authorization value or its Name there is nothing to bind to.
        Some(HandleType::Transient | HandleType::Persistent) => tpm
            .object(bind)
            .is_none_or(|object| object.sensitive.0.is_some() && object.public.0.name_alg.is_some()),
        // The key of the session would bypass the count of a PIN index.
        Some(HandleType::NvIndex) => tpm.pin_available(bind).is_none(),
        _ => true,
    };
    if suits { Ok(()) } else { Err(Rc::HANDLE.handle(2)) }
}
