//! The kernel: Debian's cloud kernel, unpacked from its package and not installed, with its modules for KVM.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{machine, process};

/// The package that depends on the newest kernel.
const META: &str = "linux-image-cloud-amd64";

/// The modules of KVM, where a kernel's modules are.
const MODULES: [&str; 3] = [
    "kernel/virt/lib/irqbypass.ko",
    "kernel/arch/x86/kvm/kvm.ko",
    "kernel/arch/x86/kvm/kvm-amd.ko",
];

/// A kernel and the folder of its modules.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    pub(super) modules: PathBuf,
}

/// Returns the kernel, fetched once.
pub(super) fn fetch(folder: &Path) -> Result<Kernel> {
    let kernel = Kernel {
        image: folder.join("vmlinuz"),
        modules: folder.join("modules"),
    };
    if kernel.image.is_file() && kernel.modules.is_dir() {
        return Ok(kernel);
    }
    let package = match resolve() {
        Some(package) => package,
        None => {
            machine::update()?;
            resolve().with_context(|| format!("no package {META}; run: sudo apt-get update"))?
        }
    };
    println!("    fetching {package}");
    let unpacked = folder.join("kernel");
    if unpacked.exists() {
        std::fs::remove_dir_all(&unpacked)?;
    }
    std::fs::create_dir(&unpacked)?;
    process::output(
        Command::new("apt-get")
            .args(["-q", "download", &package])
            .current_dir(&unpacked),
    )?;
    let archive = find(&unpacked, &package)?;
    process::output(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&unpacked))?;
    let image = find(&unpacked.join("boot"), "vmlinuz-")?;
    let release = find(&unpacked.join("lib/modules"), "")?;
    std::fs::create_dir_all(&kernel.modules)?;
    for module in MODULES {
        let from = release.join(module);
        let to = kernel.modules.join(from.file_name().unwrap_or_default());
        std::fs::rename(&from, to).with_context(|| format!("{package} has no {module}"))?;
    }
    // Last, and at once: a kernel that is there is whole.
    std::fs::rename(image, &kernel.image)?;
    std::fs::remove_dir_all(&unpacked)?;
    Ok(kernel)
}

/// The package of the newest kernel, when the machine knows of one.
fn resolve() -> Option<String> {
    let text = process::output(Command::new("apt-cache").args(["depends", META])).ok()?;
    let package = text.lines().find_map(|line| line.trim().strip_prefix("Depends: "))?;
    Some(package.to_owned())
}

fn find(folder: &Path, prefix: &str) -> Result<PathBuf> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    bail!("nothing named {prefix}* in {}", folder.display())
}
