//! The distribution of the times, as a picture.

use std::path::Path;

use anyhow::{Result, anyhow};
use integration::times::Times;
use plotters::prelude::*;

use super::commands::Operation;
use super::paths::Route;
use super::placement::Placement;
use super::summary::Results;

/// Bars to a factor of ten.
const STEPS: f64 = 16.0;
/// The power of ten, in microseconds, that a picture begins at.
const BEGIN: f64 = -1.0;
/// Powers of ten that it spans: to 100 ms.
const DECADES: f64 = 6.0;
const PANEL: (u32, u32) = (460, 260);

/// Draws a panel for each placement (across) and command (down): how many of a hundred commands took how long.
pub(crate) fn draw(file: &Path, results: &Results, placements: &[Placement], operations: &[Operation]) -> Result<()> {
    let (across, down) = (placements.len(), operations.len());
    let size = (
        PANEL.0 * u32::try_from(across)?.max(1),
        PANEL.1 * u32::try_from(down)?.max(1),
    );
    let area = SVGBackend::new(file, size).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw {}: {error}", file.display());
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let panels = area.split_evenly((down, across));
    let wanted = operations
        .iter()
        .flat_map(|operation| placements.iter().map(move |placement| (*placement, *operation)));
    for (panel, (placement, operation)) in panels.iter().zip(wanted) {
        draw_panel(panel, results, placement, operation).map_err(|error| failed(&error))?;
    }
    area.present().map_err(|error| failed(&error))
}

type DrawError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw_panel<'a>(
    panel: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    results: &Results,
    placement: Placement,
    operation: Operation,
) -> Result<(), DrawError<'a>> {
    let routes = [
        (Route::VhostUser, RGBColor(0, 110, 60)),
        (Route::VhostUserPoll0, RGBColor(90, 170, 90)),
        (Route::OursSocket, RGBColor(30, 80, 200)),
        (Route::SwtpmSocket, RGBColor(200, 60, 30)),
    ];
    let outlines: Vec<_> = routes
        .into_iter()
        .filter_map(|(route, colour)| Some((route, colour, outline(results.times(placement, operation, route)?))))
        .collect();
    let points = outlines.iter().flat_map(|(_, _, points)| points);
    let highest = points.fold(10.0, |highest: f64, (_, share)| highest.max(*share));
    let mut chart = ChartBuilder::on(panel)
        .caption(
            format!("{}, {}", operation.name(), placement.name()),
            ("sans-serif", 15),
        )
        .margin(8)
        .margin_right(24)
        .x_label_area_size(32)
        .y_label_area_size(40)
        .build_cartesian_2d(BEGIN..BEGIN + DECADES, 0.0..highest * 1.05)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_labels(7)
        .x_label_formatter(&|decade| label(*decade))
        .y_desc("% of commands")
        .draw()?;
    for (route, colour, points) in outlines {
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(route.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
}

/// A power of ten, in microseconds.
fn label(decade: f64) -> String {
    let micros = 10f64.powf(decade);
    if micros < 1000.0 {
        format!("{micros} µs")
    } else {
        format!("{} ms", micros / 1000.0)
    }
}

/// The outline of the histogram: per cent over the logarithm of the time.
fn outline(times: &Times) -> Vec<(f64, f64)> {
    let mut bars = vec![0u32; (STEPS * DECADES) as usize];
    let mut total = 0u32;
    for time in times.micros() {
        let last = bars.len().saturating_sub(1);
        // What is outside is at its edge.
        let bar = (((time.log10() - BEGIN).max(0.0) * STEPS) as usize).min(last);
        if let Some(bar) = bars.get_mut(bar) {
            *bar += 1;
        }
        total += 1;
    }
    let mut points = Vec::new();
    for (number, bar) in bars.into_iter().enumerate() {
        let share = f64::from(bar) * 100.0 / f64::from(total.max(1));
        points.push((BEGIN + number as f64 / STEPS, share));
        points.push((BEGIN + (number + 1) as f64 / STEPS, share));
    }
    points
}
