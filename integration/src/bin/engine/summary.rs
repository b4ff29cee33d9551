//! What came of the measurements: JSON and a table.

use integration::times::Times;
use integration::verdict::Verdict;

use super::cases::Case;
use super::targets::has_ifma;
use super::tpms::Kind;

/// What the columns of [`Results::line`] are.
pub(crate) const LEGEND: &str = "\
microseconds: median (99th percentile)
times faster: libtpms' median over ours, and what is wanted of it
";

/// The line above the commands of a heading.
pub(crate) fn head(heading: &str) -> String {
    let mut line = format!("\n{heading:<40}");
    for kind in Kind::ALL {
        line += &format!("{:<24}", kind.name());
    }
    line + "times faster"
}

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

    /// The line of a command in the table: its times, and whether they are what is wanted.
    pub(crate) fn line(&self, case: &Case) -> String {
        let mut line = format!("{:<40}", case.name);
        for kind in Kind::ALL {
            let cell = self.times(case.name, kind).map_or_else(
                || "-".to_owned(),
                |times| format!("{:.2} ({:.2})", times.percentile(50), times.percentile(99)),
            );
            line += &format!("{cell:<24}");
        }
        let verdicts = [(Kind::Ours, 0), (Kind::OursAwsLc, 1)].map(|(kind, column)| self.verdicts(case, kind, column));
        let verdicts: Vec<String> = verdicts.iter().flatten().map(Verdict::to_string).collect();
        line += &verdicts.join("; ");
        line + "\n"
    }

    /// What is wanted of a command, and whether it is so.
    fn verdicts(&self, case: &Case, kind: Kind, column: usize) -> Vec<Verdict> {
        let Some(times) = self.times(case.name, kind) else {
            return Vec::new();
        };
        let mut verdicts = Vec::new();
        let faster = case.target.faster.and_then(|wanted| wanted.get(column).copied());
        if let Some((wanted, libtpms)) = faster.zip(self.median(case.name, Kind::Libtpms)) {
            verdicts.push(Verdict::at_least(kind.name(), libtpms / times.percentile(50), wanted));
        }
        let p99 = case
            .target
            .p99_ms
            .map(|[with, without]| if has_ifma() { with } else { without });
        for (what, percent, limit) in [("median", 50, case.target.median_ms), ("p99", 99, p99)] {
            if let Some(limit) = limit {
                verdicts.push(Verdict::at_most(what, times.percentile(percent) / 1e3, limit, "ms"));
            }
        }
        verdicts
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
