//! The list of deliberate differences, `differences.tsv`.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::compare::Difference;

/// One line of the list.
#[derive(Debug)]
pub struct Deliberate {
    command: &'static str,
    what: &'static str,
    step: &'static str,
    theirs: &'static str,
    ours: &'static str,
    circumstances: Vec<&'static str>,
    /// The specification's section.
    pub section: &'static str,
    /// Why ours is right.
    pub reason: &'static str,
    hits: AtomicU64,
}

/// The whole list.
#[derive(Debug)]
pub struct List(Vec<Deliberate>);

impl Default for List {
    fn default() -> Self {
        Self(include_str!("differences.tsv").lines().filter_map(parse).collect())
    }
}

fn parse(line: &'static str) -> Option<Deliberate> {
    if line.starts_with('#') {
        return None;
    }
    let mut columns = line.split('\t');
    Some(Deliberate {
        command: columns.next()?,
        what: columns.next()?,
        step: columns.next()?,
        theirs: columns.next()?,
        ours: columns.next()?,
        circumstances: columns.next()?.split(' ').filter(|name| *name != "*").collect(),
        section: columns.next()?,
        reason: columns.next()?,
        hits: AtomicU64::new(0),
    })
}

impl List {
    /// The line that explains a difference, if any does.
    #[must_use]
    pub fn explain(&self, difference: &Difference) -> Option<&Deliberate> {
        let found = self.0.iter().find(|line| line.matches(difference))?;
        found.hits.fetch_add(1, Ordering::Relaxed);
        Some(found)
    }

    /// Lines that explained nothing so far, though scenarios come to where they apply.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        let of_scenarios = self.0.iter().filter(|line| !line.step.starts_with("seed "));
        let unused = of_scenarios.filter(|line| line.hits.load(Ordering::Relaxed) == 0);
        unused
            .map(|line| format!("{} {} ({})", line.command, line.what, line.step))
            .collect()
    }
}

impl Deliberate {
    fn matches(&self, difference: &Difference) -> bool {
        matches(self.command, &difference.command)
            && matches(self.what, &difference.what)
            && matches(self.step, &difference.step)
            && matches(self.theirs, &difference.theirs)
            && matches(self.ours, &difference.ours)
            && self
                .circumstances
                .iter()
                .all(|name| difference.circumstances.contains(name))
    }
}

/// Whether a text fits a pattern in which `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(head) else {
        return false;
    };
    tail.is_empty() || (0..=rest.len()).any(|skip| rest.get(skip..).is_some_and(|rest| matches(tail, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::circumstances::ALL;

    #[test]
    fn every_line_has_its_columns_section_and_reason() {
        let lines = include_str!("differences.tsv")
            .lines()
            .filter(|line| !line.starts_with('#'));
        let list = List::default();
        assert_eq!(lines.count(), list.0.len());
        for line in &list.0 {
            assert!(line.section.starts_with("Part "), "{line:?}");
            assert!(!line.reason.is_empty());
            let known = |name: &&str| ALL.iter().any(|(known, _)| known == name);
            assert!(line.circumstances.iter().all(known), "{line:?}");
            // A command of a vendor has no name, and goes by its code: bit 29 is SET (Part 2, 6.5.1).
            let vendors = line
                .command
                .strip_prefix("0x")
                .and_then(|code| u32::from_str_radix(code, 16).ok())
                .is_some_and(|code| code & 1 << 29 != 0);
            assert!(
                crate::schema::named(line.command).is_some() || line.command == "*" || vendors,
                "{line:?}"
            );
        }
    }

    #[test]
    fn patterns() {
        assert!(matches("*", ""));
        assert!(matches("a*c*e", "abcde"));
        assert!(!matches("a*c", "abd"));
        assert!(!matches("abc", "ab"));
    }
}
