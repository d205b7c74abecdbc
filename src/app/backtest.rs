//! `portent backtest`: a file in, scores out.
//!
//! Owns: what a watch says of a replay, and which column of a file is which of its features.
//! Does not own: the replay itself (`crate::backtest`).

use std::path::Path;
use std::path::PathBuf;

use super::Error;
use super::offline::check_output;
use super::offline::check_settings;
use super::offline::write_whole;
use crate::backtest;
use crate::backtest::Row;
use crate::backtest::Settings;
use crate::config;
use crate::config::Config;
use crate::detect;
use crate::math::duration::format_duration;
use crate::source;
use crate::source::csv::CsvFile;
use crate::watch::Feature;
use crate::watch::Watch;

/// What is replayed, and how.
#[derive(Debug, Clone)]
pub struct Backtest {
    /// A CSV file; without it, that of the configuration's source.
    pub input: Option<PathBuf>,
    /// Where the scores go.
    pub output: PathBuf,
    /// The configuration that knows the watch; without it, a file is treated as suits it.
    pub config_file: Option<PathBuf>,
    /// The watch; without it, the only one of the configuration.
    pub watch: Option<String>,
    /// Rows that are learnt from before the first score; without it, the watch's shortest history.
    pub train_rows: Option<usize>,
    /// Detectors; empty means the watch's, or those that suit the file.
    pub detectors: Vec<detect::Config>,
    /// The coarser step of a file without a watch.
    pub bucket_s: Option<i64>,
    /// The page budget; without it, the watch's.
    pub pages_per_week: Option<f64>,
}

/// Replays a file and writes the scores. Returns how many rows were written.
///
/// # Errors
/// The configuration or the input is not as wanted, or the output cannot be written.
pub fn backtest(asked: &Backtest) -> Result<usize, Error> {
    let config = asked.config_file.as_deref().map(config::load).transpose()?;
    let watch = config.as_ref().map(|config| chosen(asked.watch.as_deref(), config)).transpose()?;
    let (input, output) = (input(asked, config.as_ref())?, asked.output.as_path());
    // What is wrong shows before hours of arithmetic, not after them.
    check_output(input, output)?;
    let file = source::csv::read(input)?;
    let in_input = |error: &dyn std::fmt::Display| format!("{}: {error}", input.display());
    let columns = match watch {
        Some(watch) => columns(watch, &file).map_err(|error| in_input(&error))?,
        None => file.columns.iter().map(|(name, column)| (name.clone(), &column[..])).collect(),
    };
    let settings = settings(asked, watch, &file).map_err(|error| in_input(&error))?;
    check_settings(input, &file, &settings)?;
    let rows = file.beside(columns.iter().map(|(_, column)| *column));
    let names: Vec<String> = columns.into_iter().map(|(name, _)| name).collect();
    let wanted = file.rows.get(settings.train_rows..).unwrap_or_default();
    let first = wanted.first().map_or(0, |(_, place)| *place);
    let replayed = Settings { train_rows: first, ..settings };
    let scored = backtest::run(&names, &rows, &replayed).map_err(|error| in_input(&error))?;
    // One row out per row in, at the time that it was written with.
    let row = |(time_s, at): &(i64, usize)| {
        let row = scored.get(at.checked_sub(first)?)?;
        Some(Row { time_s: *time_s, ..row.clone() })
    };
    let rows: Vec<Row> = wanted.iter().filter_map(row).collect();
    write_whole(output, backtest::to_csv(&rows).as_bytes())?;
    Ok(rows.len())
}

/// The watch that was asked for, or the only one.
pub(super) fn chosen<'a>(asked: Option<&str>, config: &'a Config) -> Result<&'a Watch, Error> {
    let watches = config.watches.as_deref().unwrap_or_default();
    let names: Vec<&str> = watches.iter().map(|watch| watch.name.as_str()).collect();
    let there_are = match &names[..] {
        [] => "the configuration names none".to_string(),
        names => format!("there are: {}", names.join(", ")),
    };
    match (asked, watches) {
        (None, [only]) => Ok(only),
        (None, _) => Err(format!("wanted --watch=NAME; {there_are}").into()),
        (Some(name), _) => watches
            .iter()
            .find(|watch| watch.name == name)
            .ok_or_else(|| format!("no watch is named {name:?}; {there_are}").into()),
    }
}

fn input<'a>(asked: &'a Backtest, config: Option<&'a Config>) -> Result<&'a Path, Error> {
    match (&asked.input, config.and_then(|config| config.source.as_ref())) {
        (Some(input), _) => Ok(input),
        (None, Some(source::Config::Csv(csv))) => Ok(&csv.file),
        (None, _) => Err("no input; wanted a CSV file, or `source: {csv: {file: …}}` in \
            --config.file"
            .into()),
    }
}

/// The watch's features, in its order: columns of the name of the feature, or of what its query says
/// where that is a column; where there is one of each, they belong together.
fn columns<'a>(watch: &Watch, file: &'a CsvFile) -> Result<Vec<(String, &'a [f64])>, String> {
    let step = format_duration(watch.step_s);
    if file.step_s != watch.step_s {
        let rows = format_duration(file.step_s);
        return Err(format!("its rows are {rows} apart; wanted the watch's step ({step})"));
    }
    if let ([feature], [(_, column)]) = (&watch.features[..], &file.columns[..]) {
        return Ok(vec![(feature.name.clone(), column)]);
    }
    let column = |feature: &Feature| {
        let found = file.column(&feature.query).or_else(|_| file.column(&feature.name));
        let missing = |_| {
            let known: Vec<&str> = file.columns.iter().map(|(name, _)| name.as_str()).collect();
            let (wanted, known) = (&feature.name, known.join(", "));
            format!("no column is named {wanted:?}, as a feature of the watch; there are: {known}")
        };
        Ok((feature.name.clone(), found.map_err(missing)?))
    };
    watch.features.iter().map(column).collect()
}

/// What the watch says, unless a flag says otherwise.
fn settings(asked: &Backtest, watch: Option<&Watch>, file: &CsvFile) -> Result<Settings, String> {
    let mut settings = match watch {
        Some(watch) => of_watch(watch, file),
        None => Settings { bucket_s: asked.bucket_s, ..Settings::new(0) },
    };
    match (asked.train_rows, watch) {
        (Some(train_rows), _) => settings.train_rows = train_rows,
        (None, Some(watch)) if settings.train_rows >= file.rows.len() => {
            let (rows, history) = (file.rows.len(), format_duration(watch.train.min_history_s));
            return Err(format!(
                "{rows} rows; wanted more than the watch's train.min_history ({history}) has, or \
                 --train-rows"
            ));
        }
        _ => {}
    }
    if !asked.detectors.is_empty() {
        settings.detectors.clone_from(&asked.detectors);
    }
    settings.pages_per_week = asked.pages_per_week.unwrap_or(settings.pages_per_week);
    Ok(settings)
}

fn of_watch(watch: &Watch, file: &CsvFile) -> Settings {
    let Watch { bucket_s, pages_per_week, train, .. } = *watch;
    let all: Vec<usize> = (0..watch.features.len()).collect();
    let least = (train.min_history_s / watch.step_s) as usize;
    Settings {
        train_rows: file.rows.partition_point(|(_, place)| *place < least).max(1),
        detectors: watch.detectors.clone(),
        bucket_s,
        pages_per_week,
        preprocess: Some(watch.preprocess(&all)),
        calendar: watch.calendar.clone(),
        episodes: Vec::new(),
        train: Some(train),
    }
}
