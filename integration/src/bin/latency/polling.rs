//! What polling costs and what it buys.

use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use integration::processor;
use integration::times::Times;
use integration::verdict::Verdict;

use super::commands::Operation;
use super::paths::Path;
use super::placement::{Machine, Placement};
use super::summary::micros;
use super::targets::Line;

/// Bounds of the daemon's polling, in microseconds.
const BOUNDS: [u32; 5] = [0, 20, 50, 100, 200];
/// Pauses between commands: none, a guest that computes, and two that sleep.
const PAUSES: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(10),
];
/// How long an idle TPM is watched.
const IDLE: Duration = Duration::from_millis(500);
/// Per cent of a processor that it may take meanwhile: nothing that a table shows.
const IDLE_MOST: f64 = 0.005;

/// Prints latency and processor time of GetRandom by the daemon's bound of polling and the pause between commands; returns
/// whether an idle daemon takes any, whatever the bound.
pub(crate) fn measure(machine: &Machine, ours: &FilePath, placement: Placement, rounds: u32) -> Result<Line> {
    println!(
        "\npolling, {}: GetRandom by --poll-us and the pause between commands; median of the latency / processor time a \
         command of the daemon + of the driver's thread, microseconds; last an idle daemon",
        placement.name()
    );
    print!("{:<10}", "--poll-us");
    for pause in PAUSES {
        print!("{:>24}", format!("{pause:?}"));
    }
    println!("{:>12}", "idle");
    let mut most = 0.0f64;
    for bound in BOUNDS {
        machine.unpin()?;
        let mut path = Path::polling(ours, bound)?;
        path.settle()?;
        let process = path.process().context("a daemon without a process")?;
        machine.place(placement, process)?;
        print!("{bound:<10}");
        for pause in PAUSES {
            let Cost { median, daemon, driver } = run(&mut path, process, pause, rounds)?;
            let cell = format!("{} / {daemon:.1} + {driver:.1}", micros(median));
            print!("{cell:>24}");
        }
        // What the last commands set off has ended.
        std::thread::sleep(Duration::from_millis(50));
        let before = processor::time(process)?;
        std::thread::sleep(IDLE);
        let idle = processor::time(process)?.saturating_sub(before);
        let idle = idle.as_secs_f64() * 100.0 / IDLE.as_secs_f64();
        println!("{idle:>10.2} %");
        most = most.max(idle);
    }
    let verdict = Verdict::at_most("time of a processor", most, IDLE_MOST, "%");
    Ok(Line::new("idle daemon", vec![verdict]))
}

/// What a command takes, in microseconds.
struct Cost {
    /// Of the time until it is answered.
    median: f64,
    /// Processor time of the daemon.
    daemon: f64,
    /// Processor time of this thread, which is the vCPU's: it spins, too.
    driver: f64,
}

fn run(path: &mut Path, process: u32, pause: Duration, rounds: u32) -> Result<Cost> {
    let rounds = if pause > Duration::from_micros(500) {
        (rounds / 10).max(3)
    } else {
        rounds
    };
    let command = Operation::GetRandom.call(0, 0).bytes();
    let mut times = Vec::new();
    let mut driver = Duration::ZERO;
    let before = processor::time(process)?;
    for _ in 0..rounds {
        if pause > Duration::from_micros(500) {
            std::thread::sleep(pause);
        } else {
            let begun = Instant::now();
            while begun.elapsed() < pause {
                std::hint::spin_loop();
            }
        }
        let begun = processor::time_of_this_thread();
        times.push(path.run(&command)?.0);
        driver += processor::time_of_this_thread().saturating_sub(begun);
    }
    let daemon = processor::time(process)?.saturating_sub(before);
    let [daemon, driver] = [daemon, driver].map(|time| time.as_secs_f64() * 1e6 / f64::from(rounds));
    Ok(Cost {
        median: Times::new(times).percentile(50),
        daemon,
        driver,
    })
}
