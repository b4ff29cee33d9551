//! The commands of Part 3, one file a family, and the table that drives dispatch, capabilities and audit.

use crate::handle::{Handle, HandleKind};
use crate::marshal::{Marshal, Unmarshal, Writer};
use crate::profile::Profile;
use crate::rc::{Rc, RcResult};
use crate::tpm::Tpm;

/// The role in which a handle must be authorized (Part 1, 19.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    Admin,
    Dup,
}

/// One entry of a command's handle area.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HandleSpec {
    pub(crate) kind: HandleKind,
    /// `None`: the handle needs no authorization.
    pub(crate) role: Option<Role>,
}

/// What is particular about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flag {
    /// May write NV (TPMA_CC nv).
    Nv,
    /// Could flush any number of loaded contexts (TPMA_CC extensive).
    Extensive,
    /// The object of a transient handle of the command is flushed on success (TPMA_CC flushed).
    Flushed,
    /// No sessions of any kind are allowed (Part 3, 5.4).
    NoSessions,
    /// Physical presence is always required (Part 3, 26.2).
    Presence,
    /// TPM2_PP_Commands can require physical presence where the platform authorizes the command.
    PresenceOptional,
    /// Runs before TPM2_Startup, too.
    BeforeStartup,
    /// Runs in failure mode, too.
    InFailureMode,
    /// Reads the NV index it is given, for the choice of authorization (TPMA_NV_AUTHREAD and so on).
    NvRead,
    /// Writes the NV index it is given, for the choice of authorization (TPMA_NV_AUTHWRITE and so on).
    NvWrite,
    /// Runs before RSA and elliptic curves have been tested, too: it uses neither, or tests them itself. What guests send
    /// while they start should not wait for the tests.
    WithoutKeys,
}

impl Flag {
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of [`Flag`], a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u16);

impl Flags {
    pub(crate) const fn of(mut flags: &[Flag]) -> Self {
        let mut bits = 0;
        while let [first, rest @ ..] = flags {
            bits |= first.bit();
            flags = rest;
        }
        Self(bits)
    }
}

/// A command as the table knows it.
#[derive(Clone, Copy)]
pub(crate) struct CommandInfo {
    /// TPM_CC.
    pub(crate) code: u32,
    pub(crate) name: &'static str,
    pub(crate) handles: &'static [HandleSpec],
    pub(crate) flags: Flags,
    /// The first parameter is a TPM2B: a session can decrypt it.
    pub(crate) decrypt: bool,
    /// The first response parameter is a TPM2B: a session can encrypt it.
    pub(crate) encrypt: bool,
    /// The response has a handle.
    pub(crate) response_handle: bool,
    /// Unmarshals the parameters, runs the action, marshals the reply.
    pub(crate) run: Run,
}

/// Takes the handles and the encoded parameters, writes the encoded reply, returns the response's handle.
type Run = fn(&mut Tpm, &[Handle], &[u8], &mut Writer<'_>) -> RcResult<Option<Handle>>;

impl CommandInfo {
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.flags.0 & flag.bit() != 0
    }

    /// How many handles need authorization. They come first.
    pub(crate) fn auth_handles(&self) -> usize {
        self.handles.iter().filter(|handle| handle.role.is_some()).count()
    }

    /// TPMA_CC (Part 2, 8.9).
    pub(crate) fn attributes(&self) -> u32 {
        let bit = |set: bool, position: u32| u32::from(set).wrapping_shl(position);
        let handles = u32::try_from(self.handles.len()).unwrap_or_default();
        (self.code & 0xFFFF)
            | bit(self.has(Flag::Nv), 22)
            | bit(self.has(Flag::Extensive), 23)
            | bit(self.has(Flag::Flushed), 24)
            | handles.wrapping_shl(25)
            | bit(self.response_handle, 28)
    }
}

/// A command: its types and its action.
pub(crate) trait Command {
    const INFO: CommandInfo;
    type Handles;
    /// They may borrow from the command.
    type Params<'c>: Unmarshal<'c>;
    /// It may borrow from the TPM.
    type Reply<'t>: Marshal;

    /// The typed handle area; the pipeline has checked number and kinds.
    fn handles(handles: &[Handle]) -> RcResult<Self::Handles>;

    /// The handle of the response, if it has one.
    fn reply_handle(reply: &Self::Reply<'_>) -> Option<Handle>;

    /// The detailed actions of Part 3. Authorizations have been checked.
    fn run<'t>(tpm: &'t mut Tpm, handles: Self::Handles, params: Self::Params<'_>) -> RcResult<Self::Reply<'t>>;
}

/// The common part of all commands between authorization and response.
pub(crate) fn invoke<C: Command>(
    tpm: &mut Tpm,
    handles: &[Handle],
    params: &[u8],
    out: &mut Writer<'_>,
) -> RcResult<Option<Handle>> {
    let mut reader = crate::marshal::Reader::new(params, tpm.profile);
    let params = reader.read::<C::Params<'_>>()?;
    reader.finish()?;
    let reply = C::run(tpm, C::handles(handles)?, params);
    // A reply may be large: it is not moved out of the result.
    let reply = reply.as_ref().map_err(|code| *code)?;
    reply.marshal(out);
    Ok(C::reply_handle(reply))
}

/// Declares a command: number, handles with roles, parameters and reply, as the tables of Part 3 show them.
///
/// The types it declares are `Handles`, `Params` and `Reply` of the enclosing module; the action is a function
/// `run(tpm, handles, params) -> RcResult<Reply>` beside it. `params<'c>` may borrow from the command, `reply<'t>` from the
/// TPM.
macro_rules! command {
    (
        $(#[$meta:meta])*
        $name:ident = $code:literal, [$($flag:ident),* $(,)?];
        handles { $($handle:ident : $kind:ident $(@ $role:ident)?),* $(,)? }
        params $(<$command:lifetime>)? { $($param:ident : $pty:ty),* $(,)? }
        reply $(<$tpm:lifetime>)? $(handle $rhandle:ident)? { $($field:ident : $rty:ty),* $(,)? }
    ) => {
        $(#[$meta])*
        pub(crate) struct $name;

        #[allow(dead_code, clippy::allow_attributes, reason = "some handles are there to be authorized and no more")]
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct Handles { $(pub(crate) $handle: $crate::handle::Handle),* }

        #[allow(dead_code, clippy::allow_attributes, reason = "some parameters are there to be read and no more")]
        pub(crate) struct Params $(<$command>)? { $(pub(crate) $param: $pty),* }

        pub(crate) struct Reply $(<$tpm>)? {
            $(pub(crate) $rhandle: $crate::handle::Handle,)?
            $(pub(crate) $field: $rty),*
        }

        impl $(<$command>)? Params $(<$command>)? {
            const BEGINS_SIZED: bool = $crate::commands::command!(@first Unmarshal $($pty,)*);
        }

        impl $(<$tpm>)? Reply $(<$tpm>)? {
            const BEGINS_SIZED: bool = $crate::commands::command!(@first Marshal $($rty,)*);
        }

        $crate::commands::command!(@unmarshal Params [$(<$command>)?] [$($command)? 'c] $($param: $pty,)*);

        impl $(<$tpm>)? $crate::marshal::Marshal for Reply $(<$tpm>)? {
            #[allow(unused_variables, clippy::allow_attributes, reason = "some replies are empty")]
            fn marshal<S: $crate::marshal::Sink>(&self, sink: &mut S) {
                $($crate::marshal::Marshal::marshal(&self.$field, sink);)*
            }
        }

        impl $crate::commands::Command for $name {
            const INFO: $crate::commands::CommandInfo = $crate::commands::CommandInfo {
                code: $code,
                name: stringify!($name),
                handles: &[$($crate::commands::HandleSpec {
                    kind: $crate::handle::HandleKind::$kind,
                    role: $crate::commands::command!(@role $($role)?),
                }),*],
                flags: $crate::commands::Flags::of(&[$($crate::commands::Flag::$flag),*]),
                decrypt: Params::BEGINS_SIZED,
                encrypt: Reply::BEGINS_SIZED,
                response_handle: $crate::commands::command!(@some $($rhandle)?),
                run: $crate::commands::invoke::<Self>,
            };
            type Handles = Handles;
            $crate::commands::command!(@type Params [$(<$command>)?] [$($command)? 'c]);
            $crate::commands::command!(@type Reply [$(<$tpm>)?] [$($tpm)? 't]);

            fn handles(handles: &[$crate::handle::Handle]) -> $crate::rc::RcResult<Handles> {
                match *handles {
                    [$($handle),*] => Ok(Handles { $($handle),* }),
                    _ => Err($crate::rc::Rc::FAILURE),
                }
            }

            #[allow(unused_variables, clippy::allow_attributes, reason = "most replies have no handle")]
            fn reply_handle(reply: &Self::Reply<'_>) -> Option<$crate::handle::Handle> {
                $(return Some(reply.$rhandle);)?
                #[allow(unreachable_code, clippy::allow_attributes, reason = "reached where there is no handle")]
                None
            }

            fn run<'t>(
                tpm: &'t mut $crate::tpm::Tpm,
                handles: Handles,
                params: Self::Params<'_>,
            ) -> $crate::rc::RcResult<Self::Reply<'t>> {
                run(tpm, handles, params)
            }
        }
    };
    // The first lifetime is that which the type has, if it has one.
    (@type $name:ident [$($of:tt)*] [$first:lifetime $($other:lifetime)?]) => { type $name<$first> = $name $($of)*; };
    (@unmarshal $name:ident [$($of:tt)*] [$first:lifetime $($other:lifetime)?] $($param:ident : $pty:ty,)*) => {
        impl<$first> $crate::marshal::Unmarshal<$first> for $name $($of)* {
            #[allow(unused_assignments, unused_mut, unused_variables, clippy::allow_attributes,
                    reason = "the number of the last parameter is counted, but not used")]
            fn unmarshal(reader: &mut $crate::marshal::Reader<$first>) -> $crate::rc::RcResult<Self> {
                let mut number = 0u32;
                $(
                    number = number.wrapping_add(1);
                    let $param = reader.read::<$pty>().map_err(|code| code.parameter(number))?;
                )*
                Ok(Self { $($param),* })
            }
        }
    };
    (@role $role:ident) => { Some($crate::commands::Role::$role) };
    (@role) => { None };
    (@first $trait:ident $first:ty, $($rest:ty,)*) => { <$first as $crate::marshal::$trait>::SIZED };
    (@first $trait:ident) => { false };
    (@some $some:ident) => { true };
    (@some) => { false };
}
pub(crate) use command;

/// TPM_CC_FIRST (Part 2, 6.5.2).
pub(crate) const FIRST_CODE: u32 = 0x11F;
/// Codes that the table of commands has places for, from [`FIRST_CODE`] on.
const CODES: usize = 256;

/// The table of all commands, in ascending order of their codes, which is checked when the program is compiled.
macro_rules! commands {
    ($($path:ty),* $(,)?) => {
        pub(crate) static COMMANDS: &[CommandInfo] = &[$(<$path as Command>::INFO),*];

        const _: () = {
            let infos = [$(<$path as Command>::INFO.code),*];
            let mut rest: &[u32] = &infos;
            while let [first, tail @ ..] = rest {
                if let [second, ..] = tail {
                    assert!(*first < *second, "the command table is not in ascending order");
                }
                rest = tail;
            }
        };

        /// Where in the table each command is, by its distance from [`FIRST_CODE`]; past its end where there is none.
        static PLACES: [u8; CODES] = {
            let mut places = [u8::MAX; CODES];
            let mut rest: &[u32] = &[$(<$path as Command>::INFO.code),*];
            let mut place = 0;
            while let [code, tail @ ..] = rest {
                assert!(place < u8::MAX, "the command table is too large for its index");
                assert!(*code - FIRST_CODE < CODES as u32, "a command's code is past the table's index");
                if let (_, [entry, ..]) = places.split_at_mut((*code - FIRST_CODE) as usize) {
                    *entry = place;
                }
                place += 1;
                rest = tail;
            }
            places
        };
    };
}

pub(crate) mod asymmetric;
pub(crate) mod attached;
pub(crate) mod attestation;
pub(crate) mod capability;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod dictionary_attack;
pub(crate) mod duplication;
pub(crate) mod hash;
pub(crate) mod hierarchy;
pub(crate) mod management;
pub(crate) mod nv;
pub(crate) mod object;
pub(crate) mod pcr;
pub(crate) mod policy;
pub(crate) mod random;
pub(crate) mod selftest;
pub(crate) mod session;
pub(crate) mod signing;
pub(crate) mod startup;
pub(crate) mod symmetric;
pub(crate) mod timer;

commands![
    nv::undefine_space_special::NvUndefineSpaceSpecial,
    context::evict_control::EvictControl,
    hierarchy::control::HierarchyControl,
    nv::undefine_space::NvUndefineSpace,
    hierarchy::change_eps::ChangeEps,
    hierarchy::change_pps::ChangePps,
    hierarchy::clear::Clear,
    hierarchy::clear_control::ClearControl,
    clock::set::ClockSet,
    hierarchy::change_auth::HierarchyChangeAuth,
    nv::define_space::NvDefineSpace,
    pcr::allocate::PcrAllocate,
    pcr::set_auth::policy::PcrSetAuthPolicy,
    management::presence_commands::PpCommands,
    hierarchy::set_primary_policy::SetPrimaryPolicy,
    clock::rate_adjust::ClockRateAdjust,
    object::create_primary::CreatePrimary,
    nv::global_write_lock::NvGlobalWriteLock,
    attestation::command_audit::GetCommandAuditDigest,
    nv::increment::NvIncrement,
    nv::set_bits::NvSetBits,
    nv::extend::NvExtend,
    nv::write::NvWrite,
    nv::write_lock::NvWriteLock,
    dictionary_attack::lock_reset::DictionaryAttackLockReset,
    dictionary_attack::parameters::DictionaryAttackParameters,
    nv::change_auth::NvChangeAuth,
    pcr::event::PcrEvent,
    pcr::reset::PcrReset,
    hash::sequence::complete::SequenceComplete,
    management::set_algorithm_set::SetAlgorithmSet,
    management::audit_status::SetCommandCodeAuditStatus,
    selftest::incremental::IncrementalSelfTest,
    selftest::full::SelfTest,
    startup::startup::Startup,
    startup::shutdown::Shutdown,
    random::stir_random::StirRandom,
    object::activate_credential::ActivateCredential,
    attestation::certify::Certify,
    policy::nv::PolicyNv,
    attestation::certify_creation::CertifyCreation,
    duplication::duplicate::Duplicate,
    attestation::get_time::GetTime,
    attestation::session_audit::GetSessionAuditDigest,
    nv::read::NvRead,
    nv::read_lock::NvReadLock,
    object::change_auth::ObjectChangeAuth,
    policy::secret::PolicySecret,
    duplication::rewrap::Rewrap,
    object::create::Create,
    asymmetric::ecdh_zgen::EcdhZGen,
    hash::mac::whole::Hmac,
    duplication::import::Import,
    object::load::Load,
    attestation::quote::Quote,
    asymmetric::rsa_decrypt::RsaDecryptCommand,
    hash::mac::start::HmacStart,
    hash::sequence::update::SequenceUpdate,
    signing::sign::Sign,
    object::unseal::Unseal,
    policy::signed::PolicySigned,
    context::load::ContextLoad,
    context::save::ContextSave,
    asymmetric::ecdh_keygen::EcdhKeyGen,
    symmetric::encrypt_decrypt::EncryptDecrypt,
    context::flush::FlushContext,
    object::load_external::LoadExternal,
    object::make_credential::MakeCredential,
    nv::read_public::NvReadPublic,
    policy::authorize::PolicyAuthorize,
    policy::auth_value::PolicyAuthValue,
    policy::command_code::PolicyCommandCode,
    policy::counter_timer::PolicyCounterTimer,
    policy::cp_hash::PolicyCpHash,
    policy::locality::PolicyLocality,
    policy::name_hash::PolicyNameHash,
    policy::or::PolicyOr,
    policy::ticket::PolicyTicket,
    object::read_public::ReadPublic,
    asymmetric::rsa_encrypt::RsaEncrypt,
    session::start_auth_session::StartAuthSession,
    signing::verify_signature::VerifySignature,
    asymmetric::ecc_parameters::EccParameters,
    capability::get_capability::GetCapability,
    random::get_random::GetRandom,
    selftest::result::GetTestResult,
    hash::digest::Hash,
    pcr::read::PcrRead,
    policy::pcr::PolicyPcr,
    session::policy_restart::PolicyRestart,
    clock::read::ReadClock,
    pcr::extend::PcrExtend,
    pcr::set_auth::value::PcrSetAuthValue,
    nv::certify::NvCertify,
    hash::event::EventSequenceComplete,
    hash::start::HashSequenceStart,
    policy::physical_presence::PolicyPhysicalPresence,
    policy::duplication_select::PolicyDuplicationSelect,
    policy::get_digest::PolicyGetDigest,
    capability::test_parms::TestParms,
    asymmetric::commit::Commit,
    policy::password::PolicyPassword,
    asymmetric::zgen_2phase::ZGen2Phase,
    asymmetric::ec_ephemeral::EcEphemeral,
    policy::nv_written::PolicyNvWritten,
    policy::template::PolicyTemplate,
    object::create_loaded::CreateLoaded,
    policy::authorize_nv::PolicyAuthorizeNv,
    symmetric::encrypt_decrypt2::EncryptDecrypt2,
    attached::get_capability::AcGetCapability,
    attached::send::AcSend,
    policy::ac_send_select::PolicyAcSendSelect,
    attestation::certify_x509::CertifyX509,
    timer::set_timeout::ActSetTimeout,
    asymmetric::ecc_encrypt::EccEncrypt,
    asymmetric::ecc_decrypt::EccDecrypt,
    policy::capability::PolicyCapability,
    policy::parameters::PolicyParameters,
    nv::define_space2::NvDefineSpace2,
    nv::read_public2::NvReadPublic2,
    capability::set_capability::SetCapability,
    hierarchy::read_only_control::ReadOnlyControl,
    policy::transport_spdm::PolicyTransportSpdm,
];

/// The commands of a TPM with this profile, in ascending order of their codes.
pub(crate) fn of_profile(profile: &'static Profile) -> impl Iterator<Item = &'static CommandInfo> {
    COMMANDS
        .iter()
        .filter(|info| !profile.commands_off.contains(&info.code))
}

/// How many commands that are.
pub(crate) const fn number(profile: &'static Profile) -> usize {
    COMMANDS.len().saturating_sub(profile.commands_off.len())
}

/// The name of a command, for whoever writes logs; `None` for an unknown code.
#[must_use]
pub fn command_name(code: u32) -> Option<&'static str> {
    let place = COMMANDS.binary_search_by_key(&code, |info| info.code).ok()?;
    COMMANDS.get(place).map(|info| info.name)
}

/// The command with this code; TPM_RC_COMMAND_CODE when this TPM has none.
pub(crate) fn find(profile: &Profile, code: u32) -> RcResult<&'static CommandInfo> {
    usize::try_from(code.wrapping_sub(FIRST_CODE))
        .ok()
        .and_then(|distance| PLACES.get(distance))
        .and_then(|place| COMMANDS.get(usize::from(*place)))
        .filter(|info| !profile.commands_off.contains(&info.code))
        .ok_or(Rc::COMMAND_CODE)
}

#[cfg(test)]
mod tests;
