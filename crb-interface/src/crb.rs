//! The state machine (PTP 6.5.3.11) and the dispatch of accesses.

use crate::layout::{self, DATA_BUFFER, PAGE, WINDOW_SIZE};
use crate::memory::{Memory, copy_bytes};
use crate::registers::{
    CtrlCancel, CtrlReq, CtrlStart, CtrlSts, IntEnable, IntSts, IntfId, LocCtrl, LocState, Register,
};

/// Who may change the window, one word: while [`EXECUTING`] is set that is the TPM's side, else the monitor's.
///
/// What the guest asks of the localities meanwhile is noted in the same word, so that it cannot slip through between
/// the last look of the one side and the first of the other.
pub(crate) mod owner {
    /// The TPM's side has a command and the window.
    pub(crate) const EXECUTING: u32 = 1 << 31;
    /// The TPM's side looks at this word for commands.
    pub(crate) const POLLED: u32 = 1 << 30;
    /// The lowest bit of the number of the connection that the TPM's side has, which counts up.
    pub(crate) const CONNECTION_SHIFT: u32 = 24;
    /// The bits of it.
    pub(crate) const CONNECTION: u32 = 0x3F << CONNECTION_SHIFT;
    /// The lowest bit of the locality that the command comes from.
    pub(crate) const SENDER_SHIFT: u32 = 20;
    /// The bits of it.
    pub(crate) const SENDER: u32 = 7 << SENDER_SHIFT;
    /// The locality that has the TPM when the command has ended is [`HOLDER`]'s, not the one that it comes from.
    pub(crate) const CHANGED: u32 = 1 << 16;
    /// The lowest bit of that locality; [`NOBODY`] is for none.
    pub(crate) const HOLDER_SHIFT: u32 = 17;
    /// The bits of it.
    pub(crate) const HOLDER: u32 = 7 << HOLDER_SHIFT;
    /// No locality.
    pub(crate) const NOBODY: u32 = 7;
    /// Bits of localities that wait for the TPM (requestAccess).
    pub(crate) const REQUESTS: u32 = 0x1F;
    /// Bits of localities that the TPM was seized from in the middle of the command, shifted by this.
    pub(crate) const SEIZED_SHIFT: u32 = 8;
    /// The bits of localities that it was seized from.
    pub(crate) const SEIZED: u32 = REQUESTS << SEIZED_SHIFT;
    /// What is noted in the middle of a command, beside requests, which can wait.
    pub(crate) const NOTES: u32 = SEIZED | CHANGED | HOLDER;

    /// Whether the TPM's side has a command and the window.
    pub(crate) const fn is_executing(owner: u32) -> bool {
        owner & EXECUTING != 0
    }
}

/// States of the interface (PTP 6.5.3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// Nothing is expected.
    Idle = 0,
    /// A command may be written.
    Ready = 1,
    /// A part of a command has been written.
    Reception = 2,
    /// The TPM has the command.
    Execution = 3,
    /// The response can be read.
    Completion = 4,
}

/// What the host must do after an access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Action {
    /// Execute the command ([`Crb::take_command`]).
    Start = 1,
    /// Cancel the command that is being executed.
    Cancel = 1 << 1,
    /// Clear the TPM's established flag, then call [`Crb::clear_established`]. Locality 3 or 4 has asked for it.
    ResetEstablishment = 1 << 2,
    /// `_TPM_Hash_Start`.
    HashStart = 1 << 3,
    /// `_TPM_Hash_Data` with what [`Crb::take_hash_data`] gives.
    HashData = 1 << 4,
    /// `_TPM_Hash_End`.
    HashEnd = 1 << 5,
}

/// A set of [`Action`]s, to be carried out in the order of their definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions(u8);

impl Actions {
    /// Whether the action is to be carried out.
    #[must_use]
    pub const fn contains(self, action: Action) -> bool {
        self.0 & action as u8 != 0
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn add(&mut self, action: Action) {
        self.0 |= action as u8;
    }
}

/// What is fixed about an interface.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Guest-physical address of the window: shows in the buffer addresses.
    pub base: u64,
    /// Localities that exist for the guest, a bit each. Locality 4 belongs to the platform's own hardware: a guest that
    /// could use it could forge a dynamic launch, so it is not among the default ones. Pages of others read 0xFF.
    pub localities: u8,
    /// Whether commands and responses larger than the data buffer can go in chunks (PTP 1.07).
    pub chunking: bool,
    /// VID and, in the upper half, DID of TPM_CRB_INTF_ID.
    pub vendor: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base: layout::PC_BASE,
            localities: 0x0F,
            chunking: true,
            vendor: 0,
        }
    }
}

/// The CRB interface over its memory.
///
/// Two sides may each have one of these over the same memory. Between a [`Crb::write`] that returns [`Action::Start`]
/// and the end of [`Crb::complete`] the window is the TPM's: accesses of the guest then change nothing but
/// TPM_CRB_CTRL_CANCEL and notes about localities, which [`Crb::complete`] settles. All the rest of the time it is the
/// monitor's. Calls of one side must come one after the other.
pub struct Crb<M> {
    pub(crate) memory: M,
    pub(crate) config: Config,
    /// The connection whose commands these are, if only those of one are.
    pub(crate) connection: Option<u32>,
}

impl<M: Memory> Crb<M> {
    /// An interface over this memory, which is taken as it is: [`Crb::reset`] makes it a fresh one.
    pub const fn new(memory: M, config: Config) -> Self {
        Self {
            memory,
            config,
            connection: None,
        }
    }

    /// The memory.
    pub const fn memory(&self) -> &M {
        &self.memory
    }

    /// The values after power-on. No command may be executing. Queue 0 goes on where it is: the TPM's side may just be
    /// saying there that it will sleep.
    pub fn reset(&self) {
        self.memory.wipe(0, layout::OWNER);
        self.memory
            .update(layout::OWNER, |owner| owner & (owner::CONNECTION | owner::POLLED));
        self.memory
            .wipe(layout::STATE, layout::QUEUE_DESCRIPTORS.saturating_sub(layout::STATE));
        let staging = layout::MEMORY_SIZE.saturating_sub(layout::COMMAND);
        self.memory.wipe(layout::COMMAND, staging);
        self.memory.store(layout::HASH_LEN, u32::MAX);
        self.show_localities();
        let mut id = IntfId::TYPE_CRB
            | IntfId::VERSION_CRB
            | IntfId::IDLE_BYPASS
            | IntfId::XFER_64
            | IntfId::CAP_CRB
            | IntfId::SELECTOR_CRB;
        id.set(IntfId::FIVE_LOCALITIES, self.config.localities & !1 != 0);
        id.set(IntfId::CHUNK, self.config.chunking);
        let size = u32::try_from(layout::DATA_BUFFER_SIZE).unwrap_or(u32::MAX);
        for locality in 0..layout::LOCALITIES {
            let page = page(locality);
            if !self.exists(locality) {
                self.memory.copy_in(page, &[0xFF; PAGE]);
                continue;
            }
            let buffer = self.config.base.wrapping_add(page as u64).wrapping_add(DATA_BUFFER);
            let (low, high) = (buffer as u32, (buffer >> 32) as u32);
            for (register, value) in [
                (IntfId::OFFSET, id.bits()),
                (layout::INTF_ID_HIGH, self.config.vendor),
                (layout::CTRL_CMD_SIZE, size),
                (layout::CTRL_CMD_LADDR, low),
                (layout::CTRL_CMD_HADDR, high),
                (layout::CTRL_RSP_SIZE, size),
                (layout::CTRL_RSP_ADDR, low),
                (layout::CTRL_RSP_ADDR.saturating_add(4), high),
            ] {
                self.memory.store(at(locality, register), value);
            }
        }
        self.broadcast(CtrlSts::IDLE);
        self.broadcast(LocState::VALID | LocState::ESTABLISHED);
    }

    /// Has the TPM's side know which localities there are.
    pub(crate) fn show_localities(&self) {
        self.memory
            .store(layout::LOCALITY_MASK, u32::from(self.config.localities));
    }

    /// Reads guest-visible bytes at an offset into the window: reserved ones are 0, those past its end 0xFF.
    pub fn read(&self, offset: u64, out: &mut [u8]) {
        let start = usize::try_from(offset).unwrap_or(WINDOW_SIZE);
        let inside = WINDOW_SIZE.saturating_sub(start);
        if inside < out.len() {
            out.fill(0xFF);
        }
        let inside = inside.min(out.len());
        self.memory.copy_out(start, out.get_mut(..inside).unwrap_or_default());
    }

    /// Whether a guest that writes this will send a command soon: it asks for the TPM, or for cmdReady. Waking whoever executes
    /// commands takes longer than anything else, so that is best done before the access is carried out.
    #[must_use]
    pub fn announces(&self, offset: u64, data: &[u8]) -> bool {
        const {
            assert!(LocCtrl::REQUEST_ACCESS.bits() == 1 && CtrlReq::CMD_READY.bits() == 1);
        }
        let register = usize::try_from(offset).map_or(0, |at| at % PAGE) as u64;
        let asks = register == layout::LOC_CTRL || register == layout::CTRL_REQ;
        asks && data.first().is_some_and(|byte| byte & 1 != 0)
    }

    /// Writes at an offset into the window, as a guest does; says what the host must do then. What lies past the end, in
    /// reserved bytes or in another locality than the active one is dropped.
    pub fn write(&self, offset: u64, data: &[u8]) -> Actions {
        let mut actions = Actions::default();
        let mut at = usize::try_from(offset).unwrap_or(WINDOW_SIZE);
        let mut rest = data;
        while at < WINDOW_SIZE && !rest.is_empty() {
            let locality = u8::try_from(at / PAGE).unwrap_or(u8::MAX);
            let in_page = at % PAGE;
            let in_buffer = in_page >= DATA_BUFFER as usize;
            let room = if in_buffer {
                PAGE.saturating_sub(in_page)
            } else {
                4usize.saturating_sub(in_page % 4)
            };
            let (piece, tail) = rest.split_at(room.min(rest.len()));
            if !self.exists(locality) {
                // Nothing is there.
            } else if in_buffer {
                self.write_buffer(locality, at, piece);
            } else {
                self.write_register(locality, in_page, piece, &mut actions);
            }
            at = at.saturating_add(piece.len());
            rest = tail;
        }
        actions
    }

    /// Writes 1–4 bytes of one register; bytes of it that are not written count as 0, which every register ignores, but
    /// TPM_CRB_INT_ENABLE keeps them.
    fn write_register(&self, locality: u8, in_page: usize, piece: &[u8], actions: &mut Actions) {
        let (value, written) = match piece.first_chunk() {
            Some(bytes) => (u32::from_le_bytes(*bytes), u32::MAX),
            None => (
                placed(in_page, piece),
                placed(in_page, [0xFF; 4].get(..piece.len()).unwrap_or_default()),
            ),
        };
        let register = (in_page & !3) as u64;
        if register == layout::LOC_CTRL {
            return self.write_loc_ctrl(locality, LocCtrl::from_bits_retain(value), actions);
        }
        if !self.is_active(locality) {
            return;
        }
        match register {
            layout::CTRL_REQ => self.write_ctrl_req(CtrlReq::from_bits_retain(value)),
            layout::CTRL_CANCEL if written & 0xFF != 0 => {
                self.write_cancel(CtrlCancel::from_bits_retain(value), actions);
            }
            layout::CTRL_START => self.write_start(locality, CtrlStart::from_bits_retain(value), actions),
            layout::INT_ENABLE if !self.executing() => {
                let old = self.common::<IntEnable>().bits();
                self.broadcast(IntEnable::from_bits_truncate(old & !written | value & written));
            }
            layout::INT_STS if !self.executing() => {
                self.broadcast(self.common::<IntSts>().difference(IntSts::from_bits_retain(value)));
            }
            _ => {}
        }
    }

    fn write_ctrl_req(&self, asked: CtrlReq) {
        // A command that is being executed has to be cancelled first.
        if self.executing() {
            return;
        }
        match asked.intersection(CtrlReq::all()) {
            CtrlReq::CMD_READY => {
                self.discard();
                self.set_state(State::Ready);
                self.broadcast(CtrlSts::empty());
                self.interrupt(IntSts::CMD_READY);
            }
            CtrlReq::GO_IDLE => self.go_idle(),
            // Neither, or both, which means nothing.
            _ => {}
        }
    }

    fn write_cancel(&self, asked: CtrlCancel, actions: &mut Actions) {
        let asked = asked.intersection(CtrlCancel::CANCEL);
        if !asked.is_empty() && !self.executing() {
            return;
        }
        self.broadcast(asked);
        if !asked.is_empty() {
            actions.add(Action::Cancel);
        }
    }

    fn write_start(&self, locality: u8, asked: CtrlStart, actions: &mut Actions) {
        match self.state() {
            State::Reception if asked.contains(CtrlStart::START) => {
                self.stage_last_chunk(locality);
                // In the page of this locality alone: no other may use it now, and each would be one more cache line that
                // travels to the TPM's side and back.
                self.set_register(locality, CtrlStart::START);
                // The order matters: what the TPM's side reads after it has seen the owner is all there.
                self.memory.update(layout::OWNER, |owner| {
                    owner & !owner::SENDER | u32::from(locality) << owner::SENDER_SHIFT | owner::EXECUTING
                });
                actions.add(Action::Start);
            }
            State::Reception if asked.contains(CtrlStart::NEXT_CHUNK) && self.config.chunking => {
                self.stage_chunk(locality);
                self.interrupt(IntSts::NEXT_CHUNK_CLEARED);
            }
            State::Completion if asked.contains(CtrlStart::RSP_RETRY) && self.config.chunking => {
                self.show_chunk(locality, 0);
            }
            State::Completion if asked.contains(CtrlStart::NEXT_CHUNK) && self.config.chunking => {
                let shown = self.memory.load(layout::RESPONSE_SHOWN);
                self.show_chunk(locality, shown);
                self.interrupt(IntSts::NEXT_CHUNK_CLEARED);
            }
            _ => {}
        }
    }

    /// To Idle, whatever was in the buffers forgotten.
    pub(crate) fn go_idle(&self) {
        if self.memory.load(layout::STATE) == State::Idle as u32 {
            return;
        }
        self.discard();
        self.set_state(State::Idle);
        self.broadcast(CtrlSts::IDLE);
    }

    /// The state that the interface is in.
    #[must_use]
    pub fn state(&self) -> State {
        if self.executing() {
            return State::Execution;
        }
        match self.memory.load(layout::STATE) {
            1 => State::Ready,
            2 => State::Reception,
            4 => State::Completion,
            _ => State::Idle,
        }
    }

    pub(crate) fn set_state(&self, state: State) {
        self.memory.store(layout::STATE, state as u32);
    }

    /// Whether a command is being executed and the window is the TPM's.
    #[must_use]
    pub fn executing(&self) -> bool {
        owner::is_executing(self.memory.load(layout::OWNER))
    }

    /// Whether TPM_CRB_CTRL_START shows a command of this locality that is not done. That is so for a moment longer than
    /// [`Self::executing`].
    #[must_use]
    pub fn started(&self, locality: u8) -> bool {
        self.register::<CtrlStart>(locality).contains(CtrlStart::START)
    }

    /// Whether the guest asked to cancel the command that is being executed.
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        self.common::<CtrlCancel>().contains(CtrlCancel::CANCEL)
    }

    /// Whether the interface asks for an interrupt: as long as it does, the line is high.
    #[must_use]
    pub fn interrupt_pending(&self) -> bool {
        !self.common::<IntEnable>().wanted(self.common()).is_empty()
    }

    /// Notes an interrupt in TPM_CRB_INT_STS if it is enabled.
    pub(crate) fn interrupt(&self, which: IntSts) {
        let wanted = self.common::<IntEnable>().wanted(which);
        if !wanted.is_empty() {
            self.broadcast(self.common::<IntSts>().union(wanted));
        }
    }

    /// Reads a locality's register.
    pub(crate) fn register<R: Register>(&self, locality: u8) -> R {
        R::from_bits_retain(self.memory.load(at(locality, R::OFFSET)))
    }

    /// Writes a locality's register.
    pub(crate) fn set_register<R: Register>(&self, locality: u8, value: R) {
        self.memory.store(at(locality, R::OFFSET), value.bits());
    }

    /// Reads a register that is the same in every locality; 0 where there is none.
    pub(crate) fn common<R: Register>(&self) -> R {
        let first = self.config.localities & layout::ALL_LOCALITIES;
        match u8::try_from(first.trailing_zeros()) {
            Ok(locality @ ..layout::LOCALITIES) => self.register(locality),
            _ => R::empty(),
        }
    }

    /// Writes a register that is the same in every locality.
    pub(crate) fn broadcast<R: Register>(&self, value: R) {
        // Once: the compiler would have to look again after each store.
        let localities = self.config.localities;
        for locality in (0..layout::LOCALITIES).filter(|locality| localities & (1 << locality) != 0) {
            self.set_register(locality, value);
        }
    }

    pub(crate) const fn exists(&self, locality: u8) -> bool {
        locality < layout::LOCALITIES && self.config.localities & (1 << locality) != 0
    }
}

/// Some bytes of a register as its value; the others are 0.
fn placed(in_page: usize, piece: &[u8]) -> u32 {
    let mut bytes = [0; 4];
    copy_bytes(piece, bytes.get_mut(in_page % 4..).unwrap_or_default());
    u32::from_le_bytes(bytes)
}

/// Where a locality's page begins.
pub(crate) const fn page(locality: u8) -> usize {
    (locality as usize).saturating_mul(PAGE)
}

/// Where a locality's register is.
pub(crate) const fn at(locality: u8, register: u64) -> usize {
    page(locality).saturating_add(register as usize)
}
