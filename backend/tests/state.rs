//! What the daemon and its commands make of a state directory: keys, instances, copies, moves.
#![allow(
    clippy::allow_attributes,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod common;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{Daemon, counter, define_counter, increment};
use rustix::process::Signal;
use tempfile::TempDir;

/// A directory with a state, and key files beside it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let (one, two) = ("11".repeat(32), "22".repeat(32));
        for (name, content) in [("one", &*one), ("two", &*two), ("words", "correct horse\n")] {
            let mut file = OpenOptions::new();
            let file = file.write(true).create_new(true).mode(0o600).open(place.path(name));
            file.unwrap().write_all(content.as_bytes()).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Runs one of the commands that are no daemon on a state directory.
    fn run(&self, command: &str, directory: &str, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_vhost-device-tpm"))
            .arg(command)
            .arg("--state-dir")
            .arg(self.path(directory))
            .args(args)
            .output()
            .unwrap()
    }

    fn done(&self, command: &str, directory: &str, args: &[&str]) -> String {
        let output = self.run(command, directory, args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, command: &str, directory: &str, args: &[&str], why: &str) {
        let output = self.run(command, directory, args);
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains(why), "{log}");
    }

    fn daemon(&self, args: &[&str]) -> Daemon {
        Daemon::start(&self.0, &[&["--startup", "clear"], args].concat())
    }

    fn daemon_refused(&self, args: &[&str], why: &str) {
        let (status, log) = Daemon::spawn(&self.0, args, |_| {}).end();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(why), "{log}");
    }

    /// Makes a TPM with a counter.
    fn make(&self, args: &[&str]) -> u64 {
        let daemon = self.daemon(args);
        let mut data = daemon.control().attach();
        define_counter(&mut data);
        let value = counter(&mut data);
        stop(daemon);
        value
    }

    /// The counter's value, in a daemon that is started for this.
    fn value(&self, args: &[&str]) -> u64 {
        let daemon = self.daemon(args);
        let value = counter(&mut daemon.control().attach());
        stop(daemon);
        value
    }

    fn number(&self, directory: &str, args: &[&str]) -> String {
        let json = self.done("info", directory, &[args, &["--json"]].concat());
        let number = json.split(r#""tpm":""#).nth(1).unwrap();
        number.split('"').next().unwrap().to_owned()
    }
}

fn stop(daemon: Daemon) {
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.end();
    assert!(status.success(), "{log}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A state of the first version: a profile, and a counter that was incremented to 5.
#[test]
fn a_state_of_the_first_version_is_served_on() {
    let place = Place::new();
    copy(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/first-plain-store"),
        &place.path("tpm"),
    );
    let daemon = place.daemon(&[]);
    let mut data = daemon.control().attach();
    assert_eq!(counter(&mut data), 5);
    assert_eq!(data.run(&increment())[6..10], [0; 4]);
    daemon.signal(Signal::KILL);
    daemon.end();
    assert_eq!(place.value(&["--instance-id", "vm-1"]), 6);
    let info = place.done("info", "tpm", &[]);
    assert!(info.contains("default-v1") && info.contains("vm-1"), "{info}");
    // It can be encrypted like any other.
    let key = place.text("one");
    place.done("rekey", "tpm", &["--new-key-file", &key]);
    assert_eq!(place.value(&["--instance-id", "vm-1", "--key-file", &key]), 6);
}

#[test]
fn a_key_comes_from_a_file_a_descriptor_a_passphrase_or_a_credential() {
    let place = Place::new();
    let key = place.text("one");
    assert_eq!(place.make(&["--key-file", &key]), 1);
    let mut daemon = Daemon::spawn(&place.0, &["--startup", "clear", "--key-fd", "0"], |command| {
        command.stdin(File::open(&key).unwrap());
    });
    daemon.wait_for("READY");
    assert_eq!(counter(&mut daemon.control().attach()), 1);
    stop(daemon);
    let mut daemon = Daemon::spawn(
        &place.0,
        &["--startup", "clear", "--key-credential", "one"],
        |command| {
            command.env("CREDENTIALS_DIRECTORY", place.0.path());
        },
    );
    daemon.wait_for("READY");
    assert_eq!(counter(&mut daemon.control().attach()), 1);
    stop(daemon);
    let words = place.text("words");
    place.done("rekey", "tpm", &["--key-file", &key, "--new-passphrase-file", &words]);
    assert_eq!(place.value(&["--passphrase-file", &words]), 1);
    place.daemon_refused(&["--key-file", &key], "it was sealed with a passphrase");
    place.daemon_refused(&[], "is encrypted and no key was given");
    place.daemon_refused(&["--key-file", "/no/such/key"], "/no/such/key");
    place.daemon_refused(&["--key-credential", "one"], "CREDENTIALS_DIRECTORY is not set");
}

#[test]
fn a_key_is_changed_while_the_tpm_is_served() {
    let place = Place::new();
    let (one, two) = (place.text("one"), place.text("two"));
    let daemon = place.daemon(&["--key-file", &one]);
    let mut data = daemon.control().attach();
    define_counter(&mut data);
    place.refused(
        "rekey",
        "tpm",
        &["--key-file", &two, "--new-key-file", &one],
        "is not the one",
    );
    place.done("rekey", "tpm", &["--key-file", &one, "--new-key-file", &two]);
    assert_eq!(data.run(&increment())[6..10], [0; 4]);
    let served = ["--key-file", &two, "--new-key-file", &one, "--new-data-key"];
    place.refused("rekey", "tpm", &served, "is being served");
    daemon.signal(Signal::KILL);
    daemon.end();
    place.daemon_refused(&["--key-file", &one], "the key is not the one that it was sealed with");
    assert_eq!(place.value(&["--key-file", &two]), 2);
    place.done("rekey", "tpm", &served);
    assert_eq!(place.value(&["--key-file", &one]), 2);
}

/// Two processes replace `state.key` at once. Whichever is first, the state that is there afterwards opens with the key
/// that the operator was told of.
#[test]
fn a_key_is_changed_while_a_copy_becomes_a_clone() {
    let (mut cloned, mut refused) = (0, 0);
    for round in 0..16 {
        let place = Place::new();
        let (one, two, words) = (place.text("one"), place.text("two"), place.text("words"));
        place.make(&["--key-file", &one, "--instance-id", "vm-1"]);
        let old = place.number("tpm", &["--key-file", &one]);
        let start = |command: &str, args: &[&str]| {
            let mut process = Command::new(env!("CARGO_BIN_EXE_vhost-device-tpm"));
            process
                .arg(command)
                .arg("--state-dir")
                .arg(place.path("tpm"))
                .args(args);
            process.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        // A passphrase takes long to be made a key of, in the middle of it all.
        let (new, key): ([_; 2], _) = match round % 3 {
            0 => (["--new-passphrase-file", &words], ["--passphrase-file", &*words]),
            _ => (["--new-key-file", &two], ["--key-file", &*two]),
        };
        let rekey = || start("rekey", &[&["--key-file", &one], &new[..]].concat());
        let clone = || match round % 2 {
            0 => start("clone", &["--key-file", &one, "--instance-id", "vm-2"]),
            _ => start("rekey", &["--key-file", &one, "--new-key-file", &one, "--new-data-key"]),
        };
        // So that each is in the middle of the other sometimes.
        let pause = || std::thread::sleep(Duration::from_millis(12 * (round / 4)));
        let (rekey, clone) = if round % 4 < 2 {
            let rekey = rekey();
            pause();
            (rekey, clone())
        } else {
            let clone = clone();
            pause();
            (rekey(), clone)
        };
        let [rekey, clone] = [rekey, clone].map(|process| process.wait_with_output().unwrap());
        let log = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(rekey.status.success(), "{round}: {}", log(&rekey));
        match clone.status.success() {
            true => cloned += 1,
            false => {
                refused += 1;
                assert!(
                    log(&clone).contains("cannot be opened with the key"),
                    "{round}: {}",
                    log(&clone)
                );
            }
        }
        let is_new = clone.status.success() && round % 2 == 0;
        assert_eq!(place.number("tpm", &key) != old, is_new, "{round}: {}", log(&clone));
    }
    println!("{cloned} went before the change of the key, {refused} after");
}

#[test]
fn a_copy_is_refused_until_it_is_restored_or_cloned() {
    let place = Place::new();
    let key = place.text("one");
    let key = ["--key-file", key.as_str()];
    let with = |name: &'static str| [key.as_slice(), &["--instance-id", name]].concat();
    place.make(&with("vm-1"));
    let original = place.number("tpm", &key);
    for args in [with("vm-2"), key.to_vec()] {
        place.daemon_refused(&args, "belongs to the instance vm-1");
        place.daemon_refused(&args, "vhost-device-tpm restore");
        place.daemon_refused(&args, "vhost-device-tpm clone");
    }
    place.done("restore", "tpm", &with("vm-2"));
    assert_eq!(place.value(&with("vm-2")), 1);
    assert_eq!(place.number("tpm", &key), original);

    place.refused("clone", "tpm", &with("vm-2"), "needs a name of its own");
    let data_key = std::fs::read(place.path("tpm/state.key")).unwrap();
    place.done("clone", "tpm", &with("vm-3"));
    assert_ne!(std::fs::read(place.path("tpm/state.key")).unwrap(), data_key);
    assert_ne!(place.number("tpm", &key), original);
    let daemon = place.daemon(&with("vm-3"));
    let response = daemon.control().attach().run(&increment());
    // TPM_RC_HANDLE for the first handle: the counter was the old TPM's.
    assert_eq!(response[6..10], [0, 0, 1, 0x8b]);
    stop(daemon);
    // The profile is the old one's.
    assert!(place.done("info", "tpm", &key).contains("default-v1"));
}

#[test]
fn an_exported_tpm_is_imported_under_another_key() {
    let place = Place::new();
    let (one, two, words) = (place.text("one"), place.text("two"), place.text("words"));
    let file = place.text("tpm.export");
    assert_eq!(place.make(&["--key-file", &one, "--instance-id", "vm-1"]), 1);
    let number = place.number("tpm", &["--key-file", &one]);
    let export = [
        "--key-file",
        &one,
        "--output",
        &file,
        "--transfer-passphrase-file",
        &words,
    ];
    place.refused("export", "tpm", &export[..4], "no key for the exported file");
    place.refused("export", "none", &export, "holds no TPM");
    place.done("export", "tpm", &export);
    place.refused("export", "tpm", &export, "is not overwritten");
    std::fs::rename(place.path("tpm"), place.path("old")).unwrap();

    let import = |transfer: &'static str, key: &str| {
        let path = place.text(key);
        [transfer, &path, "--input", &file, "--key-file", &two].map(str::to_owned)
    };
    let run = |args: &[String]| args.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    let wrong = run(&import("--transfer-passphrase-file", "one"));
    let wrong: Vec<&str> = wrong.lines().collect();
    place.refused("import", "tpm", &wrong, "the passphrase is not the one");
    let right = run(&import("--transfer-passphrase-file", "words"));
    let right: Vec<&str> = right.lines().collect();
    let good = std::fs::read(&file).unwrap();
    for place_of_damage in [0, 14, 40, 80, good.len() - 1] {
        let mut bad = good.clone();
        bad[place_of_damage] ^= 1;
        std::fs::write(&file, bad).unwrap();
        place.refused("import", "tpm", &right, "tpm.export cannot be opened");
        assert!(!place.path("tpm").exists());
    }
    std::fs::write(&file, good).unwrap();
    place.done("import", "tpm", &right);
    place.refused("import", "tpm", &right, "holds a TPM already");
    assert_eq!(place.number("tpm", &["--key-file", &two]), number);
    assert_eq!(place.value(&["--key-file", &two, "--instance-id", "vm-1"]), 1);
}

#[test]
fn a_state_that_is_older_than_its_anchor_is_refused() {
    let place = Place::new();
    let (key, anchor) = (place.text("one"), place.text("anchor"));
    let args = ["--key-file", &key, "--anchor", &anchor];
    place.make(&args);
    copy(&place.path("tpm"), &place.path("backup"));
    let daemon = place.daemon(&args);
    assert_eq!(daemon.control().attach().run(&increment())[6..10], [0; 4]);
    daemon.signal(Signal::KILL);
    daemon.end();
    assert_eq!(place.value(&args), 2);
    std::fs::remove_dir_all(place.path("tpm")).unwrap();
    std::fs::rename(place.path("backup"), place.path("tpm")).unwrap();
    place.daemon_refused(&args, "is not the newest");
    place.daemon_refused(&args[..2], "no --anchor was given");
    place.done("restore", "tpm", &args);
    assert_eq!(place.value(&args), 1);
    let info = place.done("info", "tpm", &args[..2]);
    assert!(info.contains("anchored    yes"), "{info}");
}

#[test]
fn info_says_what_is_there() {
    let place = Place::new();
    place.refused("info", "tpm", &[], "holds no TPM");
    assert!(!place.path("tpm").exists());
    place.make(&["--profile", "fips"]);
    let json = place.done("info", "tpm", &["--json"]);
    for part in [r#""profile":"fips-v1""#, r#""instance":null"#, r#""encrypted":false"#] {
        assert!(json.contains(part), "{json}");
    }
    let daemon = place.daemon(&[]);
    place.refused("info", "tpm", &[], "is being served");
    stop(daemon);
}
