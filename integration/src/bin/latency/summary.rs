//! What came of the measurements: JSON and tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use integration::times::Times;

use super::commands::Operation;
use super::paths::Route;
use super::placement::Placement;

/// All times of a run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    commands: BTreeMap<(Placement, Operation, Route), Times>,
    floors: Vec<(Placement, &'static str, Times)>,
}

impl Results {
    pub(crate) fn add(&mut self, placement: Placement, operation: Operation, route: Route, times: Vec<Duration>) {
        self.commands.insert((placement, operation, route), Times::new(times));
    }

    pub(crate) fn add_floor(&mut self, placement: Placement, floor: &'static str, times: Vec<Duration>) {
        self.floors.push((placement, floor, Times::new(times)));
    }

    pub(crate) fn times(&self, placement: Placement, operation: Operation, route: Route) -> Option<&Times> {
        self.commands.get(&(placement, operation, route))
    }

    /// A list of objects, one a command, route and placement.
    pub(crate) fn json(&self) -> String {
        let commands = self
            .commands
            .iter()
            .map(|((placement, operation, route), times)| row(route.name(), *placement, operation.name(), times));
        let floors = self
            .floors
            .iter()
            .map(|(placement, floor, times)| row(floor, *placement, "ping-pong", times));
        let rows: Vec<String> = commands.chain(floors).collect();
        format!("[\n{}\n]\n", rows.join(",\n"))
    }

    /// The table of one placement.
    pub(crate) fn table(&self, placement: Placement, operations: &[Operation], routes: &[Route]) -> String {
        let mut text = format!(
            "\n{}, microseconds: median (99th percentile)\n{:<40}",
            placement.name(),
            ""
        );
        for route in routes {
            push(&mut text, format_args!("{:>22}", route.name()));
        }
        push(
            &mut text,
            format_args!("{:>14}{:>14}\n", "ours - engine", "swtpm / ours"),
        );
        for operation in operations {
            push(&mut text, format_args!("{:<40}", operation.name()));
            for route in routes {
                let cell = self.times(placement, *operation, *route).map_or_else(
                    || "-".to_owned(),
                    |times| format!("{} ({})", micros(times.percentile(50)), micros(times.percentile(99))),
                );
                push(&mut text, format_args!("{cell:>22}"));
            }
            let median = |route| Some(self.times(placement, *operation, route)?.percentile(50));
            let ours = median(Route::VhostUser);
            let compared = |other: Option<f64>, how: fn(f64, f64) -> f64| {
                let both = ours.zip(other);
                both.map_or_else(|| "-".to_owned(), |(ours, other)| format!("{:.2}", how(ours, other)))
            };
            let over = compared(median(Route::Engine), |ours, engine| ours - engine);
            let ratio = compared(median(Route::SwtpmSocket), |ours, swtpm| swtpm / ours);
            push(&mut text, format_args!("{over:>14}{ratio:>14}\n"));
        }
        for (_, floor, times) in self.floors.iter().filter(|(at, _, _)| *at == placement) {
            let (median, p99) = (times.percentile(50), times.percentile(99));
            push(&mut text, format_args!("{floor:<40}{median:>12.2} ({p99:.2})\n"));
        }
        text
    }
}

/// Microseconds, with as many decimals as tell quick commands apart.
pub(crate) fn micros(time: f64) -> String {
    if time < 10.0 {
        format!("{time:.2}")
    } else {
        format!("{time:.1}")
    }
}

fn row(path: &str, placement: Placement, command: &str, times: &Times) -> String {
    format!(
        "  {{\"path\": \"{path}\", \"placement\": \"{}\", \"command\": \"{command}\", \"n\": {}, \"p50_us\": {:.3}, \
         \"p99_us\": {:.3}, \"max_us\": {:.3}}}",
        placement.name(),
        times.count(),
        times.percentile(50),
        times.percentile(99),
        times.max(),
    )
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = text.write_fmt(what);
}
