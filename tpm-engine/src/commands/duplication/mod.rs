//! Duplication (Part 3, 13): objects on their way to another parent.

pub(crate) mod duplicate;
pub(crate) mod import;
pub(crate) mod rewrap;

use crate::keys::protect::Plain;
use crate::rc::{Rc, RcResult};
use crate::types::Private;

/// The label of the seeds of outer wrappers (Part 1, 22.6).
const LABEL: &[u8] = b"DUPLICATE";

/// A TPM2B_PRIVATE of a duplicate.
fn private(bytes: &[u8]) -> RcResult<Private> {
    Private::new(bytes).ok_or(Rc::SIZE)
}

/// What a TPM2B_PRIVATE holds, as plain text to work on.
fn plain(private: &Private) -> Plain {
    Plain::new(private.iter().copied().collect())
}
