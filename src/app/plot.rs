//! `portent plot`: a file in, a picture out.

use std::path::Path;

use super::Error;
use super::offline::check_bucket;
use super::offline::check_output;
use super::offline::check_settings;
use super::offline::write_whole;
use crate::backtest;
use crate::detect;
use crate::math::calendar::DAY_S;
use crate::math::decompose;
use crate::math::duration::format_duration;
use crate::model;
use crate::plot;
use crate::plot::Components;
use crate::plot::Format;
use crate::plot::Point;
use crate::plot::Scene;
use crate::plot::Scored;
use crate::preprocess;
use crate::series::Grid;
use crate::series::Window;
use crate::source;
use crate::source::csv::CsvFile;

/// What is drawn from, and to where.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// A CSV file.
    pub input: &'a Path,
    /// The column, where the file has several.
    pub column: Option<&'a str>,
    /// The coarser step.
    pub bucket_s: Option<i64>,
    /// A name that ends in `.svg` or `.png`.
    pub output: &'a Path,
}

/// How a file is scored for its picture.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// Rows that are learnt from before the first score; else four fifths of them.
    pub train_rows: Option<usize>,
    /// Detectors; empty means those that suit the file.
    pub detectors: Vec<detect::Config>,
}

/// Draws traffic with its forecast, the accepted range, yellow and red dots.
///
/// # Errors
/// The input is not as wanted, or the output cannot be written.
pub fn plot_traffic(picture: &Picture<'_>, replay: &Replay) -> Result<(), Error> {
    draw(picture, |file| Ok(plot::traffic(&scored(picture, file, replay)?)))
}

/// Draws points coloured by their score.
///
/// # Errors
/// The input is not as wanted, or the output cannot be written.
pub fn plot_scatter(picture: &Picture<'_>, replay: &Replay) -> Result<(), Error> {
    draw(picture, |file| Ok(plot::scatter(&scored(picture, file, replay)?)))
}

/// Draws a decomposition: trend, season and residual, with a season of `season_s` or what suits the
/// file.
///
/// # Errors
/// The input is not as wanted, or the output cannot be written.
pub fn plot_components(picture: &Picture<'_>, season_s: Option<i64>) -> Result<(), Error> {
    draw(picture, |file| Ok(plot::components(&taken_apart(picture, file, season_s)?)))
}

fn draw(
    picture: &Picture<'_>,
    scene: impl FnOnce(&CsvFile) -> Result<Scene, Error>,
) -> Result<(), Error> {
    let output = picture.output;
    let wanted = || format!("{}: wanted a name that ends in .svg or .png", output.display());
    let format = Format::of(output).ok_or_else(wanted)?;
    check_output(picture.input, output)?;
    let file = source::csv::read(picture.input)?;
    check_bucket(&file, picture.bucket_s)?;
    write_whole(output, &scene(&file)?.encode(format)?)
}

/// A column by its name, or the only one.
fn column<'a>(picture: &Picture<'_>, file: &'a CsvFile) -> Result<(&'a str, Window), Error> {
    let found = match (picture.column, &file.columns[..]) {
        (Some(name), columns) => columns.iter().find(|(known, _)| known == name),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let Some((name, values)) = found else {
        let names: Vec<&str> = file.columns.iter().map(|(name, _)| name.as_str()).collect();
        let what = format!("--column: wanted one of {}", names.join(", "));
        return Err(format!("{}: {what}", picture.input.display()).into());
    };
    Ok((name, Window::single(file.grid(), values.clone())))
}

/// What is shown of rows: themselves, or sums.
fn shown(rows: &Window, bucket_s: Option<i64>) -> Window {
    bucket_s.map_or_else(|| rows.clone(), |bucket_s| preprocess::buckets(rows, bucket_s))
}

fn quantity(name: &str, bucket_s: Option<i64>) -> String {
    let sums = |bucket_s| format!("{name}, sums of {}", format_duration(bucket_s));
    bucket_s.map_or_else(|| name.to_string(), sums)
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn scored(picture: &Picture<'_>, file: &CsvFile, replay: &Replay) -> Result<Scored, Error> {
    let &Picture { input, bucket_s, .. } = picture;
    let (name, rows) = column(picture, file)?;
    let train_rows = replay.train_rows.unwrap_or(file.rows.len() * 4 / 5);
    let detectors = replay.detectors.clone();
    let settings =
        backtest::Settings { detectors, bucket_s, ..backtest::Settings::new(train_rows) };
    check_settings(input, file, &settings)?;
    let first = file.rows[train_rows].1;
    let settings = backtest::Settings { train_rows: first, ..settings };
    let names = [name.to_string()];
    let replayed = backtest::run(&names, &rows, &settings)
        .map_err(|error| format!("{}: {error}", input.display()))?;
    let points = points(&rows, bucket_s, &replayed);
    let (names, forecaster) = match &replay.detectors[..] {
        [] => ("seasonal_median, stl".to_string(), "seasonal_median"),
        [only] => (only.name().to_string(), only.name()),
        some => {
            let names: Vec<&str> = some.iter().map(detect::Config::name).collect();
            (names.join(", "), "the first that forecasts")
        }
    };
    let forecast = points.iter().any(|point: &Point| point.band.is_some());
    let learnt = plural(train_rows, "row");
    Ok(Scored {
        title: file_name(input),
        subtitle: format!("{names}: first learnt from {learnt}, each score from rows before it"),
        quantity: quantity(name, bucket_s),
        forecaster: forecast.then(|| forecaster.to_string()),
        step_s: bucket_s.unwrap_or(file.step_s),
        points,
    })
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// One point per row of the replay, or per bucket: the row that completes it is the first to show it.
fn points(rows: &Window, bucket_s: Option<i64>, replayed: &[backtest::Row]) -> Vec<Point> {
    let step_s = rows.grid.step_s;
    let point_s = bucket_s.unwrap_or(step_s);
    let shown = shown(rows, bucket_s);
    let complete = replayed.iter().filter(|row| (row.time_s + step_s).rem_euclid(point_s) == 0);
    let point = |row: &backtest::Row| {
        let time_s = row.time_s + step_s - point_s;
        let observed = shown.grid.index(time_s).map_or(f64::NAN, |i| shown.values[i]);
        // The replay says 0 of what it knows nothing of.
        let score = if observed.is_nan() { f64::NAN } else { row.score };
        Point { time_s, observed, band: row.band.and_then(banded), score }
    };
    complete.map(point).collect()
}

/// A model's band as a picture wants it; none beyond numbers.
pub(super) fn banded(band: model::Band) -> Option<plot::Band> {
    let model::Band { expected, lower, upper, .. } = band;
    let known = [expected, lower, upper].iter().all(|value| value.is_finite());
    known.then_some(plot::Band { expected, lower, upper })
}

/// Rows times rows of a season beyond which a decomposition takes minutes.
const MOST_WORK: usize = 200_000_000;

fn taken_apart(
    picture: &Picture<'_>,
    file: &CsvFile,
    season_s: Option<i64>,
) -> Result<Components, Error> {
    let (name, rows) = column(picture, file)?;
    let shown = shown(&rows, picture.bucket_s);
    let Grid { start_s, step_s, len } = shown.grid;
    let span_s = step_s * len as i64;
    let usual_s = if span_s >= 14 * DAY_S { 7 * DAY_S } else { DAY_S };
    let season_s = season_s.unwrap_or(usual_s);
    let period = (season_s / step_s) as usize;
    let season = format_duration(season_s);
    let wrong = |what: String| Err(format!("{}: {what}", picture.input.display()).into());
    if season_s % step_s != 0 || period < 2 || len < 2 * period {
        let rows = format!("{} every {}", plural(len, "row"), format_duration(step_s));
        return wrong(format!(
            "{rows}; wanted two seasons of {season}, each of 2 whole rows or more"
        ));
    }
    if shown.extent().is_none() {
        return wrong("no value at all".into());
    }
    if len.saturating_mul(period) > MOST_WORK {
        return wrong(format!("{period} rows in a season of {season}; wanted a longer --bucket"));
    }
    let settings = decompose::Settings::new(period, true);
    let parts = decompose::stl(&shown.values, settings, &|| true).ok_or("stopped")?;
    let left = shown.values.iter().zip(&parts.season).zip(&parts.trend);
    Ok(Components {
        title: file_name(picture.input),
        subtitle: format!("STL, robust, with a season of {season}"),
        quantity: quantity(name, picture.bucket_s),
        start_s,
        step_s,
        residual: left.map(|((value, season), trend)| value - season - trend).collect(),
        observed: shown.values,
        trend: parts.trend,
        season: parts.season,
    })
}
