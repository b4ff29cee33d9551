//! What came of the measurements: JSON and a table.

use integration::times::Times;

use super::tpms::Kind;

/// What the columns of [`Results::line`] are.
pub(crate) const LEGEND: &str =
    "microseconds: median (99th percentile); last, libtpms' median over ours: above 1 we are faster\n";

/// All times of a run, in the order of the commands.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) rows: Vec<(&'static str, Kind, Times)>,
}

impl Results {
    pub(crate) fn add(&mut self, command: &'static str, kind: Kind, times: Times) {
        self.rows.push((command, kind, times));
    }

    pub(crate) fn median(&self, command: &str, kind: Kind) -> Option<f64> {
        self.times(command, kind).map(|times| times.percentile(50))
    }

    fn times(&self, command: &str, kind: Kind) -> Option<&Times> {
        let row = self.rows.iter().find(|(name, of, _)| *name == command && *of == kind);
        row.map(|(_, _, times)| times)
    }

    /// The line of a command in the table.
    pub(crate) fn line(&self, command: &str) -> String {
        let mut line = format!("{command:<40}");
        for kind in Kind::ALL {
            let cell = self.times(command, kind).map_or_else(
                || "-".to_owned(),
                |times| format!("{:.2} ({:.2})", times.percentile(50), times.percentile(99)),
            );
            line += &format!("{:>10} {cell:<24}", kind.name());
        }
        let medians = self
            .median(command, Kind::Ours)
            .zip(self.median(command, Kind::Libtpms));
        line += &medians.map_or_else(String::new, |(ours, libtpms)| format!("{:>8.2}", libtpms / ours));
        line + "\n"
    }

    /// A list of objects, one a command and TPM.
    pub(crate) fn json(&self) -> String {
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|(command, kind, times)| {
                format!(
                    "  {{\"engine\": \"{}\", \"command\": \"{command}\", \"n\": {}, \"median_us\": {:.3}, \
                     \"p99_us\": {:.3}, \"max_us\": {:.3}}}",
                    kind.name(),
                    times.count(),
                    times.percentile(50),
                    times.percentile(99),
                    times.max(),
                )
            })
            .collect();
        format!("[\n{}\n]\n", rows.join(",\n"))
    }
}
