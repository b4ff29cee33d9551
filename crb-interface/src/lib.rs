//! The Command Response Buffer interface of a TPM (TCG PC Client Platform TPM Profile, "PTP", 1.05 and 1.06, with the
//! chunking of 1.07): its registers, its state machine and the window of memory that they live in.
//!
//! [`Crb`] is the one state machine. It keeps nothing outside of its [`Memory`], so that a virtual machine monitor and
//! a TPM process that share the memory share the interface: the monitor's side takes the guest's accesses
//! ([`Crb::read`], [`Crb::write`]), the TPM's side takes commands out and puts responses in ([`Crb::take_command`],
//! [`Crb::complete`]). Which side may change the window is settled by one word of it, see [`Crb`].
//!
//! ```
//! use crb_interface::{Action, Crb, LocalMemory, layout};
//!
//! let crb = Crb::new(LocalMemory::default(), crb_interface::Config::default());
//! crb.reset();
//! crb.write(layout::LOC_CTRL, &[1]); // requestAccess
//! crb.write(layout::CTRL_REQ, &[1]); // cmdReady
//! crb.write(layout::DATA_BUFFER, &[0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x44, 0, 0]);
//! assert!(crb.write(layout::CTRL_START, &[1]).contains(Action::Start));
//! let mut command = [0; layout::STAGING_SIZE];
//! let (locality, len) = crb.take_command(&mut command).unwrap();
//! assert_eq!((locality, len), (0, 12));
//! crb.complete(&[0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0]);
//! ```
#![deny(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::allow_attributes,
        reason = "a test may panic: that is how it fails"
    )
)]

#[cfg(feature = "acpi")]
pub mod acpi;
mod buffer;
mod control;
mod crb;
#[cfg(feature = "frontend")]
pub mod frontend;
#[cfg(feature = "shared")]
mod hints;
#[cfg(test)]
mod interleaving;
pub mod layout;
mod locality;
mod memory;
#[cfg(test)]
mod model;
mod polling;
pub mod registers;
mod saved;
#[cfg(feature = "shared")]
mod shared;
mod spinning;

pub use control::Control;
pub use crb::{Action, Actions, Config, Crb, State};
pub use memory::{LocalMemory, Memory};
#[cfg(feature = "shared")]
pub use shared::SharedMemory;
pub use spinning::Spinning;
