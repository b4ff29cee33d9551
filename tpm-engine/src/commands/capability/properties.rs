//! The TPM's properties (Part 2, 6.13): what it is, what it holds and what it is doing.

use crate::commands;
use crate::commands::context;
use crate::handle::{Handle, PCR_COUNT};
use crate::keys::commitment::PENDING;
use crate::nv::MAX_ORDERLY_COUNT;
use crate::object::{MAX_LOADED_OBJECTS, MAX_PERSISTENT_OBJECTS};
use crate::session::{CONTEXT_GAP_MAX, MAX_ACTIVE_SESSIONS, MAX_LOADED_SESSIONS};
use crate::state::time::CLOCK_UPDATE_INTERVAL;
use crate::tpm::Tpm;
use crate::types::nv::{MAX_NV_INDEX_SIZE, NvKind};
use crate::types::pcr::SELECT_SIZE;
use crate::types::{MaxBuffer, MaxNvBuffer};

crate::marshal::structure! {
    /// TPMS_TAGGED_PROPERTY (Part 2, 10.8.2).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(crate) struct Property {
        pub(crate) property: u32,
        pub(crate) value: u32,
    }
}

/// TPM_PT_FIXED: the first of the properties that do not change.
pub(crate) const FIXED: u32 = 0x100;
/// TPM_PT_VAR: the first of the properties that do.
const VAR: u32 = 0x200;
/// The end of both.
const END: u32 = 0x300;

/// The version of the firmware, which is this program: the package's major and minor number, then its patch number,
/// 16 bits each and 16 of zeros. It is no part of the stored state: a TPM tells which program runs it now, so that a
/// verifier sees an upgrade.
pub(crate) const FIRMWARE_VERSION: u64 = (number(env!("CARGO_PKG_VERSION_MAJOR")) << 48)
    | (number(env!("CARGO_PKG_VERSION_MINOR")) << 32)
    | (number(env!("CARGO_PKG_VERSION_PATCH")) << 16);

/// A decimal number of at most 16 bits.
const fn number(text: &str) -> u64 {
    match u16::from_str_radix(text, 10) {
        Ok(number) => number as u64,
        Err(_) => 0,
    }
}

/// The library specification that this TPM implements: 1.59 of November 8, 2019, day 312. Commands and codes of later
/// revisions are there as well, as the list of commands tells, but not all that those revisions ask for.
mod library {
    pub(super) const REVISION: u32 = 159;
    pub(super) const DAY_OF_YEAR: u32 = 312;
    pub(super) const YEAR: u32 = 2019;
}

/// The profile for PC Client platforms that it follows: 1.05 of September 4, 2020, day 248.
mod platform {
    /// TPM_PS_PC (Part 2, 6.14).
    pub(super) const FAMILY: u32 = 1;
    pub(super) const LEVEL: u32 = 0;
    pub(super) const REVISION: u32 = 0x105;
    pub(super) const DAY_OF_YEAR: u32 = 248;
    pub(super) const YEAR: u32 = 2020;
}

/// Bytes of the largest saved context of an object or sequence, and of a session: what the structure has around them,
/// too.
const MAX_OBJECT_CONTEXT: usize = 18 + context::MAX_BLOB;
const MAX_SESSION_CONTEXT: usize = 1024;

/// Bytes of a capability that one response holds (MAX_CAP_BUFFER).
pub(crate) const MAX_CAP_BUFFER: usize = 1024;

/// The properties from `first` on, up to the end of its group (Part 3, 30.2).
pub(crate) fn from(tpm: &Tpm, first: u32) -> impl Iterator<Item = Property> + use<> {
    let first = first.max(FIXED);
    let fixed = (FIXED..VAR).contains(&first).then(|| fixed(tpm));
    let variable = (VAR..END).contains(&first).then(|| variable(tpm));
    let group = fixed.into_iter().flatten().chain(variable.into_iter().flatten());
    group.filter(move |entry| entry.property >= first)
}

/// Four characters of a string as a property; zeros after its end.
fn characters(text: &str, group: usize) -> u32 {
    let mut bytes = text.bytes().chain(std::iter::repeat(0)).skip(group.saturating_mul(4));
    u32::from_be_bytes(std::array::from_fn(|_| bytes.next().unwrap_or_default()))
}

/// A size or count as a property.
fn count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// TPM_PT_FIXED.
fn fixed(tpm: &Tpm) -> impl IntoIterator<Item = Property> + use<> {
    const MANUFACTURER: &str = "VHDT";
    // Tools know a TPM in software by a vendor string that begins with "SW".
    const VENDOR: &str = "SW  vhost-tpm";
    let firmware =
        [FIRMWARE_VERSION >> 32, FIRMWARE_VERSION & 0xFFFF_FFFF].map(|half| u32::try_from(half).unwrap_or_default());
    let commands = count(commands::number(tpm.profile));
    let digest = tpm.profile.hashes.iter().map(|alg| alg.digest_size()).max();
    [
        (0x100, characters("2.0", 0)),
        (0x101, 0),
        (0x102, library::REVISION),
        (0x103, library::DAY_OF_YEAR),
        (0x104, library::YEAR),
        (0x105, characters(MANUFACTURER, 0)),
        (0x106, characters(VENDOR, 0)),
        (0x107, characters(VENDOR, 1)),
        (0x108, characters(VENDOR, 2)),
        (0x109, characters(VENDOR, 3)),
        // TPM_PT_VENDOR_TPM_TYPE: ours to define; there is one type.
        (0x10A, 1),
        (0x10B, firmware[0]),
        (0x10C, firmware[1]),
        // TPM_PT_INPUT_BUFFER.
        (0x10D, count(MaxBuffer::CAPACITY)),
        (0x10E, count(MAX_LOADED_OBJECTS)),
        (0x10F, count(MAX_PERSISTENT_OBJECTS)),
        (0x110, count(MAX_LOADED_SESSIONS)),
        (0x111, count(MAX_ACTIVE_SESSIONS)),
        (0x112, PCR_COUNT),
        (0x113, u32::from(SELECT_SIZE)),
        (0x114, u32::try_from(CONTEXT_GAP_MAX).unwrap_or(u32::MAX)),
        // TPM_PT_NV_COUNTERS_MAX: 0 is no limit but that of all indices.
        (0x116, 0),
        (0x117, u32::from(MAX_NV_INDEX_SIZE)),
        // TPM_PT_MEMORY: objects, sessions, persistent objects and NV indices have memory of their own each.
        (0x118, 0),
        // TPM_PT_CLOCK_UPDATE: milliseconds between writes of the clock.
        (0x119, u32::try_from(CLOCK_UPDATE_INTERVAL).unwrap_or(u32::MAX)),
        // TPM_PT_CONTEXT_HASH, TPM_PT_CONTEXT_SYM and TPM_PT_CONTEXT_SYM_SIZE.
        (0x11A, u32::from(context::HASH.id())),
        (0x11B, u32::from(context::CIPHER.id())),
        (0x11C, context::KEY_BITS),
        (0x11D, u32::try_from(MAX_ORDERLY_COUNT).unwrap_or(u32::MAX)),
        (0x11E, count(tpm.buffer_size)),
        (0x11F, count(tpm.buffer_size)),
        (0x120, count(digest.unwrap_or_default())),
        (0x121, count(MAX_OBJECT_CONTEXT)),
        (0x122, count(MAX_SESSION_CONTEXT)),
        (0x123, platform::FAMILY),
        (0x124, platform::LEVEL),
        (0x125, platform::REVISION),
        (0x126, platform::DAY_OF_YEAR),
        (0x127, platform::YEAR),
        // TPM_PT_SPLIT_MAX: commitments of TPM2_Commit that can be open.
        (0x128, u32::try_from(PENDING).unwrap_or(u32::MAX)),
        // All commands, those of the library and those of the vendor.
        (0x129, commands),
        (0x12A, commands),
        (0x12B, 0),
        (0x12C, count(MaxNvBuffer::CAPACITY)),
        // TPM_PT_MODES: not certified by anyone.
        (0x12D, 0),
        (0x12E, count(MAX_CAP_BUFFER)),
    ]
    .map(|(property, value)| Property { property, value })
}

/// TPM_PT_VAR.
fn variable(tpm: &Tpm) -> impl IntoIterator<Item = Property> + use<> {
    let nv = &tpm.nv;
    let counters = nv
        .nv
        .values()
        .filter(|index| index.public.attributes.kind() == Some(NvKind::Counter));
    let (loaded, active) = (tpm.sessions.loaded(), tpm.sessions.active());
    let objects = tpm.objects.iter().count();
    let [audit_high, audit_low] =
        [nv.audit.counter >> 32, nv.audit.counter & 0xFFFF_FFFF].map(|half| u32::try_from(half).unwrap_or_default());
    [
        (0x200, permanent(tpm)),
        (0x201, startup_clear(tpm)),
        (0x202, count(nv.nv.len())),
        (0x203, count(loaded)),
        (0x204, count(MAX_LOADED_SESSIONS.saturating_sub(loaded))),
        (0x205, count(active)),
        (0x206, count(MAX_ACTIVE_SESSIONS.saturating_sub(active))),
        (0x207, count(MAX_LOADED_OBJECTS.saturating_sub(objects))),
        (0x208, count(nv.objects.len())),
        (0x209, count(MAX_PERSISTENT_OBJECTS.saturating_sub(nv.objects.len()))),
        (0x20A, count(counters.count())),
        // TPM_PT_NV_COUNTERS_AVAIL.
        (0x20B, count(tpm.nv_counters_available())),
        (0x20C, nv.management.algorithm_set),
        (0x20D, count(tpm.profile.curves.len())),
        (0x20E, nv.da.failed_tries),
        (0x20F, nv.da.max_tries),
        (0x210, nv.da.recovery_time),
        (0x211, nv.da.lockout_recovery),
        // TPM_PT_NV_WRITE_RECOVERY: writes are not limited in rate.
        (0x212, 0),
        (0x213, audit_high),
        (0x214, audit_low),
    ]
    .map(|(property, value)| Property { property, value })
}

/// TPMA_PERMANENT (Part 2, 8.6).
fn permanent(tpm: &Tpm) -> u32 {
    let hierarchies = &tpm.nv.hierarchies;
    let da = &tpm.nv.da;
    bits(&[
        (0, !tpm.auth_value(Handle::OWNER).is_empty()),
        (1, !tpm.auth_value(Handle::ENDORSEMENT).is_empty()),
        (2, !tpm.auth_value(Handle::LOCKOUT).is_empty()),
        (8, hierarchies.disable_clear),
        (9, da.failed_tries >= da.max_tries),
        // The endorsement seed was made here.
        (10, true),
    ])
}

/// TPMA_STARTUP_CLEAR (Part 2, 8.7).
fn startup_clear(tpm: &Tpm) -> u32 {
    bits(&[
        (0, tpm.clear.platform_enabled),
        (1, tpm.clear.owner_enabled),
        (2, tpm.clear.endorsement_enabled),
        (3, tpm.clear.platform_nv_enabled),
        (4, tpm.clear.read_only),
        (31, tpm.orderly),
    ])
}

fn bits(bits: &[(u32, bool)]) -> u32 {
    bits.iter()
        .fold(0, |word, (bit, set)| word | u32::from(*set).wrapping_shl(*bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    fn value(tpm: &Bench, property: u32) -> u32 {
        let entry = from(&tpm.tpm, property).next().unwrap();
        assert_eq!(entry.property, property);
        entry.value
    }

    #[test]
    fn tools_recognise_a_tpm_in_software() {
        let tpm = Bench::started();
        assert_eq!(value(&tpm, 0x105).to_be_bytes(), *b"VHDT");
        assert_eq!(value(&tpm, 0x106).to_be_bytes(), *b"SW  ");
        assert_eq!(value(&tpm, 0x108).to_be_bytes(), *b"t-tp");
        assert_eq!(value(&tpm, 0x109).to_be_bytes(), *b"m\0\0\0");
    }

    #[test]
    fn the_firmware_is_the_version_of_this_program() {
        let tpm = Bench::started();
        let reported = [value(&tpm, 0x10B), value(&tpm, 0x10C)];
        let numbers = [reported[0] >> 16, reported[0] & 0xFFFF, reported[1] >> 16].map(|number| number.to_string());
        assert_eq!(numbers.join("."), env!("CARGO_PKG_VERSION"));
        assert_eq!(reported[1] & 0xFFFF, 0);
    }

    #[test]
    fn groups_end_where_the_next_begins() {
        let tpm = Bench::started();
        assert!(from(&tpm.tpm, 0).all(|entry| (FIXED..VAR).contains(&entry.property)));
        assert!(from(&tpm.tpm, 0x210).all(|entry| (0x210..END).contains(&entry.property)));
        assert_eq!(from(&tpm.tpm, END).count(), 0);
        for group in [FIXED, VAR] {
            let listed: Vec<u32> = from(&tpm.tpm, group).map(|entry| entry.property).collect();
            assert!(listed.is_sorted());
        }
    }

    #[test]
    fn variables_follow_the_state() {
        let mut tpm = Bench::started();
        assert_eq!(value(&tpm, 0x200), 0x400);
        assert_eq!(value(&tpm, 0x201), 0x8000_000F, "the first start counts as orderly");
        let mut da = crate::state::persistent::DictionaryAttack::factory();
        da.failed_tries = da.max_tries;
        tpm.tpm.nv.change().da = std::sync::Arc::new(da);
        assert_eq!(value(&tpm, 0x200), 0x600);
        tpm.tpm.nv.roll_back();
        tpm.tpm.clear.change().owner_enabled = false;
        tpm.tpm.power_on();
        tpm.run_ok("8001 0000000c 00000144 0000");
        assert_eq!(value(&tpm, 0x201), 0xF, "no shutdown before this start");
        tpm.run_ok("8001 0000000c 00000145 0000");
        tpm.tpm.power_on();
        tpm.run_ok("8001 0000000c 00000144 0000");
        assert_eq!(value(&tpm, 0x201), 0x8000_000F);
    }
}
