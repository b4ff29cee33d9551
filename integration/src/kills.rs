//! A TPM that is killed at random moments under a load of changes, and what its state is afterwards.
//!
//! One client changes the TPM, one command after the other, and knows what each makes of it. A command that was
//! answered has happened when the TPM is started again; the one that was on its way has happened as a whole or not at
//! all.

use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::answer;
use crate::build::{self, Call, Public, nv_public};
use crate::codes::{alg, na, rc, rh};
use crate::crypto::Rng;
use crate::peer::{Kind, Peer};
use crate::wire::In;

const COUNTER: u32 = 0x0180_0001;
const DATA: u32 = 0x0180_0002;
const DATA_SIZE: u16 = 600;
const PERSISTENT: u32 = 0x8100_0001;
const PLAIN: u32 = na::AUTHREAD | na::AUTHWRITE | na::NO_DA;

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The daemon.
    pub program: PathBuf,
    /// What it is given beside where it serves.
    pub arguments: Vec<String>,
    /// How often it is killed.
    pub kills: u32,
    /// Where chance begins.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Kills while the TPM was changed.
    pub in_service: u32,
    /// Kills while the process was starting.
    pub at_start: u32,
    /// Changes that were answered.
    pub answered: u32,
    /// Changes that were cut short and had happened.
    pub happened: u32,
    /// Changes that were cut short and had not happened.
    pub undone: u32,
    /// Uses of TPM2_Clear that were answered.
    pub clears: u32,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            in_service,
            at_start,
            answered,
            happened,
            undone,
            clears,
        } = self;
        write!(
            formatter,
            "{} kills: {in_service} in service, {at_start} at the start; {answered} changes were answered ({clears} of \
             them TPM2_Clear) and none was lost; of the changes that were cut short {happened} had happened and {undone} \
             had not, none by halves",
            in_service + at_start
        )
    }
}

/// What an NV index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index<T> {
    Absent,
    Unwritten,
    Holds(T),
}

/// The primary key that the storage seed makes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Primary {
    Named(Vec<u8>),
    /// Another than this, since TPM2_Clear has made a new seed.
    NotNamed(Vec<u8>),
}

/// What is known of the TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
struct World {
    counter: Index<u64>,
    data: Index<u8>,
    persistent: bool,
    primary: Primary,
    /// The largest value that any counter has had.
    highest: u64,
}

impl World {
    /// Whether what was found is this.
    fn is(&self, found: &Self) -> bool {
        let Self {
            counter,
            data,
            persistent,
            primary,
            highest: _,
        } = self;
        let same_primary = match (primary, &found.primary) {
            (Primary::NotNamed(old), Primary::Named(new)) => old != new,
            (known, found) => known == found,
        };
        *counter == found.counter && *data == found.data && *persistent == found.persistent && same_primary
    }
}

/// A change to the TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    DefineCounter,
    Increment,
    DefineData,
    Write(u8),
    Persist,
    Clear,
}

impl Change {
    fn choose(world: &World, rng: &mut Rng) -> Self {
        match rng.below(40) {
            0 => Self::Clear,
            1..6 => Self::Persist,
            6..22 if world.data == Index::Absent => Self::DefineData,
            6..22 => Self::Write(rng.next_u64().to_be_bytes()[0]),
            _ if world.counter == Index::Absent => Self::DefineCounter,
            _ => Self::Increment,
        }
    }

    fn call(self, world: &World, primary: u32) -> Call {
        let define = |index, attributes, size| {
            build::nv_define_space(rh::OWNER, &[], &nv_public(index, alg::SHA256, attributes, &[], size))
        };
        match self {
            Self::DefineCounter => define(COUNTER, PLAIN | na::COUNTER, 8),
            Self::Increment => build::nv_increment(COUNTER, COUNTER),
            Self::DefineData => define(DATA, PLAIN, DATA_SIZE),
            Self::Write(byte) => build::nv_write(DATA, DATA, &[byte; DATA_SIZE as usize], 0),
            Self::Persist if world.persistent => build::evict_control(rh::OWNER, PERSISTENT, PERSISTENT),
            Self::Persist => build::evict_control(rh::OWNER, primary, PERSISTENT),
            Self::Clear => build::clear(rh::LOCKOUT),
        }
    }

    /// What the change makes of what is known.
    fn apply(self, world: &World) -> World {
        let mut world = world.clone();
        match self {
            Self::DefineCounter => world.counter = Index::Unwritten,
            Self::Increment => {
                // A counter begins above all that were before it (Part 1, 37.2.3).
                let before = match world.counter {
                    Index::Holds(value) => value,
                    _ => world.highest,
                };
                world.highest = before + 1;
                world.counter = Index::Holds(world.highest);
            }
            Self::DefineData => world.data = Index::Unwritten,
            Self::Write(byte) => world.data = Index::Holds(byte),
            Self::Persist => world.persistent = !world.persistent,
            Self::Clear => {
                let (Primary::Named(name) | Primary::NotNamed(name)) = world.primary;
                world = World {
                    counter: Index::Absent,
                    data: Index::Absent,
                    persistent: false,
                    primary: Primary::NotNamed(name),
                    highest: world.highest,
                };
            }
        }
        world
    }
}

/// Kills the daemon this often and says what came of it.
///
/// # Errors
/// A change that was answered was lost, one that was cut short happened by halves, or the daemon does not start.
pub fn run(options: &Options) -> Result<Summary> {
    let mut rng = Rng(options.seed);
    let mut summary = Summary::default();
    let mut peer = Peer::start_with(&Kind::Ours(options.program.clone()), &options.arguments)?;
    let (mut world, mut primary) = look(&mut peer)?;
    while summary.in_service + summary.at_start < options.kills {
        let kill = summary.in_service + summary.at_start + 1;
        let (before, change) = load(&mut peer, &mut rng, world, primary, &mut summary)?;
        summary.in_service += 1;
        while rng.one_in(4) && summary.in_service + summary.at_start < options.kills {
            peer.respawn()?;
            thread::sleep(Duration::from_micros(rng.next_u64() % 20_000));
            summary.at_start += 1;
        }
        peer.restart().with_context(|| format!("after kill {kill}"))?;
        let found;
        (found, primary) = look(&mut peer).with_context(|| format!("after kill {kill}"))?;
        let after = change.map(|change| change.apply(&before));
        let highest = match (&after, before.is(&found)) {
            (Some(after), false) if after.is(&found) => {
                summary.happened += 1;
                after.highest
            }
            (Some(_), true) => {
                summary.undone += 1;
                before.highest
            }
            (None, true) => before.highest,
            _ => bail!(
                "kill {kill} of seed {} left {found:?}; it was {before:?}, and {change:?} was on its way",
                options.seed
            ),
        };
        world = World { highest, ..found };
    }
    Ok(summary)
}

/// Changes the TPM until it is killed; returns what is known of it, and the change that was not answered.
fn load(
    peer: &mut Peer,
    rng: &mut Rng,
    mut world: World,
    mut primary: u32,
    summary: &mut Summary,
) -> Result<(World, Option<Change>)> {
    let process = Pid::from_raw(i32::try_from(peer.id())?).context("a process has a number")?;
    let delay = Duration::from_micros(rng.next_u64() % 12_000);
    // The process is waited for only when this thread has ended: the number is still its own.
    let killer = thread::spawn(move || {
        thread::sleep(delay);
        kill_process(process, Signal::KILL)
    });
    let change = loop {
        let change = Change::choose(&world, rng);
        let Ok(response) = peer.execute(&change.call(&world, primary).bytes()) else {
            break Some(change);
        };
        ensure!(
            answer::code(&response) == rc::SUCCESS,
            "{change:?} answered {:#x}",
            answer::code(&response)
        );
        world = change.apply(&world);
        summary.answered += 1;
        if change == Change::Clear {
            summary.clears += 1;
            // It has flushed the key, and the next one is the new seed's.
            match peer.execute(&create_primary().bytes()) {
                Ok(response) if answer::code(&response) == rc::SUCCESS => primary = answer::handle(&response)?,
                Ok(response) => bail!("TPM2_CreatePrimary answered {:#x}", answer::code(&response)),
                Err(_) => break None,
            }
        }
    };
    match killer.join() {
        Ok(killed) => killed?,
        Err(_) => bail!("the thread that kills ended early"),
    }
    Ok((world, change))
}

/// Starts the TPM up and looks at all that is changed; returns it and the primary key's handle.
fn look(peer: &mut Peer) -> Result<(World, u32)> {
    ok(peer, &build::startup(0))?;
    let primary = answer::handle(&ok(peer, &create_primary())?)?;
    let counter = match read(peer, COUNTER, 8)? {
        Index::Holds(bytes) => Index::Holds(In(&bytes).u64()?),
        Index::Unwritten => Index::Unwritten,
        Index::Absent => Index::Absent,
    };
    let data = match read(peer, DATA, DATA_SIZE)? {
        Index::Holds(bytes) => {
            let first = *bytes.first().context("an empty index")?;
            ensure!(
                bytes.iter().all(|byte| *byte == first),
                "the index was written in part: {bytes:x?}"
            );
            Index::Holds(first)
        }
        Index::Unwritten => Index::Unwritten,
        Index::Absent => Index::Absent,
    };
    let persistent = run_call(peer, &build::read_public(PERSISTENT))?;
    let world = World {
        counter,
        data,
        persistent: answer::code(&persistent) == rc::SUCCESS,
        primary: Primary::Named(name(&ok(peer, &build::read_public(primary))?)?),
        highest: 0,
    };
    if world.persistent {
        ensure!(
            Primary::Named(name(&persistent)?) == world.primary,
            "the persistent key is not the one that was made persistent"
        );
    }
    Ok((world, primary))
}

fn create_primary() -> Call {
    build::owner_primary(&Public::ecc_parent())
}

fn read(peer: &mut Peer, index: u32, size: u16) -> Result<Index<Vec<u8>>> {
    let response = run_call(peer, &build::nv_read(index, index, size, 0))?;
    match answer::code(&response) {
        // Of a response with sessions, behind the parameters' size.
        rc::SUCCESS => Ok(Index::Holds(In(response.get(14..).unwrap_or_default()).b2()?.to_vec())),
        rc::NV_UNINITIALIZED => Ok(Index::Unwritten),
        rc::HANDLE_1 => Ok(Index::Absent),
        code => bail!("TPM2_NV_Read answered {code:#x}"),
    }
}

fn run_call(peer: &mut Peer, call: &Call) -> Result<Vec<u8>> {
    peer.execute(&call.bytes())
}

fn ok(peer: &mut Peer, call: &Call) -> Result<Vec<u8>> {
    let response = run_call(peer, call)?;
    answer::check(&format!("command {:#x}", call.code), &response)?;
    Ok(response)
}

/// The name in a response of TPM2_ReadPublic.
fn name(response: &[u8]) -> Result<Vec<u8>> {
    let mut input = In(response.get(10..).unwrap_or_default());
    input.b2()?;
    Ok(input.b2()?.to_vec())
}
