//! The volatile half of a snapshot: its fields, out of a TPM and into one.

use crate::bytes::Bytes;
use crate::countdown::Countdowns;
use crate::crypto::hash::Hasher;
use crate::crypto::random::Random;
use crate::crypto::self_test;
use crate::handle::Handle;
use crate::marshal::{Marshal, Reader, Sink, Unmarshal, optional, structure};
use crate::object::Objects;
use crate::rc::{Rc, RcResult};
use crate::session::Sessions;
use crate::state::Watched;
use crate::state::orderly::{ClearState, OrderlyNv, ResetState, StartOrigin};
use crate::state::pcr::PcrValues;
use crate::state::time::Timer;
use crate::tpm::{Phase, Tpm, seeded_rng};

structure! {
    /// What the TPM knows beyond its permanent state.
    pub(super) struct Live {
        phase: Phase,
        origin: StartOrigin,
        timer: Timer,
        reset: Watched<ResetState>,
        clear: Watched<ClearState>,
        pcrs: Watched<PcrValues>,
        orderly_nv: Watched<OrderlyNv>,
        countdowns: Watched<Countdowns>,
        sessions: Sessions,
        objects: Objects,
        exclusive_audit: Option<Handle>,
        da_heal_since: i64,
        da_lockout_since: i64,
        hash_sequence: Option<HashSequence>,
        established: bool,
        pcr_reallocated: bool,
        orderly: bool,
    }
}

type HashSequence = arrayvec::ArrayVec<Hasher, 8>;
optional!(HashSequence);

impl Live {
    pub(super) fn of(tpm: &Tpm) -> Self {
        // Taken apart exhaustively: a field that is neither saved nor left behind for a reason does not compile.
        let Tpm {
            phase,
            origin,
            timer,
            reset,
            clear,
            pcrs,
            orderly_nv,
            countdowns,
            sessions,
            objects,
            exclusive_audit,
            da_heal_since,
            da_lockout_since,
            hash_sequence,
            established,
            pcr_reallocated,
            orderly,
            // The permanent state and its profile are the other blob.
            nv: _,
            profile: _,
            // The host's.
            platform_clock: _,
            entropy: _,
            cancel: _,
            presence: _,
            buffer_size: _,
            // Seeded anew.
            rng: _,
            // No key pair leaves the pool twice, and what is kept of primary keys is derived again.
            pool: _,
            kept_for: _,
            // Of the command that runs, and between commands of none.
            current: _,
            // The program's.
            self_tests: _,
            keys_tested: _,
        } = tpm;
        Self {
            phase: *phase,
            origin: *origin,
            timer: timer.clone(),
            reset: reset.duplicate(),
            clear: clear.duplicate(),
            pcrs: pcrs.duplicate(),
            orderly_nv: orderly_nv.duplicate(),
            countdowns: countdowns.duplicate(),
            sessions: sessions.clone(),
            objects: objects.clone(),
            exclusive_audit: *exclusive_audit,
            da_heal_since: *da_heal_since,
            da_lockout_since: *da_lockout_since,
            hash_sequence: hash_sequence.clone(),
            established: *established,
            pcr_reallocated: *pcr_reallocated,
            orderly: *orderly,
        }
    }

    pub(super) fn install(self, tpm: &mut Tpm) {
        let Self {
            phase,
            origin,
            timer,
            reset,
            clear,
            pcrs,
            orderly_nv,
            countdowns,
            sessions,
            objects,
            exclusive_audit,
            da_heal_since,
            da_lockout_since,
            hash_sequence,
            established,
            pcr_reallocated,
            orderly,
        } = self;
        tpm.phase = phase;
        tpm.origin = origin;
        tpm.timer = timer;
        tpm.reset = reset;
        tpm.clear = clear;
        tpm.pcrs = pcrs;
        tpm.orderly_nv = orderly_nv;
        tpm.countdowns = countdowns;
        tpm.sessions = sessions;
        tpm.objects = objects;
        tpm.exclusive_audit = exclusive_audit;
        tpm.da_heal_since = da_heal_since;
        tpm.da_lockout_since = da_lockout_since;
        tpm.hash_sequence = hash_sequence;
        tpm.established = established;
        tpm.pcr_reallocated = pcr_reallocated;
        tpm.orderly = orderly;
        tpm.timer.go_on(tpm.platform_clock.as_mut());
        // This program has to pass its tests, too.
        if let Err(name) = self_test::at_start() {
            return tpm.fail(name);
        }
        match seeded_rng(tpm.entropy.as_mut()) {
            Ok(rng) => tpm.rng = Random::new(rng),
            Err(_) => tpm.fail("the entropy source failed"),
        }
    }
}

/// Why a TPM failed, in at most so many bytes.
type Reason = Bytes<128>;

impl Marshal for Phase {
    fn marshal<S: Sink>(&self, sink: &mut S) {
        match self {
            Self::Off => 0u8.marshal(sink),
            Self::Initialized { hcrtm } => {
                1u8.marshal(sink);
                hcrtm.marshal(sink);
            }
            Self::Started => 2u8.marshal(sink),
            Self::Failed(reason) => {
                3u8.marshal(sink);
                Reason::truncated(reason.as_bytes()).marshal(sink);
            }
        }
    }
}

impl Unmarshal<'_> for Phase {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        Ok(match reader.read::<u8>()? {
            0 => Self::Off,
            1 => Self::Initialized { hcrtm: reader.read()? },
            2 => Self::Started,
            3 => {
                let reason: Reason = reader.read()?;
                let mut known = self_test::ALL.iter().map(|test| test.name);
                Self::Failed(
                    known
                        .find(|name| name.as_bytes() == &*reason)
                        .unwrap_or("failed before it was saved"),
                )
            }
            _ => return Err(Rc::VALUE),
        })
    }
}
