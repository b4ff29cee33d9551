//! The guest's file system: busybox, the machine's own tpm2-tools with the libraries they need, and our scenarios.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process;

pub(super) const BUSYBOX: &str = "/bin/busybox";
/// All tpm2-tools are this one program; their names are links to it.
const TOOLS: &str = "/usr/bin/tpm2";
/// What speaks to `/dev/tpm0`; loaded by name at run time, so that `ldd` does not tell of it.
pub(super) const TCTI: &str = "/usr/lib/x86_64-linux-gnu/libtss2-tcti-device.so.0";

pub(super) fn pack(folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("root");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    for name in ["bin", "dev", "proc", "root", "sys", "tmp", "usr/bin"] {
        fs::create_dir_all(tree.join(name))?;
    }
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
        for library in libraries(program)? {
            copy(&library, &tree, &library)?;
        }
    }
    for entry in fs::read_dir("/usr/bin")? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("tpm2_") {
            symlink("tpm2", tree.join("usr/bin").join(entry.file_name()))?;
        }
    }
    let archive = folder.join("initramfs.cpio");
    archive_of(&tree, &archive)?;
    Ok(archive)
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

/// The shared libraries of a program, its loader among them.
fn libraries(program: &str) -> Result<Vec<PathBuf>> {
    let text = process::output(Command::new("ldd").arg(program))?;
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        bail!("{program}: {}", missing.trim());
    }
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(PathBuf::from).collect())
}

fn archive_of(tree: &Path, archive: &Path) -> Result<()> {
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
    Ok(())
}
