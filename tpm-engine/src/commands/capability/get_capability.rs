//! TPM2_GetCapability — Part 3, 30.2.

use super::algorithms;
use super::properties::{self, MAX_CAP_BUFFER};
use crate::bytes::Bytes;
use crate::commands;
use crate::handle::{Handle, PCR_COUNT};
use crate::marshal::{Marshal, Reader, Sink, Unmarshal, marshal_into};
use crate::rc::{Rc, RcResult};
use crate::session::{Slot, session_handle};
use crate::state::pcr::{self, PcrAttributes};
use crate::tpm::Tpm;
use crate::types::ALG_NULL;
use crate::types::pcr::SELECT_SIZE;

command! {
    /// TPM2_GetCapability: what the TPM is, has and holds.
    GetCapability = 0x17A, [InFailureMode, WithoutKeys];
    handles {}
    params { capability: Capability, property: u32, property_count: u32 }
    reply { more_data: bool, data: CapabilityData }
}

/// TPM_CAP (Part 2, 6.12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Capability {
    Algorithms = 0,
    Handles = 1,
    Commands = 2,
    PresenceCommands = 3,
    AuditCommands = 4,
    Pcrs = 5,
    Properties = 6,
    PcrProperties = 7,
    Curves = 8,
    AuthPolicies = 9,
    Timers = 10,
}

impl Unmarshal<'_> for Capability {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        let raw = reader.read::<u32>()?;
        [
            Self::Algorithms,
            Self::Handles,
            Self::Commands,
            Self::PresenceCommands,
            Self::AuditCommands,
            Self::Pcrs,
            Self::Properties,
            Self::PcrProperties,
            Self::Curves,
            Self::AuthPolicies,
            Self::Timers,
        ]
        .into_iter()
        .find(|known| *known as u32 == raw)
        .ok_or(Rc::VALUE)
    }
}

/// TPMS_CAPABILITY_DATA (Part 2, 10.10.2): a list, whose entries are kept in their canonical form.
pub(crate) struct CapabilityData {
    capability: Capability,
    count: u32,
    entries: Entries,
}

/// Entries of a list in their canonical form.
pub(crate) type Entries = Bytes<MAX_CAP_DATA>;

impl Marshal for CapabilityData {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        (self.capability as u32).marshal(sink);
        self.count.marshal(sink);
        sink.put(&self.entries);
    }
}

/// Bytes of the entries that one response holds: behind capability and count (MAX_CAP_DATA).
const MAX_CAP_DATA: usize = MAX_CAP_BUFFER - 8;

/// As many of `entries` as are wanted and fit; whether there are more.
fn page<T: Marshal>(capability: Capability, wanted: u32, mut entries: impl Iterator<Item = T>) -> Reply {
    let mut data = CapabilityData {
        capability,
        count: 0,
        entries: Entries::EMPTY,
    };
    // The iterator walks by itself: one that is put together of others is slow to be asked for the next.
    let all = entries.try_for_each(|entry| {
        (data.count != wanted).then_some(())?;
        data.entries.extend_by(|room| marshal_into(room, &entry))?;
        data.count = data.count.saturating_add(1);
        Some(())
    });
    Reply {
        more_data: all.is_none(),
        data,
    }
}

fn run(tpm: &mut Tpm, _: Handles, params: Params) -> RcResult<Reply> {
    list(tpm, params.capability, params.property, params.property_count)
}

/// The entry of a capability's list that `property` names, in its canonical form; nothing if there is none. Of the PCR
/// allocation, which has no such entries, the whole list (Part 3, 23.23).
pub(crate) fn entry(tpm: &Tpm, capability: Capability, property: u32) -> RcResult<Entries> {
    let CapabilityData { count, entries, .. } = list(tpm, capability, property, 1)?.data;
    let [high, low] = [property.wrapping_shr(16), property & 0xFFFF].map(|half| u16::try_from(half).unwrap_or(0));
    let named = match capability {
        Capability::Pcrs => {
            let mut list = Entries::EMPTY;
            list.extend(&count.to_be_bytes())
                .and_then(|()| list.extend(&entries))
                .ok_or(Rc::FAILURE)?;
            return Ok(list);
        }
        Capability::Algorithms | Capability::Curves => high == 0 && entries.starts_with(&low.to_be_bytes()),
        // TPMA_CC has the code in its lower half.
        Capability::Commands => {
            high == 0
                && entries
                    .get(2..)
                    .is_some_and(|entry| entry.starts_with(&low.to_be_bytes()))
        }
        _ => entries.starts_with(&property.to_be_bytes()),
    };
    Ok(if named { entries } else { Entries::EMPTY })
}

fn list(tpm: &Tpm, capability: Capability, property: u32, wanted: u32) -> RcResult<Reply> {
    let wrong_property = Rc::VALUE.parameter(2);
    Ok(match capability {
        Capability::Algorithms => {
            let algs = algorithms::list(tpm.profile);
            page(
                capability,
                wanted,
                algs.filter(|entry| u32::from(entry.alg) >= property),
            )
        }
        Capability::Handles => return handles(tpm, property, wanted),
        Capability::Commands => {
            let infos = commands::of_profile(tpm.profile).filter(|info| info.code >= property);
            page(capability, wanted, infos.map(|info| info.attributes()))
        }
        Capability::PresenceCommands => {
            let codes = commands::of_profile(tpm.profile).filter(|info| tpm.needs_presence(info));
            page(
                capability,
                wanted,
                codes.map(|info| info.code).filter(|code| *code >= property),
            )
        }
        Capability::AuditCommands => {
            let codes = commands::of_profile(tpm.profile).map(|info| info.code);
            let audited = codes.filter(|code| tpm.nv.audit.commands.has(*code));
            page(capability, wanted, audited.filter(|code| *code >= property))
        }
        Capability::Pcrs => {
            if property != 0 {
                return Err(wrong_property);
            }
            // Of all banks, whatever was asked for (Part 3, 30.2): half an allocation would be misread.
            let banks = tpm.pcrs.allocation(tpm.profile.bank_hashes);
            page(capability, u32::MAX, banks.into_iter())
        }
        Capability::Properties => page(capability, wanted, properties::from(tpm, property)),
        Capability::PcrProperties => {
            let properties = PCR_PROPERTIES.iter().filter(|(tag, _)| *tag >= property);
            page(
                capability,
                wanted,
                properties.map(|(tag, has)| tagged_pcr_select(*tag, *has)),
            )
        }
        Capability::Curves => {
            let curves = tpm.profile.curves.iter().map(|curve| curve.id());
            page(capability, wanted, curves.filter(|curve| u32::from(*curve) >= property))
        }
        Capability::AuthPolicies => {
            if property >> 24 != Handle::FIRST_PERMANENT >> 24 {
                return Err(wrong_property);
            }
            let hierarchies = [Handle::OWNER, Handle::LOCKOUT, Handle::ENDORSEMENT, Handle::PLATFORM].into_iter();
            let handles = hierarchies
                .chain(Handle::timers())
                .filter(|handle| handle.0 >= property);
            page(capability, wanted, handles.map(|handle| tagged_policy(tpm, handle)))
        }
        Capability::Timers => {
            if Handle(property).timer().is_none() {
                return Err(wrong_property);
            }
            let timers = tpm.countdowns.data(tpm.timer.time);
            page(capability, wanted, timers.filter(|timer| timer.handle.0 >= property))
        }
    })
}

/// The handles of the type of `first`, from there on, in ascending order.
fn handles(tpm: &Tpm, first: u32, wanted: u32) -> RcResult<Reply> {
    const PERMANENT: [Handle; 7] = [
        Handle::OWNER,
        Handle::NULL,
        Handle::PASSWORD,
        Handle::LOCKOUT,
        Handle::ENDORSEMENT,
        Handle::PLATFORM,
        Handle::PLATFORM_NV,
    ];
    /// TPM_HT_LOADED_SESSION and TPM_HT_SAVED_SESSION (Part 2, 7.2): here types of query, not of session.
    const LOADED_SESSION: u32 = 0x02;
    const SAVED_SESSION: u32 = 0x03;
    // A session's handle says what it is, but is sought by its number.
    let slots = tpm.sessions.iter().filter(|(number, _)| *number >= first & 0x00FF_FFFF);
    let from = |handle: &Handle| handle.0 >= first;
    let capability = Capability::Handles;
    Ok(match first >> 24 {
        0x00 => page(capability, wanted, (0..PCR_COUNT).map(Handle).filter(from)),
        0x01 => page(capability, wanted, tpm.nv.nv.keys().copied().filter(from)),
        LOADED_SESSION => {
            let loaded = slots.filter_map(|(number, slot)| match slot {
                Slot::Loaded(session) => Some(session_handle(session.is_policy(), number)),
                _ => None,
            });
            page(capability, wanted, loaded)
        }
        SAVED_SESSION => {
            let saved = slots.filter_map(|(number, slot)| match slot {
                Slot::Saved { .. } => Some(session_handle(false, number)),
                _ => None,
            });
            page(capability, wanted, saved)
        }
        0x40 => page(
            capability,
            wanted,
            PERMANENT.into_iter().chain(Handle::timers()).filter(from),
        ),
        0x80 => {
            let loaded = tpm.objects.iter().map(|(handle, _)| handle);
            page(capability, wanted, loaded.filter(from))
        }
        0x81 => page(capability, wanted, tpm.nv.objects.keys().copied().filter(from)),
        _ => return Err(Rc::HANDLE.parameter(2)),
    })
}

/// Whether a PCR has an attribute.
type PcrProperty = fn(PcrAttributes) -> bool;

/// TPM_PT_PCR (Part 2, 6.14), with the attribute of a PCR that each is about.
const PCR_PROPERTIES: &[(u32, PcrProperty)] = &[
    (0x00, |pcr| pcr.state_save),
    (0x01, |pcr| pcr.extend_localities & 1 != 0),
    (0x02, |pcr| pcr.reset_localities & 1 != 0),
    (0x03, |pcr| pcr.extend_localities & 2 != 0),
    (0x04, |pcr| pcr.reset_localities & 2 != 0),
    (0x05, |pcr| pcr.extend_localities & 4 != 0),
    (0x06, |pcr| pcr.reset_localities & 4 != 0),
    (0x07, |pcr| pcr.extend_localities & 8 != 0),
    (0x08, |pcr| pcr.reset_localities & 8 != 0),
    (0x09, |pcr| pcr.extend_localities & 16 != 0),
    (0x0A, |pcr| pcr.reset_localities & 16 != 0),
    (0x11, |pcr| pcr.no_increment),
    (0x12, |pcr| pcr.drtm_reset),
    (0x13, |pcr| pcr.auth_group),
    (0x14, |pcr| pcr.auth_group),
];

/// TPMS_TAGGED_PCR_SELECT (Part 2, 10.8.3).
fn tagged_pcr_select(tag: u32, has: PcrProperty) -> [u8; 8] {
    let selected = (0..PCR_COUNT)
        .filter(|number| pcr::attributes(*number).is_some_and(has))
        .fold(0u32, |bits, number| bits | 1u32.wrapping_shl(number));
    let ([a, b, c, d], [low, middle, high, _]) = (tag.to_be_bytes(), selected.to_le_bytes());
    [a, b, c, d, SELECT_SIZE, low, middle, high]
}

/// TPMS_TAGGED_POLICY (Part 2, 10.8.4).
struct TaggedPolicy(Handle, Option<crate::types::TaggedDigest>);

impl Marshal for TaggedPolicy {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        self.0.marshal(sink);
        match &self.1 {
            Some(policy) => policy.marshal(sink),
            None => ALG_NULL.marshal(sink),
        }
    }
}

fn tagged_policy(tpm: &Tpm, handle: Handle) -> TaggedPolicy {
    let policy = tpm.auth_policy(handle);
    TaggedPolicy(
        handle,
        policy.map(|(alg, digest)| crate::types::TaggedDigest { alg, digest }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Bench, hex, plain};

    fn ask(tpm: &mut Bench, capability: u32, property: u32, count: u32) -> (u32, Vec<u8>) {
        let params = [capability, property, count].map(u32::to_be_bytes).concat();
        let (code, response) = tpm.run(&plain(0x17A, &params));
        (code, response[10..].to_vec())
    }

    /// The entries of a list with their size in bytes, gathered a few at a time.
    fn gather(tpm: &mut Bench, capability: u32, first: u32, size: usize, at_once: u32) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = Vec::new();
        let mut property = first;
        loop {
            let (code, data) = ask(tpm, capability, property, at_once);
            assert_eq!(code, 0);
            assert_eq!(data[1..5], capability.to_be_bytes());
            let entries: Vec<Vec<u8>> = data[9..].chunks(size).map(<[u8]>::to_vec).collect();
            assert_eq!(data[5..9], (entries.len() as u32).to_be_bytes());
            assert!(entries.len() as u32 <= at_once);
            all.extend(entries);
            if data[0] == 0 {
                return all;
            }
            let last = &all[all.len() - 1];
            let id = match (capability, size) {
                // TPMA_CC has the code in its lower half, TPM_ALG_ID and curves are of 16 bits.
                (2, _) => u32::from(u16::from_be_bytes([last[2], last[3]])),
                (0 | 8, _) => u32::from(u16::from_be_bytes([last[0], last[1]])),
                _ => u32::from_be_bytes(last[..4].try_into().unwrap()),
            };
            property = id + 1;
        }
    }

    #[test]
    fn lists_come_in_pages_of_any_size() {
        let mut tpm = Bench::started();
        for (capability, first, size) in [
            (0, 0, 6),
            (1, 0, 4),
            (1, 0x4000_0000, 4),
            (2, 0, 4),
            (6, 0x100, 8),
            (6, 0x200, 8),
            (7, 0, 8),
            (8, 0, 2),
        ] {
            let whole = gather(&mut tpm, capability, first, size, 0xFFFF_FFFF);
            assert!(whole.len() > 1);
            for at_once in [1, 2, 7] {
                assert_eq!(
                    gather(&mut tpm, capability, first, size, at_once),
                    whole,
                    "{capability}"
                );
            }
        }
    }

    #[test]
    fn nothing_wanted_is_nothing_but_more_data() {
        let mut tpm = Bench::started();
        assert_eq!(ask(&mut tpm, 6, 0x100, 0).1, hex("01 00000006 00000000"));
        assert_eq!(ask(&mut tpm, 6, 0x300, 1).1, hex("00 00000006 00000000"));
    }

    #[test]
    fn commands_are_those_of_the_table() {
        let mut tpm = Bench::started();
        let list = gather(&mut tpm, 2, 0, 4, 254);
        assert_eq!(list.len(), crate::commands::COMMANDS.len());
        assert!(list.contains(&0x0240_0182u32.to_be_bytes().to_vec()), "TPM2_PCR_Extend");
        let audited = gather(&mut tpm, 4, 0, 4, 254);
        assert!(audited.len() <= 1);
    }

    #[test]
    fn banks_are_listed_whether_or_not_they_have_registers() {
        let mut tpm = Bench::started();
        let list = hex("00 00000005 00000004 000403000000 000b03ffffff 000c03ffffff 000d03000000");
        assert_eq!(ask(&mut tpm, 5, 0, 1).1, list);
        assert_eq!(ask(&mut tpm, 5, 1, 1).0, 0x2C4);
    }

    #[test]
    fn pcr_properties_are_those_of_the_platform_profile() {
        let mut tpm = Bench::started();
        // As libtpms lists them, which has the same platform profile.
        let list = "00000000 03 ffff00, 00000001 03 ffff81, 00000002 03 000081, 00000003 03 ffff91, 00000004 03 000081,
            00000005 03 ffffff, 00000006 03 0000f1, 00000007 03 ffff9f, 00000008 03 000081, 00000009 03 ffff87,
            0000000a 03 00007e, 00000011 03 0000e1, 00000012 03 00007e, 00000013 03 000070, 00000014 03 000070";
        let expected: Vec<Vec<u8>> = list.split(',').map(hex).collect();
        assert_eq!(gather(&mut tpm, 7, 0, 8, 64), expected);
    }

    #[test]
    fn handles_are_listed_by_type() {
        let mut tpm = Bench::started();
        for empty in [
            0x0100_0000,
            0x0200_0000,
            0x0300_0000,
            0x8000_0000,
            0x8100_0000,
            0x4000_0120,
            0x18,
        ] {
            assert_eq!(ask(&mut tpm, 1, empty, 9).1, hex("00 00000001 00000000"), "{empty:#x}");
        }
        let permanent = "00 00000001 00000007 40000001 40000007 40000009 4000000a 4000000b 4000000c 4000000d";
        assert_eq!(
            ask(&mut tpm, 1, 0x4000_0000, 7).1,
            [&[1], &hex(permanent)[1..]].concat()
        );
        let timers = gather(&mut tpm, 1, 0x4000_000E, 4, 5);
        assert_eq!(
            timers.concat(),
            (0x4000_0110u32..0x4000_0120)
                .flat_map(u32::to_be_bytes)
                .collect::<Vec<_>>()
        );
        assert_eq!(ask(&mut tpm, 1, 0x0500_0000, 9).0, 0x2CB);
    }

    #[test]
    fn sessions_are_sought_by_number_and_listed_by_kind() {
        let mut tpm = Bench::started();
        let session = |kind| crate::session::Session {
            kind,
            hash: crate::alg::HashAlg::Sha256,
            symmetric: crate::types::symmetric::SymDef::Null,
            key: Default::default(),
            nonce_tpm: Default::default(),
            bound: Default::default(),
            bound_da: false,
            bound_lockout: false,
            epoch: 0,
            audit: false,
            audit_digest: Default::default(),
            policy: crate::session::PolicyState::new(crate::alg::HashAlg::Sha256, 0),
        };
        use crate::session::SessionType as T;
        for kind in [T::Policy, T::Hmac, T::Hmac] {
            let slot = tpm.tpm.sessions.check_room().unwrap();
            tpm.tpm.sessions.insert(slot, session(kind)).unwrap();
        }
        *tpm.tpm.sessions.slot_mut(Handle(0x0200_0001)).unwrap() = Slot::Saved { context_id: 1 };
        assert_eq!(
            ask(&mut tpm, 1, 0x0200_0000, 9).1,
            hex("00 00000001 00000002 03000000 02000002")
        );
        assert_eq!(ask(&mut tpm, 1, 0x0200_0001, 9).1, hex("00 00000001 00000001 02000002"));
        assert_eq!(ask(&mut tpm, 1, 0x0300_0000, 9).1, hex("00 00000001 00000001 02000001"));
    }

    #[test]
    fn hierarchies_show_their_policies() {
        let mut tpm = Bench::started();
        let none = "00 00000009 00000004 40000001 0010 4000000a 0010 4000000b 0010 4000000c 0010";
        assert_eq!(ask(&mut tpm, 9, 0x4000_0000, 4).1, [&[1], &hex(none)[1..]].concat());
        tpm.tpm.clear.change().platform_policy = crate::state::persistent::AuthPolicy {
            alg: Some(crate::alg::HashAlg::Sha256),
            digest: crate::bytes::Digest::truncated(&[7; 32]),
        };
        let platform = [hex("01 00000009 00000001 4000000c 000b"), vec![7; 32]].concat();
        assert_eq!(ask(&mut tpm, 9, 0x4000_000C, 1).1, platform);
        let last = hex("00 00000009 00000002 4000011e 0010 4000011f 0010");
        assert_eq!(ask(&mut tpm, 9, 0x4000_011E, 9).1, last);
        assert_eq!(ask(&mut tpm, 9, 0x4000_0120, 9).1, hex("00 00000009 00000000"));
        assert_eq!(ask(&mut tpm, 9, 0, 9).0, 0x2C4);
    }

    #[test]
    fn timers_are_sought_by_handle_and_there_are_no_vendor_capabilities() {
        let mut tpm = Bench::started();
        assert_eq!(
            ask(&mut tpm, 10, 0x4000_011F, 9).1,
            hex("00 0000000a 00000001 4000011f 00000000 00000000")
        );
        assert_eq!(ask(&mut tpm, 10, 0x4000_0110, 9).1[..9], hex("01 0000000a 00000009"));
        assert_eq!(ask(&mut tpm, 10, 0x4000_010F, 9).0, 0x2C4);
        for capability in [11, 0x100] {
            assert_eq!(ask(&mut tpm, capability, 0, 9).0, 0x1C4);
        }
        assert_eq!(tpm.code("8001 00000012 0000017a 00000006 00000100"), 0x3DA);
    }

    #[test]
    fn needs_a_start_up() {
        assert_eq!(
            Bench::unstarted().code("8001 00000016 0000017a 00000006 00000100 00000001"),
            0x100
        );
    }
}
