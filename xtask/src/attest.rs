//! The verifier: checks on the host, without the TPM, what the guest's TPM says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// The files of a quote.
const QUOTE: [&str; 4] = ["ak.pem", "quote.msg", "quote.sig", "quote.pcrs"];
const EVENT_LOG: &str = "eventlog";

/// PCR values of the SHA-256 bank.
type Pcrs = BTreeMap<u32, String>;

/// What was found.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// How many measurements the event log has.
    pub(crate) events: usize,
    /// How many PCRs the quote vouches for.
    pub(crate) quoted: usize,
}

/// A nonce that no guest can have seen.
///
/// # Errors
/// The system has no randomness.
pub(crate) fn nonce() -> Result<String> {
    let mut bytes = [0; 16];
    let random = fs::File::open("/dev/urandom")?;
    std::io::Read::read_exact(&mut &random, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Puts the guest's files into a folder, verifies the quote, and replays the event log against what it quotes.
///
/// # Errors
/// A file is missing, the quote is not good, or the log does not lead to the quoted PCRs.
pub(crate) fn verify(files: &BTreeMap<String, Vec<u8>>, nonce: &str, folder: &Path) -> Result<Verdict> {
    let quoted = quoted(files, nonce, folder)?;
    unpack(files, EVENT_LOG, folder)?;
    let log = process::output(Command::new("tpm2_eventlog").arg(EVENT_LOG).current_dir(folder))?;
    let replayed = pcrs(&log);
    for index in 0..8 {
        let value = quoted
            .get(&index)
            .with_context(|| format!("PCR {index} is not quoted"))?;
        let expected = replayed
            .get(&index)
            .with_context(|| format!("the event log has nothing for PCR {index}"))?;
        if value != expected {
            bail!("PCR {index} is quoted as {value}, the event log leads to {expected}");
        }
    }
    let events = log
        .lines()
        .filter(|line| line.trim_start().starts_with("EventType:"))
        .count();
    Ok(Verdict {
        events,
        quoted: quoted.len(),
    })
}

/// Verifies the quote alone, of a machine whose firmware measures nothing. Returns how many PCRs it vouches for.
///
/// # Errors
/// A file is missing, or the quote is not good.
pub(crate) fn verify_quote(files: &BTreeMap<String, Vec<u8>>, nonce: &str, folder: &Path) -> Result<usize> {
    Ok(quoted(files, nonce, folder)?.len())
}

fn quoted(files: &BTreeMap<String, Vec<u8>>, nonce: &str, folder: &Path) -> Result<Pcrs> {
    fs::create_dir_all(folder)?;
    for name in QUOTE {
        unpack(files, name, folder)?;
    }
    let quoted = pcrs(&process::output(&mut check_quote(nonce, folder)).context("the quote is not good")?);
    // A verifier that takes any nonce verifies nothing.
    let other: String = nonce.chars().rev().collect();
    if process::output(&mut check_quote(&other, folder)).is_ok() {
        bail!("the quote is also good for a nonce that was never sent");
    }
    Ok(quoted)
}

fn unpack(files: &BTreeMap<String, Vec<u8>>, name: &str, folder: &Path) -> Result<()> {
    let content = files.get(name).with_context(|| format!("the guest sent no {name}"))?;
    Ok(fs::write(folder.join(name), content)?)
}

fn check_quote(nonce: &str, folder: &Path) -> Command {
    let mut command = Command::new("tpm2_checkquote");
    command.args([
        "-u",
        "ak.pem",
        "-m",
        "quote.msg",
        "-s",
        "quote.sig",
        "-f",
        "quote.pcrs",
        "-g",
        "sha256",
        "-q",
        nonce,
    ]);
    command.current_dir(folder);
    command
}

/// Reads the list of PCRs with which tpm2_checkquote and tpm2_eventlog end.
fn pcrs(text: &str) -> Pcrs {
    let mut bank = "";
    let mut values = Pcrs::new();
    let lines = text.lines().skip_while(|line| *line != "pcrs:").skip(1);
    for line in lines.take_while(|line| line.starts_with(' ')) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        match (name.trim().parse(), value.trim().strip_prefix("0x")) {
            (Ok(index), Some(value)) if bank == "sha256" => {
                values.insert(index, value.to_lowercase());
            }
            (Err(_), None) => bank = name.trim(),
            _ => {}
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_bank_are_read() {
        let text = "sig: 00\npcrs:\n  sha1:\n    0  : 0x11\n  sha256:\n    0  : 0xAB\n    10 : 0xcd\nother: 1\n";
        assert_eq!(pcrs(text), Pcrs::from([(0, "ab".into()), (10, "cd".into())]));
    }
}
