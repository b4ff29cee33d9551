//! What the monitor's side asks of the TPM's side beside commands.

/// A request that is written to [`crate::layout::CONFIG_CONTROL`]. It has been carried out when the write is
/// acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Control {
    /// `_TPM_Init`: the machine was powered on or reset.
    PowerOn = 1,
    /// Cancel the command that is being executed.
    Cancel = 2,
    /// `_TPM_Hash_Start`.
    HashStart = 3,
    /// `_TPM_Hash_Data` with the data in locality 4's buffer.
    HashData = 4,
    /// `_TPM_Hash_End`.
    HashEnd = 5,
    /// Clear tpmEstablished: the monitor has seen that locality 3 or 4 asks for it.
    ResetEstablishment = 6,
    /// The TPM process was restarted under a running machine: the TPM is started up without one, and its PCR are spoilt,
    /// so that nothing measured before can be claimed again.
    Recover = 7,
    /// The machine goes on here although its TPM was saved: a migration failed, or the machine was saved and is kept.
    Resume = 8,
}

impl Control {
    /// The request with this number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::PowerOn,
            2 => Self::Cancel,
            3 => Self::HashStart,
            4 => Self::HashData,
            5 => Self::HashEnd,
            6 => Self::ResetEstablishment,
            7 => Self::Recover,
            8 => Self::Resume,
            _ => return None,
        })
    }
}
