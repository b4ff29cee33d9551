//! How long something took, many times.

use std::time::Duration;

/// The times of one command on one way.
#[derive(Debug, Clone)]
pub struct Times {
    sorted: Vec<Duration>,
}

impl Times {
    /// These times, in any order.
    #[must_use]
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { sorted: times }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// So many of a hundred take no longer, in microseconds.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> f64 {
        let position = self.sorted.len().saturating_sub(1) * percent / 100;
        micros(self.sorted.get(position).copied().unwrap_or_default())
    }

    /// The longest, in microseconds.
    #[must_use]
    pub fn max(&self) -> f64 {
        micros(self.sorted.last().copied().unwrap_or_default())
    }

    /// The times, shortest first, in microseconds.
    pub fn micros(&self) -> impl Iterator<Item = f64> {
        self.sorted.iter().copied().map(micros)
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
