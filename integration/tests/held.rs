//! A command that takes long holds no vCPU, and ends when it is cancelled.

mod common;

use std::time::Duration;

use crb_interface::frontend::FrontendConfig;
use integration::build;
use integration::daemon::Daemon;
use integration::held::{self, Held};
use integration::window::Driver;

/// How soon a command ends when it is cancelled.
const SOON: Duration = Duration::from_millis(10);

#[test]
fn a_slow_command_holds_a_vcpu_for_the_budget_alone_and_ends_soon_when_it_is_cancelled() {
    let daemon = Daemon::start(&common::daemon(), &[]).unwrap();
    let mut window = daemon.attach().unwrap();
    let mut response = Vec::new();
    window.transact(&build::startup(0).bytes(), &mut response).unwrap();
    let Held {
        start,
        whole,
        cancelled,
        found,
    } = held::measure(&mut window, 8).unwrap();
    let budget = FrontendConfig::new("").budget;
    let micros = |limit: Duration| limit.as_secs_f64() * 1e6;
    assert!(
        whole.percentile(50) > micros(budget),
        "the command is not slow: {whole:?}"
    );
    // `cargo xtask bench latency` says whether all do; a busy machine is late now and then.
    assert!(start.percentile(25) <= micros(budget), "{start:?}");
    assert!(cancelled.count() > 0, "all had their key before: {found:?}");
    assert!(cancelled.percentile(25) <= micros(SOON), "{cancelled:?}");
}
