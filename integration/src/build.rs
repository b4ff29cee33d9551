//! Commands and structures as bytes.

use crate::codes::{alg, curve, oa, rh, st};
use crate::patch::{apply, assemble, draft_area};
use crate::schema::{self, Schema};
use crate::wire::Out;

/// One entry of a command's authorization area.
#[derive(Debug, Clone)]
pub enum Auth {
    /// TPM_RS_PW with this password.
    Password(Vec<u8>),
    /// A session.
    Session {
        /// Its handle.
        handle: u32,
        /// TPMA_SESSION.
        attributes: u8,
        /// The authValue of the entity it authorizes, where it goes into the HMAC key.
        auth: Vec<u8>,
        /// The same after the command, where the command changes it.
        auth_after: Option<Vec<u8>>,
        /// Bound to that entity: the authValue is in sessionKey, and goes into encryption keys only.
        bound: bool,
        /// A policy session after TPM2_PolicyPassword: `auth` goes in the HMAC's place.
        plain: bool,
    },
    /// These bytes.
    Raw(Vec<u8>),
}

impl Auth {
    /// A session with these attributes for an entity with this authValue.
    #[must_use]
    pub fn session(handle: u32, attributes: u8, auth: &[u8]) -> Self {
        let auth = auth.to_vec();
        Self::Session {
            handle,
            attributes,
            auth,
            auth_after: None,
            bound: false,
            plain: false,
        }
    }

    /// The same with a session that is bound to that entity.
    #[must_use]
    pub fn bound(handle: u32, attributes: u8, auth: &[u8]) -> Self {
        Self::Session {
            handle,
            attributes,
            auth: auth.to_vec(),
            auth_after: None,
            bound: true,
            plain: false,
        }
    }

    /// A password.
    #[must_use]
    pub fn password(password: &[u8]) -> Self {
        Self::Password(password.to_vec())
    }
}

/// A change to a command's bytes, after its HMACs were computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch {
    /// These bits of the byte at this position from the start are flipped.
    Flip(usize, u8),
    /// The command is cut to this length, and the header's size made to agree.
    Cut(usize),
    /// Bytes are added, and the header's size made to agree.
    Append(Vec<u8>),
    /// The UINT32 at this position is replaced.
    Replace(usize, u32),
}

/// A command to be sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// TPM_CC.
    pub code: u32,
    /// The handle area.
    pub handles: Vec<u32>,
    /// The parameters.
    pub params: Vec<u8>,
    /// The authorization area.
    pub auths: Vec<Auth>,
    /// What is changed before it is sent.
    pub patches: Vec<Patch>,
}

impl Call {
    /// A command; each handle that needs authorization gets an empty password.
    #[must_use]
    pub fn new(code: u32, handles: &[u32], params: Vec<u8>) -> Self {
        let needed = schema::find(code).map_or(0, Schema::authorized);
        Self {
            code,
            handles: handles.to_vec(),
            params,
            auths: vec![Auth::Password(Vec::new()); needed],
            patches: Vec::new(),
        }
    }

    /// Authorizes the handle at this position, or adds a session.
    #[must_use]
    pub fn auth(mut self, position: usize, auth: Auth) -> Self {
        match self.auths.get_mut(position) {
            Some(slot) => *slot = auth,
            None => self.auths.push(auth),
        }
        self
    }

    /// Authorizes the first handle with a password.
    #[must_use]
    pub fn pw(self, password: &[u8]) -> Self {
        self.auth(0, Auth::password(password))
    }

    /// Authorizes the first handle with a session.
    #[must_use]
    pub fn session(self, handle: u32, attributes: u8, auth: &[u8]) -> Self {
        self.auth(0, Auth::session(handle, attributes, auth))
    }

    /// Adds a session that authorizes nothing.
    #[must_use]
    pub fn with(mut self, handle: u32, attributes: u8) -> Self {
        self.auths.push(Auth::session(handle, attributes, &[]));
        self
    }

    /// Without any authorization area.
    #[must_use]
    pub fn bare(mut self) -> Self {
        self.auths.clear();
        self
    }

    /// The bytes of a command that needs no session; one that is named goes without nonce and HMAC.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut command = assemble(self, &draft_area(self));
        for patch in &self.patches {
            apply(&mut command, patch);
        }
        command
    }

    /// With a change to the bytes.
    #[must_use]
    pub fn patch(mut self, patch: Patch) -> Self {
        self.patches.push(patch);
        self
    }
}

macro_rules! argument {
    (b2) => {
        &[u8]
    };
    (raw) => {
        &[u8]
    };
    ($type:ident) => {
        $type
    };
}

macro_rules! calls {
    ($($code:literal $name:ident($($handle:ident),*; $($param:ident: $type:ident),*);)*) => {
        $(
            #[doc = concat!("TPM2 command ", stringify!($code), ", `", stringify!($name), "`; structures are bytes.")]
            #[must_use]
            pub fn $name($($handle: u32,)* $($param: argument!($type)),*) -> Call {
                Call::new($code, &[$($handle),*], Out::new()$(.$type($param))*.0)
            }
        )*

        #[cfg(test)]
        const BUILDERS: &[(u32, &str, usize, usize)] = &[$((
            $code,
            stringify!($name),
            <[&str]>::len(&[$(stringify!($handle)),*]),
            <[&str]>::len(&[$(stringify!($param)),*]),
        )),*];
    };
}

calls! {
    0x11F nv_undefine_space_special(index, platform; );
    0x120 evict_control(auth, object; persistent: u32);
    0x121 hierarchy_control(auth; enable: u32, state: u8);
    0x122 nv_undefine_space(auth, index; );
    0x124 change_eps(auth; );
    0x125 change_pps(auth; );
    0x126 clear(auth; );
    0x127 clear_control(auth; disable: u8);
    0x128 clock_set(auth; time: u64);
    0x129 hierarchy_change_auth(auth; new: b2);
    0x12A nv_define_space(auth; value: b2, public: b2);
    0x12B pcr_allocate(auth; selection: raw);
    0x12C pcr_set_auth_policy(auth; policy: b2, hash: u16, pcr: u32);
    0x12D pp_commands(auth; set: raw, clear: raw);
    0x12E set_primary_policy(auth; policy: b2, hash: u16);
    0x130 clock_rate_adjust(auth; rate: u8);
    0x131 create_primary(hierarchy; sensitive: b2, public: b2, outside: b2, pcrs: raw);
    0x132 nv_global_write_lock(auth; );
    0x133 get_command_audit_digest(privacy, sign; data: b2, scheme: raw);
    0x134 nv_increment(auth, index; );
    0x135 nv_set_bits(auth, index; bits: u64);
    0x136 nv_extend(auth, index; data: b2);
    0x137 nv_write(auth, index; data: b2, offset: u16);
    0x138 nv_write_lock(auth, index; );
    0x139 dictionary_attack_lock_reset(lockout; );
    0x13A dictionary_attack_parameters(lockout; tries: u32, recovery: u32, lockout_recovery: u32);
    0x13B nv_change_auth(index; new: b2);
    0x13C pcr_event(pcr; data: b2);
    0x13D pcr_reset(pcr; );
    0x13E sequence_complete(sequence; data: b2, hierarchy: u32);
    0x13F set_algorithm_set(auth; set: u32);
    0x140 set_command_code_audit_status(auth; hash: u16, set: raw, clear: raw);
    0x142 incremental_self_test(; algorithms: raw);
    0x143 self_test(; full: u8);
    0x144 startup(; kind: u16);
    0x145 shutdown(; kind: u16);
    0x146 stir_random(; data: b2);
    0x147 activate_credential(activate, key; blob: b2, secret: b2);
    0x148 certify(object, sign; data: b2, scheme: raw);
    0x149 policy_nv(auth, index, policy; operand: b2, offset: u16, operation: u16);
    0x14A certify_creation(sign, object; data: b2, hash: b2, scheme: raw, ticket: raw);
    0x14B duplicate(object, parent; key: b2, symmetric: raw);
    0x14C get_time(privacy, sign; data: b2, scheme: raw);
    0x14D get_session_audit_digest(privacy, sign, session; data: b2, scheme: raw);
    0x14E nv_read(auth, index; size: u16, offset: u16);
    0x14F nv_read_lock(auth, index; );
    0x150 object_change_auth(object, parent; new: b2);
    0x151 policy_secret(auth, policy; nonce: b2, cp_hash: b2, policy_ref: b2, expiration: u32);
    0x152 rewrap(old, new; duplicate: b2, name: b2, seed: b2);
    0x153 create(parent; sensitive: b2, public: b2, outside: b2, pcrs: raw);
    0x154 ecdh_zgen(key; point: b2);
    0x155 hmac(key; data: b2, hash: u16);
    0x156 import(parent; key: b2, public: b2, duplicate: b2, seed: b2, symmetric: raw);
    0x157 load(parent; private: b2, public: b2);
    0x158 quote(sign; data: b2, scheme: raw, pcrs: raw);
    0x159 rsa_decrypt(key; cipher: b2, scheme: raw, label: b2);
    0x15B hmac_start(key; value: b2, hash: u16);
    0x15C sequence_update(sequence; data: b2);
    0x15D sign(key; digest: b2, scheme: raw, ticket: raw);
    0x15E unseal(item; );
    0x160 policy_signed(key, policy; nonce: b2, cp_hash: b2, policy_ref: b2, expiration: u32, signature: raw);
    0x161 context_load(; context: raw);
    0x162 context_save(handle; );
    0x163 ecdh_keygen(key; );
    0x164 encrypt_decrypt(key; decrypt: u8, mode: u16, iv: b2, data: b2);
    0x165 flush_context(; handle: u32);
    0x167 load_external(; private: b2, public: b2, hierarchy: u32);
    0x168 make_credential(key; credential: b2, name: b2);
    0x169 nv_read_public(index; );
    0x16A policy_authorize(policy; approved: b2, policy_ref: b2, key: b2, ticket: raw);
    0x16B policy_auth_value(policy; );
    0x16C policy_command_code(policy; code: u32);
    0x16D policy_counter_timer(policy; operand: b2, offset: u16, operation: u16);
    0x16E policy_cp_hash(policy; hash: b2);
    0x16F policy_locality(policy; locality: u8);
    0x170 policy_name_hash(policy; hash: b2);
    0x171 policy_or(policy; list: raw);
    0x172 policy_ticket(policy; timeout: b2, cp_hash: b2, policy_ref: b2, name: b2, ticket: raw);
    0x173 read_public(object; );
    0x174 rsa_encrypt(key; message: b2, scheme: raw, label: b2);
    0x176 start_auth_session(key, bind; nonce: b2, salt: b2, kind: u8, symmetric: raw, hash: u16);
    0x177 verify_signature(key; digest: b2, signature: raw);
    0x178 ecc_parameters(; curve: u16);
    0x17A get_capability(; capability: u32, property: u32, count: u32);
    0x17B get_random(; count: u16);
    0x17C get_test_result(; );
    0x17D hash(; data: b2, hash: u16, hierarchy: u32);
    0x17E pcr_read(; pcrs: raw);
    0x17F policy_pcr(policy; digest: b2, pcrs: raw);
    0x180 policy_restart(session; );
    0x181 read_clock(; );
    0x182 pcr_extend(pcr; digests: raw);
    0x183 pcr_set_auth_value(pcr; value: b2);
    0x184 nv_certify(sign, auth, index; data: b2, scheme: raw, size: u16, offset: u16);
    0x185 event_sequence_complete(pcr, sequence; data: b2);
    0x186 hash_sequence_start(; value: b2, hash: u16);
    0x187 policy_physical_presence(policy; );
    0x188 policy_duplication_select(policy; object: b2, parent: b2, include: u8);
    0x189 policy_get_digest(policy; );
    0x18A test_parms(; parameters: raw);
    0x18B commit(key; p1: b2, s2: b2, y2: b2);
    0x18C policy_password(policy; );
    0x18D zgen_2phase(key; static_point: b2, ephemeral_point: b2, scheme: u16, counter: u16);
    0x18E ec_ephemeral(; curve: u16);
    0x18F policy_nv_written(policy; written: u8);
    0x190 policy_template(policy; hash: b2);
    0x191 create_loaded(parent; sensitive: b2, public: b2);
    0x192 policy_authorize_nv(auth, index, policy; );
    0x193 encrypt_decrypt2(key; data: b2, decrypt: u8, mode: u16, iv: b2);
    0x197 certify_x509(object, sign; reserved: b2, scheme: raw, certificate: b2);
    0x199 ecc_encrypt(key; message: b2, scheme: raw);
    0x19A ecc_decrypt(key; c1: b2, c2: b2, c3: b2, scheme: raw);
    0x19B policy_capability(policy; operand: b2, offset: u16, operation: u16, capability: u32, property: u32);
    0x19C policy_parameters(policy; hash: b2);
}

/// An algorithm without details: TPM_ALG_NULL where a scheme or cipher is expected.
#[must_use]
pub fn null() -> Vec<u8> {
    scheme(&[alg::NULL])
}

/// A scheme or TPMT_SYM_DEF: algorithm, then its details, all of 16 bits.
#[must_use]
pub fn scheme(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().fold(Out::new(), |out, number| out.u16(*number)).0
}

/// AES in CFB mode with a key of 128 bits.
#[must_use]
pub fn aes128_cfb() -> Vec<u8> {
    scheme(&[alg::AES, 128, alg::CFB])
}

/// TPML_PCR_SELECTION with one bank; nothing at all for no PCRs.
#[must_use]
pub fn pcrs(bank: u16, numbers: &[u8]) -> Vec<u8> {
    if numbers.is_empty() {
        return Out::new().u32(0).0;
    }
    let mask = numbers.iter().fold(0u32, |mask, number| mask | 1 << number);
    let [a, b, c, _] = mask.to_le_bytes();
    Out::new().u32(1).u16(bank).u8(3).raw(&[a, b, c]).0
}

/// TPML_DIGEST_VALUES.
#[must_use]
pub fn digest_values(digests: &[(u16, &[u8])]) -> Vec<u8> {
    let count = u32::try_from(digests.len()).unwrap_or(u32::MAX);
    digests
        .iter()
        .fold(Out::new().u32(count), |out, (hash, digest)| out.u16(*hash).raw(digest))
        .0
}

/// TPML_DIGEST.
#[must_use]
pub fn digests(digests: &[&[u8]]) -> Vec<u8> {
    let count = u32::try_from(digests.len()).unwrap_or(u32::MAX);
    digests
        .iter()
        .fold(Out::new().u32(count), |out, digest| out.b2(digest))
        .0
}

/// TPML_CC or TPML_HANDLE.
#[must_use]
pub fn list32(values: &[u32]) -> Vec<u8> {
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    values
        .iter()
        .fold(Out::new().u32(count), |out, value| out.u32(*value))
        .0
}

/// TPML_ALG.
#[must_use]
pub fn list16(values: &[u16]) -> Vec<u8> {
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    values
        .iter()
        .fold(Out::new().u32(count), |out, value| out.u16(*value))
        .0
}

/// TPMS_SENSITIVE_CREATE.
#[must_use]
pub fn sensitive_create(auth: &[u8], data: &[u8]) -> Vec<u8> {
    Out::new().b2(auth).b2(data).0
}

/// TPMT_SENSITIVE.
#[must_use]
pub fn sensitive(kind: u16, auth: &[u8], seed: &[u8], secret: &[u8]) -> Vec<u8> {
    Out::new().u16(kind).b2(auth).b2(seed).b2(secret).0
}

/// A ticket that says nothing: hierarchy TPM_RH_NULL, no digest.
#[must_use]
pub fn null_ticket(tag: u16) -> Vec<u8> {
    Out::new().u16(tag).u32(crate::codes::rh::NULL).u16(0).0
}

/// TPMS_NV_PUBLIC.
#[must_use]
pub fn nv_public(index: u32, hash: u16, attributes: u32, policy: &[u8], size: u16) -> Vec<u8> {
    Out::new().u32(index).u16(hash).u32(attributes).b2(policy).u16(size).0
}

/// TPMS_ECC_POINT.
#[must_use]
pub fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    Out::new().b2(x).b2(y).0
}

/// An HMAC signature of SHA-256.
#[must_use]
pub fn signature_hmac(digest: &[u8]) -> Vec<u8> {
    Out::new().u16(alg::HMAC).u16(alg::SHA256).raw(digest).0
}

/// An ECDSA signature of SHA-256.
#[must_use]
pub fn signature_ecdsa(r: &[u8], s: &[u8]) -> Vec<u8> {
    Out::new().u16(alg::ECDSA).u16(alg::SHA256).b2(r).b2(s).0
}

/// The ticket of a hash that no TPM computed.
#[must_use]
pub fn no_hash_check() -> Vec<u8> {
    null_ticket(st::HASHCHECK)
}

/// TPM2_CreatePrimary in the owner hierarchy with nothing unusual about it.
#[must_use]
pub fn owner_primary(public: &Public) -> Call {
    create_primary(
        rh::OWNER,
        &sensitive_create(&[], &[]),
        &public.bytes(),
        &[],
        &pcrs(0, &[]),
    )
}

/// The same of an RSA storage key; other templates are other keys.
#[must_use]
pub fn rsa_primary(bits: u16, template: &[u8]) -> Call {
    owner_primary(&Public::rsa_parent(bits).unique(Out::new().b2(template).0))
}

/// TPMT_PUBLIC.
#[derive(Debug, Clone)]
pub struct Public {
    /// TPM_ALG_ID of the object's type.
    pub kind: u16,
    /// The hash of its name.
    pub name_alg: u16,
    /// TPMA_OBJECT.
    pub attributes: u32,
    /// authPolicy.
    pub policy: Vec<u8>,
    /// The parameters of the type.
    pub parameters: Vec<u8>,
    /// The unique field, with its sizes.
    pub unique: Vec<u8>,
}

/// The attributes of a key that was made by the TPM and stays.
const FIXED: u32 = oa::FIXED_TPM | oa::FIXED_PARENT | oa::SENSITIVE_DATA_ORIGIN | oa::USER_WITH_AUTH;

impl Public {
    fn new(kind: u16, attributes: u32, parameters: Vec<u8>) -> Self {
        let unique = if kind == alg::ECC { point(&[], &[]) } else { vec![0, 0] };
        Self {
            kind,
            name_alg: alg::SHA256,
            attributes,
            policy: Vec::new(),
            parameters,
            unique,
        }
    }

    /// An ECC P-256 storage parent.
    #[must_use]
    pub fn ecc_parent() -> Self {
        let parameters = [aes128_cfb(), null(), scheme(&[curve::P256]), null()].concat();
        Self::new(alg::ECC, FIXED | oa::RESTRICTED | oa::DECRYPT | oa::NO_DA, parameters)
    }

    /// An RSA storage parent.
    #[must_use]
    pub fn rsa_parent(bits: u16) -> Self {
        let parameters = Out::new().raw(&aes128_cfb()).raw(&null()).u16(bits).u32(0).0;
        Self::new(alg::RSA, FIXED | oa::RESTRICTED | oa::DECRYPT | oa::NO_DA, parameters)
    }

    /// An ECC key on a curve with a scheme; attributes say for what.
    #[must_use]
    pub fn ecc(curve: u16, ecc_scheme: &[u16], attributes: u32) -> Self {
        let parameters = [null(), scheme(ecc_scheme), scheme(&[curve]), null()].concat();
        Self::new(alg::ECC, FIXED | attributes, parameters)
    }

    /// An RSA key with a scheme; attributes say for what.
    #[must_use]
    pub fn rsa(bits: u16, rsa_scheme: &[u16], attributes: u32) -> Self {
        let parameters = Out::new().raw(&null()).raw(&scheme(rsa_scheme)).u16(bits).u32(0).0;
        Self::new(alg::RSA, FIXED | attributes, parameters)
    }

    /// A symmetric key for encryption.
    #[must_use]
    pub fn symmetric(cipher: u16, bits: u16, mode: u16) -> Self {
        Self::new(
            alg::SYMCIPHER,
            FIXED | oa::SIGN | oa::DECRYPT,
            scheme(&[cipher, bits, mode]),
        )
    }

    /// A symmetric storage parent.
    #[must_use]
    pub fn symmetric_parent() -> Self {
        Self::new(
            alg::SYMCIPHER,
            FIXED | oa::RESTRICTED | oa::DECRYPT | oa::NO_DA,
            aes128_cfb(),
        )
    }

    /// An HMAC key.
    #[must_use]
    pub fn hmac_key(hash: u16) -> Self {
        Self::new(alg::KEYEDHASH, FIXED | oa::SIGN, scheme(&[alg::HMAC, hash]))
    }

    /// Sealed data.
    #[must_use]
    pub fn sealed() -> Self {
        Self::new(alg::KEYEDHASH, FIXED & !oa::SENSITIVE_DATA_ORIGIN, null())
    }

    /// With these attributes set.
    #[must_use]
    pub fn set(mut self, attributes: u32) -> Self {
        self.attributes |= attributes;
        self
    }

    /// With these attributes clear.
    #[must_use]
    pub fn unset(mut self, attributes: u32) -> Self {
        self.attributes &= !attributes;
        self
    }

    /// As a key that the TPM did not make, without dictionary-attack protection.
    #[must_use]
    pub fn external(self) -> Self {
        self.unset(oa::FIXED_TPM | oa::FIXED_PARENT | oa::SENSITIVE_DATA_ORIGIN)
            .set(oa::NO_DA)
    }

    /// With this authPolicy.
    #[must_use]
    pub fn policy(mut self, policy: &[u8]) -> Self {
        self.policy = policy.to_vec();
        self
    }

    /// With this hash for the name.
    #[must_use]
    pub fn name_alg(mut self, hash: u16) -> Self {
        self.name_alg = hash;
        self
    }

    /// With this unique field, sizes included.
    #[must_use]
    pub fn unique(mut self, unique: Vec<u8>) -> Self {
        self.unique = unique;
        self
    }

    /// As bytes, without a size.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let out = Out::new().u16(self.kind).u16(self.name_alg).u32(self.attributes);
        out.b2(&self.policy).raw(&self.parameters).raw(&self.unique).0
    }

    /// The name of an object with this public area.
    ///
    /// # Errors
    /// The name's hash is unknown.
    pub fn name(&self) -> anyhow::Result<Vec<u8>> {
        let digest = crate::crypto::hash(self.name_alg, &[&self.bytes()])?;
        Ok(Out::new().u16(self.name_alg).raw(&digest).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders_agree_with_the_schema() {
        for (code, name, handles, params) in BUILDERS {
            let schema = schema::find(*code).unwrap();
            assert_eq!(schema.name.replace('_', "").to_lowercase(), name.replace('_', ""));
            assert_eq!(
                (schema.handles.len(), schema.params.len()),
                (*handles, *params),
                "{name}"
            );
        }
    }
}
