//! Self-tests (Part 3, 10). All algorithms are tested at `_TPM_Init`, before any can be used.

pub(crate) mod full;
pub(crate) mod incremental;
pub(crate) mod result;
