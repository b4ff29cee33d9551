//! Start-up and shutdown (Part 3, 9).

pub(crate) mod shutdown;
#[expect(clippy::module_inception, reason = "the family is named after its first command")]
pub(crate) mod startup;

#[cfg(test)]
mod tests;

use crate::marshal::{Reader, Unmarshal};
use crate::rc::{Rc, RcResult};

/// TPM_SU (Part 2, 6.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartupType {
    Clear,
    State,
}

impl Unmarshal<'_> for StartupType {
    fn unmarshal(reader: &mut Reader<'_>) -> RcResult<Self> {
        match reader.read::<u16>()? {
            0 => Ok(Self::Clear),
            1 => Ok(Self::State),
            _ => Err(Rc::VALUE),
        }
    }
}
