//! Tests against a second, plain description of the interface: the state table (PTP 6.5.3.11), locality arbitration,
//! chunks, interrupts and locality 4's hash sequence, in all that a guest can read.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::layout::{self, DATA_BUFFER, DATA_BUFFER_SIZE, LOCALITIES, PAGE, STAGING_SIZE, WINDOW_SIZE};
use crate::registers::{CtrlSts, IntEnable, IntSts, LocState, LocSts};
use crate::{Action, Actions, Config, Crb, LocalMemory, Memory, State};

/// Which locality does something.
#[derive(Debug, Clone, Copy)]
enum Who {
    /// This one.
    Locality(u8),
    /// The one that has the TPM; 0 when none has.
    Active,
}

/// What a guest or the TPM does.
#[derive(Debug, Clone)]
enum Step {
    /// A register, which of its bytes, and what is written to them.
    Register(Who, u64, usize, Vec<u8>),
    /// So many bytes into the data buffer, all of this value.
    Data(Who, u16, u16, u8),
    /// The header of a command that claims this size.
    Header(Who, u32),
    /// The TPM has a response of so many bytes.
    Complete(u16),
}

/// The interface as the specification's tables describe it.
#[derive(Debug)]
struct Model {
    config: Config,
    active: Option<u8>,
    seized: BTreeSet<u8>,
    waiting: BTreeSet<u8>,
    /// Who has the TPM when the command has ended, if it changes hands then.
    later: Option<Option<u8>>,
    /// From whom it was seized in the middle of the command.
    later_seized: BTreeSet<u8>,
    state: State,
    cancel: bool,
    established: bool,
    /// TPM_CRB_INT_ENABLE and TPM_CRB_INT_STS.
    enabled: u32,
    pending: u32,
    /// The data buffers of the localities.
    buffers: Vec<[u8; DATA_BUFFER_SIZE]>,
    /// Chunks of a command that came before the one in the buffer.
    staged: Vec<u8>,
    /// The command that was started last.
    command: Vec<u8>,
    response: Vec<u8>,
    /// Bytes of the response up to the end of the chunk in the buffer.
    shown: usize,
    /// Bytes that have been written since the last step of a hash sequence, if there is one.
    hashed: Option<usize>,
}

impl Model {
    fn new(config: Config) -> Self {
        Self {
            config,
            active: None,
            seized: BTreeSet::new(),
            waiting: BTreeSet::new(),
            later: None,
            later_seized: BTreeSet::new(),
            state: State::Idle,
            cancel: false,
            established: false,
            enabled: 0,
            pending: 0,
            buffers: vec![[0; DATA_BUFFER_SIZE]; LOCALITIES.into()],
            staged: Vec::new(),
            command: Vec::new(),
            response: Vec::new(),
            shown: 0,
            hashed: None,
        }
    }

    fn exists(&self, locality: u8) -> bool {
        self.config.localities >> locality & 1 != 0
    }

    fn executing(&self) -> bool {
        self.state == State::Execution
    }

    fn interrupt(&mut self, which: u32) {
        if self.enabled & IntEnable::GLOBAL.bits() != 0 {
            self.pending |= self.enabled & which;
        }
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
        if let Some(before) = self.active {
            self.buffers[usize::from(before)].fill(0);
            self.become_idle();
            if locality.is_some() {
                self.interrupt(IntSts::LOCALITY_CHANGE.bits());
            }
        }
        self.active = locality;
        if let Some(locality) = locality {
            self.seized.remove(&locality);
        }
    }

    fn request(&mut self, locality: u8) {
        self.seized.remove(&locality);
        self.later_seized.remove(&locality);
        match self.holder() {
            None => self.assign(Some(locality)),
            Some(holder) if holder == locality => {}
            Some(_) => {
                self.waiting.insert(locality);
            }
        }
    }

    fn relinquish(&mut self, locality: u8) {
        self.waiting.remove(&locality);
        if self.holder() == Some(locality) {
            self.assign(self.waiting.last().copied());
        }
    }

    fn seize(&mut self, locality: u8) {
        match self.holder() {
            None => self.assign(Some(locality)),
            Some(holder) if holder < locality => {
                self.assign(Some(locality));
                if self.executing() {
                    self.later_seized.insert(holder);
                } else {
                    self.seized.insert(holder);
                }
            }
            Some(_) => {}
        }
    }

    /// A hash sequence is locality 4's: of `_TPM_Hash_Start`, `_TPM_Hash_Data` and `_TPM_Hash_End`.
    fn hash(&mut self, value: u32) -> Vec<Action> {
        match (value & 7, self.hashed) {
            (1, _) => {
                self.hashed = Some(0);
                vec![Action::HashStart]
            }
            (2, Some(_)) => vec![Action::HashData],
            (4, Some(_)) => {
                self.hashed = None;
                vec![Action::HashEnd]
            }
            _ => Vec::new(),
        }
    }

    /// A write to TPM_LOC_CTRL: what is asked for first is done first.
    fn locality_control(&mut self, locality: u8, value: u32) -> Vec<Action> {
        let mut actions = Vec::new();
        if value & 8 != 0 && locality >= 3 && !self.executing() {
            actions.push(Action::ResetEstablishment);
        }
        if locality == 4 {
            if !self.executing() {
                actions.append(&mut self.hash(value));
            }
            return actions;
        }
        let kept = self.later.is_none();
        for (bit, step) in [
            (1, Self::request as fn(&mut Self, u8)),
            (2, Self::relinquish),
            (4, Self::seize),
        ] {
            if value & bit != 0 {
                step(self, locality);
            }
        }
        if kept && self.later.is_some() {
            actions.push(Action::Cancel);
        }
        actions
    }

    /// A write to a register; `written` has the bits of the bytes that are written.
    fn register(&mut self, locality: u8, register: u64, value: u32, written: u32) -> Vec<Action> {
        if !self.exists(locality) {
            return Vec::new();
        }
        if register == layout::LOC_CTRL {
            return self.locality_control(locality, value);
        }
        if self.active != Some(locality) {
            return Vec::new();
        }
        let executing = self.executing();
        match register {
            layout::CTRL_CANCEL if written & 1 != 0 && value & 1 == 0 => self.cancel = false,
            layout::CTRL_CANCEL if written & 1 != 0 && executing => {
                self.cancel = true;
                return vec![Action::Cancel];
            }
            _ if executing => {}
            layout::CTRL_REQ if value & 3 == 1 => {
                self.forget();
                self.state = State::Ready;
                self.interrupt(IntSts::CMD_READY.bits());
            }
            layout::CTRL_REQ if value & 3 == 2 => self.become_idle(),
            layout::CTRL_START => return self.start(locality, value),
            layout::INT_ENABLE => self.enabled = (self.enabled & !written | value) & (1 << 31 | 0x1F),
            layout::INT_STS => self.pending &= !value,
            _ => {}
        }
        Vec::new()
    }

    /// A write to TPM_CRB_CTRL_START: of several bits, the one that comes first here counts.
    fn start(&mut self, locality: u8, value: u32) -> Vec<Action> {
        let (start, retry, next) = (value & 1 != 0, value & 2 != 0, value & 4 != 0);
        let chunking = self.config.chunking;
        match self.state {
            State::Reception if start => {
                if !self.staged.is_empty() {
                    self.stage(locality);
                }
                self.command = match self.staged.is_empty() {
                    true => self.buffers[usize::from(locality)].to_vec(),
                    false => self.staged.clone(),
                };
                self.command.truncate(claimed(&self.command));
                self.state = State::Execution;
                return vec![Action::Start];
            }
            State::Reception if next && chunking => {
                self.stage(locality);
                self.interrupt(IntSts::NEXT_CHUNK_CLEARED.bits());
            }
            State::Completion if retry && chunking => self.show(locality, 0),
            State::Completion if next && chunking => {
                self.show(locality, self.shown);
                self.interrupt(IntSts::NEXT_CHUNK_CLEARED.bits());
            }
            _ => {}
        }
        Vec::new()
    }

    /// The buffer has the next chunk of the command, or its last.
    fn stage(&mut self, locality: u8) {
        let chunk = &self.buffers[usize::from(locality)];
        let beginning = if self.staged.is_empty() {
            chunk
        } else {
            &self.staged[..]
        };
        let left = claimed(beginning).min(STAGING_SIZE) - self.staged.len();
        self.staged.extend_from_slice(&chunk[..left.min(DATA_BUFFER_SIZE)]);
    }

    /// The buffer gets a chunk of a response that is larger than it, if there is one.
    fn show(&mut self, locality: u8, from: usize) {
        let chunk = self.response[from..].chunks(DATA_BUFFER_SIZE).next();
        if let Some(chunk) = chunk.filter(|_| self.response.len() > DATA_BUFFER_SIZE) {
            let buffer = &mut self.buffers[usize::from(locality)];
            buffer.fill(0);
            buffer[..chunk.len()].copy_from_slice(chunk);
            self.shown = from + chunk.len();
        }
    }

    fn data(&mut self, locality: u8, at: usize, bytes: &[u8]) {
        if !self.exists(locality) || self.executing() {
            return;
        }
        if locality == 4 {
            let Some(hashed) = &mut self.hashed else { return };
            *hashed = (at + bytes.len()).max(*hashed);
        } else if self.active != Some(locality) || self.state == State::Idle {
            return;
        } else if self.state != State::Reception {
            self.forget();
            self.state = State::Reception;
        }
        self.buffers[usize::from(locality)][at..][..bytes.len()].copy_from_slice(bytes);
    }

    fn complete(&mut self, response: &[u8]) {
        let (true, Some(sender)) = (self.executing(), self.active) else {
            return;
        };
        self.response = response[..response.len().min(STAGING_SIZE)].to_vec();
        self.shown = response.len().min(DATA_BUFFER_SIZE);
        self.buffers[usize::from(sender)][..self.shown].copy_from_slice(&response[..self.shown]);
        self.state = State::Completion;
        self.interrupt(IntSts::START.bits());
        if let Some(holder) = self.later.take() {
            self.cancel = false;
            self.assign(holder);
            self.seized.append(&mut self.later_seized);
        }
    }

    fn forget(&mut self) {
        (self.staged, self.response, self.shown) = (Vec::new(), Vec::new(), 0);
    }

    fn become_idle(&mut self) {
        self.forget();
        self.state = State::Idle;
    }

    /// A register as a guest reads it.
    fn shows(&self, locality: u8, register: u64) -> u32 {
        let bit = |condition: bool, bit: u32| if condition { bit } else { 0 };
        let buffer = self.config.base + u64::from(locality) * 0x1000 + 0x80;
        let is_active = self.active == Some(locality);
        match register {
            layout::LOC_STATE => {
                let assigned = self.active.map_or(0, |active| 1 << 1 | u32::from(active) << 2);
                0x80 | bit(!self.established, 1) | assigned
            }
            layout::LOC_STS => bit(is_active, 1) | bit(self.seized.contains(&locality), 2),
            // CRB active, version 1, idle bypass, 64-byte transfers, CRB supported and selected.
            layout::INTF_ID => {
                0x0002_5A11 | bit(self.config.localities > 1, 1 << 8) | bit(self.config.chunking, 1 << 10)
            }
            layout::INTF_ID_HIGH => self.config.vendor,
            layout::CTRL_STS => bit(self.state == State::Idle, 2),
            layout::CTRL_CANCEL => self.cancel.into(),
            layout::CTRL_START => bit(is_active && self.executing(), 1),
            layout::INT_ENABLE => self.enabled,
            layout::INT_STS => self.pending,
            layout::CTRL_CMD_SIZE | layout::CTRL_RSP_SIZE => 3968,
            layout::CTRL_CMD_LADDR | layout::CTRL_RSP_ADDR => buffer as u32,
            layout::CTRL_CMD_HADDR | 0x6C => (buffer >> 32) as u32,
            _ => 0,
        }
    }

    /// All that a guest reads.
    fn window(&self) -> Vec<u8> {
        let mut window = Vec::with_capacity(WINDOW_SIZE);
        for locality in 0..LOCALITIES {
            if !self.exists(locality) {
                window.resize(window.len() + PAGE, 0xFF);
                continue;
            }
            for register in (0..DATA_BUFFER).step_by(4) {
                window.extend(self.shows(locality, register).to_le_bytes());
            }
            window.extend_from_slice(&self.buffers[usize::from(locality)]);
        }
        window
    }
}

/// The size that the header of a command claims, as far as there are so many bytes and a command has no less.
fn claimed(command: &[u8]) -> usize {
    let size = command[2..6].try_into().map(u32::from_be_bytes).unwrap();
    (size as usize).max(10)
}

/// The interface, and the host that carries out what it asks for, beside the model.
struct Both {
    crb: Crb<LocalMemory>,
    model: Model,
}

impl Both {
    fn new(config: Config) -> Self {
        let crb = Crb::new(LocalMemory::default(), config);
        crb.reset();
        Self {
            crb,
            model: Model::new(config),
        }
    }

    fn locality(&self, who: Who) -> u8 {
        match who {
            Who::Locality(locality) => locality,
            Who::Active => self.model.active.unwrap_or(0),
        }
    }

    fn step(&mut self, step: &Step) {
        let page = |locality: u8| u64::from(locality) * 0x1000;
        let (actions, expected) = match *step {
            Step::Register(who, register, first, ref bytes) => {
                let locality = self.locality(who);
                let (mut value, mut written) = ([0; 4], [0; 4]);
                value[first..][..bytes.len()].copy_from_slice(bytes);
                written[first..][..bytes.len()].fill(0xFF);
                let [value, written] = [value, written].map(u32::from_le_bytes);
                let expected = self.model.register(locality, register, value, written);
                let actions = self.crb.write(page(locality) + register + first as u64, bytes);
                (actions, expected)
            }
            Step::Data(who, at, len, value) => {
                let at = usize::from(at) % DATA_BUFFER_SIZE;
                let len = usize::from(len).min(DATA_BUFFER_SIZE - at);
                (self.data(who, at, &vec![value; len]), Vec::new())
            }
            Step::Header(who, size) => {
                let mut header = *b"\x80\x01\0\0\0\0\0\0\x01\x7b";
                header[2..6].copy_from_slice(&size.to_be_bytes());
                (self.data(who, 0, &header), Vec::new())
            }
            Step::Complete(len) => {
                let response = numbered(usize::from(len) + 10);
                self.crb.complete(&response);
                self.model.complete(&response);
                Default::default()
            }
        };
        for action in [
            Action::Start,
            Action::Cancel,
            Action::ResetEstablishment,
            Action::HashStart,
            Action::HashData,
            Action::HashEnd,
        ] {
            assert_eq!(actions.contains(action), expected.contains(&action), "{action:?}");
            if actions.contains(action) {
                self.carry_out(action);
            }
        }
        assert_eq!(self.crb.state(), self.model.state);
        assert_eq!(self.crb.active(), self.model.active);
        assert_eq!(self.crb.cancel_requested(), self.model.cancel);
        let interrupts = self.model.enabled >> 31 != 0 && self.model.enabled & self.model.pending != 0;
        assert_eq!(self.crb.interrupt_pending(), interrupts);
        let mut window = vec![0; WINDOW_SIZE];
        self.crb.read(0, &mut window);
        let expected = self.model.window();
        if window != expected {
            let other = window.iter().zip(&expected).position(|(is, expected)| is != expected);
            panic!("the window is another from {other:#x?} on");
        }
    }

    fn data(&mut self, who: Who, at: usize, bytes: &[u8]) -> Actions {
        let locality = self.locality(who);
        self.model.data(locality, at, bytes);
        let buffer = u64::from(locality) * 0x1000 + DATA_BUFFER;
        self.crb.write(buffer + at as u64, bytes)
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Start => {
                let mut command = [0; STAGING_SIZE];
                let (locality, len) = self.crb.take_command(&mut command).unwrap();
                assert_eq!(Some(locality), self.model.active);
                assert!(command[..len] == self.model.command);
            }
            Action::ResetEstablishment => {
                self.crb.clear_established();
                self.model.established = false;
                self.model.interrupt(IntSts::ESTABLISHMENT_CLEAR.bits());
            }
            Action::HashData => {
                let mut data = [0; DATA_BUFFER_SIZE];
                let len = self.crb.take_hash_data(&mut data);
                let hashed = self.model.hashed.as_mut().map_or(0, std::mem::take);
                assert!(data[..len] == self.model.buffers[4][..hashed]);
            }
            Action::HashEnd => {
                self.crb.set_established(true);
                self.model.established = true;
            }
            Action::Cancel | Action::HashStart => {}
        }
    }
}

fn read32(crb: &Crb<LocalMemory>, locality: u8, register: u64) -> u32 {
    let mut bytes = [0; 4];
    crb.read(u64::from(locality) * 0x1000 + register, &mut bytes);
    u32::from_le_bytes(bytes)
}

fn write32(crb: &Crb<LocalMemory>, locality: u8, register: u64, value: u32) -> Actions {
    crb.write(u64::from(locality) * 0x1000 + register, &value.to_le_bytes())
}

fn configs() -> impl Strategy<Value = Config> {
    let localities = prop_oneof![3 => Just(0x0F), 3 => Just(0x1F), 1 => Just(1), 1 => Just(0x0D), 1 => 0u8..0x20];
    let base = prop_oneof![Just(layout::PC_BASE), Just(0x12_3456_7000)];
    (localities, prop::bool::weighted(0.8), base, any::<u32>()).prop_map(|(localities, chunking, base, vendor)| {
        Config {
            base,
            localities,
            chunking,
            vendor,
        }
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any_locality = prop_oneof![4 => Just(0u8), 2 => Just(1), 2 => Just(2), 3 => Just(3), 3 => Just(4)];
    let any_locality = any_locality.prop_map(Who::Locality);
    let active = prop_oneof![6 => Just(Who::Active), 1 => any_locality.clone()];
    let whole = |who: BoxedStrategy<Who>, register: u64, values: BoxedStrategy<u32>| {
        (who, values).prop_map(move |(who, value)| Step::Register(who, register, 0, value.to_le_bytes().to_vec()))
    };
    let bits = |most: u32| (0..=most).boxed();
    let (one, any_who) = (active.clone().boxed(), any_locality.boxed());
    let enables = prop_oneof![
        (0u32..0x20).prop_map(|bits| bits | IntEnable::GLOBAL.bits()),
        any::<u32>()
    ]
    .boxed();
    let part = (
        prop::sample::select(vec![
            layout::LOC_CTRL,
            layout::CTRL_REQ,
            layout::CTRL_CANCEL,
            layout::CTRL_START,
            layout::INT_ENABLE,
            layout::INT_STS,
        ]),
        prop::sample::select(vec![(0, 1), (0, 2), (1, 2), (1, 1), (2, 2), (3, 1)]),
        any::<[u8; 2]>(),
    );
    let step = prop_oneof![
        6 => whole(any_who.clone(), layout::LOC_CTRL, prop_oneof![4 => Just(1), 2 => Just(2), 2 => Just(4), 1 => Just(8), 2 => bits(15)].boxed()),
        6 => whole(one.clone(), layout::CTRL_REQ, prop_oneof![6 => Just(1), 1 => bits(3)].boxed()),
        2 => whole(one.clone(), layout::CTRL_CANCEL, bits(3)),
        8 => whole(one.clone(), layout::CTRL_START, prop_oneof![3 => Just(1), 1 => Just(2), 3 => Just(4), 1 => bits(7)].boxed()),
        2 => whole(one.clone(), layout::INT_ENABLE, enables),
        2 => whole(one.clone(), layout::INT_STS, any::<u32>().boxed()),
        // A register that there is nothing to write to.
        1 => whole(one.clone(), layout::LOC_STATE, bits(u32::MAX)),
        3 => (active.clone(), part).prop_map(|(who, (register, (first, len), bytes))| {
            Step::Register(who, register, first, bytes[..len].to_vec())
        }),
        5 => (active.clone(), any::<u16>(), 1u16..300, any::<u8>()).prop_map(|(who, at, len, value)| Step::Data(who, at, len, value)),
        2 => (Just(Who::Locality(4)), 0u16..40, 1u16..40, any::<u8>()).prop_map(|(who, at, len, value)| Step::Data(who, at, len, value)),
        5 => (active, prop_oneof![4 => 0u32..9000, 1 => any::<u32>()]).prop_map(|(who, size)| Step::Header(who, size)),
        4 => prop_oneof![0u16..100, 0u16..9000].prop_map(Step::Complete),
    ];
    prop::collection::vec(step, 1..80)
}

fn fresh() -> Crb<LocalMemory> {
    Both::new(Config::default()).crb
}

/// What holds whatever a guest does.
fn check_invariants(crb: &Crb<LocalMemory>, config: &Config) {
    let (there, missing): (Vec<u8>, Vec<u8>) =
        (0..LOCALITIES).partition(|locality| config.localities >> locality & 1 != 0);
    let granted = there
        .iter()
        .copied()
        .filter(|locality| read32(crb, *locality, layout::LOC_STS) & LocSts::GRANTED.bits() != 0);
    assert_eq!(
        granted.collect::<Vec<u8>>(),
        crb.active().into_iter().collect::<Vec<u8>>()
    );
    for locality in &there {
        let reads = |register| read32(crb, *locality, register);
        assert_eq!(reads(layout::LOC_CTRL), 0);
        assert_eq!(reads(layout::CTRL_REQ), 0);
        assert_eq!(reads(layout::CTRL_STS) & !CtrlSts::IDLE.bits(), 0);
        let buffer = config.base + u64::from(*locality) * 0x1000 + 0x80;
        assert_eq!(reads(layout::CTRL_CMD_LADDR), buffer as u32);
        assert_eq!(
            reads(layout::CTRL_STS) & CtrlSts::IDLE.bits() != 0,
            crb.state() == State::Idle
        );
        assert_eq!(
            reads(layout::CTRL_START),
            u32::from(crb.state() == State::Execution && crb.active() == Some(*locality))
        );
        assert_eq!(reads(layout::LOC_STATE), read32(crb, there[0], layout::LOC_STATE));
    }
    for locality in missing {
        let mut page = [0; PAGE];
        crb.read(u64::from(locality) * 0x1000, &mut page);
        assert_eq!(page, [0xFF; PAGE], "locality {locality} does not exist");
    }
}

/// At least ten thousand sequences; more with PROPTEST_CASES.
fn many() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(10_000),
        ..default
    }
}

proptest! {
    #![proptest_config(many())]

    #[test]
    fn agrees_with_the_model(config in configs(), steps in steps()) {
        let mut both = Both::new(config);
        for step in &steps {
            both.step(step);
        }
    }

    #[test]
    fn any_sequence_of_accesses_keeps_the_invariants(
        config in configs(),
        accesses in prop::collection::vec(
            (prop_oneof![0u64..0x5100, (0u64..5, 0u64..0x88).prop_map(|(l, r)| l * 0x1000 + r)],
             prop::collection::vec(prop_oneof![Just(1u8), Just(2), Just(4), Just(0), any::<u8>()], 1..=8),
             0u8..10),
            1..200,
        )
    ) {
        let crb = Both::new(config).crb;
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
            check_invariants(&crb, &config);
        }
    }
}

proptest! {
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
        (LocState::VALID | LocState::ESTABLISHED).bits()
    );
    assert_eq!(read32(&crb, 0, layout::CTRL_STS), CtrlSts::IDLE.bits());
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
    assert_eq!(read32(&crb, 0, layout::LOC_STS), LocSts::GRANTED.bits());
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
    assert_eq!(read32(&crb, 0, layout::LOC_STS), LocSts::BEEN_SEIZED.bits());
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
    assert_eq!(read32(&crb, 0, layout::LOC_STATE), LocState::VALID.bits());
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
