//! Follows a scenario step by step.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Event, Vm};
use crate::report::{Counts, Progress, Style};

/// What a scenario has told so far.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) counts: Counts,
    /// Release of the guest's kernel.
    pub(crate) kernel: String,
    /// What each step that succeeded said.
    pub(crate) results: Vec<String>,
    /// Files that the guest sent.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// Why a scenario stopped telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its guest is off.
    Off,
    /// It asks that the TPM's process be killed.
    Kill,
    /// It waits for its machine to be saved and to go on.
    Save,
    /// It waits for its machine to be moved.
    Migrate,
}

/// Follows a guest until it is off or asks for something. A step that fails is counted, not an error.
///
/// # Errors
/// The guest hangs, ends early or cannot be understood.
pub(crate) fn play(vm: &mut Vm, story: &mut Story) -> Result<Stage> {
    follow(vm, story, "the machine boots")
}

/// Follows a guest that goes on after it asked for something.
///
/// # Errors
/// As [`play`].
pub(crate) fn go_on(vm: &mut Vm, story: &mut Story) -> Result<Stage> {
    follow(vm, story, "the machine goes on")
}

fn follow(vm: &mut Vm, story: &mut Story, begins: &str) -> Result<Stage> {
    let mut progress = Progress::begin(Style::of_stdout(), begins);
    let mut done = false;
    while let Some(event) = vm.next()? {
        match event {
            Event::Boot(release) => {
                progress.ok(&format!("Linux {release}"));
                story.kernel = release;
            }
            Event::Step(text) => progress = Progress::begin(Style::of_stdout(), &text),
            Event::Note(text) => progress.note(&text),
            Event::Ok(text) => {
                progress.ok(&text);
                story.counts += Counts::PASSED;
                story.results.push(text);
            }
            Event::Failed(text) => {
                progress.failed(&text);
                print!("{}", vm.log());
                story.counts += Counts::FAILED;
            }
            Event::File { name, content } => {
                story.files.insert(name, content);
            }
            Event::Reboot => progress = Progress::begin(Style::of_stdout(), "the machine is reset and boots again"),
            Event::Kill => return Ok(Stage::Kill),
            Event::Save => return Ok(Stage::Save),
            Event::Migrate => return Ok(Stage::Migrate),
            Event::Done => done = true,
        }
    }
    if !done {
        progress.failed("the guest went off in the middle");
        print!("{}", vm.log());
        story.counts += Counts::FAILED;
    }
    Ok(Stage::Off)
}
