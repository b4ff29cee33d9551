//! Comparing what two TPMs answered.
//!
//! Both got the same scenario. What a TPM made up (keys, nonces, tickets) differs, and so does what was derived from it.
//! So the comparer learns, from fields that are random by nature, which value of one side stands for which of the
//! other, and accepts that pair wherever it turns up again. Commands that carry such values, and the sessions,
//! objects, indices and PCRs that they touch, are *tainted*: their byte strings need only have the same size. All
//! else must be equal.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::circumstances::{Given, Watch};
use crate::client::Entry;
use crate::codes::{rc, st};
use crate::schema::{self, Label, Schema};
use crate::walk::{self, Leaf};
use crate::wire::{In, hex};

/// Where the two differ.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The command's name.
    pub command: String,
    /// The scenario and the step in it.
    pub step: String,
    /// `rc`, or the path of a field.
    pub what: String,
    /// What the peer has there.
    pub theirs: String,
    /// What ours has there.
    pub ours: String,
    /// What is known of the command and of the peer's state, by the names of [`crate::circumstances::ALL`].
    pub circumstances: Vec<&'static str>,
    /// Its place in the transcript.
    pub position: usize,
    /// The commands and responses, for people.
    pub context: String,
}

/// What was compared.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Commands compared, by name: how many, and how many of them succeeded.
    pub counts: BTreeMap<String, (u64, u64)>,
    /// Where they differ.
    pub differences: Vec<Difference>,
}

/// Values shorter than this say nothing when they are equal by chance.
const LEARNED_MIN: usize = 8;

/// What has been learned of a pair of TPMs.
#[derive(Debug, Default)]
pub struct Comparer {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    tainted: BTreeSet<u32>,
    watch: Watch,
    /// How far apart the counters of contexts are, by the type of the handle: where they start is the TPM's choice
    /// (Part 1, 30.3).
    apart: BTreeMap<u8, u64>,
    /// Whether to end where one side succeeded and the other did not: what the TPMs hold differs from there on.
    pub until_parted: bool,
}

/// A command as the comparer sees it.
struct Side<'a> {
    command: &'a [u8],
    response: &'a [u8],
}

/// A response taken apart.
struct Reply {
    rc: u32,
    handle: Option<u32>,
    leaves: Vec<Leaf>,
    error: Option<String>,
}

impl Comparer {
    /// Compares two transcripts of `scenario`, the peer's first.
    #[must_use]
    pub fn compare(&mut self, scenario: &str, theirs: &[Entry], ours: &[Entry]) -> Outcome {
        let mut outcome = Outcome::default();
        for (position, pair) in theirs.iter().zip(ours).enumerate() {
            let before = outcome.differences.len();
            let mut harmless = false;
            match pair {
                (
                    Entry::Command {
                        step,
                        plain_command: a,
                        plain_response: b,
                        command: sent,
                        ..
                    },
                    Entry::Command {
                        plain_command: c,
                        plain_response: d,
                        command: sent_too,
                        ..
                    },
                ) if code(sent) == code(sent_too) => {
                    let name = name(sent);
                    let counts = outcome.counts.entry(name.clone()).or_default();
                    counts.0 += 1;
                    counts.1 += u64::from(b.get(6..10) == Some(&[0; 4]));
                    let sides = (
                        Side {
                            command: a,
                            response: b,
                        },
                        Side {
                            command: c,
                            response: d,
                        },
                    );
                    let given = Given::both(a, c);
                    harmless = given.is_harmless();
                    let found = self.command(&sides.0, &sides.1);
                    let circumstances = if found.is_empty() {
                        Vec::new()
                    } else {
                        self.watch.met(&given)
                    };
                    if let Ok(reply) = reply(code(a).and_then(schema::find), b) {
                        self.watch.note(&given, reply.rc, reply.handle);
                    }
                    for (what, theirs, ours) in found {
                        let step = format!("{scenario}: {step}");
                        outcome.differences.push(Difference {
                            command: name.clone(),
                            step,
                            what,
                            theirs,
                            ours,
                            circumstances: circumstances.clone(),
                            position,
                            context: format!(
                                "    theirs > {}\n           < {}\n    ours   > {}\n           < {}",
                                hex(sent),
                                hex(b),
                                hex(sent_too),
                                hex(d)
                            ),
                        });
                    }
                }
                (Entry::Fact { step, fact: a }, Entry::Fact { fact: b, .. }) if a == b => {
                    let _ = step;
                }
                (a, b) => outcome.differences.push(Difference {
                    command: String::new(),
                    step: scenario.to_owned(),
                    what: "course".to_owned(),
                    theirs: describe(a),
                    ours: describe(b),
                    circumstances: Vec::new(),
                    position,
                    context: String::new(),
                }),
            }
            let new = outcome.differences.get(before..).unwrap_or_default();
            let parted = |difference: &Difference| match &difference.what[..] {
                "course" => true,
                "handle" => self.until_parted,
                "rc" => {
                    let codes = [&difference.theirs[..], &difference.ours];
                    // A TPM in failure mode has nothing to say either.
                    let apart = |code: &&str| *code == "0x101" || *code == "0x0" && !harmless;
                    self.until_parted && codes.iter().any(apart)
                }
                _ => false,
            };
            if new.iter().any(parted) {
                return outcome;
            }
        }
        if theirs.len() != ours.len() {
            let position = theirs.len().min(ours.len());
            outcome.differences.push(Difference {
                command: String::new(),
                step: scenario.to_owned(),
                what: "course".to_owned(),
                theirs: theirs.get(position).map_or_else(|| "ended".to_owned(), describe),
                ours: ours.get(position).map_or_else(|| "ended".to_owned(), describe),
                circumstances: Vec::new(),
                position,
                context: String::new(),
            });
        }
        outcome
    }

    /// Where two responses differ: what, and the value on each side.
    fn command(&mut self, theirs: &Side<'_>, ours: &Side<'_>) -> Vec<(String, String, String)> {
        let schema = code(theirs.command).and_then(schema::find);
        let handles = handles(schema, theirs.command);
        let tainted = theirs.command != ours.command || handles.iter().any(|handle| self.tainted.contains(handle));
        let (a, b) = match (reply(schema, theirs.response), reply(schema, ours.response)) {
            (Ok(a), Ok(b)) => (a, b),
            (a, b) => {
                let show = |reply: Result<Reply>| reply.map_or_else(|error| format!("{error:#}"), |_| "fine".into());
                return vec![("response".to_owned(), show(a), show(b))];
            }
        };
        if a.rc != b.rc {
            return vec![("rc".to_owned(), format!("{:#x}", a.rc), format!("{:#x}", b.rc))];
        }
        let mut found = Vec::new();
        if a.handle != b.handle {
            let show = |handle: Option<u32>| handle.map_or_else(String::new, |handle| format!("{handle:#x}"));
            found.push(("handle".to_owned(), show(a.handle), show(b.handle)));
        }
        if a.error != b.error {
            let show = |error: Option<String>| error.unwrap_or_else(|| "well-formed".to_owned());
            found.push(("format".to_owned(), show(a.error), show(b.error)));
        }
        let mut made_up = false;
        found.extend(self.leaves(&a.leaves, &b.leaves, tainted, &mut made_up));
        if a.rc == rc::SUCCESS {
            self.taint(schema, &handles, a.handle, tainted, made_up);
        }
        found
    }

    fn leaves(
        &mut self,
        theirs: &[Leaf],
        ours: &[Leaf],
        tainted: bool,
        made_up: &mut bool,
    ) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        let by_path: BTreeMap<&str, &Leaf> = ours.iter().map(|leaf| (&leaf.path[..], leaf)).collect();
        for a in theirs {
            let Some(b) = by_path.get(&a.path[..]) else {
                found.push((a.path.clone(), hex(&a.bytes), "absent".to_owned()));
                continue;
            };
            if a.bytes == b.bytes || a.label == Label::Free {
                continue;
            }
            *made_up = true;
            let derived = a.label == Label::Random || (tainted && a.blob);
            if self.pairs.get(&a.bytes) == Some(&b.bytes) {
                continue;
            }
            if derived && a.bytes.len() == b.bytes.len() {
                if a.bytes.len() >= LEARNED_MIN {
                    self.pairs.insert(a.bytes.clone(), b.bytes.clone());
                }
                continue;
            }
            if a.path == "context.sequence" && self.count_alike(theirs, a, b) {
                continue;
            }
            found.push((a.path.clone(), hex(&a.bytes), hex(&b.bytes)));
        }
        let known: BTreeSet<&str> = theirs.iter().map(|leaf| &leaf.path[..]).collect();
        for b in ours.iter().filter(|leaf| !known.contains(&leaf.path[..])) {
            found.push((b.path.clone(), "absent".to_owned(), hex(&b.bytes)));
        }
        found
    }

    /// Whether the numbers of two contexts are as far apart as those before.
    fn count_alike(&mut self, theirs: &[Leaf], a: &Leaf, b: &Leaf) -> bool {
        let number = |leaf: &Leaf| In(&leaf.bytes).u64().unwrap_or(0);
        let saved = theirs.iter().find(|leaf| leaf.path == "context.savedHandle");
        let kind = saved.and_then(|leaf| leaf.bytes.first()).copied().unwrap_or(0);
        let apart = number(a).wrapping_sub(number(b));
        *self.apart.entry(kind).or_insert(apart) == apart
    }

    /// What a command that succeeded leaves behind.
    fn taint(&mut self, schema: Option<&Schema>, handles: &[u32], made: Option<u32>, tainted: bool, made_up: bool) {
        if tainted {
            // Objects stay what they are; sessions, sequences, indices and PCRs take in what they are given.
            let state = handles.iter().filter(|handle| !matches!(**handle >> 24, 0x40 | 0x81));
            self.tainted.extend(state);
        }
        if let Some(made) = made {
            let session = schema.is_some_and(|schema| schema.name == "StartAuthSession");
            // The nonce and the salt of a session are not in its policy digest.
            if (tainted || made_up) && !session {
                self.tainted.insert(made);
            } else {
                self.tainted.remove(&made);
            }
        }
        if let Some(schema) = schema {
            if schema.name == "Startup" {
                self.apart.clear();
            }
            // A persistent handle, or an index that is made anew.
            if schema.name == "EvictControl" && (tainted || made_up) {
                self.tainted
                    .extend((0x8100_0000..0x8100_0020).chain(0x8180_0000..0x8180_0020));
            }
        }
    }
}

fn describe(entry: &Entry) -> String {
    match entry {
        Entry::Command {
            step,
            command,
            plain_response,
            ..
        } => {
            let rc = plain_response.get(6..10).map(hex).unwrap_or_default();
            format!("[{step}] {} -> {rc}", name(command))
        }
        Entry::Fact { step, fact } => format!("[{step}] {fact}"),
    }
}

fn code(command: &[u8]) -> Option<u32> {
    In(command.get(6..)?).u32().ok()
}

fn name(command: &[u8]) -> String {
    code(command).map_or_else(|| "?".to_owned(), schema::name)
}

fn handles(schema: Option<&Schema>, command: &[u8]) -> Vec<u32> {
    let mut input = In(command.get(10..).unwrap_or_default());
    let count = schema.map_or(0, |schema| schema.handles.len());
    (0..count).map_while(|_| input.u32().ok()).collect()
}

fn reply(schema: Option<&Schema>, response: &[u8]) -> Result<Reply> {
    let mut input = In(response);
    let (tag, size, rc) = (input.u16()?, input.u32()?, input.u32()?);
    anyhow::ensure!(
        usize::try_from(size)? == response.len(),
        "the size field says {size} of {}",
        response.len()
    );
    let mut reply = Reply {
        rc,
        handle: None,
        leaves: Vec::new(),
        error: None,
    };
    if rc != rc::SUCCESS {
        anyhow::ensure!(input.0.is_empty(), "{} bytes after an error", input.0.len());
        return Ok(reply);
    }
    let Some(schema) = schema else { return Ok(reply) };
    if schema.reply_handle.is_some() {
        reply.handle = Some(input.u32()?);
    }
    let mut params = input;
    if tag == st::SESSIONS {
        let size = usize::try_from(input.u32()?)?;
        params = In(input.take(size)?);
    }
    if let Err(error) = walk::fields(&schema.reply, &mut params, &mut reply.leaves) {
        reply.error = Some(format!("{error:#}"));
    } else if !params.0.is_empty() {
        reply.error = Some(format!("{} bytes after the parameters", params.0.len()));
    }
    if tag == st::SESSIONS {
        sessions(input, &mut reply.leaves)?;
    }
    Ok(reply)
}

/// The authorization area of a response.
fn sessions(mut input: In<'_>, leaves: &mut Vec<Leaf>) -> Result<()> {
    let mut count = 0;
    while !input.0.is_empty() {
        let (nonce, attributes, hmac) = (input.b2()?, input.u8()?, input.b2()?);
        for (what, bytes, label) in [
            ("nonceTPM", nonce, Label::Random),
            ("attributes", &[attributes], Label::Same),
            ("hmac", hmac, Label::Random),
        ] {
            let path = format!("session[{count}].{what}");
            leaves.push(Leaf {
                path,
                bytes: bytes.to_vec(),
                label,
                blob: false,
            });
        }
        count += 1;
    }
    Ok(())
}

/// A command and its response, field by field, for people.
#[must_use]
pub fn annotate(entry: &Entry) -> String {
    let Entry::Command {
        step,
        command,
        plain_command,
        plain_response,
        ..
    } = entry
    else {
        return describe(entry);
    };
    let mut lines = vec![format!("[{step}] {}", name(command)), format!("  > {}", hex(command))];
    let schema = code(command).and_then(schema::find);
    if let Some(schema) = schema {
        let mut input = In(plain_command.get(10..).unwrap_or_default());
        for (name, _) in &schema.handles {
            lines.extend(input.u32().map(|handle| format!("      {name} = {handle:#010x}")));
        }
        if plain_command.get(..2) == Some(&st::SESSIONS.to_be_bytes())
            && let Ok(size) = input.u32()
            && let Ok(area) = input.take(usize::try_from(size).unwrap_or(0))
        {
            lines.push(format!("      authorization = {}", hex(area)));
        }
        let mut leaves = Vec::new();
        if let Err(error) = walk::fields(&schema.params, &mut input, &mut leaves) {
            lines.push(format!("      ({error:#})"));
        }
        lines.extend(leaves.iter().map(|leaf| format!("      {}", leaf.show())));
    }
    lines.push(format!("  < {}", hex(plain_response)));
    if let Ok(reply) = reply(schema, plain_response) {
        lines.extend(reply.leaves.iter().map(|leaf| format!("      {}", leaf.show())));
    }
    lines.join("\n")
}
