//! Figures of a benchmark held against what is wanted of them.

use std::fmt;

/// A figure, and what is wanted of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// What the figure is.
    pub what: String,
    /// The figure.
    pub is: f64,
    /// What it is to be.
    pub wanted: f64,
    /// What both are counted in; empty for a quotient.
    pub unit: &'static str,
    /// Whether it is so.
    pub met: bool,
}

impl Verdict {
    /// A quotient that is to be no less than what is wanted.
    pub fn at_least(what: impl Into<String>, is: f64, wanted: f64) -> Self {
        Self {
            what: what.into(),
            is,
            wanted,
            unit: "",
            met: is >= wanted,
        }
    }

    /// A figure that is to be no more than what is wanted.
    pub fn at_most(what: impl Into<String>, is: f64, wanted: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            is,
            wanted,
            unit,
            met: is <= wanted,
        }
    }

    /// The figure alone.
    #[must_use]
    pub fn figure(&self) -> String {
        let space = if self.unit.is_empty() { "" } else { " " };
        format!("{} {:.2}{space}{}", self.what, self.is, self.unit)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = if self.met { "met" } else { "MISSED" };
        write!(f, "{} of {}: {met}", self.figure(), self.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_at_its_limit_is_what_is_wanted() {
        assert_eq!(
            Verdict::at_least("a / b", 1.5, 1.5).to_string(),
            "a / b 1.50 of 1.5: met"
        );
        assert_eq!(
            Verdict::at_least("a / b", 1.49, 1.5).to_string(),
            "a / b 1.49 of 1.5: MISSED"
        );
        assert_eq!(
            Verdict::at_most("p99", 40.0, 40.0, "ms").to_string(),
            "p99 40.00 ms of 40: met"
        );
        assert!(!Verdict::at_most("p99", 40.1, 40.0, "ms").met);
        assert!(!Verdict::at_most("of nothing", f64::NAN, 40.0, "ms").met);
    }
}
