//! What is wanted of the latency.

use integration::verdict::Verdict;

use super::commands::Operation;
use super::paths::Route;
use super::placement::Placement;
use super::summary::Results;

/// How many times lower the median of a cheap command is than over swtpm's socket.
const fn faster(placement: Placement) -> Option<f64> {
    match placement {
        Placement::Split => Some(10.0),
        Placement::SplitCold => Some(1.5),
        Placement::Same => Some(1.0),
        // Where the system puts the two decides.
        Placement::Unpinned => None,
    }
}

/// Microseconds that the way to the TPM and back may add to the engine's own.
const fn over_engine(placement: Placement) -> Option<f64> {
    match placement {
        Placement::Split => Some(3.0),
        _ => None,
    }
}

/// A line of the list: of what, the figures, and a remark.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) of: String,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) remark: String,
}

impl Line {
    pub(crate) fn new(of: impl Into<String>, verdicts: Vec<Verdict>) -> Self {
        Self {
            of: of.into(),
            verdicts,
            remark: String::new(),
        }
    }
}

/// The cheap commands that were measured, at the placements that something is wanted of.
pub(crate) fn of_commands(results: &Results, placements: &[Placement], operations: &[Operation]) -> Vec<Line> {
    let mut lines = Vec::new();
    for placement in placements {
        for operation in operations.iter().filter(|operation| operation.is_cheap()) {
            let median = |route| Some(results.times(*placement, *operation, route)?.percentile(50));
            let Some(ours) = median(Route::VhostUser) else { continue };
            let ratio = faster(*placement).zip(median(Route::SwtpmSocket));
            let over = over_engine(*placement).zip(median(Route::Engine));
            let ratio = ratio.map(|(wanted, swtpm)| Verdict::at_least("swtpm / ours", swtpm / ours, wanted));
            let over = over.map(|(wanted, engine)| Verdict::at_most("ours - engine", ours - engine, wanted, "µs"));
            let mut line = Line::new(
                format!("{}, {}", placement.name(), operation.name()),
                ratio.into_iter().chain(over).collect(),
            );
            if line.verdicts.is_empty() {
                continue;
            }
            if operation.is_durable() {
                let figures = line.verdicts.drain(..).map(|verdict| verdict.figure());
                line.remark = figures.collect::<Vec<_>>().join("; ");
                line.remark += ": no target, for ours answers when it is on the disk, swtpm before";
            }
            lines.push(line);
        }
    }
    lines
}

/// The list of what is met and what is missed.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut text = "\nwhat is wanted\n".to_owned();
    for Line { of, verdicts, remark } in lines {
        let verdicts: Vec<String> = verdicts.iter().map(Verdict::to_string).collect();
        text += &format!("{of:<40}{}{remark}\n", verdicts.join("; "));
    }
    let verdicts = || lines.iter().flat_map(|line| &line.verdicts);
    let missed = verdicts().filter(|verdict| !verdict.met).count();
    text += &format!("{} met, {missed} missed\n", verdicts().count().saturating_sub(missed));
    text
}

/// A list of objects, one a figure of which something is wanted.
pub(crate) fn json(lines: &[Line]) -> String {
    let rows: Vec<String> = lines
        .iter()
        .flat_map(|line| line.verdicts.iter().map(move |verdict| (&line.of, verdict)))
        .map(|(of, verdict)| {
            let Verdict {
                what,
                is,
                wanted,
                unit,
                met,
            } = verdict;
            format!(
                "  {{\"of\": \"{of}\", \"what\": \"{what}\", \"is\": {is:.3}, \"wanted\": {wanted}, \
                 \"unit\": \"{unit}\", \"met\": {met}}}"
            )
        })
        .collect();
    format!("[\n{}\n]\n", rows.join(",\n"))
}
