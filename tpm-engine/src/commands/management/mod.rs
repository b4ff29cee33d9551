//! What the platform and the owner manage: command audit, physical presence and algorithm sets (Part 3, 21 and 26).

pub(crate) mod audit_status;
pub(crate) mod presence_commands;
pub(crate) mod set_algorithm_set;

/// TPML_CC (Part 2, 10.9.2): at most as many as TPM2_GetCapability can list.
type CommandList = arrayvec::ArrayVec<u32, 254>;
