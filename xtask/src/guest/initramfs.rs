//! The guests' file systems. A guest's: busybox, the machine's own tpm2-tools with the libraries they need, and our scenarios.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Images;
use crate::process;

pub(super) const BUSYBOX: &str = "/bin/busybox";
/// All tpm2-tools are this one program; their names are links to it.
const TOOLS: &str = "/usr/bin/tpm2";
/// What speaks to `/dev/tpm0`; loaded by name at run time, so that `ldd` does not tell of it.
pub(super) const TCTI: &str = "/usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0";

/// The guest's.
pub(super) fn pack(folder: &Path) -> Result<PathBuf> {
    let tree = empty(
        &folder.join("root"),
        &["bin", "dev", "proc", "root", "sys", "tmp", "usr/bin"],
    )?;
    let ours = process::root().join("integration/guest");
    copy(&ours.join("init"), &tree, Path::new("/init"))?;
    for entry in fs::read_dir(ours.join("scenarios"))? {
        let file = entry?.path();
        let name = Path::new("/scenarios").join(file.file_name().unwrap_or_default());
        copy(&file, &tree, &name)?;
    }
    for program in [BUSYBOX, TOOLS, TCTI] {
        copy(Path::new(program), &tree, Path::new(program))?;
    }
    for program in [TOOLS, TCTI] {
        copy_libraries(Path::new(program), &tree)?;
    }
    for entry in fs::read_dir("/usr/bin")? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("tpm2_") {
            symlink("tpm2", tree.join("usr/bin").join(entry.file_name()))?;
        }
    }
    archive_of(&tree, &folder.join("initramfs.cpio"))
}

/// That of a machine in which KVM runs the guest, under one of these programs.
pub(super) fn pack_host(folder: &Path, guest: &Images, modules: &Path, programs: &[PathBuf]) -> Result<PathBuf> {
    let tree = empty(&folder.join("host-root"), &["bin", "dev", "proc", "sys", "tmp"])?;
    let init = process::root().join("integration/guest/host-init");
    copy(&init, &tree, Path::new("/init"))?;
    copy(Path::new(BUSYBOX), &tree, Path::new(BUSYBOX))?;
    copy(&guest.kernel, &tree, Path::new("/vmlinuz"))?;
    copy(&guest.initramfs, &tree, Path::new("/initramfs.cpio"))?;
    for entry in fs::read_dir(modules)? {
        let file = entry?.path();
        copy(
            &file,
            &tree,
            &Path::new("/modules").join(file.file_name().unwrap_or_default()),
        )?;
    }
    for program in programs {
        copy(
            program,
            &tree,
            &Path::new("/bin").join(program.file_name().unwrap_or_default()),
        )?;
        copy_libraries(program, &tree)?;
    }
    archive_of(&tree, &folder.join("host-initramfs.cpio"))
}

/// An empty tree with these folders.
fn empty(tree: &Path, folders: &[&str]) -> Result<PathBuf> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    for name in folders {
        fs::create_dir_all(tree.join(name))?;
    }
    Ok(tree.to_owned())
}

/// Copies what a path leads to, links followed, to a place inside of the tree.
fn copy(from: &Path, tree: &Path, to: &Path) -> Result<()> {
    let target = tree.join(to.strip_prefix("/").unwrap_or(to));
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, &target).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Copies the shared libraries of a program, its loader among them.
fn copy_libraries(program: &Path, tree: &Path) -> Result<()> {
    let text = process::output(Command::new("ldd").arg(program))?;
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        bail!("{}: {}", program.display(), missing.trim());
    }
    for library in text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(Path::new)
    {
        copy(library, tree, library)?;
    }
    Ok(())
}

fn archive_of(tree: &Path, archive: &Path) -> Result<PathBuf> {
    let output = fs::File::create(archive)?;
    let mut find = Command::new("find")
        .arg(".")
        .current_dir(tree)
        .stdout(Stdio::piped())
        .spawn()?;
    let list = find.stdout.take().context("find has no output")?;
    let mut cpio = Command::new("cpio");
    cpio.args(["--quiet", "--create", "--format=newc", "--owner=0:0", "--reproducible"]);
    process::run(cpio.current_dir(tree).stdin(list).stdout(output))?;
    if !find.wait()?.success() {
        bail!("cannot list {}", tree.display());
    }
    Ok(archive.to_owned())
}
