//! The medians as a picture.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::summary::Results;
use super::tpms::Kind;

const WIDTH: u32 = 860;
const ROW: u32 = 22;
/// Powers of ten that the picture spans: 0.1 µs to 10 s.
const DECADES: std::ops::Range<f64> = -1.0..7.0;

/// Draws a row for each command, with the times from the median (a dot) to the 99th percentile on a logarithmic scale.
pub(crate) fn draw(file: &Path, results: &Results) -> Result<()> {
    let mut commands: Vec<&str> = results.rows.iter().map(|(command, _, _)| *command).collect();
    commands.dedup();
    let height = u32::try_from(commands.len())? * ROW + 80;
    let area = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    draw_on(&area, results, &commands).map_err(|error| anyhow!("cannot draw {}: {error}", file.display()))
}

type DrawError<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw_on<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    results: &Results,
    commands: &[&str],
) -> Result<(), DrawError<'a>> {
    area.fill(&WHITE)?;
    let rows = commands.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(270)
        .build_cartesian_2d(DECADES, -0.5..rows - 0.5)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .x_labels(9)
        .x_label_formatter(&|decade| format!("{} µs", 10f64.powf(*decade)))
        .x_desc("median (dot) to 99th percentile")
        .y_labels(commands.len() * 2)
        .y_label_formatter(&|place| label(commands, *place))
        .draw()?;
    for (kind, colour, offset) in [
        (Kind::Ours, RGBColor(0, 110, 60), 0.24),
        (Kind::OursAwsLc, RGBColor(40, 90, 200), 0.0),
        (Kind::Libtpms, RGBColor(200, 60, 30), -0.24),
    ] {
        let lines = results
            .rows
            .iter()
            .filter(|(_, of, _)| *of == kind)
            .map(|(command, _, times)| {
                let at = commands.iter().position(|name| name == command).unwrap_or_default();
                let height = rows - 1.0 - at as f64 + offset;
                let place = |percent| (times.percentile(percent).max(0.1).log10(), height);
                (place(50), place(99))
            });
        let lines: Vec<_> = lines.collect();
        chart.draw_series(
            lines
                .iter()
                .map(|(median, p99)| PathElement::new(vec![*median, *p99], colour.stroke_width(2))),
        )?;
        chart
            .draw_series(lines.iter().map(|(median, _)| Circle::new(*median, 4, colour.filled())))?
            .label(kind.name())
            .legend(move |(x, y)| Circle::new((x + 7, y), 4, colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()
}

/// The command of a row, from the bottom up.
fn label(commands: &[&str], place: f64) -> String {
    let row = place.round();
    if (place - row).abs() > 0.01 || row < 0.0 {
        return String::new();
    }
    let command = commands.iter().rev().nth(row as usize);
    command.map_or_else(String::new, |command| (*command).to_owned())
}
