//! The daemon killed and restarted under a busy guest. `RESTARTS=1000` makes it a long run, as does
//! `cargo run -p integration --bin restarts`.

mod common;

use integration::restarts::{Options, run};

#[test]
fn a_busy_guest_gets_right_answers_or_failures() {
    let restarts = std::env::var("RESTARTS").map_or(50, |value| value.parse().unwrap());
    let summary = run(&Options {
        program: common::daemon(),
        arguments: Vec::new(),
        restarts,
        seed: 1,
    })
    .unwrap();
    println!("{summary}");
    assert!(summary.failed + summary.turned_away >= restarts / 2, "{summary}");
    assert!(summary.answered > restarts, "{summary}");
}
