//! The log, on stderr. Guests and monitors can cause lines again and again; of each kind a few are written one after
//! another, then one now and then, so that nobody fills a disk.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Lines of one kind that are written one after another.
const BURST: u32 = 20;
/// How long it takes until another one may be.
const EVERY: Duration = Duration::from_secs(5);

/// Logs go to stderr, without colours where that is no terminal.
pub(crate) fn to_stderr(level: impl Into<LevelFilter>) {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_max_level(level.into())
        .event_format(Limited {
            format: tracing_subscriber::fmt::format().with_target(false),
            kinds: Mutex::default(),
        })
        .init();
}

/// Lines of a format, as far as there are not too many. Who asks for DEBUG or TRACE wants them all.
struct Limited {
    format: Format,
    kinds: Mutex<HashMap<Identifier, Kind>>,
}

/// The lines of one place in the code.
struct Kind {
    /// How many may be written at once.
    left: u32,
    since: Instant,
    left_out: u64,
}

impl Kind {
    fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
            left_out: 0,
        }
    }

    /// Whether a line may be written now, and how many were not since the last one.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        while self.left < BURST && now.duration_since(self.since) >= EVERY {
            self.left = self.left.saturating_add(1);
            self.since += EVERY;
        }
        if self.left == BURST {
            self.since = now;
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        };
        self.left = left;
        Some(std::mem::take(&mut self.left_out))
    }
}

impl Limited {
    fn admit(&self, event: &Event<'_>) -> Option<u64> {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return Some(0);
        }
        let now = Instant::now();
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(metadata.callsite()).or_insert_with(|| Kind::new(now));
        kind.admit(now)
    }
}

impl<S, N> FormatEvent<S, N> for Limited
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(left_out) = self.admit(event) else {
            return Ok(());
        };
        self.format.format_event(context, writer.by_ref(), event)?;
        if left_out > 0 {
            writeln!(writer, "({left_out} lines like the one above were left out before it)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let begin = Instant::now();
        let mut kind = Kind::new(begin);
        for _ in 0..BURST {
            assert_eq!(kind.admit(begin), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(kind.admit(begin), None);
        }
        assert_eq!(kind.admit(begin + EVERY), Some(1000));
        assert_eq!(kind.admit(begin + EVERY), None);
        assert_eq!(kind.admit(begin + EVERY * 2), Some(1));
        // After a rest all is as at the beginning.
        let later = begin + EVERY * 1000;
        assert_eq!((0..100).filter_map(|_| kind.admit(later)).count(), BURST as usize);
    }

    #[test]
    fn what_comes_now_and_then_is_all_written() {
        let begin = Instant::now();
        let mut kind = Kind::new(begin);
        for number in 0..1000 {
            assert_eq!(kind.admit(begin + EVERY * number), Some(0));
        }
    }
}
