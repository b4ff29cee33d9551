//! What was compared, as a table.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::compare::{Difference, Outcome};
use crate::differences::List;

/// How much of a command or response is shown; `--trace` has all of it.
const CONTEXT: usize = 240;

/// The sum of many comparisons.
#[derive(Debug, Default)]
pub struct Report {
    /// By command: compared, of which succeeded, unexplained differences, explained ones.
    lines: BTreeMap<String, [u64; 4]>,
    /// Differences that no line of the list explains.
    pub unexplained: Vec<Difference>,
    /// Lines of the list that explained nothing; filled in by who ran everything.
    pub unused: Vec<String>,
}

impl Report {
    /// Adds a comparison.
    pub fn add(&mut self, outcome: Outcome, list: &List) {
        for (command, (count, succeeded)) in outcome.counts {
            let line = self.lines.entry(command).or_default();
            line[0] += count;
            line[1] += succeeded;
        }
        for difference in outcome.differences {
            let explained = list.explain(&difference).is_some();
            let line = self.lines.entry(difference.command.clone()).or_default();
            line[if explained { 3 } else { 2 }] += 1;
            if !explained {
                self.unexplained.push(difference);
            }
        }
    }

    /// Adds another report.
    pub fn merge(&mut self, other: Self) {
        for (command, numbers) in other.lines {
            let line = self.lines.entry(command).or_default();
            line.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        }
        self.unexplained.extend(other.unexplained);
    }

    /// Commands compared.
    #[must_use]
    pub fn compared(&self) -> u64 {
        self.lines.values().map(|line| line[0]).sum()
    }

    /// Commands that were compared at least once.
    #[must_use]
    pub fn commands(&self) -> Vec<&str> {
        let lines = self.lines.iter().filter(|(_, line)| line[0] > 0);
        lines.map(|(name, _)| &name[..]).collect()
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<28}{:>10}{:>10}{:>13}{:>12}\n",
            "command", "compared", "success", "deliberate", "DIFFERENT"
        );
        // Writing to a String does not fail.
        for (command, [count, succeeded, unexplained, explained]) in &self.lines {
            let command = if command.is_empty() {
                "(course of a scenario)"
            } else {
                command
            };
            let _ = writeln!(
                text,
                "{command:<28}{count:>10}{succeeded:>10}{explained:>13}{unexplained:>12}"
            );
        }
        let _ = writeln!(
            text,
            "{} commands, {} comparisons, {} unexplained differences",
            self.commands().len(),
            self.compared(),
            self.unexplained.len()
        );
        text
    }

    /// The unexplained differences, alike ones together, at most `limit` of them.
    #[must_use]
    pub fn details(&self, limit: usize) -> String {
        let mut groups: BTreeMap<[&str; 4], Vec<&Difference>> = BTreeMap::new();
        for difference in &self.unexplained {
            let Difference {
                command,
                what,
                theirs,
                ours,
                ..
            } = difference;
            // Values of fields are all different; codes are what makes differences alike.
            let values = if what == "rc" {
                [&theirs[..], &ours[..]]
            } else {
                [""; 2]
            };
            groups
                .entry([command, what, values[0], values[1]])
                .or_default()
                .push(difference);
        }
        let mut text = String::new();
        // Writing to a String does not fail.
        for group in groups.values().take(limit) {
            let Some(first) = group.first() else { continue };
            let Difference {
                command,
                step,
                what,
                theirs,
                ours,
                context,
                ..
            } = first;
            let _ = writeln!(
                text,
                "{command} {what}: theirs {theirs}, ours {ours}; {} times, first in",
                group.len()
            );
            let _ = writeln!(text, "  {step}");
            for line in context.lines() {
                let end = line.char_indices().nth(CONTEXT).map_or(line.len(), |(end, _)| end);
                let _ = writeln!(text, "{}", line.get(..end).unwrap_or(line));
            }
        }
        for unused in &self.unused {
            let _ = writeln!(text, "this deliberate difference was never seen: {unused}");
        }
        text
    }
}
