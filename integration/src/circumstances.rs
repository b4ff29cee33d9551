//! What is known of a command, and of what the peer holds when it gets it: a line of the list of differences can ask for
//! it, so that it explains nothing that it was not written for.

use std::collections::{BTreeMap, BTreeSet};

use crate::codes::{alg, cap, na, rc, rh, sa, st};
use crate::schema::{self, Schema};
use crate::walk::{self, Leaf};
use crate::wire::In;

/// How many objects the peer can have loaded.
const PEER_OBJECTS: usize = 3;
/// How many sessions the peer can have loaded.
const PEER_SESSIONS: usize = 3;
/// How many sessions the peer can know, loaded or saved.
const PEER_ACTIVE_SESSIONS: u32 = 64;
/// How many hash algorithms the peer has, which is how long some lists may be.
const PEER_HASHES: u32 = 4;
/// TPM_RC_HANDLE for the first parameter.
const GONE: u32 = 0x1CB;
/// Commands that are newer than the peer.
const NEWER: [u32; 13] = [
    0x194, 0x195, 0x196, 0x198, 0x199, 0x19A, 0x19B, 0x19C, 0x19D, 0x19E, 0x19F, 0x1A0, 0x1A1,
];

/// A command taken apart, with as much of it as is well-formed.
#[derive(Debug)]
pub struct Given {
    schema: Option<&'static Schema>,
    handles: Vec<u32>,
    /// Handle and attributes of each session.
    sessions: Vec<(u32, u8)>,
    params: Vec<Leaf>,
    /// Why the parameters cannot be read to their end.
    ill_formed: Option<String>,
    /// The command as the other TPM got it is ill-formed in another way.
    unlike: bool,
}

impl Given {
    /// Takes a command apart as the peer got it, which is not what ours got where random bytes are in it.
    #[must_use]
    pub fn both(theirs: &[u8], ours: &[u8]) -> Self {
        let mut given = Self::new(theirs);
        given.unlike = given.ill_formed != Self::new(ours).ill_formed;
        given
    }

    /// Takes a command apart.
    #[must_use]
    pub fn new(command: &[u8]) -> Self {
        let mut input = In(command);
        let mut given = Self {
            schema: None,
            handles: Vec::new(),
            sessions: Vec::new(),
            params: Vec::new(),
            ill_formed: None,
            unlike: false,
        };
        let (Ok(tag), Ok(_), Ok(code)) = (input.u16(), input.u32(), input.u32()) else {
            return given;
        };
        given.schema = schema::find(code);
        let Some(schema) = given.schema else { return given };
        given.handles = (0..schema.handles.len()).map_while(|_| input.u32().ok()).collect();
        if tag == st::SESSIONS {
            let size = input.u32().ok().and_then(|size| usize::try_from(size).ok());
            let Some(mut area) = size.and_then(|size| input.take(size).ok()).map(In) else {
                return given;
            };
            while let (Ok(handle), Ok(_), Ok(attributes), Ok(_)) = (area.u32(), area.b2(), area.u8(), area.b2()) {
                given.sessions.push((handle, attributes));
            }
        }
        // What ends early has said what it has to say.
        let read = walk::fields(&schema.params, &mut input, &mut given.params);
        given.ill_formed = read.err().map(|error| format!("{error:#}"));
        given
    }

    fn is(&self, names: &[&str]) -> bool {
        self.schema.is_some_and(|schema| names.contains(&&schema.name[..]))
    }

    /// The numbers of the parameters whose path ends like this.
    fn numbers<'a>(&'a self, end: &'a str) -> impl Iterator<Item = u32> + 'a {
        let fitting = self.params.iter().filter(move |leaf| leaf.path.ends_with(end));
        fitting.filter_map(|leaf| match leaf.bytes[..] {
            [a] => Some(u32::from(a)),
            [a, b] => Some(u32::from(u16::from_be_bytes([a, b]))),
            [a, b, c, d] => Some(u32::from_be_bytes([a, b, c, d])),
            _ => None,
        })
    }

    fn number(&self, end: &str) -> Option<u32> {
        self.numbers(end).next()
    }

    /// Objects and sessions that the command names, also where the handle is a parameter.
    fn named(&self) -> impl Iterator<Item = u32> + '_ {
        let params = ["flushHandle", "savedHandle"].into_iter();
        self.handles
            .iter()
            .copied()
            .chain(params.flat_map(|name| self.numbers(name)))
    }

    /// Whether nothing is different after the command, be it a success or not: it changes no state, and ends no session.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        self.is(&["Certify", "NV_ReadPublic2", "ReadPublic"])
            && self.sessions.iter().all(|(handle, _)| *handle == rh::PW)
    }

    fn persistent(&self) -> usize {
        self.handles.iter().filter(|handle| *handle >> 24 == 0x81).count()
    }
}

/// What the peer holds, from what it was sent and answered.
#[derive(Debug, Default)]
pub struct Watch {
    /// Loaded objects, and whether they are sequences.
    objects: BTreeMap<u32, bool>,
    /// Types of handles of loaded sessions, by the rest of their handles.
    sessions: BTreeMap<u32, u32>,
    /// The last command was a TPM2_Shutdown that succeeded.
    shut_down: bool,
    /// PIN indices that were never written as a whole.
    pins: BTreeSet<u32>,
    /// Indices were removed with their hierarchy.
    cleared: bool,
    /// Something was removed from NV memory.
    removed: bool,
    /// There was a TPM2_Startup.
    started: bool,
    /// No TPM2_Shutdown came before some TPM2_Startup but the first.
    unorderly: bool,
    /// A hash algorithm for the audit of commands was chosen.
    audit_hash: bool,
}

/// One of the circumstances that a line can ask for.
type Circumstance = (&'static str, fn(&Watch, &Given) -> bool);

/// All of them.
pub const ALL: &[Circumstance] = &[
    // There is no slot left for an object, or for the persistent ones that the command names.
    ("objects-full", |watch, given| {
        watch.objects.len() + given.persistent() + 1 > PEER_OBJECTS
    }),
    ("sessions-full", |watch, _| watch.sessions.len() >= PEER_SESSIONS),
    // The command names a persistent object, which takes a slot of the peer for as long as the command runs.
    ("persistent", |_, given| given.persistent() > 0),
    // So a handle that is of no object is that of the persistent one for as long.
    ("alias", |watch, given| {
        let mut transient = given.handles.iter().filter(|handle| *handle >> 24 == 0x80);
        given.persistent() > 0 && transient.any(|handle| !watch.objects.contains_key(handle))
    }),
    // A handle of an object or session that the peer can never have.
    ("far-object", |_, given| {
        let objects = u32::try_from(PEER_OBJECTS).unwrap_or(0);
        given
            .named()
            .any(|handle| handle >> 24 == 0x80 && handle & 0xFF_FFFF >= objects)
    }),
    ("far-session", |_, given| {
        let sessions = given.sessions.iter().map(|(handle, _)| *handle);
        sessions
            .chain(given.named())
            .filter(|handle| matches!(handle >> 24, 2 | 3))
            .any(|handle| handle & 0xFF_FFFF >= PEER_ACTIVE_SESSIONS)
    }),
    // A list of hash algorithms that is longer than the peer has algorithms.
    ("long-list", |_, given| {
        given.numbers(".count").any(|count| count > PEER_HASHES)
    }),
    // auditExclusive or auditReset without audit, in each session.
    ("stray-audit-1", |_, given| given.stray_audit(0)),
    ("stray-audit-2", |_, given| given.stray_audit(1)),
    ("stray-audit-3", |_, given| given.stray_audit(2)),
    // auditReset is SET in a session of the command.
    ("audit-reset", |_, given| {
        given
            .sessions
            .iter()
            .any(|(_, attributes)| attributes & sa::AUDIT_RESET != 0)
    }),
    ("sequence", |watch, given| {
        given
            .handles
            .iter()
            .any(|handle| watch.objects.get(handle) == Some(&true))
    }),
    // The session that is flushed is there, but of the other type.
    ("other-type", |watch, given| {
        given.numbers("flushHandle").any(|handle| {
            let kind = watch.sessions.get(&(handle & 0xFF_FFFF));
            kind.is_some_and(|kind| *kind != handle >> 24)
        })
    }),
    // A PIN that was never written as a whole: the peer has in the rest what its memory held before.
    ("pin-in-part", |watch, given| {
        watch.removed && given.handles.iter().any(|handle| watch.pins.contains(handle))
    }),
    // Indices, and counters among them, went with their hierarchy.
    ("cleared", |watch, given| {
        watch.cleared && given.handles.iter().any(|handle| handle >> 24 == 1)
    }),
    ("no-audit-hash", |watch, _| !watch.audit_hash),
    ("unorderly", |watch, _| watch.unorderly),
    // Algorithms and sizes that the peer has not.
    ("newer-algorithm", |_, given| {
        let newer = |id| [0x12, u32::from(alg::SM4), 0x27, 0x28, 0x29].contains(&id);
        let ends = ["Alg", "Hash", ".hash", ".algorithm", ".scheme"];
        ends.iter().any(|end| given.numbers(end).any(newer))
            || given.numbers("keyBits").any(|bits| bits == 192 || bits == 4096)
    }),
    ("newer-command", |_, given| {
        given.number("code").is_some_and(|code| NEWER.contains(&code))
    }),
    ("wide-property", |_, given| {
        given.number("property").is_some_and(|property| property > 0xFFFF)
    }),
    // A size was lost, and random bytes that each TPM has its own of are taken for the next one.
    ("random-size", |_, given| given.unlike),
    ("pcrs", |_, given| given.number("capability") == Some(cap::PCRS)),
    ("permanent-handles", |_, given| {
        given.number("capability") == Some(cap::HANDLES)
            && given.number("property").is_some_and(|property| property >> 24 == 0x40)
    }),
    ("rsa-key", |_, given| given.number(".type") == Some(u32::from(alg::RSA))),
    ("ticket-tag", |_, given| {
        let right: &[u16] = match given.schema.map(|schema| &schema.name[..]) {
            Some("CertifyCreation") => &[st::CREATION],
            Some("PolicyAuthorize") => &[st::VERIFIED],
            Some("PolicyTicket") => &[st::AUTH_SECRET, st::AUTH_SIGNED],
            _ => &[st::HASHCHECK],
        };
        given
            .number(".tag")
            .is_some_and(|tag| !right.iter().any(|right| u32::from(*right) == tag))
    }),
];

impl Given {
    fn stray_audit(&self, position: usize) -> bool {
        self.sessions.get(position).is_some_and(|(_, attributes)| {
            attributes & sa::AUDIT == 0 && attributes & (sa::AUDIT_EXCLUSIVE | sa::AUDIT_RESET) != 0
        })
    }
}

impl Watch {
    /// The circumstances that a command meets.
    #[must_use]
    pub fn met(&self, given: &Given) -> Vec<&'static str> {
        let met = ALL.iter().filter(|(_, holds)| holds(self, given));
        met.map(|(name, _)| *name).collect()
    }

    /// Takes note of what the peer answered: its code, and the response's handle.
    pub fn note(&mut self, given: &Given, code: u32, made: Option<u32>) {
        let succeeded = code == rc::SUCCESS;
        if given.is(&["FlushContext"]) {
            for handle in given.numbers("flushHandle") {
                // What is flushed is gone, and what no longer was there went with its hierarchy.
                if handle >> 24 == 0x80 && (succeeded || code == GONE) {
                    self.objects.remove(&handle);
                } else if succeeded {
                    self.sessions.remove(&(handle & 0xFF_FFFF));
                }
            }
        }
        if !succeeded {
            self.shut_down = false;
            return;
        }
        if given.is(&["Startup"]) {
            *self = Self {
                started: true,
                unorderly: self.unorderly || self.started && !self.shut_down,
                audit_hash: self.audit_hash,
                pins: std::mem::take(&mut self.pins),
                removed: self.removed,
                cleared: self.cleared,
                ..Self::default()
            };
            return;
        }
        self.shut_down = given.is(&["Shutdown"]);
        self.audit_hash |= given.is(&["SetCommandCodeAuditStatus"])
            && given
                .number("auditAlg")
                .is_some_and(|hash| hash != u32::from(alg::NULL));
        self.note_nv(given);
        if given.is(&["SequenceComplete", "EventSequenceComplete"]) {
            for handle in &given.handles {
                self.objects.remove(handle);
            }
        }
        if given.is(&["ContextSave"]) {
            for handle in given.handles.iter().filter(|handle| matches!(**handle >> 24, 2 | 3)) {
                self.sessions.remove(&(handle & 0xFF_FFFF));
            }
        }
        for (handle, attributes) in &given.sessions {
            if attributes & sa::CONTINUE == 0 {
                self.sessions.remove(&(handle & 0xFF_FFFF));
            }
        }
        if let Some(made) = made {
            if made >> 24 == 0x80 {
                let sequence =
                    given.is(&["HMAC_Start", "HashSequenceStart"]) || given.number("savedHandle") == Some(0x8000_0001);
                self.objects.insert(made, sequence);
            } else {
                self.sessions.insert(made & 0xFF_FFFF, made >> 24);
            }
        }
    }
}

impl Watch {
    fn note_nv(&mut self, given: &Given) {
        self.removed |= given.is(&["NV_UndefineSpace", "NV_UndefineSpaceSpecial", "EvictControl", "Clear"]);
        self.cleared |= given.is(&["Clear"]);
        if given.is(&["NV_DefineSpace"])
            && let (Some(index), Some(attributes)) = (given.number("nvIndex"), given.number(".attributes"))
        {
            // The bit that both types of PIN have.
            if attributes & na::PIN_FAIL != 0 {
                self.pins.insert(index);
            } else {
                self.pins.remove(&index);
            }
        }
        if given.is(&["NV_Write"])
            && let ([_, index], [data, _]) = (&given.handles[..], &given.params[..])
            && data.bytes.len() == 8
        {
            self.pins.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;
    use crate::patch::assemble;

    fn given(call: &crate::build::Call) -> Given {
        Given::new(&assemble(call, &[]))
    }

    #[test]
    fn slots_fill_and_become_free() {
        let mut watch = Watch::default();
        let start = given(&build::hash_sequence_start(&[], alg::SHA256));
        for slot in 0..3 {
            assert!(!watch.met(&start).contains(&"objects-full"));
            watch.note(&start, 0, Some(0x8000_0000 + slot));
        }
        assert!(watch.met(&start).contains(&"objects-full"));
        assert!(watch.met(&given(&build::unseal(0x8000_0001))).contains(&"sequence"));
        watch.note(&given(&build::flush_context(0x8000_0001)), 0, None);
        assert!(!watch.met(&start).contains(&"objects-full"));
        assert!(
            watch
                .met(&given(&build::read_public(0x8100_0000)))
                .contains(&"objects-full")
        );
        watch.note(&given(&build::startup(0)), 0, None);
        assert_eq!(watch.met(&start), ["no-audit-hash"]);
        watch.note(&given(&build::startup(0)), 0, None);
        assert_eq!(watch.met(&start), ["no-audit-hash", "unorderly"]);
    }

    #[test]
    fn random_bytes_in_place_of_a_size_are_seen() {
        let command = |size: [u8; 2]| [&[0x80, 1, 0, 0, 0, 13, 0, 0, 1, 0x7D][..], &size, &[1]].concat();
        let met = |theirs, ours| {
            let met = Watch::default().met(&Given::both(&command(theirs), &command(ours)));
            met.contains(&"random-size")
        };
        assert!(met([0x30, 1], [0x40, 1]));
        assert!(!met([0x30, 1], [0x30, 1]));
        assert!(!met([0, 1], [0, 1]));
    }

    #[test]
    fn handles_and_parameters_say_what_a_command_comes_to() {
        let watch = Watch::default();
        let met = |call| watch.met(&given(&call));
        assert!(met(build::flush_context(0x8000_0003)).contains(&"far-object"));
        assert!(!met(build::flush_context(0x8000_0002)).contains(&"far-object"));
        assert!(met(build::get_capability(0, 0x1_0000, 1)).contains(&"wide-property"));
        assert!(met(build::policy_command_code(0x0300_0000, 0x1A0)).contains(&"newer-command"));
        assert!(!met(build::policy_command_code(0x0300_0000, 0x1A2)).contains(&"newer-command"));
        assert!(met(build::pcr_read(&[0, 0, 0, 5])).contains(&"long-list"));
        assert!(!met(build::pcr_read(&build::pcrs(alg::SHA1, &[0]))).contains(&"long-list"));
    }
}
