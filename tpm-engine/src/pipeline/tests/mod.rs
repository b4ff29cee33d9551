//! Commands with sessions, seen from their caller.

mod allocation;
mod audit;
mod encryption;
mod hmac;
mod malformed;
mod policy;
mod protection;

use crate::testing::session::{Entity, sized};
use crate::testing::{Bench, hex, with_passwords};

const OWNER: u32 = 0x4000_0001;
const NULL: u32 = 0x4000_0007;
const LOCKOUT: u32 = 0x4000_000A;
const PLATFORM: u32 = 0x4000_000C;
const INDEX: u32 = 0x0100_0001;

const CHANGE_AUTH: u32 = 0x129;
const NV_WRITE: u32 = 0x137;
const NV_READ: u32 = 0x14E;
const GET_RANDOM: u32 = 0x17B;
const SET_POLICY: u32 = 0x12E;

/// TPMA_NV: read and written with the authorization value, by the owner, or with a policy.
const ORDINARY: u32 = 0x0006_0006;
const WITH_POLICY: u32 = 0x0008_0008;
const NO_DA: u32 = 0x0200_0000;

fn owner() -> Entity {
    Entity::of(OWNER)
}

/// Defines an NV index of 8 bytes with an authorization value and a policy.
fn define(bench: &mut Bench, attributes: u32, auth: &[u8], policy: &[u8]) {
    let mut public = [INDEX.to_be_bytes(), attributes.to_be_bytes()].concat();
    public.splice(4..4, hex("000b"));
    public.extend(sized(policy));
    public.extend(hex("0008"));
    let params = [sized(auth), sized(&public)].concat();
    assert_eq!(bench.run(&with_passwords(0x12A, &[OWNER], &[b""], &params)).0, 0);
}

/// Whether the owner's authorization value is this one.
fn owner_auth_is(bench: &mut Bench, auth: &[u8]) -> bool {
    let set = with_passwords(CHANGE_AUTH, &[OWNER], &[auth], &sized(auth));
    bench.run(&set).0 == 0
}

/// Gives a hierarchy an authorization policy.
fn set_policy(bench: &mut Bench, hierarchy: u32, digest: &[u8]) {
    let params = [sized(digest), hex("000b")].concat();
    assert_eq!(
        bench.run(&with_passwords(SET_POLICY, &[hierarchy], &[b""], &params)).0,
        0
    );
}
