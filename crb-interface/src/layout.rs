//! Where everything is in the window (PTP 6.5.3). What the bits of the registers mean is in [`crate::registers`].
//!
//! The guest sees one page for each of five localities. Behind them, and never mapped into a guest, are a page of the
//! interface's own words and two staging buffers for commands and responses that are larger than the data buffer.

/// Bytes of a locality's page.
pub const PAGE: usize = 0x1000;
/// Localities 0–4.
pub const LOCALITIES: u8 = 5;
/// Bytes of the window that a guest sees.
pub const WINDOW_SIZE: usize = 0x5000;
/// Where a PC's guest expects the window (PTP 6.3).
pub const PC_BASE: u64 = 0xFED4_0000;

/// TPM_LOC_STATE: who has the TPM.
pub const LOC_STATE: u64 = 0x00;
/// TPM_LOC_CTRL: requests of a locality; reads 0.
pub const LOC_CTRL: u64 = 0x08;
/// TPM_LOC_STS: the locality's own status.
pub const LOC_STS: u64 = 0x0C;
/// TPM_CRB_INTF_ID, low half: capabilities.
pub const INTF_ID: u64 = 0x30;
/// TPM_CRB_INTF_ID, high half: vendor and device.
pub const INTF_ID_HIGH: u64 = 0x34;
/// TPM_CRB_CTRL_EXT: not used by this interface; reads 0.
pub const CTRL_EXT: u64 = 0x38;
/// TPM_CRB_CTRL_REQ: cmdReady and goIdle; reads 0, as every request is carried out at once.
pub const CTRL_REQ: u64 = 0x40;
/// TPM_CRB_CTRL_STS.
pub const CTRL_STS: u64 = 0x44;
/// TPM_CRB_CTRL_CANCEL.
pub const CTRL_CANCEL: u64 = 0x48;
/// TPM_CRB_CTRL_START.
pub const CTRL_START: u64 = 0x4C;
/// TPM_CRB_INT_ENABLE.
pub const INT_ENABLE: u64 = 0x50;
/// TPM_CRB_INT_STS.
pub const INT_STS: u64 = 0x54;
/// TPM_CRB_CTRL_CMD_SIZE.
pub const CTRL_CMD_SIZE: u64 = 0x58;
/// TPM_CRB_CTRL_CMD_LADDR.
pub const CTRL_CMD_LADDR: u64 = 0x5C;
/// TPM_CRB_CTRL_CMD_HADDR.
pub const CTRL_CMD_HADDR: u64 = 0x60;
/// TPM_CRB_CTRL_RSP_SIZE.
pub const CTRL_RSP_SIZE: u64 = 0x64;
/// TPM_CRB_CTRL_RSP_ADDR, 64 bits.
pub const CTRL_RSP_ADDR: u64 = 0x68;
/// TPM_CRB_DATA_BUFFER: one buffer for command and response.
pub const DATA_BUFFER: u64 = 0x80;
/// Bytes of the data buffer.
pub const DATA_BUFFER_SIZE: usize = 0xF80;

/// Bits of all localities.
pub(crate) const ALL_LOCALITIES: u8 = (1 << LOCALITIES) - 1;
/// Bytes of each staging buffer: the largest command and response.
pub const STAGING_SIZE: usize = 0x2000;
/// The interface's own words.
pub(crate) const PRIVATE: usize = WINDOW_SIZE;
/// Who may change the window, and locality changes that wait for the end of a command; see [`crate::Crb`]. Nothing else is
/// in its pair of cache lines: what the TPM's side polls is slow to write, and the words behind it are written with nearly
/// every access.
pub(crate) const OWNER: usize = PRIVATE;
/// [`crate::State`].
pub(crate) const STATE: usize = 0x5080;
/// Bytes of the command that have been staged by nextChunk.
pub(crate) const COMMAND_LEN: usize = 0x5084;
/// Bytes of the response, of which all is staged.
pub(crate) const RESPONSE_LEN: usize = 0x5088;
/// Bytes of the response that have been shown up to the end of the chunk in the data buffer.
pub(crate) const RESPONSE_SHOWN: usize = 0x508C;
/// Bytes of locality 4's data buffer that have been written since the last TPM_HASH_START or TPM_HASH_DATA.
pub(crate) const HASH_LEN: usize = 0x5090;
/// Bits of the localities that the guest has; 0 for those of [`crate::Config::default`].
pub(crate) const LOCALITY_MASK: usize = 0x5094;
/// Bytes of the data buffer of the locality that has the TPM, from its beginning, of which some may not be 0.
pub(crate) const USED: usize = 0x5098;
/// [`MAGIC_VALUE`]: tells the TPM's side which of the regions that it is given is the window.
pub(crate) const MAGIC: usize = 0x50C0;
/// "CRB" and the version of everything behind the guest's pages.
pub(crate) const MAGIC_VALUE: u32 = u32::from_be_bytes(*b"CRB2");
/// Descriptor table of queue 0: [`QUEUE_SIZE`] entries of 16 bytes.
pub const QUEUE_DESCRIPTORS: usize = 0x5800;
/// Available ring of queue 0.
pub const QUEUE_AVAILABLE: usize = 0x5880;
/// Used ring of queue 0.
pub const QUEUE_USED: usize = 0x5900;
/// The processor that the monitor's thread ran on when it last asked for something, plus 1; 0 when it does not say.
pub(crate) const MONITOR_PROCESSOR: usize = 0x5A00;
/// The processor that the TPM's side last ran on, plus 1; 0 when it does not say.
pub(crate) const DEVICE_PROCESSOR: usize = 0x5A04;
/// How often the TPM's side has gone to sleep.
pub(crate) const DEVICE_SLEEPS: usize = 0x5A08;
/// Entries of queue 0: one command, which takes two descriptors.
pub const QUEUE_SIZE: u16 = 2;
/// Staged command.
pub(crate) const COMMAND: usize = 0x6000;
/// Staged response.
pub(crate) const RESPONSE: usize = 0x8000;
/// Bytes of memory in all.
pub const MEMORY_SIZE: usize = 0xA000;

/// In the config space of the vhost-user device, which else is locality 0's page: a word that carries out one of
/// [`crate::Control`] when it is written. The guest's page has nothing there.
pub const CONFIG_CONTROL: u32 = 0x70;
