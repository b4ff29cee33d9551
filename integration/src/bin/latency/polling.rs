//! What polling costs and what it buys.

use std::path::Path as FilePath;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use integration::processor;
use integration::times::Times;

use super::commands::Operation;
use super::paths::Path;
use super::placement::{Machine, Placement};

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

/// Prints latency and processor time of GetRandom by the daemon's bound of polling and the pause between commands.
pub(crate) fn measure(machine: &Machine, ours: &FilePath, placement: Placement, rounds: u32) -> Result<()> {
    println!(
        "\npolling, {}: GetRandom by --poll-us and the pause between commands; median of the latency and the daemon's \
         processor time a command, microseconds; last an idle daemon",
        placement.name()
    );
    print!("{:<10}", "--poll-us");
    for pause in PAUSES {
        print!("{:>20}", format!("{pause:?}"));
    }
    println!("{:>12}", "idle");
    for bound in BOUNDS {
        machine.unpin()?;
        let mut path = Path::polling(ours, bound)?;
        path.settle()?;
        let process = path.process().context("a daemon without a process")?;
        machine.place(placement, process)?;
        print!("{bound:<10}");
        for pause in PAUSES {
            let (times, burned) = run(&mut path, process, pause, rounds)?;
            let cell = format!("{:.1} / {burned:.1}", times.percentile(50));
            print!("{cell:>20}");
        }
        // What the last commands set off has ended.
        std::thread::sleep(Duration::from_millis(50));
        let before = processor::time(process)?;
        std::thread::sleep(IDLE);
        let idle = processor::time(process)?.saturating_sub(before);
        println!("{:>10.2} %", idle.as_secs_f64() * 100.0 / IDLE.as_secs_f64());
    }
    Ok(())
}

fn run(path: &mut Path, process: u32, pause: Duration, rounds: u32) -> Result<(Times, f64)> {
    let rounds = if pause > Duration::from_micros(500) {
        (rounds / 10).max(3)
    } else {
        rounds
    };
    let command = Operation::GetRandom.call(0, 0).bytes();
    let mut times = Vec::new();
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
        times.push(path.run(&command)?.0);
    }
    let burned = processor::time(process)?.saturating_sub(before);
    Ok((Times::new(times), burned.as_secs_f64() * 1e6 / f64::from(rounds)))
}
