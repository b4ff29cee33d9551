//! The TPM process killed and started again under a guest that keeps its TPM busy, and what the guest sees of it.
//!
//! A command that is on its way answers with a failure, and has happened as a whole or not at all; one that finds no
//! process is to be tried again; every other answer is the right one. What was answered before is there, and PCRs that a
//! guest has measured into are spoilt.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use crb_interface::frontend::Frontend;

use crate::answer::{self, Primary};
use crate::build::{self, Call, nv_public};
use crate::codes::{alg, na, rc, rh};
use crate::crypto::{self, Rng};
use crate::daemon::Daemon;
use crate::window::Driver;
use crate::wire::In;

const COUNTER: u32 = 0x0180_0001;
const DATA: u32 = 0x0180_0002;
/// A number, again and again.
const DATA_SIZE: u16 = 512;
const PLAIN: u32 = na::AUTHREAD | na::AUTHWRITE | na::NO_DA;
/// The first and the last PCR of the static root of trust.
const STATIC_PCR: [u8; 2] = [0, 15];
/// How long the guest may be without its TPM.
const AWAY: Duration = Duration::from_secs(30);

/// What to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// The daemon.
    pub program: PathBuf,
    /// What it is given beside where it serves.
    pub arguments: Vec<String>,
    /// How often it is killed and started again.
    pub restarts: u32,
    /// Where chance begins.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Commands with the right answer.
    pub answered: u32,
    /// Commands that ended with TPM_RC_FAILURE.
    pub failed: u32,
    /// Commands that found no process: TPM_RC_RETRY.
    pub turned_away: u32,
    /// Changes among those that failed which had happened.
    pub happened: u32,
    /// Changes among those that failed which had not happened.
    pub undone: u32,
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            answered,
            failed,
            turned_away,
            happened,
            undone,
        } = self;
        write!(
            formatter,
            "{answered} commands had the right answer; {failed} were on their way and answered TPM_RC_FAILURE, \
             {turned_away} found no process and answered TPM_RC_RETRY; of the changes that were on their way {happened} had \
             happened and {undone} had not, none by halves"
        )
    }
}

/// Restarts the daemon this often under load and says what came of it.
///
/// # Errors
/// A wrong answer, a change that was answered and is lost, a PCR that is not spoilt, or a daemon that does not serve.
pub fn run(options: &Options) -> Result<Summary> {
    let arguments: Vec<&str> = options.arguments.iter().map(String::as_str).collect();
    let daemon = Daemon::start(&options.program, &arguments)?;
    let mut guest = Guest::start(daemon.attach()?, options.seed)?;
    let (answered, over) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let killed = kill(daemon, options, &answered, &over);
            over.store(true, Ordering::Relaxed);
            killed
        });
        let served = guest.serve(&answered, &over);
        over.store(true, Ordering::Relaxed);
        let killed = killer
            .join()
            .map_err(|_| anyhow!("the thread that kills ended early"))?;
        served.with_context(|| format!("seed {}", options.seed))?;
        // It serves until all was looked at.
        let _daemon = killed?;
        guest.finish()
    })
}

/// Kills the daemon and starts it again, most times soon after the guest has it back.
fn kill(mut daemon: Daemon, options: &Options, answered: &AtomicU32, over: &AtomicBool) -> Result<Daemon> {
    let mut rng = Rng(!options.seed);
    for _ in 0..options.restarts {
        let before = answered.load(Ordering::Relaxed);
        let waits = !rng.one_in(4);
        while waits && answered.load(Ordering::Relaxed) == before && !over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(rng.next_u64() % 15_000));
        daemon.restart()?;
    }
    Ok(daemon)
}

/// What the guest knows of its NV memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct World {
    counter: u64,
    data: u64,
}

/// How a command ended.
enum Outcome {
    Done(Vec<u8>),
    /// The process died with it.
    Failed,
    /// There was no process.
    Away,
}

/// A guest that has one command after the other, with answers that only that one can have.
struct Guest {
    frontend: Frontend,
    rng: Rng,
    world: World,
    /// What the change that failed would have made of it.
    perhaps: Option<World>,
    /// The process was lost since everything was looked at.
    lost: bool,
    /// What was measured when the machine started.
    measured: Vec<u8>,
    /// What the PCRs are since the first loss.
    spoilt: Option<Vec<u8>>,
    number: u64,
    summary: Summary,
}

impl Guest {
    fn start(frontend: Frontend, seed: u64) -> Result<Self> {
        let mut guest = Self {
            frontend,
            rng: Rng(seed),
            world: World { counter: 0, data: 0 },
            perhaps: None,
            lost: false,
            measured: Vec::new(),
            spoilt: None,
            number: 0,
            summary: Summary::default(),
        };
        guest.ok(&build::startup(0))?;
        let event = build::digest_values(&[(alg::SHA256, &[7; 32])]);
        guest.ok(&build::pcr_extend(u32::from(STATIC_PCR[0]), &event))?;
        guest.measured = guest.ok(&pcr_read()).and_then(|response| pcr_values(&response))?;
        for (index, attributes, size) in [(COUNTER, PLAIN | na::COUNTER, 8), (DATA, PLAIN, DATA_SIZE)] {
            let public = nv_public(index, alg::SHA256, attributes, &[], size);
            guest.ok(&build::nv_define_space(rh::OWNER, &[], &public))?;
        }
        guest.ok(&build::nv_increment(COUNTER, COUNTER))?;
        guest.ok(&build::nv_write(DATA, DATA, &content(0), 0))?;
        guest.world.counter = number(&guest.ok(&build::nv_read(COUNTER, COUNTER, 8, 0))?)?;
        Ok(guest)
    }

    /// Keeps the TPM busy until it is over.
    fn serve(&mut self, answered: &AtomicU32, over: &AtomicBool) -> Result<()> {
        while !over.load(Ordering::Relaxed) {
            if self.lost {
                self.look()?;
            }
            self.command()?;
            answered.store(self.summary.answered, Ordering::Relaxed);
        }
        Ok(())
    }

    /// All is there; and a reset of the machine gives it PCRs to measure into.
    fn finish(mut self) -> Result<Summary> {
        self.look()?;
        self.frontend.reset()?;
        self.ok(&build::startup(0))?;
        let values = self.ok(&pcr_read()).and_then(|response| pcr_values(&response))?;
        ensure!(values.iter().all(|byte| *byte == 0), "a reset left PCRs at {values:x?}");
        Ok(self.summary)
    }

    /// One command of the load.
    fn command(&mut self) -> Result<()> {
        self.number += 1;
        match self.rng.below(200) {
            0..50 => {
                let data = self.number.to_be_bytes().repeat(8);
                if let Outcome::Done(response) = self.run(&build::hash(&data, alg::SHA256, rh::NULL))? {
                    let digest = In(response.get(10..).unwrap_or_default()).b2()?.to_vec();
                    let right = crypto::hash(alg::SHA256, &[&data])?;
                    ensure!(digest == right, "another digest: {digest:x?} for {right:x?}");
                }
            }
            50..75 => {
                let count = 1 + u16::try_from(self.number % 32)?;
                if let Outcome::Done(response) = self.run(&build::get_random(count))? {
                    let len = In(response.get(10..).unwrap_or_default()).b2()?.len();
                    ensure!(len == usize::from(count), "{len} random bytes for {count}");
                }
            }
            75..125 => {
                let counter = self.world.counter + 1;
                let after = World { counter, ..self.world };
                self.change(&build::nv_increment(COUNTER, COUNTER), after)?;
            }
            125..170 => {
                let data = self.number;
                let after = World { data, ..self.world };
                self.change(&build::nv_write(DATA, DATA, &content(data), 0), after)?;
            }
            170..197 => {
                if let Outcome::Done(response) = self.run(&pcr_read())? {
                    self.check_pcrs(&response)?;
                }
            }
            _ => {
                let call = build::rsa_primary(2048, &self.number.to_be_bytes());
                if let Outcome::Done(response) = self.run(&call)? {
                    let Primary { handle, .. } = answer::primary(&response)?;
                    // A process that is started again has no object that had to be flushed.
                    self.run(&build::flush_context(handle))?;
                }
            }
        }
        Ok(())
    }

    /// A command that changes NV memory.
    fn change(&mut self, call: &Call, after: World) -> Result<()> {
        match self.run(call)? {
            Outcome::Done(_) => self.world = after,
            Outcome::Failed => self.perhaps = Some(after),
            Outcome::Away => {}
        }
        Ok(())
    }

    /// Looks at everything after a loss, as soon as there is a process.
    fn look(&mut self) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(world) = self.try_to_look()? {
                let perhaps = self.perhaps.take();
                match perhaps {
                    Some(perhaps) if world == perhaps => self.summary.happened += 1,
                    Some(_) if world == self.world => self.summary.undone += 1,
                    None if world == self.world => {}
                    _ => bail!(
                        "{world:?} is there; it was {:?}, and {perhaps:?} was on its way",
                        self.world
                    ),
                }
                self.world = world;
                self.lost = false;
                return Ok(());
            }
            ensure!(begun.elapsed() < AWAY, "no process comes back");
        }
    }

    /// What is there, when nothing fails.
    fn try_to_look(&mut self) -> Result<Option<World>> {
        let Outcome::Done(counter) = self.run(&build::nv_read(COUNTER, COUNTER, 8, 0))? else {
            return Ok(None);
        };
        let Outcome::Done(data) = self.run(&build::nv_read(DATA, DATA, DATA_SIZE, 0))? else {
            return Ok(None);
        };
        let Outcome::Done(pcrs) = self.run(&pcr_read())? else {
            return Ok(None);
        };
        self.check_pcrs(&pcrs)?;
        let (counter, written) = (number(&counter)?, number(&data)?);
        ensure!(
            nv_bytes(&data)? == content(written),
            "the index was written in part: {data:x?}"
        );
        Ok(Some(World { counter, data: written }))
    }

    /// PCRs are as they were measured until the first loss, and spoilt for good then.
    fn check_pcrs(&mut self, response: &[u8]) -> Result<()> {
        let values = pcr_values(response)?;
        match &self.spoilt {
            Some(spoilt) => ensure!(values == *spoilt, "spoilt PCRs are {values:x?} after {spoilt:x?}"),
            None if values == self.measured => ensure!(!self.lost, "a restart left the PCRs as they were"),
            None => {
                let clean = |(new, old): (&[u8], &[u8])| new == old || new.iter().all(|byte| *byte == 0);
                ensure!(
                    !values.chunks(32).zip(self.measured.chunks(32)).any(clean),
                    "a restart left PCRs that can be measured into: {values:x?}"
                );
                self.spoilt = Some(values);
            }
        }
        Ok(())
    }

    fn run(&mut self, call: &Call) -> Result<Outcome> {
        let mut response = Vec::new();
        self.frontend
            .transact(&call.bytes(), &mut response)
            .with_context(|| format!("command {:#x}", call.code))?;
        match answer::code(&response) {
            rc::SUCCESS => {
                self.summary.answered += 1;
                Ok(Outcome::Done(response))
            }
            rc::FAILURE => {
                self.summary.failed += 1;
                self.lost = true;
                Ok(Outcome::Failed)
            }
            rc::RETRY => {
                self.summary.turned_away += 1;
                self.lost = true;
                thread::sleep(Duration::from_millis(1));
                Ok(Outcome::Away)
            }
            code => bail!("command {:#x} answered {code:#x}", call.code),
        }
    }

    /// A command before anything is killed.
    fn ok(&mut self, call: &Call) -> Result<Vec<u8>> {
        match self.run(call)? {
            Outcome::Done(response) => Ok(response),
            Outcome::Failed | Outcome::Away => bail!("command {:#x} found no process", call.code),
        }
    }
}

/// What the index holds that a number was written to.
fn content(number: u64) -> Vec<u8> {
    number.to_be_bytes().repeat(usize::from(DATA_SIZE) / 8)
}

/// The data of a response to TPM2_NV_Read, which has sessions.
fn nv_bytes(response: &[u8]) -> Result<&[u8]> {
    In(response.get(14..).unwrap_or_default()).b2()
}

/// The number that the data begin with.
fn number(response: &[u8]) -> Result<u64> {
    In(nv_bytes(response)?).u64()
}

fn pcr_read() -> Call {
    build::pcr_read(&build::pcrs(alg::SHA256, &STATIC_PCR))
}

/// The values in a response to TPM2_PCR_Read, one after the other.
fn pcr_values(response: &[u8]) -> Result<Vec<u8>> {
    // Update counter and selection of one bank.
    let mut input = In(response.get(10 + 4 + 10..).unwrap_or_default());
    let count = input.u32()?;
    ensure!(usize::try_from(count)? == STATIC_PCR.len(), "{count} PCRs");
    let mut values = Vec::new();
    for _ in 0..count {
        values.extend_from_slice(input.b2()?);
    }
    Ok(values)
}
