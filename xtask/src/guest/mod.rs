//! A guest with a TPM: Debian's own kernel and tpm2-tools under an unmodified QEMU, booted by UEFI.

mod attach;
mod event;
mod initramfs;
mod kernel;
mod monitor;
mod play;
mod vm;

use std::path::PathBuf;

use anyhow::Result;

pub(crate) use attach::Interface;
pub(crate) use event::Event;
pub(crate) use play::{Stage, Story, go_on, play};
pub(crate) use vm::Vm;

use crate::machine::{self, Tool};
use crate::process;
use crate::tpm::{self, Build};

/// What booting a guest needs.
const TOOLS: &[Tool] = &[
    Tool::new("qemu-system-x86_64", "qemu-system-x86"),
    Tool::file(vm::FIRMWARE, "ovmf"),
    Tool::file(initramfs::BUSYBOX, "busybox-static"),
    Tool::new("cpio", "cpio"),
    Tool::new("ldd", "libc-bin"),
    Tool::new("tpm2", "tpm2-tools"),
    Tool::file(initramfs::TCTI, "libtss2-tcti-device0"),
];

/// The kernel and the initial file system.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) kernel: PathBuf,
    pub(crate) initramfs: PathBuf,
}

/// Installs what is missing, fetches the kernel, packs the initial file system.
///
/// # Errors
/// Something cannot be had or made.
pub(crate) fn prepare() -> Result<Images> {
    machine::require(TOOLS)?;
    let folder = process::root().join("target/guest");
    std::fs::create_dir_all(&folder)?;
    Ok(Images {
        kernel: kernel::fetch(&folder)?.image,
        initramfs: initramfs::pack(&folder)?,
    })
}

/// The images of a machine whose own KVM boots the guest of [`prepare`] under the tiny monitor.
///
/// # Errors
/// Something cannot be had or made.
pub(crate) fn prepare_host() -> Result<Images> {
    let guest = prepare()?;
    let folder = process::root().join("target/guest");
    let kernel = kernel::fetch(&folder)?;
    let programs = [tpm::build(Build::Debug)?, process::build("tiny-vmm", "tiny-vmm")?];
    Ok(Images {
        initramfs: initramfs::pack_host(&folder, &guest, &kernel.modules, &programs)?,
        kernel: kernel.image,
    })
}
