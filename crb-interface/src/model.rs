//! Tests against a second, plain description of the state table (PTP 6.5.3.11) and of locality arbitration.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::layout::{self, DATA_BUFFER_SIZE, PAGE, STAGING_SIZE, WINDOW_SIZE, ctrl_sts, loc_state, loc_sts};
use crate::{Action, Config, Crb, LocalMemory, Memory, State};

/// What a guest or the TPM does.
#[derive(Debug, Clone)]
enum Step {
    Request(u8),
    Relinquish(u8),
    Seize(u8),
    Ready(u8),
    Idle(u8),
    Data(u8, u16, u8),
    Start(u8),
    Cancel(u8, bool),
    Complete(u16),
}

/// The interface as the specification's tables describe it.
#[derive(Debug, Default)]
struct Model {
    active: Option<u8>,
    seized: BTreeSet<u8>,
    waiting: BTreeSet<u8>,
    /// Who has the TPM when the command has ended, if it changes hands then.
    later: Option<Option<u8>>,
    /// From whom it was seized in the middle of the command.
    later_seized: BTreeSet<u8>,
    state: Option<State>,
    cancel: bool,
}

impl Model {
    fn state(&self) -> State {
        self.state.unwrap_or(State::Idle)
    }

    fn executing(&self) -> bool {
        self.state() == State::Execution
    }

    /// The locality that has the TPM, or will have it when the command has ended.
    fn holder(&self) -> Option<u8> {
        self.later.unwrap_or(self.active)
    }

    fn assign(&mut self, locality: Option<u8>) {
        if let Some(locality) = locality {
            self.waiting.remove(&locality);
        }
        if self.executing() {
            self.cancel |= self.later.is_none();
            self.later = Some(locality);
            self.later_seized.retain(|seized| Some(*seized) != locality);
            return;
        }
        if self.active.is_some() {
            self.state = Some(State::Idle);
        }
        self.active = locality;
        if let Some(locality) = locality {
            self.seized.remove(&locality);
        }
    }

    fn step(&mut self, step: &Step) {
        let executing = self.executing();
        let is_active = |locality: &u8| self.active == Some(*locality);
        match step {
            Step::Request(locality) => {
                self.seized.remove(locality);
                self.later_seized.remove(locality);
                match self.holder() {
                    None => self.assign(Some(*locality)),
                    Some(holder) if holder == *locality => {}
                    Some(_) => {
                        self.waiting.insert(*locality);
                    }
                }
            }
            Step::Relinquish(locality) => {
                self.waiting.remove(locality);
                if self.holder() == Some(*locality) {
                    self.assign(self.waiting.last().copied());
                }
            }
            Step::Seize(locality) => match self.holder() {
                None => self.assign(Some(*locality)),
                Some(holder) if holder < *locality => {
                    self.assign(Some(*locality));
                    let seized = if executing {
                        &mut self.later_seized
                    } else {
                        &mut self.seized
                    };
                    seized.insert(holder);
                }
                Some(_) => {}
            },
            Step::Ready(locality) if is_active(locality) && !executing => self.state = Some(State::Ready),
            Step::Idle(locality) if is_active(locality) && !executing => self.state = Some(State::Idle),
            Step::Data(locality, ..)
                if is_active(locality) && matches!(self.state(), State::Ready | State::Completion) =>
            {
                self.state = Some(State::Reception);
            }
            Step::Start(locality) if is_active(locality) && self.state() == State::Reception => {
                self.state = Some(State::Execution);
            }
            Step::Cancel(locality, cancel) if is_active(locality) && (executing || !cancel) => self.cancel = *cancel,
            Step::Complete(_) if executing => self.complete(),
            _ => {}
        }
    }

    fn complete(&mut self) {
        self.state = Some(State::Completion);
        if let Some(holder) = self.later.take() {
            self.cancel = false;
            self.assign(holder);
            self.seized.append(&mut self.later_seized);
        }
    }
}

fn read32(crb: &Crb<LocalMemory>, locality: u8, register: u64) -> u32 {
    let mut bytes = [0; 4];
    crb.read(u64::from(locality) * 0x1000 + register, &mut bytes);
    u32::from_le_bytes(bytes)
}

fn write32(crb: &Crb<LocalMemory>, locality: u8, register: u64, value: u32) -> crate::Actions {
    crb.write(u64::from(locality) * 0x1000 + register, &value.to_le_bytes())
}

fn apply(crb: &Crb<LocalMemory>, step: &Step) {
    match step {
        Step::Request(locality) => write32(crb, *locality, layout::LOC_CTRL, 1),
        Step::Relinquish(locality) => write32(crb, *locality, layout::LOC_CTRL, 2),
        Step::Seize(locality) => write32(crb, *locality, layout::LOC_CTRL, 4),
        Step::Ready(locality) => write32(crb, *locality, layout::CTRL_REQ, 1),
        Step::Idle(locality) => write32(crb, *locality, layout::CTRL_REQ, 2),
        Step::Data(locality, offset, len) => {
            let at = layout::DATA_BUFFER + u64::from(*offset) % (DATA_BUFFER_SIZE as u64 - 256);
            crb.write(u64::from(*locality) * 0x1000 + at, &vec![*len; usize::from(*len)])
        }
        Step::Start(locality) => write32(crb, *locality, layout::CTRL_START, 1),
        Step::Cancel(locality, cancel) => write32(crb, *locality, layout::CTRL_CANCEL, u32::from(*cancel)),
        Step::Complete(len) => {
            crb.complete(&vec![7; usize::from(*len)]);
            crate::Actions::default()
        }
    };
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let locality = 0u8..4;
    let step = prop_oneof![
        2 => locality.clone().prop_map(Step::Request),
        1 => locality.clone().prop_map(Step::Relinquish),
        1 => locality.clone().prop_map(Step::Seize),
        3 => locality.clone().prop_map(Step::Ready),
        1 => locality.clone().prop_map(Step::Idle),
        3 => (locality.clone(), any::<u16>(), 1u8..=255).prop_map(|(l, o, n)| Step::Data(l, o, n)),
        3 => locality.clone().prop_map(Step::Start),
        1 => (locality, any::<bool>()).prop_map(|(l, c)| Step::Cancel(l, c)),
        2 => (0u16..5000).prop_map(Step::Complete),
    ];
    prop::collection::vec(step, 1..80)
}

fn fresh() -> Crb<LocalMemory> {
    let crb = Crb::new(LocalMemory::default(), Config::default());
    crb.reset();
    crb
}

/// What holds whatever a guest does.
fn check_invariants(crb: &Crb<LocalMemory>) {
    let granted = (0..4)
        .filter(|locality| read32(crb, *locality, layout::LOC_STS) & loc_sts::GRANTED != 0)
        .collect::<Vec<u8>>();
    assert_eq!(granted, crb.active().into_iter().collect::<Vec<u8>>());
    for locality in 0..4 {
        assert_eq!(read32(crb, locality, layout::LOC_CTRL), 0);
        assert_eq!(read32(crb, locality, layout::CTRL_REQ), 0);
        assert_eq!(read32(crb, locality, layout::CTRL_STS) & !ctrl_sts::IDLE, 0);
        assert_eq!(
            read32(crb, locality, layout::CTRL_CMD_LADDR),
            0xFED4_0080 + u32::from(locality) * 0x1000
        );
        assert_eq!(
            read32(crb, locality, layout::CTRL_STS) & ctrl_sts::IDLE != 0,
            crb.state() == State::Idle
        );
        assert_eq!(
            read32(crb, locality, layout::CTRL_START),
            u32::from(crb.state() == State::Execution && crb.active() == Some(locality))
        );
        assert_eq!(
            read32(crb, locality, layout::LOC_STATE),
            read32(crb, 0, layout::LOC_STATE)
        );
    }
    let mut page = vec![0; 0x1000];
    crb.read(0x4000, &mut page);
    assert!(page.iter().all(|byte| *byte == 0xFF), "locality 4 does not exist");
}

proptest! {
    #[test]
    fn agrees_with_the_state_table(steps in steps()) {
        let (crb, mut model) = (fresh(), Model::default());
        for step in &steps {
            apply(&crb, step);
            model.step(step);
            prop_assert_eq!(crb.state(), model.state(), "after {:?}", step);
            prop_assert_eq!(crb.active(), model.active, "after {:?}", step);
            prop_assert_eq!(crb.cancel_requested(), model.cancel, "after {:?}", step);
            for locality in 0..4 {
                let status = read32(&crb, locality, layout::LOC_STS);
                prop_assert_eq!(status & loc_sts::BEEN_SEIZED != 0, model.seized.contains(&locality), "after {:?}", step);
            }
            check_invariants(&crb);
        }
    }

    #[test]
    fn any_sequence_of_accesses_keeps_the_invariants(
        accesses in prop::collection::vec(
            (prop_oneof![0u64..0x5100, (0u64..5, 0u64..0x88).prop_map(|(l, r)| l * 0x1000 + r)],
             prop::collection::vec(prop_oneof![Just(1u8), Just(2), Just(4), Just(0), any::<u8>()], 1..=8),
             0u8..10),
            1..200,
        )
    ) {
        let crb = fresh();
        let mut command = [0; STAGING_SIZE];
        for (offset, data, what) in accesses {
            let actions = crb.write(offset, &data);
            let mut out = [0; 8];
            crb.read(offset, &mut out);
            if offset >= WINDOW_SIZE as u64 {
                prop_assert_eq!(out, [0xFF; 8]);
                prop_assert!(actions.is_empty());
            }
            if crb.executing() && what == 0 {
                let (locality, len) = crb.take_command(&mut command).unwrap();
                prop_assert_eq!(Some(locality), crb.active());
                prop_assert!((10..=STAGING_SIZE).contains(&len));
                crb.complete(&command[..len]);
            }
            check_invariants(&crb);
        }
    }

    #[test]
    fn bytes_that_need_no_lock_are_written_as_all_others(
        start in 0usize..4,
        accesses in prop::collection::vec(
            (0u64..5, prop_oneof![0x80u64..0xA0, 0xFF0u64..0x1000, Just(layout::LOC_CTRL), Just(layout::CTRL_REQ), Just(layout::CTRL_START)],
             prop::collection::vec(0u8..4, 1..=16)),
            1..60,
        )
    ) {
        let (plain, quick) = (fresh(), fresh());
        let before = [(layout::LOC_CTRL, 1), (layout::CTRL_REQ, 1), (layout::DATA_BUFFER, 7)];
        let before = before.into_iter().take(start).map(|(register, value)| (0, register, vec![value]));
        for (locality, register, data) in before.chain(accesses) {
            let offset = locality * 0x1000 + register;
            let actions = plain.write(offset, &data);
            let others = if quick.write_on(offset, &data) { Default::default() } else { quick.write(offset, &data) };
            prop_assert_eq!(actions, others);
            let (mut one, mut other) = (vec![0; layout::MEMORY_SIZE], vec![0; layout::MEMORY_SIZE]);
            plain.memory().copy_out(0, &mut one);
            quick.memory().copy_out(0, &mut other);
            prop_assert!(one == other, "after {:?} at {:#x}", data, offset);
        }
    }

    #[test]
    fn commands_and_responses_of_any_size_go_through_in_chunks(len in 10usize..STAGING_SIZE, back in 10usize..STAGING_SIZE) {
        let crb = fresh();
        write32(&crb, 0, layout::LOC_CTRL, 1);
        write32(&crb, 0, layout::CTRL_REQ, 1);
        let command = numbered(len);
        let chunks: Vec<&[u8]> = command.chunks(DATA_BUFFER_SIZE).collect();
        for (number, chunk) in chunks.iter().enumerate() {
            crb.write(layout::DATA_BUFFER, chunk);
            let last = number + 1 == chunks.len();
            let actions = write32(&crb, 0, layout::CTRL_START, if last { 1 } else { 4 });
            prop_assert_eq!(actions.contains(Action::Start), last);
        }
        let mut taken = [0; STAGING_SIZE];
        let (_, taken_len) = crb.take_command(&mut taken).unwrap();
        prop_assert_eq!(&taken[..taken_len], &command[..]);
        let response = numbered(back);
        crb.complete(&response);
        for _ in 0..2 {
            let mut read = Vec::new();
            while read.len() < back {
                let mut chunk = vec![0; DATA_BUFFER_SIZE.min(back - read.len())];
                crb.read(layout::DATA_BUFFER, &mut chunk);
                read.extend(chunk);
                write32(&crb, 0, layout::CTRL_START, 4);
            }
            prop_assert_eq!(&read, &response);
            write32(&crb, 0, layout::CTRL_START, 2);
        }
    }
}

/// A command or response of `len` bytes whose header says so.
fn numbered(len: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    bytes[2..6].copy_from_slice(&(len as u32).to_be_bytes());
    bytes
}

#[test]
fn values_after_reset_are_those_of_a_pc() {
    let crb = fresh();
    assert_eq!(
        read32(&crb, 0, layout::LOC_STATE),
        loc_state::VALID | loc_state::ESTABLISHED
    );
    assert_eq!(read32(&crb, 0, layout::CTRL_STS), ctrl_sts::IDLE);
    // CRB active, version 1, five localities, idle bypass, chunks, 64-byte transfers, CRB supported and selected.
    assert_eq!(read32(&crb, 0, layout::INTF_ID), 0x0002_5F11);
    assert_eq!(read32(&crb, 0, layout::CTRL_CMD_SIZE), 3968);
    assert_eq!(read32(&crb, 1, layout::CTRL_RSP_ADDR), 0xFED4_1080);
}

#[test]
fn what_asks_for_the_tpm_announces_a_command_and_nothing_else_does() {
    let crb = fresh();
    for register in (0..PAGE as u64 * 2).step_by(4) {
        for (value, bit) in [(1, true), (2, false), (4, false), (0, false)] {
            let asks = [layout::LOC_CTRL, layout::CTRL_REQ].contains(&(register % PAGE as u64)) && bit;
            assert_eq!(crb.announces(register, &u32::to_le_bytes(value)), asks, "{register:#x}");
        }
    }
    assert!(!crb.announces(layout::LOC_CTRL, &[]));
}

#[test]
fn the_accesses_of_linux_tpm_crb_get_a_response() {
    let crb = fresh();
    assert!(crb.announces(layout::LOC_CTRL, &[1, 0, 0, 0]));
    assert!(write32(&crb, 0, layout::LOC_CTRL, 1).is_empty());
    assert_eq!(read32(&crb, 0, layout::LOC_STS), loc_sts::GRANTED);
    write32(&crb, 0, layout::CTRL_REQ, 1);
    assert_eq!(read32(&crb, 0, layout::CTRL_STS), 0);
    write32(&crb, 0, layout::CTRL_CANCEL, 0);
    // The tail first, then the head in 8-byte pieces, then padding: order and count do not matter.
    let command = numbered(22);
    crb.write(layout::DATA_BUFFER + 16, &command[16..]);
    for (at, piece) in command[..16].chunks(8).enumerate() {
        crb.write(layout::DATA_BUFFER + at as u64 * 8, piece);
    }
    crb.write(layout::DATA_BUFFER + 22, &[0; 8]);
    assert!(write32(&crb, 0, layout::CTRL_START, 1).contains(Action::Start));
    let mut taken = [0; STAGING_SIZE];
    assert_eq!(crb.take_command(&mut taken), Some((0, 22)));
    assert_eq!(&taken[..22], &command[..]);
    // While it runs, nothing but the cancellation gets through.
    crb.write(layout::DATA_BUFFER, &[9; 8]);
    write32(&crb, 0, layout::CTRL_REQ, 2);
    assert!(write32(&crb, 0, layout::CTRL_CANCEL, 1).contains(Action::Cancel));
    assert!(crb.cancel_requested());
    write32(&crb, 0, layout::CTRL_CANCEL, 0);
    let response = numbered(40);
    crb.complete(&response);
    let mut read = vec![0; 40];
    crb.read(layout::DATA_BUFFER, &mut read);
    assert_eq!(read, response);
    write32(&crb, 0, layout::CTRL_REQ, 2);
    write32(&crb, 0, layout::LOC_CTRL, 2);
    assert_eq!((crb.state(), crb.active()), (State::Idle, None));
}

#[test]
fn commands_follow_each_other_without_going_idle() {
    let crb = fresh();
    write32(&crb, 0, layout::LOC_CTRL, 1);
    write32(&crb, 0, layout::CTRL_REQ, 1);
    let mut taken = [0; STAGING_SIZE];
    for len in [11, 22, 5000, 12] {
        let command = numbered(len);
        for (number, chunk) in command.chunks(DATA_BUFFER_SIZE).enumerate() {
            if number > 0 {
                write32(&crb, 0, layout::CTRL_START, 4);
            }
            crb.write(layout::DATA_BUFFER, chunk);
        }
        assert!(write32(&crb, 0, layout::CTRL_START, 1).contains(Action::Start));
        let (_, taken_len) = crb.take_command(&mut taken).unwrap();
        assert_eq!(&taken[..taken_len], &command[..]);
        // The answer to the command before is never taken for this one's.
        crb.complete(&numbered(len + 30));
        assert!(write32(&crb, 0, layout::CTRL_START, 1).is_empty());
    }
}

#[test]
fn a_header_that_claims_nonsense_is_left_to_the_tpm() {
    for (claimed, taken_len) in [
        (0u32, 10),
        (9, 10),
        (4000, DATA_BUFFER_SIZE),
        (u32::MAX, DATA_BUFFER_SIZE),
    ] {
        let crb = fresh();
        write32(&crb, 0, layout::LOC_CTRL, 1);
        write32(&crb, 0, layout::CTRL_REQ, 1);
        let mut header = [0x80, 1, 0, 0, 0, 0, 0, 0, 1, 0x7B];
        header[2..6].copy_from_slice(&claimed.to_be_bytes());
        crb.write(layout::DATA_BUFFER, &header);
        write32(&crb, 0, layout::CTRL_START, 1);
        let mut taken = [0; STAGING_SIZE];
        assert_eq!(crb.take_command(&mut taken), Some((0, taken_len)));
    }
}

#[test]
fn another_locality_never_sees_a_response_that_is_not_its_own() {
    let crb = fresh();
    write32(&crb, 0, layout::LOC_CTRL, 1);
    write32(&crb, 0, layout::CTRL_REQ, 1);
    crb.write(layout::DATA_BUFFER, &numbered(20));
    write32(&crb, 0, layout::CTRL_START, 1);
    assert!(write32(&crb, 2, layout::LOC_CTRL, 4).contains(Action::Cancel));
    crb.complete(&numbered(300));
    assert_eq!((crb.active(), crb.state()), (Some(2), State::Idle));
    assert_eq!(read32(&crb, 0, layout::LOC_STS), loc_sts::BEEN_SEIZED);
    for locality in 0..4u64 {
        let mut buffer = vec![1; DATA_BUFFER_SIZE];
        crb.read(locality * 0x1000 + layout::DATA_BUFFER, &mut buffer);
        assert!(buffer.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn locality_4_measures_what_was_written_to_its_buffer() {
    let crb = Crb::new(
        LocalMemory::default(),
        Config {
            localities: 0x1F,
            ..Config::default()
        },
    );
    crb.reset();
    let mut data = [0; DATA_BUFFER_SIZE];
    crb.write(0x4080, &[1; 4]);
    assert!(
        write32(&crb, 4, layout::LOC_CTRL, 2).is_empty(),
        "no sequence has begun"
    );
    assert!(write32(&crb, 4, layout::LOC_CTRL, 1).contains(Action::HashStart));
    crb.write(0x4080, &[5; 7]);
    assert!(write32(&crb, 4, layout::LOC_CTRL, 2).contains(Action::HashData));
    assert_eq!((crb.take_hash_data(&mut data), &data[..7]), (7, &[5; 7][..]));
    assert!(write32(&crb, 4, layout::LOC_CTRL, 4).contains(Action::HashEnd));
    crb.set_established(true);
    assert_eq!(read32(&crb, 0, layout::LOC_STATE), loc_state::VALID);
    assert!(write32(&crb, 3, layout::LOC_CTRL, 8).contains(Action::ResetEstablishment));
    assert!(write32(&crb, 2, layout::LOC_CTRL, 8).is_empty());
}

#[test]
fn an_interrupt_is_pending_until_it_is_written() {
    let crb = fresh();
    write32(&crb, 0, layout::LOC_CTRL, 1);
    write32(&crb, 0, layout::INT_ENABLE, 1 << 31 | 1 | 2);
    write32(&crb, 0, layout::CTRL_REQ, 1);
    assert!(crb.interrupt_pending());
    write32(&crb, 0, layout::INT_STS, 2);
    assert!(!crb.interrupt_pending());
    // A byte of the register leaves the others as they are.
    crb.write(layout::INT_ENABLE, &[1]);
    assert_eq!(read32(&crb, 0, layout::INT_ENABLE), 1 << 31 | 1);
}
