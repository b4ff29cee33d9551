//! What this host's KVM can do.

use std::path::Path;

use anyhow::{Context, Result};
use kvm_ioctls::Kvm;

/// Opens KVM.
///
/// # Errors
/// There is none, or it may not be used; the message says what to do.
pub fn open() -> Result<Kvm> {
    Kvm::new().context("cannot open /dev/kvm: the host has no KVM, or this user is not in the group kvm")
}

/// Why a stock kernel cannot boot here, when that is known beforehand.
///
/// A software KVM for hosts without virtualization extensions (PVM) runs the guest's kernel without privileges: it must
/// be one that was built for that.
#[must_use]
pub fn obstacle() -> Option<String> {
    let loaded = |module: &str| Path::new("/sys/module").join(module).exists();
    let hardware = loaded("kvm_intel") || loaded("kvm_amd");
    (loaded("kvm_pvm") && !hardware)
        .then(|| "this KVM is a software PVM, which runs no stock kernel; boot on a host with VT-x or SVM".to_owned())
}
