//! The TPMs that are measured.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use integration::answer;
use integration::build::{self, Call};
use integration::codes::rh;
use integration::engine::Engine;
use integration::processor::time_of_this_thread;

/// Which TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Kind {
    Ours,
    /// The same, built with the feature `aws-lc`.
    OursAwsLc,
    Libtpms,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::OursAwsLc, Self::Libtpms];
    /// Ours, as this program is built.
    pub(crate) const BUILT: Self = if cfg!(feature = "aws-lc") {
        Self::OursAwsLc
    } else {
        Self::Ours
    };

    /// The name that reports use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursAwsLc => "ours-aws-lc",
            Self::Libtpms => "libtpms",
        }
    }
}

/// From here on a command is slow.
const SLOW: Duration = Duration::from_micros(50);

enum Target {
    Ours(Box<Engine>),
    Libtpms(libtpms::Tpm),
}

impl Target {
    /// The command alone, in a function of its own for [`super::counts`].
    #[inline(never)]
    fn execute(&mut self, command: &mut [u8], response: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Ours(engine) => engine.execute(command, response),
            Self::Libtpms(tpm) => {
                let given = tpm.execute(command)?;
                response.clear();
                response.extend_from_slice(given);
            }
        }
        Ok(())
    }
}

/// A TPM in this process, started up.
pub(crate) struct Tpm {
    pub(crate) kind: Kind,
    /// The processor's time can be asked for; not under valgrind, which hides the vDSO.
    has_processor_time: bool,
    target: Target,
    response: Vec<u8>,
}

impl Tpm {
    pub(crate) fn start(kind: Kind, has_processor_time: bool) -> Result<Self> {
        let mut tpm = Self {
            kind,
            has_processor_time,
            target: match kind {
                Kind::Ours | Kind::OursAwsLc if kind != Kind::BUILT => {
                    bail!("this program is built for {}", Kind::BUILT.name())
                }
                Kind::Ours | Kind::OursAwsLc => Target::Ours(Box::new(Engine::start()?)),
                Kind::Libtpms => Target::Libtpms(libtpms::Tpm::new()?),
            },
            response: Vec::new(),
        };
        tpm.ok(&build::startup(0))?;
        Ok(tpm)
    }

    /// Runs a command that must succeed; how long it took, and its response. Of a slow command that is the processor's
    /// time: what else the machine does is not the TPM's.
    pub(crate) fn run(&mut self, call: &Call) -> Result<(Duration, &[u8])> {
        let mut command = call.bytes();
        let processor = self.has_processor_time.then(time_of_this_thread);
        let begun = Instant::now();
        self.target.execute(&mut command, &mut self.response)?;
        let time = match (begun.elapsed(), processor) {
            // Asking for the processor's time takes too long to be told of quick commands.
            (time, Some(begun)) if time >= SLOW => time_of_this_thread().saturating_sub(begun),
            (time, _) => time,
        };
        answer::check(
            &format!("command {:#x} of {}", call.code, self.kind.name()),
            &self.response,
        )?;
        Ok((time, &self.response))
    }

    /// Runs a command that must succeed; its response.
    pub(crate) fn ok(&mut self, call: &Call) -> Result<Vec<u8>> {
        self.run(call).map(|(_, response)| response.to_vec())
    }

    /// Runs a command that answers with a handle.
    pub(crate) fn make(&mut self, call: &Call) -> Result<u32> {
        answer::handle(&self.ok(call)?)
    }

    /// Removes what a command made.
    pub(crate) fn forget(&mut self, handle: u32) -> Result<()> {
        let call = if handle >> 24 == 0x01 {
            build::nv_undefine_space(rh::OWNER, handle)
        } else {
            build::flush_context(handle)
        };
        self.ok(&call).map(drop)
    }

    /// Has the TPM do what it does while no command runs.
    pub(crate) fn idle(&mut self) {
        match &mut self.target {
            Target::Ours(engine) => engine.idle(),
            Target::Libtpms(_) => {}
        }
    }
}
