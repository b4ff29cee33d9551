//! What localities ask for while a command ends: whichever access to memory of the one side comes between which two of the
//! other's, it is as if one side had come after the other as a whole.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::layout::{self, CTRL_CANCEL, CTRL_REQ, CTRL_START, CTRL_STS, DATA_BUFFER, LOC_CTRL, LOC_STATE, LOC_STS};
use crate::registers::LocSts;
use crate::{Config, Crb, LocalMemory, Memory};

const COMMAND: [u8; 12] = *b"\x80\x01\0\0\0\x0c\0\0\x01\x7b\0\x10";
const RESPONSE: [u8; 12] = *b"\x80\x01\0\0\0\x0c\0\0\0\0\0\0";
/// The locality that sends the command.
const SENDER: u8 = 1;
/// More accesses than any step has.
const END: u32 = 200;

/// Memory before the access of which something else happens.
struct Interrupted<'a> {
    memory: Arc<LocalMemory>,
    accesses: Cell<u32>,
    before_access: &'a dyn Fn(u32),
}

impl Memory for Interrupted<'_> {
    fn words(&self) -> &[AtomicU32] {
        self.memory.words()
    }

    fn word(&self, offset: usize) -> Option<&AtomicU32> {
        (self.before_access)(self.accesses.replace(self.accesses.get() + 1));
        self.memory.word(offset)
    }
}

/// A side over memory before each access to which something happens: it is given the number of the access.
fn interrupted<'a>(memory: &Arc<LocalMemory>, before_access: &'a dyn Fn(u32)) -> Crb<Interrupted<'a>> {
    let memory = Interrupted {
        memory: Arc::clone(memory),
        accesses: Cell::default(),
        before_access,
    };
    Crb::new(memory, Config::default())
}

/// What a locality writes to its TPM_LOC_CTRL: requestAccess, relinquish or seize.
type Step = (u8, u32);

fn steps() -> impl Iterator<Item = Step> + Clone {
    (0..3).flat_map(|locality| [1, 2, 4].map(|value| (locality, value)))
}

fn write<M: Memory>(crb: &Crb<M>, (locality, value): Step) {
    let page = u64::from(locality) * layout::PAGE as u64;
    let _ = crb.write(page + LOC_CTRL, &value.to_le_bytes());
}

/// The window in the middle of a command, while another locality may be waiting.
fn in_command(waits: Option<u8>) -> Arc<LocalMemory> {
    let memory = Arc::new(LocalMemory::default());
    let crb = over(&memory);
    crb.reset();
    write(&crb, (SENDER, 1));
    if let Some(locality) = waits {
        write(&crb, (locality, 1));
    }
    let page = u64::from(SENDER) * layout::PAGE as u64;
    let _ = crb.write(page + CTRL_REQ, &[1]);
    let _ = crb.write(page + DATA_BUFFER, &COMMAND);
    let _ = crb.write(page + CTRL_START, &[1]);
    assert!(crb.executing());
    memory
}

fn over(memory: &Arc<LocalMemory>) -> Crb<Arc<LocalMemory>> {
    Crb::new(Arc::clone(memory), Config::default())
}

/// All that either side can see.
fn seen(memory: &Arc<LocalMemory>) -> Vec<u32> {
    let registers = [LOC_STATE, LOC_STS, CTRL_STS, CTRL_CANCEL, CTRL_START, DATA_BUFFER];
    let pages = (0..4usize).flat_map(|page| registers.map(|register| page * layout::PAGE + register as usize));
    pages
        .chain([layout::OWNER, layout::STATE])
        .map(|offset| memory.load(offset))
        .collect()
}

/// What comes of two steps and the end of the command, in any order that keeps that of the steps.
fn whole(waits: Option<u8>, [first, second]: [Step; 2]) -> BTreeSet<Vec<u32>> {
    let end = |crb: &Crb<_>| crb.complete(&RESPONSE);
    (0..3)
        .map(|position| {
            let memory = in_command(waits);
            let crb = over(&memory);
            for (index, step) in [first, second].into_iter().enumerate() {
                if index == position {
                    end(&crb);
                }
                write(&crb, step);
            }
            if position == 2 {
                end(&crb);
            }
            seen(&memory)
        })
        .collect()
}

fn every_case(check: impl Fn(Option<u8>, [Step; 2], &BTreeSet<Vec<u32>>)) {
    for waits in [None, Some(0), Some(2)] {
        for first in steps() {
            for second in steps() {
                check(waits, [first, second], &whole(waits, [first, second]));
            }
        }
    }
}

#[test]
fn steps_may_come_anywhere_in_the_end_of_a_command() {
    every_case(|waits, steps, whole| {
        for first in 0..END {
            let mut accesses = 0;
            for second in [first, first + 2, first + 5, END] {
                let memory = in_command(waits);
                let monitor = over(&memory);
                let come = |access| {
                    for (step, at) in steps.into_iter().zip([first, second]) {
                        if access == at {
                            write(&monitor, step);
                        }
                    }
                };
                let device = interrupted(&memory, &come);
                device.complete(&RESPONSE);
                accesses = device.memory().accesses.get();
                (accesses..=END).for_each(come);
                assert!(
                    whole.contains(&seen(&memory)),
                    "{steps:?} before accesses {first} and {second} of {accesses}, {waits:?} waits: {:x?}",
                    seen(&memory)
                );
            }
            if first > accesses {
                break;
            }
        }
    });
}

#[test]
fn a_command_may_end_anywhere_in_a_step() {
    every_case(|waits, steps, whole| {
        for which in 0..2 {
            for at in 0..END {
                let memory = in_command(waits);
                let device = over(&memory);
                let end = |access| {
                    if access == at {
                        device.complete(&RESPONSE);
                    }
                };
                let mut accesses = 0;
                for (index, step) in steps.into_iter().enumerate() {
                    if index != which {
                        write(&over(&memory), step);
                        continue;
                    }
                    let monitor = interrupted(&memory, &end);
                    write(&monitor, step);
                    accesses = monitor.memory().accesses.get();
                    (accesses..=END).for_each(end);
                }
                assert!(
                    whole.contains(&seen(&memory)),
                    "the command ends before access {at} of {accesses} in step {which} of {steps:?}, {waits:?} waits: {:x?}",
                    seen(&memory)
                );
                if at > accesses {
                    break;
                }
            }
        }
    });
}

#[test]
fn who_sees_that_it_has_the_tpm_can_see_that_the_window_comes() {
    let next = 2;
    let memory = in_command(None);
    let monitor = over(&memory);
    write(&monitor, (next, 4));
    let moments = Cell::new(0);
    let look = |_| {
        let granted = monitor.register::<LocSts>(next).contains(LocSts::GRANTED);
        if granted && monitor.executing() {
            assert!(monitor.is_given_back_soon());
            moments.set(moments.get() + 1);
        }
    };
    assert!(!monitor.is_given_back_soon());
    interrupted(&memory, &look).complete(&RESPONSE);
    assert!(moments.get() > 0 && !monitor.is_given_back_soon());
}
