//! Other people's clients: each flow is a shell script that uses their tools on a TPM of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::machine::{self, Tool};
use crate::process;
use crate::report::{Counts, Progress, Style};
use crate::tpm::{Endpoint, Power, Program, Tpm};

/// Whose tools.
#[derive(Debug)]
pub(super) struct Suite {
    /// Folder of the flows, beside a file of this name with what they share.
    name: &'static str,
    tools: &'static [Tool],
    environment: fn(port: u16) -> Vec<(&'static str, String)>,
}

pub(super) const TPM2_TOOLS: Suite = Suite {
    name: "tpm2-tools",
    tools: &[
        Tool::new("tpm2", "tpm2-tools"),
        Tool::file(
            "/usr/lib/x86_64-linux-gnu/libtss2-tcti-swtpm.so.0",
            "libtss2-tcti-swtpm0",
        ),
        Tool::new("openssl", "openssl"),
        Tool::new("xxd", "xxd"),
    ],
    environment: |port| vec![("TPM2TOOLS_TCTI", format!("swtpm:host=127.0.0.1,port={port}"))],
};

pub(super) const IBM_TSS: Suite = Suite {
    name: "ibm-tss",
    tools: &[Tool::new("tsscreateprimary", "tss2"), Tool::new("xxd", "xxd")],
    environment: |port| {
        vec![
            ("TPM_INTERFACE_TYPE", "socsim".to_owned()),
            ("TPM_SERVER_TYPE", "raw".to_owned()),
            // Each tool is a process of its own and would not know another's key.
            ("TPM_ENCRYPT_SESSIONS", "0".to_owned()),
            ("TPM_SERVER_NAME", "127.0.0.1".to_owned()),
            ("TPM_COMMAND_PORT", port.to_string()),
            ("TPM_PLATFORM_PORT", port.saturating_add(1).to_string()),
        ]
    },
};

/// Runs all flows of a suite.
pub(super) fn run(suite: &Suite, program: &Program) -> Result<Counts> {
    machine::require(suite.tools)?;
    let flows = process::root().join("integration/flows");
    let mut scripts: Vec<PathBuf> = fs::read_dir(flows.join(suite.name))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    scripts.sort();
    let work = process::root().join("target/test").join(suite.name);
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let mut counts = Counts::default();
    for script in scripts {
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut progress = Progress::begin(Style::of_stdout(), &name);
        let shared = flows.join(suite.name).with_extension("sh");
        match flow(suite, program, &shared, &script, &work.join(&name)) {
            Ok(()) => {
                progress.ok("ok");
                counts += Counts::PASSED;
            }
            Err(error) => {
                progress.failed(&format!("{error:#}"));
                counts += Counts::FAILED;
            }
        }
    }
    Ok(counts)
}

fn flow(suite: &Suite, program: &Program, shared: &Path, script: &Path, folder: &Path) -> Result<()> {
    let work = folder.join("work");
    fs::create_dir_all(&work)?;
    // A flow of what the default profile leaves out says so.
    let compat = fs::read_to_string(script)?
        .lines()
        .any(|line| line == "# profile: compat");
    let profile = if compat { "compat" } else { "default" };
    let port = Endpoint::free_ports()?;
    let tpm = Tpm::start(program, folder, &Endpoint::Tcp(port), Power::On { profile })?;
    let log = folder.join("flow.log");
    let output = fs::File::create(&log)?;
    let mut shell = Command::new("sh");
    shell.args(["-eux", "-c", ". \"$0\"; . \"$1\""]).arg(shared).arg(script);
    shell.envs((suite.environment)(port)).current_dir(&work);
    shell.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let status = shell.status().context("cannot start sh")?;
    if !status.success() {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines
            .get(lines.len().saturating_sub(8)..)
            .unwrap_or_default()
            .join("\n      | ");
        bail!("{status}\n      | {end}");
    }
    tpm.stop()
}
