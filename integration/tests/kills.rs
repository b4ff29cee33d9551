//! The daemon killed at random moments, in short; `cargo run -p integration --bin kills` does it at length.

mod common;

use integration::kills::{Options, run};

fn options(arguments: &[String]) -> Options {
    Options {
        program: common::daemon(),
        arguments: arguments.to_vec(),
        kills: 60,
        seed: 1,
    }
}

#[test]
fn kills_lose_no_change() {
    let summary = run(&options(&[])).unwrap();
    println!("{summary}");
    assert!(summary.answered > summary.in_service, "{summary}");
}

#[test]
fn kills_lose_no_change_of_an_encrypted_state_with_an_anchor() {
    let folder = tempfile::tempdir().unwrap();
    let (key, anchor) = (folder.path().join("key"), folder.path().join("anchor"));
    std::fs::write(&key, [7; 32]).unwrap();
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let arguments = [
        "--key-file".to_owned(),
        text(&key),
        "--anchor".to_owned(),
        text(&anchor),
    ];
    let summary = run(&options(&arguments)).unwrap();
    println!("{summary}");
    assert!(summary.answered > summary.in_service, "{summary}");
}
